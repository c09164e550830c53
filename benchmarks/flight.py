"""What the flight recorder costs: time per frame, memory a second, and steps while it writes.

    python benchmarks/flight.py [--json FILE]

Steps with and without it alternate in blocks, so that a change of the machine's speed meets both.
Then frames are played at the model's rate for as long as recordings are asked for one after the
other, and each step is timed, by whether a recording was being written meanwhile.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import record

import edgecap
from edgecap.assets import resolve_model
from edgecap.flight.recorder import FlightRecorder, Settings
from edgecap.flight.tape import read_tape
from edgecap.streaming import Stream, StreamingModel
from edgecap.synthetic import Scene

_BLOCKS, _BLOCK = 60, 240
_SETTINGS = Settings(labels=(), notices=())
_LIVE_S = 60.0


def cost(model: StreamingModel, images: list[np.ndarray], folder: Path) -> dict[str, float]:
    """Medians of blocks, microseconds of processor time a step, of the thread that steps."""
    plain, recorded = model.stream(), model.stream()
    recorder = FlightRecorder(folder, _SETTINGS)
    recorder.attach(recorded)
    times: dict[str, list[float]] = {"without_us": [], "with_us": []}
    for _ in range(_BLOCKS):
        for name, stream in (("without_us", plain), ("with_us", recorded)):
            began = time.thread_time()
            for number in range(_BLOCK):
                stream.step(images[number % len(images)])
            times[name].append((time.thread_time() - began) / _BLOCK * 1e6)
    recorder.close()
    extra = [w - o for o, w in zip(times["without_us"], times["with_us"], strict=True)]
    return {name: round(statistics.median(values), 1) for name, values in times.items()} | {
        "cost_us": round(statistics.median(extra), 1)
    }


def memory(model: StreamingModel, images: list[np.ndarray], folder: Path) -> dict[str, float]:
    """Of a full ring."""
    recorder = FlightRecorder(folder, _SETTINGS)
    stream = model.stream()
    recorder.attach(stream)
    tracemalloc.start()
    seconds = _SETTINGS.before_s + 10
    for number in range(int(seconds * model.spec.rate_hz)):
        stream.step(images[number % len(images)])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    held = len(recorder._streams[0]._ring)
    recorder.close()
    return {
        "seconds_held": round(held / model.spec.rate_hz, 1),
        "mb": round(used / 1e6, 2),
        "kb_per_second": round(used / 1e3 / (held / model.spec.rate_hz), 1),
    }


def live(model: StreamingModel, images: list[np.ndarray], folder: Path) -> dict[str, Any]:
    """Steps at the model's rate, by whether a recording was written meanwhile."""
    settings = Settings(before_s=10.0, after_s=0.5, longest_s=20.0, labels=(), notices=())
    recorder = FlightRecorder(folder, settings, max_files=5)
    stream: Stream[Any] = model.stream()
    recorder.attach(stream)
    quiet, writing = [], []
    period_s = 1 / model.spec.rate_hz
    began = time.perf_counter()
    number = 0
    while (now := time.perf_counter()) - began < _LIVE_S:
        if number % 12 == 11:
            recorder.trigger()
        started = time.perf_counter()
        stream.step(images[number % len(images)], number * period_s)
        took_ms = (time.perf_counter() - started) * 1e3
        (writing if list(folder.glob(".*.tmp")) else quiet).append(took_ms)
        number += 1
        time.sleep(max(0.0, now + period_s - time.perf_counter()))
    recorder.close()
    tape = recorder.folder.tapes()[-1]
    return {
        "quiet_ms": percentiles(quiet),
        "while_writing_ms": percentiles(writing),
        "recording": {
            "frames": len(read_tape(tape)),
            "mb": round(tape.stat().st_size / 1e6, 2),
        },
    }


def percentiles(times: list[float]) -> dict[str, float]:
    shares = np.percentile(times, (50, 95, 99)) if times else (0.0, 0.0, 0.0)
    return {"steps": len(times)} | {
        name: round(float(p), 3) for name, p in zip(("p50", "p95", "p99"), shares, strict=True)
    }


def main() -> None:
    arguments = record.parser(__doc__).parse_args()
    model = edgecap.load(resolve_model("demo"))
    size = model.spec.input
    images = [f.image for f in Scene(seed=5, height=size.height, width=size.width, gestures=8)]
    result: dict[str, Any] = {"frame_bytes": images[0].nbytes}
    for name, measure in (("step", cost), ("memory", memory), ("live", live)):
        with tempfile.TemporaryDirectory() as folder:
            result[name] = measure(model, images, Path(folder))
    record.publish(result, arguments)


if __name__ == "__main__":
    main()
