"""Results and runs made by hand, for the tests of sinks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgecap.assets import resolve_model
from edgecap.bundle import read_bundle
from edgecap.events import Event
from edgecap.health import Health, Monitor
from edgecap.predictions import ClassPrediction
from edgecap.sinks.base import Result, RunInfo
from edgecap.sources.base import Frame

LABELS = ("background", "öffnen")
START = Event("öffnen", "start", 0.1, 0.625)
END = Event("öffnen", "end", 0.2, 0.25)


def result(
    index: int,
    *events: Event,
    camera: str = "door",
    latency_ms: float | None = None,
    size: tuple[int, int] = (16, 16),
    score: float = 0.75,
    timestamp_s: float | None = None,
) -> Result:
    """A classifier's answer to a frame, ten of which are a second."""
    timestamp_s = index / 10 if timestamp_s is None else timestamp_s
    frame = Frame(index, timestamp_s, np.full((*size, 3), index % 256, np.uint8))
    probabilities = np.array([1 - score, score], np.float32)
    prediction = ClassPrediction(timestamp_s, events, "öffnen", score, probabilities)
    return Result(frame, prediction, step_ms=1.5, camera=camera, latency_ms=latency_ms)


def run_info(*cameras: str, health: Callable[[], Health] | None = None) -> RunInfo:
    """A run of the packaged model."""
    spec = read_bundle(resolve_model("demo")).spec
    return RunInfo(spec, cameras or ("door",), health or Monitor().health)
