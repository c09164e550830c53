"""A long run through the whole pipeline: memory, threads, files and time per frame, to the end.

    python benchmarks/soak.py [--frames N] [--warm-up N] [--jsonl FILE] [--without-recorder]
                              [--json FILE]

Frames of a scene, drawn before, are played in a loop through the packaged model, with JSON lines
and the flight recorder on. The bars, of 1,000,000 frames: no slope of resident memory after the
warm-up that can be told from zero; threads and files constant; the time per frame of the last
tenth within 3 % of the first's.

The slope is that of a line through the means of 20 stretches of equal length, so that what samples
share with their neighbours is averaged out; its interval is Student's, of 18 degrees of freedom.
Between stretches of frames the same number of steps of the bare model is timed: where the machine
itself has become slower, that shows it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record

import edgecap
from edgecap.assets import resolve_model
from edgecap.flight.recorder import FlightRecorder, Settings
from edgecap.pipeline import run
from edgecap.sinks.base import Result, Sink
from edgecap.sinks.jsonl import JsonLines
from edgecap.sources.base import ClosingSource, Frame
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from edgecap.synthetic.motions import GESTURES

_BAR = 0.03
_STRETCHES = 20
_STUDENT_18 = 2.101  # 97.5 %
_BLOCKS = 400
# Until then, what a run keeps of the latest frames for its percentiles still fills up.
_WARM_UP = 25_000
# One of them is recorded, so a recording is written every 1,500 frames or so.
_RECORDED = "away"
_SCRIPT = [*[label for label in GESTURES if label != _RECORDED] * 6, _RECORDED]
_YARDSTICK_STEPS = 100
_SEEN = ("frames", "memory", "threads", "files", "frame_us", "bare_us")


class Loop(ClosingSource):
    """The same frames over and over, with time going on."""

    live = False

    def __init__(self, images: list[np.ndarray], rate_hz: float, count: int) -> None:
        self.name, self.rate_hz = "loop", rate_hz
        self._images, self._count = images, count

    def __iter__(self) -> Iterator[Frame]:
        images, rate_hz = self._images, self.rate_hz
        for index in range(self._count):
            yield Frame(index, index / rate_hz, images[index % len(images)])


class Probe(Sink):
    """Looks at the process after every block of frames."""

    def __init__(self, block: int, model: StreamingModel, image: np.ndarray) -> None:
        self._block, self._model, self._image = block, model, image
        self._states = model.initial_states()
        self._times = np.zeros(block, np.int64)
        self._at = 0
        self._last_ns = time.perf_counter_ns()
        # All memory for what is seen is taken, and touched, before it is looked at.
        self._seen = np.full((_BLOCKS + 1, len(_SEEN)), -1.0)
        self._count = 0

    @property
    def samples(self) -> list[dict[str, float]]:
        rows = self._seen[: self._count].tolist()
        return [dict(zip(_SEEN, row, strict=True)) for row in rows]

    def write(self, result: Result) -> None:
        now_ns = time.perf_counter_ns()
        self._times[self._at] = now_ns - self._last_ns
        self._at += 1
        if self._at == self._block:
            self._sample(result.frame.index + 1)
            self._at = 0
            now_ns = time.perf_counter_ns()
        self._last_ns = now_ns

    def _sample(self, frames: int) -> None:
        self._seen[self._count] = (
            frames,
            resident(),
            count("/proc/self/task"),
            # Without the one that lists them.
            count("/proc/self/fd") - 1,
            float(np.median(self._times)) / 1e3,
            self._bare_us(),
        )
        self._count += 1

    def _bare_us(self) -> float:
        times = []
        for _ in range(_YARDSTICK_STEPS):
            began_ns = time.perf_counter_ns()
            self._model.infer(self._image, self._states)
            times.append(time.perf_counter_ns() - began_ns)
        return statistics.median(times) / 1e3


def resident(pid: int | str = "self") -> int:
    """Bytes; counted page by page, as ``statm`` is behind by some dozens of pages."""
    path = Path(f"/proc/{pid}/smaps_rollup")
    for line in path.read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{path}: expected a line Rss:")


def count(folder: str) -> int:
    return len(os.listdir(folder))  # noqa: PTH208  # no open iterator beside it


def measure(
    frames: int, jsonl: str, *, warm_up: int | None = None, recorded: bool = True
) -> dict[str, Any]:
    """Runs that many frames, and those of the warm-up before them if it is given; judges them."""
    if warm_up is None:
        warm_up = min(max(_WARM_UP, frames // 10), frames // 4)
    else:
        frames += warm_up
    model = edgecap.load(resolve_model("demo"))
    spec = model.spec
    scene = Scene(seed=3, height=spec.input.height, width=spec.input.width, gestures=_SCRIPT)
    images = [frame.image for frame in scene]
    stream = model.stream()
    settings = Settings(before_s=5.0, after_s=1.0, longest_s=10.0, labels=(_RECORDED,))
    probe = Probe(max(frames // _BLOCKS, 1), model, images[0])
    told: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        recorder = FlightRecorder(
            folder, settings, max_files=10, told=lambda notice: told.update([notice.kind])
        )
        if recorded:
            recorder.attach(stream)
        sinks: list[Sink] = [JsonLines(jsonl, model.labels), recorder, probe]
        report = run(Loop(images, spec.rate_hz, frames), stream, sinks)
        for sink in sinks:
            sink.close()
    if report.processed != frames:
        raise RuntimeError(f"{report.processed} of {frames} frames were processed")
    return {
        "frames": frames,
        "seconds": round(report.seconds, 1),
        "frames_per_second": round(frames / report.seconds),
        "events": report.events,
        "recordings": dict(sorted(told.items())),
    } | judge(probe.samples, warm_up)


def judge(samples: list[dict[str, float]], warm_up: int) -> dict[str, Any]:
    """The bars, from what was sampled."""
    kept = [sample for sample in samples if sample["frames"] > warm_up]
    tenth = max(len(kept) // 10, 1)
    slope = slope_of(np.array([s["frames"] for s in kept]), np.array([s["memory"] for s in kept]))
    memory = {
        "first_mb": round(kept[0]["memory"] / 1e6, 3),
        "last_mb": round(kept[-1]["memory"] / 1e6, 3),
        "largest_mb": round(max(s["memory"] for s in kept) / 1e6, 3),
        **slope,
    }

    def ends(name: str) -> tuple[float, float]:
        first, last = kept[:tenth], kept[-tenth:]
        return tuple(statistics.median(s[name] for s in part) for part in (first, last))

    constant = {}
    for name in ("threads", "files"):
        first, last = ends(name)
        values = [s[name] for s in kept]
        constant[name] = {
            "first_tenth": first,
            "last_tenth": last,
            "least": min(values),
            # One more file while a recording is written.
            "most": max(values),
            "constant": first == last and max(values) - min(values) <= (name == "files") * 2,
        }
    times = {}
    for name in ("frame_us", "bare_us"):
        first, last = ends(name)
        times[name] = {
            "first_tenth": round(first, 2),
            "last_tenth": round(last, 2),
            "change_percent": round((last / first - 1) * 100, 2),
        }
    return {
        "warm_up_frames": warm_up,
        "blocks": len(kept),
        "memory": memory,
        **constant,
        **times,
        "passed": {
            "memory": memory["indistinguishable_from_zero"],
            "threads": constant["threads"]["constant"],
            "files": constant["files"]["constant"],
            "time": abs(times["frame_us"]["change_percent"]) <= _BAR * 100,
        },
        "series": {
            name: [round(s[name], 2) for s in samples[:: max(len(samples) // 100, 1)]]
            for name in ("frames", "memory", "frame_us", "bare_us")
        },
    }


def slope_of(frames: np.ndarray, memory: np.ndarray) -> dict[str, Any]:
    """Bytes a frame, by a line through the means of stretches, with its 95 % interval."""
    x = np.array([part.mean() for part in np.array_split(frames, _STRETCHES)])
    y = np.array([part.mean() for part in np.array_split(memory, _STRETCHES)])
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - slope * centred
    error = float(np.sqrt(rest @ rest / (_STRETCHES - 2) / (centred @ centred)))
    low, high = slope - _STUDENT_18 * error, slope + _STUDENT_18 * error
    return {
        "slope_bytes_per_frame": round(slope, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "indistinguishable_from_zero": low <= 0 <= high,
    }


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--jsonl", default=os.devnull, help="where the JSON lines go")
    parser.add_argument("--warm-up", type=int, help="frames that are not judged, beside the others")
    parser.add_argument("--without-recorder", action="store_true")
    arguments = parser.parse_args()
    if arguments.frames < _STRETCHES * 100:
        parser.error(f"--frames: expected {_STRETCHES * 100} or more")
    record.publish(
        measure(
            arguments.frames,
            arguments.jsonl,
            warm_up=arguments.warm_up,
            recorded=not arguments.without_recorder,
        ),
        arguments,
    )


if __name__ == "__main__":
    main()
