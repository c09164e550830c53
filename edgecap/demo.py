"""The packaged model on a synthetic scene, with a view for the terminal."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np

from edgecap import terminal
from edgecap.assets import DEMO_MODEL, resolve_model
from edgecap.evaluation import EventScore, Recording, record_scene, score_events
from edgecap.predictions import ClassPrediction
from edgecap.preprocess import Image
from edgecap.streaming import Stream, load
from edgecap.synthetic import Scene

# Seeds of demo scenes start here; training draws below 2⁴⁰ (edgecap_convert.data.scenes).
_FIRST_SEED = 1 << 44
# A drawn scene is played faster than life so that it ends within this time.
_LONGEST_S = 7.0
_PICTURE_COLUMNS = 44
_RECENT = 6


@dataclass
class _Shown:
    """What the view has told so far."""

    step_ms: list[float] = field(default_factory=list)
    probabilities: list[Any] = field(default_factory=list)
    recent: list[str] = field(default_factory=list)


def play(
    *, seed: int, gestures: int, draw: bool = True, quiet: bool = False, out: TextIO | None = None
) -> dict[str, Any]:
    """Streams a scene through the packaged model.

    Args:
      seed: of the scene; no training has seen any of them.
      gestures: how many are performed.
      draw: show the picture and the probabilities, if ``out`` is a terminal.
      quiet: print nothing.
      out: standard output by default.

    Returns:
      What was recognised, and the times of the steps.
    """
    out = out or sys.stdout
    loaded_at = time.perf_counter()
    model = load(resolve_model(DEMO_MODEL))
    load_ms = (time.perf_counter() - loaded_at) * 1e3
    spec = model.spec
    recording = record_scene(
        Scene(
            seed=_FIRST_SEED + seed,
            height=spec.input.height,
            width=spec.input.width,
            rate_hz=spec.rate_hz,
            gestures=gestures,
        )
    )
    drawing = draw and not quiet and terminal.is_rich(out)
    if not quiet:
        size_kb = resolve_model(DEMO_MODEL).stat().st_size / 1000
        out.write(
            f"{spec.name}: {spec.recipe}, {size_kb:.0f} kB, {spec.input.width}×{spec.input.height} "
            f"at {spec.rate_hz:g} frames/s; {model.backend}\n"
        )
    if drawing:
        out.write(terminal.HIDE_CURSOR)
    shown = _Shown()
    try:
        _stream(model.stream(), recording, shown, out if not quiet else None, drawing)
    finally:
        if drawing:
            out.write(terminal.SHOW_CURSOR)
            out.flush()
    score = score_events(np.stack(shown.probabilities), recording, model.labels, spec.decision)
    times = np.percentile(shown.step_ms, [50, 95, 99]).round(3).tolist()
    if not quiet:
        out.write(_summary(score, times, load_ms, spec.rate_hz))
    return {
        "model": spec.name,
        "backend": str(model.backend),
        "seed": seed,
        "gestures": score.gestures,
        "recognised": score.recognised,
        "recall": round(score.recall, 4),
        "false_events": score.false,
        "scene_seconds": round(score.seconds, 1),
        "frames": len(recording.images),
        "load_ms": round(load_ms, 1),
        "step_ms": dict(zip(("p50", "p95", "p99"), times, strict=True)),
    }


def _stream(
    stream: Stream[ClassPrediction],
    recording: Recording,
    shown: _Shown,
    out: TextIO | None,
    drawing: bool,
) -> None:
    drawn = 0
    began = time.perf_counter()
    last_s = float(recording.timestamps_s[-1]) or 1.0
    pace = max(1.0, last_s / _LONGEST_S)
    frames = zip(recording.images, recording.timestamps_s.tolist(), recording.truth, strict=True)
    for image, now_s, truth in frames:
        started = time.perf_counter()
        prediction = stream.step(image, now_s)
        shown.step_ms.append((time.perf_counter() - started) * 1e3)
        shown.probabilities.append(prediction.probabilities)
        if out is None:
            continue
        event = prediction.event
        if event is not None and event.kind == "start":
            line = f"{event.timestamp_s:7.2f} s  ▶ {event.label} ({event.score:.2f})"
            shown.recent.append(line)
            if not drawing:
                out.write(line + "\n")
        if drawing:
            lines = _view(image, prediction, truth, stream, shown.recent)
            out.write(terminal.move_up(drawn) + "".join(f"\x1b[2K{x}\n" for x in lines))
            out.flush()
            drawn = len(lines)
            ahead_s = now_s / pace - (time.perf_counter() - began)
            if ahead_s > 0:
                time.sleep(ahead_s)


def _view(
    image: Image,
    prediction: ClassPrediction,
    truth: str,
    stream: Stream[ClassPrediction],
    recent: list[str],
) -> list[str]:
    """The picture on the left; truth, probabilities and recent events on the right."""
    labels = stream.model.labels
    columns = min(_PICTURE_COLUMNS, max(16, shutil.get_terminal_size().columns - 48))
    left = terminal.picture(image, columns=columns)
    right = [
        f"{terminal.DIM}{prediction.timestamp_s:6.1f} s   performed now:{terminal.RESET} {truth}",
        "",
        *terminal.bars(labels, prediction.probabilities, active=stream.active),
        "",
        *(f"{terminal.GREEN}{line}{terminal.RESET}" for line in recent[-_RECENT:]),
    ]
    height = max(len(left), len(labels) + 3 + _RECENT)
    blank = " " * columns
    left += [blank] * (height - len(left))
    right += [""] * (height - len(right))
    return [f" {a}   {b}" for a, b in zip(left, right, strict=True)]


def _summary(score: EventScore, times: list[float], load_ms: float, rate_hz: float) -> str:
    p50, p95, p99 = times
    budget = 1e3 / rate_hz
    return (
        f"recognised {score.recognised} of {score.gestures} gestures "
        f"({score.recall * 100:.1f} %), {score.false} false event(s) in {score.seconds:.0f} s\n"
        f"step: p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms "
        f"(a frame comes every {budget:.0f} ms); model loaded in {load_ms:.0f} ms\n"
    )
