"""Scores → events: smoothing, two thresholds, a minimum duration and a refractory period."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecap.decisions import DecisionSpec

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Event:
    """Something began or ended.

    Attributes:
      label: what.
      kind: ``start`` or ``end``.
      timestamp_s: the frame at which it was decided.
      score: smoothed probability of the label at that frame.
    """

    label: str
    kind: str
    timestamp_s: float
    score: float


class EventDetector:
    """Turns the probabilities of successive frames into events; one detector per stream.

    A label other than the background starts when its smoothed probability has been at ``enter``
    or above for ``min_duration_s``, and ends when it falls below ``leave``. Smoothing is an
    exponential average whose weight follows the time between frames, so it means the same at any
    frame rate: weight = 1 − exp(−Δt / smoothing_s). Where a label has settings of its own, those
    hold for it.

    Raises:
      SpecError: a setting is for a label that is not among ``labels``.
    """

    def __init__(self, labels: Sequence[str], decision: DecisionSpec) -> None:
        self._labels = tuple(labels)
        decision.check_labels(self._labels)
        self._decision = decision
        self._of = [decision.of(label) for label in self._labels]
        background = decision.background
        self._background = self._labels.index(background) if background is not None else -1
        self.reset()

    def reset(self) -> None:
        """Forgets everything; nothing is reported until ``settle_s`` after the next frame."""
        self._smoothed: npt.NDArray[np.float32] | None = None
        # Time as the frames told it, without steps backwards: clocks are set now and then.
        self._clock_s = 0.0
        self._last_s = 0.0
        self._active = -1
        self._candidate = -1
        self._candidate_since_s = 0.0
        self._silent_until_s: dict[int, float] = {}

    def copy(self) -> EventDetector:
        """An independent detector in the same state."""
        other = copy.copy(self)
        other._silent_until_s = dict(self._silent_until_s)
        return other

    @property
    def active(self) -> str | None:
        """The label of the event under way, if any."""
        return self._labels[self._active] if self._active >= 0 else None

    @property
    def settled(self) -> bool:
        """Whether enough time has passed since the reset for events to be told."""
        return self._smoothed is not None and self._clock_s >= self._decision.settle_s

    @property
    def clock_s(self) -> float:
        """Seconds since the first frame after the reset, without steps backwards."""
        return self._clock_s

    @property
    def smoothed(self) -> npt.NDArray[np.float32] | None:
        """The smoothed probabilities ``(labels,)``, or ``None`` before the first frame."""
        return self._smoothed

    def update(self, probabilities: npt.NDArray[np.float32], timestamp_s: float) -> Event | None:
        """Takes in one frame.

        Args:
          probabilities: ``(labels,)`` float32.
          timestamp_s: when it was taken. A step backwards (a clock that was set) counts as no
            time passed, and time goes on from there.

        Returns:
          The event that this frame starts or ends, if any.
        """
        passed_s = self._pass(timestamp_s)
        return self._decide(self._smooth(probabilities, passed_s), timestamp_s)

    def update_smoothed(
        self, smoothed: npt.NDArray[np.float32], timestamp_s: float, clock_s: float
    ) -> Event | None:
        """Like :meth:`update`, with what a detector came to before on the same frames.

        For trying several settings on one recording; not to be mixed with :meth:`update`. Frames
        may be left out where no event is under way, the most probable label stays below its
        ``enter`` (or is the background), and so it did in the frame before.

        Args:
          smoothed: its :attr:`smoothed` after the frame, with the same ``smoothing_s``.
          timestamp_s: the frame's.
          clock_s: its :attr:`clock_s` after the frame.
        """
        self._smoothed, self._last_s, self._clock_s = smoothed, timestamp_s, clock_s
        return self._decide(smoothed, timestamp_s)

    def _pass(self, timestamp_s: float) -> float:
        """Sets the clock on to a frame; returns the seconds since the one before."""
        passed_s = max(0.0, timestamp_s - self._last_s) if self._smoothed is not None else 0.0
        self._last_s = timestamp_s
        self._clock_s += passed_s
        return passed_s

    def _smooth(
        self, probabilities: npt.NDArray[np.float32], passed_s: float
    ) -> npt.NDArray[np.float32]:
        if self._smoothed is None:
            self._smoothed = probabilities
        else:
            tau = self._decision.smoothing_s
            weight = 1.0 - math.exp(-passed_s / tau) if tau > 0 else 1.0
            self._smoothed = self._smoothed + np.float32(weight) * (probabilities - self._smoothed)
        return self._smoothed

    def _decide(self, smoothed: npt.NDArray[np.float32], timestamp_s: float) -> Event | None:
        best = int(smoothed.argmax())
        if self._clock_s < self._decision.settle_s:
            return None
        if self._active >= 0:
            score = float(smoothed[self._active])
            if score >= self._of[self._active].leave:
                return None
            return self._end(score, timestamp_s)
        score = float(smoothed[best])
        if best == self._background or score < self._of[best].enter:
            self._candidate = -1
            return None
        return self._consider(best, score, timestamp_s)

    def _end(self, score: float, timestamp_s: float) -> Event:
        label, self._active = self._active, -1
        self._silent_until_s[label] = self._clock_s + self._of[label].refractory_s
        return Event(self._labels[label], "end", timestamp_s, score)

    def _consider(self, best: int, score: float, timestamp_s: float) -> Event | None:
        if best != self._candidate:
            self._candidate, self._candidate_since_s = best, self._clock_s
        if self._clock_s - self._candidate_since_s < self._of[best].min_duration_s:
            return None
        if self._clock_s < self._silent_until_s.get(best, -math.inf):
            return None
        self._active, self._candidate = best, -1
        return Event(self._labels[best], "start", timestamp_s, score)
