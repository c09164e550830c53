"""source → stream → sinks: the live loop."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgecap.rate import RateGate
from edgecap.sinks.base import Result, Sink
from edgecap.sources.base import Source
from edgecap.streaming import Stream

_log = logging.getLogger(__name__)

DEFAULT_MAX_GAP_S = 2.0
# A pause is no gap before this many frames are missing, however slow the model.
_LEAST_GAP_PERIODS = 3


@dataclass
class Report:
    """What a run did.

    Attributes:
      frames: read from the source. processed: of these, given to the model.
      resets: times that the state was reset because of a gap.
      events: starts reported.
      seconds: wall-clock time.
      step_ms: times of the last 10,000 steps, preprocessing and decision included.
    """

    frames: int = 0
    processed: int = 0
    resets: int = 0
    events: int = 0
    seconds: float = 0.0
    step_ms: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))


def run(
    source: Source,
    stream: Stream[Any],
    sinks: Sequence[Sink] = (),
    *,
    max_frames: int | None = None,
    max_gap_s: float = DEFAULT_MAX_GAP_S,
) -> Report:
    """Streams a source through a model until it ends.

    Args:
      source: opened; closed by the caller.
      stream: carries the state.
      sinks: told of every processed frame, in order.
      max_frames: stop after this many processed frames.
      max_gap_s: after a longer pause between frames, and one of more than three frame periods,
        the state is reset.

    Returns:
      What was done; also after ``KeyboardInterrupt``, which ends the run in good order.
    """
    report = Report()
    rate_hz = stream.model.spec.rate_hz
    gate = RateGate(rate_hz)
    max_gap_s = max(max_gap_s, _LEAST_GAP_PERIODS / rate_hz)
    began = time.perf_counter()
    last_s: float | None = None
    try:
        for frame in source:
            report.frames += 1
            if not gate.accepts(frame.timestamp_s):
                continue
            if last_s is not None and frame.timestamp_s - last_s > max_gap_s:
                _log.warning("no frame for %.1f s: state reset", frame.timestamp_s - last_s)
                stream.reset()
                report.resets += 1
            last_s = frame.timestamp_s
            started = time.perf_counter()
            prediction = stream.step(frame.image, frame.timestamp_s)
            step_ms = (time.perf_counter() - started) * 1e3
            report.processed += 1
            report.step_ms.append(step_ms)
            for event in prediction.events:
                report.events += event.kind == "start"
            result = Result(frame, prediction, step_ms)
            for sink in sinks:
                sink.write(result)
            if report.processed == max_frames:
                break
    except KeyboardInterrupt:
        _log.info("stopped by the user")
    report.seconds = time.perf_counter() - began
    return report
