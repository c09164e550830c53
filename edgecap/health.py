"""How a run does: frames, drops, times, temperature, memory."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgecap.thermal import temperature_c

# Of so many of the latest steps are the percentiles, and of so many seconds the rates.
_STEPS, _SECONDS = 2000, 5.0
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Health:
    """A run at one instant.

    Attributes:
      uptime_s: since the run began.
      frames, processed, dropped: read from the sources; given to the model; taken by a camera and
        never seen, as newer ones were there.
      fps: processed frames a second, of the last seconds.
      step_ms, latency_ms: p50, p95 and p99 of the latest steps, and from frame to answer; empty
        before the first, and the latter where no source is live.
      resets, events, restarts: states reset because of gaps; events begun; cameras opened again.
      temperature_c: of the processor, its hottest zone; ``None`` where the system does not tell.
      memory_mb: resident memory of this process; ``None`` likewise.
    """

    uptime_s: float
    frames: int
    processed: int
    dropped: int
    fps: float
    step_ms: tuple[float, ...]
    latency_ms: tuple[float, ...]
    resets: int
    events: int
    restarts: int
    temperature_c: float | None
    memory_mb: float | None


@dataclass
class Monitor:
    """Counts what a run does, for :class:`Health`; memory does not grow with time.

    Attributes:
      frames, processed, dropped, resets, events, restarts: see :class:`Health`.
      seconds: how long the run took, once it is over.
      step_ms, latency_ms: of the latest steps.
    """

    frames: int = 0
    processed: int = 0
    dropped: int = 0
    resets: int = 0
    events: int = 0
    restarts: int = 0
    seconds: float = 0.0
    step_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_STEPS))
    latency_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_STEPS))
    _times_s: deque[float] = field(default_factory=lambda: deque(maxlen=_STEPS))
    _began_s: float = field(default_factory=time.monotonic)

    def processed_one(self, step_ms: float, latency_ms: float | None) -> None:
        """Counts a processed frame."""
        self.processed += 1
        self.step_ms.append(step_ms)
        if latency_ms is not None:
            self.latency_ms.append(latency_ms)
        self._times_s.append(time.monotonic())

    def health(self) -> Health:
        """How it is now."""
        now_s = time.monotonic()
        # As tuples: the deques are written to by another thread.
        recent = [t for t in tuple(self._times_s) if t > now_s - _SECONDS]
        span_s = min(_SECONDS, max(now_s - self._began_s, 1e-3))
        if len(recent) == _STEPS:
            span_s = max(now_s - recent[0], 1e-3)
        return Health(
            uptime_s=now_s - self._began_s,
            frames=self.frames,
            processed=self.processed,
            dropped=self.dropped,
            fps=len(recent) / span_s,
            step_ms=percentiles(tuple(self.step_ms)),
            latency_ms=percentiles(tuple(self.latency_ms)),
            resets=self.resets,
            events=self.events,
            restarts=self.restarts,
            temperature_c=temperature_c(),
            memory_mb=memory_mb(),
        )


def percentiles(values: tuple[float, ...]) -> tuple[float, ...]:
    """p50, p95 and p99; empty of nothing."""
    if not values:
        return ()
    return tuple(float(p) for p in np.percentile(values, (50, 95, 99)))


def memory_mb() -> float | None:
    """Resident memory of this process."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
