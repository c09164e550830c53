"""One camera's way through the model: its rate, its gaps, its clock."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Protocol

from edgecap.events import Event
from edgecap.health import Monitor
from edgecap.notices import Notice
from edgecap.preprocess import Image
from edgecap.rate import RateGate, RateWatch
from edgecap.sinks.base import Result
from edgecap.sources.base import Frame
from edgecap.spec import ModelSpec

DEFAULT_MAX_GAP_S = 2.0
# A pause is no gap before this many frames are missing, however slow the model.
_LEAST_GAP_PERIODS = 3


class HasSpec(Protocol):
    """A model, as far as a lane needs to know it."""

    @property
    def spec(self) -> ModelSpec: ...


class FrameStream(Protocol):
    """What takes in frames: an :class:`edgecap.Stream`, or one that stands in its place."""

    @property
    def model(self) -> HasSpec: ...

    @property
    def active(self) -> tuple[str, ...]: ...

    # A Prediction; of which class follows from the task, which is data and no type.
    def step(self, image: Image, timestamp_s: float) -> Any: ...

    def reset(self) -> None: ...


class Lane:
    """Frames of one source in, results out; what a person should know is told.

    Args:
      name: of the camera.
      stream: its own.
      live: whether frames are of now, on the monotonic clock.
      max_gap_s: after a longer pause between frames, and one of more than three frame periods, the
        state is reset; a shorter one leaves it as it is.
      monitor: counts.
      tell: called with notices.
    """

    def __init__(
        self,
        name: str,
        stream: FrameStream,
        *,
        live: bool,
        max_gap_s: float,
        monitor: Monitor,
        tell: Callable[[Notice], None],
    ) -> None:
        rate_hz = stream.model.spec.rate_hz
        self.name = name
        self._stream, self._live = stream, live
        self._gate, self._watch = RateGate(rate_hz), RateWatch(rate_hz)
        self._max_gap_s = max(max_gap_s, _LEAST_GAP_PERIODS / rate_hz)
        self._back_s = _LEAST_GAP_PERIODS / rate_hz
        self._monitor, self._tell = monitor, tell
        self._last: Frame | None = None

    def take(self, frame: Frame) -> Result | None:
        """Takes in one frame.

        Returns:
          What it was answered with; ``None`` where the model's rate leaves it out.

        Raises:
          FrameError: the image has a wrong shape or dtype.
        """
        monitor, last = self._monitor, self._last
        monitor.frames += 1
        if last is not None and self._live:
            monitor.dropped += max(0, frame.index - last.index - 1)
        ended = self._check_time(frame, last) if last is not None else ()
        self._last = frame
        accepted = self._gate.accepts(frame.timestamp_s)
        change = self._watch.saw(frame, accepted=accepted)
        if change is not None:
            self._notice(*change, frame.timestamp_s)
        if not accepted:
            return None
        started_s = time.perf_counter()
        prediction = self._stream.step(frame.image, frame.timestamp_s)
        if ended:
            prediction = dataclasses.replace(prediction, events=(*ended, *prediction.events))
        step_ms = (time.perf_counter() - started_s) * 1e3
        latency_ms = (time.monotonic() - frame.timestamp_s) * 1e3 if self._live else None
        monitor.processed_one(step_ms, latency_ms)
        monitor.events += sum(event.kind == "start" for event in prediction.events)
        return Result(frame, prediction, step_ms, self.name, latency_ms)

    def _check_time(self, frame: Frame, last: Frame) -> tuple[Event, ...]:
        """Looks at the time since the frame before; returns the events that a gap has ended."""
        passed_s = frame.timestamp_s - last.timestamp_s
        if passed_s < -self._back_s:
            self._watch.restart()
            told = f"the clock went back by {-passed_s:.1f} s; time goes on from there"
            self._notice("clock", told, frame.timestamp_s)
        if passed_s <= self._max_gap_s:
            return ()
        ended = tuple(Event(label, "end", last.timestamp_s, 0.0) for label in self._stream.active)
        self._stream.reset()
        self._watch.restart()
        self._monitor.resets += 1
        self._notice("gap", f"no frame for {passed_s:.1f} s: state reset", frame.timestamp_s)
        return ended

    def _notice(self, kind: str, told: str, timestamp_s: float) -> None:
        self._tell(Notice(kind, told, timestamp_s, self.name))
