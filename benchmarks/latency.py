"""From the camera to the answer: the live loop beside the sum of its parts, and capture beside it.

    python benchmarks/latency.py [MODEL] [--rounds 5] [--json FILE]

A camera of 30 frames a second (640×480, in a process of its own) is streamed by the pipeline, the
model's rate set to 30 as well. ``loop``: from the frame's timestamp in the camera's process to the
call of a sink. ``parts``: hand-over to this process, resize, and graph, each alone and at the same
pace. Rounds of both alternate; percentiles are over all rounds, and the ratio is of one machine in
one run.

``overlap``: a camera whose every frame must be decoded (JPEG, 1080p), and as many steps a frame as
take about as long. Side by side a frame takes as long as the slower of the two, one after the other
as long as both.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from typing import Any

import cv2
import numpy as np
import record
from handover import RATE_HZ, Pictures

import edgecap
from edgecap.assets import resolve_model
from edgecap.bundle import read_bundle
from edgecap.capture.device import Picture
from edgecap.pipeline import run
from edgecap.preprocess import resize
from edgecap.sinks.base import Result, Sink
from edgecap.streaming import StreamingModel

_SIZE = "480x640"
_FRAMES, _WARM_UP = 150, 20
_OVERLAPPED = 200


class Decoded:
    """A camera that decodes a JPEG for each frame, as fast as it can."""

    rate_hz: float | None = None

    def __init__(self, size: str) -> None:
        cv2.setNumThreads(1)
        # Noise is no picture: a JPEG of it would be ten times as large as that of a scene.
        picture = cv2.GaussianBlur(Pictures(size).read().image, (0, 0), 5)
        _, self._jpeg = cv2.imencode(".jpg", picture)

    def read(self) -> Picture:
        image = cv2.imdecode(self._jpeg, cv2.IMREAD_COLOR)
        return Picture(image, time.monotonic(), "bgr")

    def close(self) -> None:
        pass


class Clock(Sink):
    """Notes how old each frame is when its answer comes."""

    def __init__(self) -> None:
        self.ages_ms: list[float] = []

    def write(self, result: Result) -> None:
        self.ages_ms.append((time.monotonic() - result.frame.timestamp_s) * 1e3)


def open_at(path: str, rate_hz: float) -> StreamingModel:
    """The model under another frame rate."""
    bundle = read_bundle(resolve_model(path))
    spec = dataclasses.replace(bundle.spec, rate_hz=rate_hz)
    return StreamingModel(dataclasses.replace(bundle, spec=spec))


def loop(model: StreamingModel) -> list[float]:
    clock = Clock()
    with edgecap.open_source(f"python:handover:Pictures:{_SIZE}") as source:
        run(source, model.stream(), [clock], max_frames=_FRAMES + _WARM_UP)
    return clock.ages_ms[_WARM_UP:]


def parts(model: StreamingModel) -> dict[str, list[float]]:
    """Each alone, at the camera's pace: between two frames caches grow cold."""
    found: dict[str, list[float]] = {"handover": [], "resize": [], "graph": []}
    with edgecap.open_source(f"python:handover:Pictures:{_SIZE}") as source:
        for frame in itertools.islice(source, _FRAMES + _WARM_UP):
            found["handover"].append((time.monotonic() - frame.timestamp_s) * 1e3)
    image, states = frame.image, model.initial_states()
    small = resize(image, model.spec.input)
    for _ in range(_FRAMES + _WARM_UP):
        time.sleep(1 / RATE_HZ)
        began = time.perf_counter()
        resize(image, model.spec.input)
        found["resize"].append((time.perf_counter() - began) * 1e3)
    for _ in range(_FRAMES + _WARM_UP):
        time.sleep(1 / RATE_HZ)
        began = time.perf_counter()
        _, states = model.infer(small, states)
        found["graph"].append((time.perf_counter() - began) * 1e3)
    return {name: times[_WARM_UP:] for name, times in found.items()}


def overlap(model: StreamingModel) -> dict[str, float]:
    camera = Decoded("1080x1920")
    began = time.perf_counter()
    for _ in range(30):
        cv2.cvtColor(camera.read().image, cv2.COLOR_BGR2RGB)
    capture_ms = (time.perf_counter() - began) / 30 * 1e3
    stream = model.stream()
    image = camera.read().image

    def steps(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            stream.step(image)
        return (time.perf_counter() - began) * 1e3

    count = max(1, round(capture_ms / (steps(100) / 100)))
    inference_ms = steps(10 * count) / 10
    seen = 0
    with edgecap.open_source("python:latency:Decoded:1080x1920") as source:
        for frame in source:
            if seen == 10:
                began = time.perf_counter()
            image = frame.image
            steps(count)
            seen += 1
            if seen == _OVERLAPPED + 10:
                break
    together_ms = (time.perf_counter() - began) / _OVERLAPPED * 1e3
    return {
        "capture_ms": round(capture_ms, 2),
        "inference_ms": round(inference_ms, 2),
        "both_side_by_side_ms": round(together_ms, 2),
        "share_of_the_sum": round(together_ms / (capture_ms + inference_ms), 3),
    }


def told(times_ms: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(times_ms, (50, 99))
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("model", nargs="?", default="demo")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    model = open_at(arguments.model, RATE_HZ)
    loops: list[float] = []
    alone: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for name, times in parts(model).items():
            alone.setdefault(name, []).extend(times)
        loops += loop(model)
    whole = told(loops)
    sums = {name: told(times) for name, times in alone.items()}
    expected = sum(part["p50_ms"] for part in sums.values())
    result: dict[str, Any] = {
        "model": model.spec.name,
        "camera": f"{_SIZE} at {RATE_HZ:g} frames a second",
        "frames": len(loops),
        "loop": whole,
        "parts": sums,
        "loop_over_parts_p50": round(whole["p50_ms"] / expected, 3),
        "p99_over_p50": round(whole["p99_ms"] / whole["p50_ms"], 3),
        "overlap": overlap(model),
    }
    record.publish(result, arguments)


if __name__ == "__main__":
    main()
