"""The last seconds of one stream, from a known state on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from edgecap.events import Event
from edgecap.preprocess import Image
from edgecap.streaming import Snapshot

# A frame counts for this share of the model's period at least, so that a clock that stands still
# cannot make the ring grow.
_LEAST_PERIOD = 0.5


@dataclass(frozen=True, slots=True)
class Taken:
    """A step as it was.

    Attributes:
      number: 0, 1, 2, … since recording began.
      clock_s: time as the ring counts it.
      image: ``(H, W, 3)`` uint8 RGB as the graph was given it.
      timestamp_s: the frame's.
      outputs: ``(labels,)`` as the graph gave them. values: what they mean, float32.
      events: what began or ended.
      before: the stream before this step, at every key.
      jump: that state came from a reset or a snapshot, not from the step before.
    """

    number: int
    clock_s: float
    image: Image
    timestamp_s: float
    outputs: npt.NDArray[Any]
    values: npt.NDArray[Any]
    events: tuple[Event, ...]
    before: Snapshot | None
    jump: bool


class Ring:
    """Keeps steps for a time; the oldest one always has its state.

    States are taken every ``key_s``, so ``keep_s`` to ``keep_s + key_s`` and a frame are there
    once so much has been seen. A pause between frames counts as ``key_s`` at most: what was before
    a gap is worth keeping after it.

    Args:
      keep_s: how long a step is kept.
      key_s: time between states.
      rate_hz: the model's. Of frames that come faster than twice that, fewer seconds are kept.
    """

    def __init__(self, *, keep_s: float, key_s: float, rate_hz: float) -> None:
        self._keep_s, self._key_s = keep_s, key_s
        self._period_s = 1.0 / rate_hz
        self._least_s = _LEAST_PERIOD * self._period_s
        self._records: deque[Taken] = deque()
        self._keys_s: deque[float] = deque()
        self._last_s: float | None = None
        self.clock_s = 0.0
        self.count = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def wants_key(self) -> bool:
        """Whether the next step is to come with the state before it."""
        if not self._keys_s:
            return True
        return self.clock_s + self._period_s * 1.001 >= self._keys_s[-1] + self._key_s

    @property
    def last_s(self) -> float:
        """Timestamp of the newest frame; 0 before the first."""
        return self._last_s or 0.0

    def tick(self, timestamp_s: float) -> float:
        """Moves the clock on to a frame that is about to be added."""
        if self._last_s is not None:
            passed_s = timestamp_s - self._last_s
            # `not >=`: a time that is no number passes nothing.
            passed_s = passed_s if passed_s >= self._least_s else self._least_s
            self.clock_s += min(passed_s, self._key_s)
        self._last_s = timestamp_s
        return self.clock_s

    def add(self, taken: Taken, keep_from_s: float | None = None) -> None:
        """Takes a step in, and lets go of what is too old.

        Args:
          taken: its ``clock_s`` is what :meth:`tick` gave.
          keep_from_s: keep what is newer than this too, on the ring's clock.
        """
        self._records.append(taken)
        self.count += 1
        if taken.before is not None:
            self._keys_s.append(taken.clock_s)
        oldest_s = self.clock_s - self._keep_s
        if keep_from_s is not None:
            oldest_s = min(oldest_s, keep_from_s)
        while len(self._keys_s) > 1 and self._keys_s[1] <= oldest_s:
            self._keys_s.popleft()
            self._records.popleft()
            while self._records[0].before is None:
                self._records.popleft()

    def records(self, from_s: float) -> tuple[Taken, ...]:
        """From the newest state that is not after ``from_s`` on the ring's clock; else all."""
        start = 0
        for number, taken in enumerate(self._records):
            if taken.clock_s > from_s:
                break
            if taken.before is not None:
                start = number
        return tuple(self._records)[start:]
