"""The model's frame rate, kept by timestamps."""

from __future__ import annotations

from collections.abc import Iterable

from edgecap.sources.base import Frame

# A frame may come this share of a period before its tick and still count for it: cameras jitter.
_EARLY = 0.25


class RateGate:
    """Lets frames through at the model's rate and no faster, by their timestamps.

    Frames that a slower source lacks are not invented. The same gate resamples recordings for
    training and evaluation, so a model sees the rhythm on the device that it was trained on.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1.0 / rate_hz
        self._next_s: float | None = None

    def accepts(self, timestamp_s: float) -> bool:
        """Whether the frame with this timestamp is due."""
        if self._next_s is None:
            self._next_s = timestamp_s + self._period_s
            return True
        if timestamp_s < self._next_s - _EARLY * self._period_s:
            return False
        # Keep the beat, unless the source is so late that the beat is lost.
        self._next_s = max(self._next_s, timestamp_s - self._period_s) + self._period_s
        return True

    def select(self, frames: Iterable[Frame]) -> Iterable[Frame]:
        """The frames that are due."""
        return (frame for frame in frames if self.accepts(frame.timestamp_s))
