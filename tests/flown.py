"""Recordings made for a test, with the packaged model and real frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.flight.recorder import FlightRecorder, Settings
from edgecap.spec import DecisionSpec
from edgecap.streaming import Stream, StreamingModel
from edgecap.synthetic import Scene

Frames = Sequence[npt.NDArray[np.uint8]]

# Everything that is at all likely is an event, and at once.
EAGER = DecisionSpec(
    smoothing_s=0.1,
    enter=0.5,
    leave=0.4,
    min_duration_s=0.0,
    refractory_s=0.0,
    settle_s=0.0,
    background="background",
)
SHORT = Settings(before_s=2.0, after_s=1.0, longest_s=8.0, key_s=0.5)
NEVER = Settings(before_s=2.0, after_s=1.0, longest_s=8.0, key_s=0.5, labels=(), notices=())


def scene_frames(model: StreamingModel, *, seed: int = 7, gestures: int = 3) -> Frames:
    size = model.spec.input
    scene = Scene(seed=seed, height=size.height, width=size.width, gestures=gestures)
    return [frame.image for frame in scene]


def step_all(stream: Stream[Any], frames: Frames, *, first_s: float = 0.0) -> list[Any]:
    """Steps frames at the model's rate; the predictions."""
    rate_hz = stream.model.spec.rate_hz
    return [stream.step(image, first_s + n / rate_hz) for n, image in enumerate(frames)]


def tapes(recorder: FlightRecorder) -> list[Path]:
    return recorder.folder.tapes()
