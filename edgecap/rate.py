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
        period_s, next_s = self._period_s, self._next_s
        if next_s is not None:
            if next_s - 3 * period_s < timestamp_s < next_s - _EARLY * period_s:
                return False
            if abs(timestamp_s - next_s) <= period_s:
                self._next_s = next_s + period_s
                return True
        # The first frame, one after a pause, or a clock that was set: the beat starts anew.
        self._next_s = timestamp_s + period_s
        return True

    def select(self, frames: Iterable[Frame]) -> Iterable[Frame]:
        """The frames that are due."""
        return (frame for frame in frames if self.accepts(frame.timestamp_s))
