"""The web page against 500 connections that read slowly, never, or dawdle: what the loop feels.

    PYTHONPATH=. python benchmarks/slow_viewers.py [--seconds 300] [--connections 500]
                                                   [--rounds 2] [--alone] [--json FILE]

A camera (a VGA scene at 12 frames a second, in a process of its own) is streamed through the
packaged model into the sinks of ``edgecap run --view web --jsonl FILE``, in a process of its own;
the viewers are another one, on loopback. Runs with and without viewers come in pairs, in turn
first. Each takes the seconds and a minute more: with the defaults, 24 minutes.

Of each frame the time is taken from the camera to behind the last sink. The bars: its p99 with the
viewers within 1.5 times that without, pair by pair; no slope of resident memory in the second half
of the time that can be told from zero, or one of less than 1 % of it in an hour; threads and files
as before once all have left.

Memory may take longer than five minutes to come to rest: ``--alone --seconds 1500`` is one run with
viewers, without its counterpart, for that bar.

The viewers and what they do: ``slow_readers.py``. Needs the extra 'camera', and Linux.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record
from soak import count, resident, slope_of

import edgecap
from edgecap.assets import resolve_model
from edgecap.cli.outputs import Outputs
from edgecap.pipeline import Pipeline
from edgecap.sinks.base import Result, Sink
from tests.viewers import unpack

_BAR, _MEMORY_BAR = 1.5, 0.01
_SOURCE = "live:synthetic:seed=5,width=640,height=480,rate=12"
# Before anyone comes, and after all have left.
_SETTLE_S, _AFTER_S, _RETURN_S = 15.0, 10.0, 60.0
# Fewer make no line: the run was too short.
_LEAST_SAMPLES = 60
# Two hours of them.
_MOST_FRAMES = 100_000
_SERVE = "--serve"
_READERS = Path(__file__).with_name("slow_readers.py")
_OUTPUTS: dict[str, Any] = {
    "view": "web",
    "listen": "127.0.0.1:0",
    "token": None,
    "append": False,
    "jsonl_mb": None,
    "video": None,
    "video_segment": None,
    "video_keep": None,
    "webhook": None,
    "mqtt": None,
    "record": None,
    "record_seconds": 20.0,
}


# --- the run ------------------------------------------------------------------------------------


class Probe(Sink):
    """Behind all others: when each frame was done, and how long after it was taken."""

    def __init__(self) -> None:
        # All of it from the beginning: what the probe takes later would count as the server's.
        self._rows, self._count = np.full((_MOST_FRAMES, 3), np.nan), 0

    def write(self, result: Result) -> None:
        now_s = time.monotonic()
        late_ms = (now_s - result.frame.timestamp_s) * 1e3
        self._rows[self._count] = now_s, late_ms, result.step_ms
        self._count += 1

    @property
    def done(self) -> np.ndarray:
        return self._rows[: self._count]


def serve(folder: Path) -> None:
    """Streams until its standard input ends; leaves the times of all frames in the folder."""
    model = edgecap.load(resolve_model("demo"))
    outputs = {**_OUTPUTS, "jsonl": str(folder / "lines.jsonl")}
    probe = Probe()
    with (
        edgecap.open_source(_SOURCE) as source,
        Outputs(model.labels, live=True, **outputs) as sinks,
    ):
        pipeline = Pipeline([source], [model.stream()], [*sinks.sinks, probe])
        sinks.listen(pipeline.tell)
        print(sinks.url, flush=True)

        def wait() -> None:
            sys.stdin.read()
            pipeline.stop()

        threading.Thread(target=wait, daemon=True).start()
        pipeline.run()
    np.save(folder / "done.npy", probe.done)


# --- the measurement ----------------------------------------------------------------------------


class Watched:
    """A run in a process of its own, and what the system says of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, __file__, _SERVE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r":(\d+)/", self.process.stdout.readline())
        if found is None:
            raise RuntimeError("the run has not begun")
        self.port = int(found[1])
        self.samples: list[dict[str, float]] = []

    def sample(self) -> dict[str, float]:
        pid = self.process.pid
        taken = {
            "at_s": time.monotonic(),
            "memory": resident(pid),
            "threads": count(f"/proc/{pid}/task"),
            "files": count(f"/proc/{pid}/fd"),
            **_sockets(),
        }
        self.samples.append(taken)
        return taken

    def watch(self, seconds: float) -> None:
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            self.sample()
            time.sleep(min(1.0, left_s))

    def stop(self) -> np.ndarray:
        """Ends it; when each frame was done, its latency and its step, both in ms."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.process.wait(30) != 0:
            raise RuntimeError(f"the run ended with status {self.process.returncode}")
        done: np.ndarray = np.load(self.folder / "done.npy")
        return done


def _sockets() -> dict[str, float]:
    """What the kernel keeps for connections of the whole machine: those nobody owns, and pages."""
    with contextlib.suppress(OSError):
        found = re.search(
            r"TCP:.* orphan (\d+) .* mem (\d+)", Path("/proc/net/sockstat").read_text()
        )
        if found:
            return {"orphans": float(found[1]), "socket_pages": float(found[2])}
    return {}


def measure(seconds: float, connections: int) -> dict[str, Any]:
    """One run of so many seconds; with no connections, the same without viewers."""
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder)) as run:
        # A first look, so that what the first viewer brings about is there before.
        _look(run.port)
        run.watch(_SETTLE_S)
        before = run.sample()
        began_s = time.monotonic()
        readers = None
        if connections:
            command = [sys.executable, str(_READERS), str(run.port), str(seconds)]
            readers = subprocess.Popen(
                [*command, str(connections)], stdout=subprocess.PIPE, text=True
            )
        run.watch(seconds)
        ended_s = time.monotonic()
        told = {} if readers is None else json.loads(readers.communicate(timeout=120)[0])
        returned_s = _returned(run, before)
        run.watch(_AFTER_S)
        after = run.sample()
        done = run.stop()
    during = done[(done[:, 0] > began_s) & (done[:, 0] <= ended_s)]
    kept = [s for s in run.samples if began_s < s["at_s"] <= ended_s]
    found: dict[str, Any] = {
        "frames": len(during),
        "frames_per_second": round(len(during) / (ended_s - began_s), 2),
        "latency_ms": _percentiles(during[:, 1]),
        "step_ms": _percentiles(during[:, 2]),
        "memory": _memory(kept, before, after),
        "threads": _ends("threads", kept, before, after),
        "files": _ends("files", kept, before, after),
        "returned_s": returned_s,
        "series": {
            name: [round(s[name] - (began_s if name == "at_s" else 0), 1) for s in run.samples]
            for name in ("at_s", "memory", "threads", "files")
        },
    }
    if "orphans" in before:
        found["kernel"] = {
            "sockets_without_owner_most": max(s["orphans"] for s in kept),
            "socket_memory_mb_before": round(before["socket_pages"] * 4096 / 1e6, 1),
            "socket_memory_mb_most": round(max(s["socket_pages"] for s in kept) * 4096 / 1e6, 1),
        }
    return found | {"viewers": told} if told else found


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[Watched]:
    run = Watched(folder)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


def _look(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    pictures = 0
    while pictures < 3:
        connection.request("GET", "/live?viewer=first")
        (camera,) = unpack(connection.getresponse().read())["cameras"]
        pictures += bool(camera["picture"])
        time.sleep(0.1)
    connection.close()


def _returned(run: Watched, before: dict[str, float]) -> float | None:
    """How long after the end of the viewers threads and files were as before."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < _RETURN_S:
        now = run.sample()
        if all(now[name] <= before[name] for name in ("threads", "files")):
            return round(time.monotonic() - began_s, 1)
        time.sleep(0.5)
    return None


def _percentiles(values: np.ndarray) -> dict[str, float]:
    p50, p99 = np.percentile(values, (50, 99))
    return {
        "p50": round(float(p50), 2),
        "p99": round(float(p99), 2),
        "most": round(float(values.max()), 2),
    }


def _ends(
    name: str, kept: list[dict[str, float]], before: dict[str, float], after: dict[str, float]
) -> dict[str, float]:
    return {
        "before": before[name],
        "most": max(s[name] for s in kept),
        "after": after[name],
    }


def _memory(
    kept: list[dict[str, float]], before: dict[str, float], after: dict[str, float]
) -> dict[str, Any]:
    """What is held to the end: the first half is left out, in which buffers and pools fill."""
    later = kept[len(kept) // 2 :]
    at_s = np.array([s["at_s"] for s in later])
    memory = np.array([s["memory"] for s in later])
    found: dict[str, Any] = {
        "before_mb": round(before["memory"] / 1e6, 2),
        "most_mb": round(max(s["memory"] for s in kept) / 1e6, 2),
        "after_mb": round(after["memory"] / 1e6, 2),
    }
    if len(later) < _LEAST_SAMPLES:
        return found
    slope = slope_of(at_s, memory)
    low, high = slope["interval_95"]
    an_hour = slope["slope_bytes_per_frame"] * 3600
    return found | {
        "slope_mb_per_hour": round(an_hour / 1e6, 3),
        "interval_95": [round(low * 3600 / 1e6, 3), round(high * 3600 / 1e6, 3)],
        "bounded": bool(low <= 0 or an_hour < _MEMORY_BAR * memory.mean()),
    }


def judge(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """The bars, over all pairs."""
    attacked = [pair["with"] for pair in pairs]
    compared = {
        f"ratio_{name}": [
            round(pair["with"]["latency_ms"][name] / pair["without"]["latency_ms"][name], 3)
            for pair in pairs
            if "without" in pair
        ]
        for name in ("p50", "p99")
    }
    ratios = compared["ratio_p99"]
    return {
        **compared,
        "passed": {
            **({"latency": max(ratios) <= _BAR} if ratios else {}),
            "memory": all(run["memory"].get("bounded", False) for run in attacked),
            "threads_and_files": all(run["returned_s"] is not None for run in attacked),
            "honest_viewers": all(
                viewer["answers"] > 0 and not viewer["failures"]
                for run in attacked
                for viewer in run["viewers"]["honest"]
            ),
        },
    }


def main() -> None:
    if sys.argv[1:2] == [_SERVE]:
        serve(Path(sys.argv[2]))
        return
    parser = record.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="of each run")
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=2, help="pairs of runs")
    parser.add_argument("--alone", action="store_true", help="only with viewers")
    arguments = parser.parse_args()
    if arguments.seconds < 10 or min(arguments.connections, arguments.rounds) < 1:
        parser.error("expected --seconds of 10 or more, --connections and --rounds of 1 or more")
    pairs = []
    for number in range(arguments.rounds):
        order = ("without", "with") if number % 2 == 0 else ("with", "without")
        pair = {}
        for name in ("with",) if arguments.alone else order:
            pair[name] = measure(arguments.seconds, arguments.connections if name == "with" else 0)
            print(f"{name} viewers: {pair[name]['latency_ms']}", file=sys.stderr, flush=True)
        pairs.append(pair)
    settings = {"seconds": arguments.seconds, "connections": arguments.connections}
    record.publish(settings | judge(pairs) | {"pairs": pairs}, arguments)


if __name__ == "__main__":
    main()
