"""The model's frame rate, kept by timestamps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgecap.errors import SourceError
from edgecap.sources.base import Frame

# A frame may come this share of a period before its tick and still count for it: cameras jitter.
_EARLY = 0.25
# Containers round times to the millisecond: a frame may stand this much after the tick it is for.
_ROUNDING_S = 1e-3
# A longer pause inside a recording is a broken clock, and would be filled with copies for ever.
_LONGEST_HOLD_S = 600.0


class RateGate:
    """Lets frames through at the model's rate and no faster, by their timestamps.

    For live sources: a frame that a slower source lacks is not invented, since waiting for a tick
    would only make the answer late. Recordings go through :func:`sample_and_hold`.
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


# The rate is looked at over so long; below and above these shares of the model's, it is told.
_WATCHED_S = 5.0
_SLOW, _STEADY = 0.8, 0.9


class RateWatch:
    """Tells when frames come too seldom for the model, and when they come well again."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        # Never fewer than a few frames, however slow the model.
        self._window_s = max(_WATCHED_S, 10.0 / rate_hz)
        self._slow = False
        self.restart()

    def restart(self) -> None:
        """Begins a new stretch: after a gap, or when the clock was set."""
        self._first: Frame | None = None
        self._accepted = 0

    def saw(self, frame: Frame, *, accepted: bool) -> tuple[str, str] | None:
        """Takes in one frame; its index counts the frames of the camera, those dropped too.

        Returns:
          Kind and text of a notice, where something has changed.
        """
        if self._first is None or frame.timestamp_s < self._first.timestamp_s:
            self._first, self._accepted = frame, 0
            return None
        self._accepted += accepted
        passed_s = frame.timestamp_s - self._first.timestamp_s
        if passed_s < self._window_s:
            return None
        given_hz = (frame.index - self._first.index) / passed_s
        answered_hz = self._accepted / passed_s
        self._first, self._accepted = frame, 0
        if not self._slow and answered_hz < _SLOW * self._rate_hz:
            self._slow = True
            trained = f"the model was trained at {self._rate_hz:g}"
            if given_hz < _SLOW * self._rate_hz:
                return "slow", f"the camera gives {given_hz:.1f} frames a second; {trained}"
            return "slow", (
                f"only {answered_hz:.1f} frames a second of the camera's {given_hz:.1f} are "
                f"answered in time; {trained}"
            )
        if self._slow and answered_hz > _STEADY * self._rate_hz:
            self._slow = False
            return "steady", f"{answered_hz:.1f} frames a second again"
        return None


def sample_and_hold(
    frames: Iterable[Frame],
    rate_hz: float,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    finer: int = 1,
) -> Iterator[tuple[Frame, int]]:
    """Resamples a recording to the model's rate by its timestamps.

    At each tick, ``k / rate_hz`` after the start, stands the newest frame that was there by then:
    a faster recording loses frames, a slower one repeats them. The last tick is that of the last
    frame.

    Args:
      frames: in order.
      rate_hz: the model's.
      start_s, end_s: part of the recording; from the first frame to the last where not given.
      finer: ticks per period of the rate. Every ``finer``-th tick holds the same frame as with 1.

    Returns:
      Each frame that is used, with the number of ticks that it is held for, one or more.

    Raises:
      SourceError: the timestamps leave a gap that cannot be meant.
    """
    slack_s = min(_ROUNDING_S, 0.1 / rate_hz)
    stop_s = float("inf") if end_s is None else end_s - 1e-9
    origin_s = 0.0
    held: Frame | None = None
    tick = 0

    def due_s(tick: int) -> float:
        # Exactly k / rate_hz where tick = finer · k and finer is a power of two.
        return origin_s + tick / (finer * rate_hz)

    for frame in frames:
        if held is None:
            origin_s = frame.timestamp_s if start_s is None else max(start_s, frame.timestamp_s)
        elif frame.timestamp_s - held.timestamp_s > _LONGEST_HOLD_S:
            raise SourceError(
                f"the time jumps from {held.timestamp_s:.1f} s to {frame.timestamp_s:.1f} s at "
                f"frame {frame.index}; expected pauses of at most {_LONGEST_HOLD_S:.0f} s"
            )
        else:
            first = tick
            while due_s(tick) < stop_s and due_s(tick) + slack_s < frame.timestamp_s:
                tick += 1
            if tick > first:
                yield held, tick - first
            if due_s(tick) >= stop_s:
                return
        held = frame
    if held is not None:
        first = tick
        while due_s(tick) < stop_s and due_s(tick) <= held.timestamp_s + slack_s:
            tick += 1
        if tick > first:
            yield held, tick - first
