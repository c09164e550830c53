"""What the web page costs: the loop for each frame, and the processor for each viewer.

    PYTHONPATH=. python benchmarks/web_page.py

VGA frames of a synthetic scene at 12 a second, each stepped through the packaged model just before
it is written; the viewers are threads of another process. Needs the extra 'camera'.
"""

from __future__ import annotations

import http.client
import resource
import subprocess
import sys
import threading
import time

import numpy as np

import edgecap
from edgecap.assets import resolve_model
from edgecap.health import Monitor
from edgecap.sinks.base import Result, RunInfo
from edgecap.sinks.web import WebPage
from edgecap.sinks.web.pictures import SIZES, Pictures
from edgecap.sources.base import Frame
from edgecap.synthetic import Scene
from tests.viewers import unpack

RATE_HZ, SECONDS, VIEWERS = 12, 10, (0, 1, 4, 16)


def look(port: int, name: str, ends_s: float, counts: list[int]) -> None:
    """A viewer who asks as the page does; counts the answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    run, number, count = "", -1, 0
    while time.monotonic() < ends_s:
        connection.request("GET", f"/live?run={run}&after={number}&viewer={name}")
        told = unpack(connection.getresponse().read())
        run, number, count = told["run"], told["number"], count + 1
        time.sleep(0.033)
    counts.append(count)


def look_on(port: int, viewers: int) -> None:
    """The other process."""
    counts: list[int] = []
    ends_s = time.monotonic() + SECONDS + 1
    names = [f"v{viewers}x{n}" for n in range(viewers)]
    threads = [threading.Thread(target=look, args=(port, n, ends_s, counts)) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"messages to each: {min(counts)} to {max(counts)}")


def used_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    if len(sys.argv) == 3:
        look_on(int(sys.argv[1]), int(sys.argv[2]))
        return
    stream = edgecap.load(resolve_model("demo")).stream()
    scene = Scene(seed=5, height=480, width=640, rate_hz=RATE_HZ)
    images = [frame.image for frame, _ in zip(scene, range(RATE_HZ * SECONDS), strict=False)]
    page = WebPage(port=0)
    page.begin(RunInfo(stream.model.spec, ("camera",), Monitor().health))
    for viewers in VIEWERS:
        command = [sys.executable, __file__, str(page.port), str(viewers)]
        others = subprocess.Popen(command) if viewers else None
        time.sleep(1.5)
        took_s, began_s, before_s = [], time.monotonic(), used_s()
        for index, image in enumerate(images):
            now_s = time.monotonic()
            result = Result(
                Frame(index, now_s, image), stream.step(image, now_s), 0.5, "camera", 1.0
            )
            started = time.perf_counter()
            page.write(result)
            took_s.append(time.perf_counter() - started)
            time.sleep(max(0.0, began_s + (index + 1) / RATE_HZ - time.monotonic()))
        share = (used_s() - before_s) / (time.monotonic() - began_s)
        p50, p99 = np.percentile(took_s, (50, 99)) * 1e6
        if others is not None:
            others.wait()
        print(
            f"{viewers} viewers: {share:.2%} of a core, the model's step included; "
            f"write() p50 {p50:.0f} µs, p99 {p99:.0f} µs",
            flush=True,
        )
        # Those who have left make room.
        time.sleep(6)
    page.close()
    pictures, took_s = Pictures(), []
    for image in images:
        started = time.perf_counter()
        size = len(pictures.encode(image, SIZES["large"]))
        took_s.append(time.perf_counter() - started)
    print(f"a picture: {np.median(took_s) * 1e3:.2f} ms, {size / 1000:.0f} kB")
    pictures.close()


if __name__ == "__main__":
    main()
