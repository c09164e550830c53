"""A camera that is watched: the newest frame, and a new start when it fails."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from edgecap.capture.device import Opener
from edgecap.capture.process import CameraProcess
from edgecap.capture.waiting import Waker, wait_readable
from edgecap.errors import MissingDependencyError, SourceError
from edgecap.masking import mask_url
from edgecap.sources.base import ClosingSource, Frame

_log = logging.getLogger(__name__)

DEFAULT_STALL_S = 10.0
# The first pause before a camera is opened again, and the longest; each is twice the one before.
DEFAULT_PAUSES_S = (0.5, 30.0)
DEFAULT_OPEN_TIMEOUT_S = 20.0
# A camera that states a slow rate is given the time of so many frames.
_STALL_PERIODS = 3
# So long a camera that is back must deliver before its failures are forgotten.
_STEADY_S = 10.0
# Corrupt frames are told of together, once in this time.
_TELL_AGAIN_S = 5.0
# A frame that is known to be there comes within a fraction of this.
_AT_HAND_S = 0.1


class LiveSource(ClosingSource):
    """The newest frame of a camera that a child process reads.

    Frames are dropped while nobody takes them, and their indices leave gaps. A camera that is lost
    is opened again, and that is told (``lost``, ``back``). Frames whose decoding failed are left
    out (``corrupt``); a new size is told (``resized``).

    Args:
      opener: which camera.
      name: as people are told; without it, the opener's target. Secrets in URLs are masked.
      stall_s: so long without a frame, and the camera counts as lost; three frame periods at
        least, for cameras that state a rate.
      retries: so often in a row it is opened again before it is given up; ``None``: for ever.
      pauses_s: before it is opened again the first time, and at most; doubled each time.
      open_timeout_s: so long opening may take.

    Attributes:
      dropped: frames that the camera delivered and nobody saw, as newer ones were there.
      restarts: times that the camera was opened again.
      ended: no frame will follow: stopped, given up, or a recording's end.

    Raises:
      SourceError: the camera does not open.
      MissingDependencyError: a package is needed that is not installed.
    """

    live = True

    def __init__(
        self,
        opener: Opener,
        *,
        name: str | None = None,
        stall_s: float = DEFAULT_STALL_S,
        retries: int | None = None,
        pauses_s: tuple[float, float] = DEFAULT_PAUSES_S,
        open_timeout_s: float = DEFAULT_OPEN_TIMEOUT_S,
    ) -> None:
        if sys.platform == "win32":
            raise SourceError("cameras need Linux or macOS; files are read everywhere")
        self.name = mask_url(name or opener.target)
        self.rate_hz: float | None = None
        self.dropped = self.restarts = 0
        self.ended = False
        self._opener = opener
        self._stall_s, self._retries, self._pauses_s = stall_s, retries, pauses_s
        self._open_timeout_s = open_timeout_s
        self._lock = threading.RLock()
        self._waker = Waker()
        self._process: CameraProcess | None = None
        self._opened = self._asked = False
        self._next_index = 0
        self._shape: tuple[int, ...] | None = None
        self._failures, self._lost, self._again_s, self._back_s = 0, False, 0.0, 0.0
        self._corrupt_untold, self._corrupt_told_s = 0, float("-inf")
        try:
            self._start()
            self._open_first()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """The camera's process; ``None`` while there is none."""
        process = self._process
        return process.pid if process else None

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.take(None)) is not None:
            yield frame

    def take(self, timeout_s: float | None = 0.0) -> Frame | None:
        """The newest frame that was not taken before.

        Args:
          timeout_s: so long at most it is waited for; 0: not at all, though asking again later
            finds what came; ``None``: until there is one.

        Returns:
          The frame, its image nobody else's; ``None``: none in time, or none any more (``ended``).

        Raises:
          SourceError: the camera is lost, and was opened again as often as allowed.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            stale = self._asked
            while not (self.ended or self._waker.woken):
                if self._process is None:
                    if not self._pause(deadline_s):
                        break
                    continue
                if self._opened and not self._asked:
                    self._ask()
                message = self._receive(self._process, 0.0 if stale else _left(deadline_s))
                if message is not None and "frame" in message:
                    self._asked = False
                    if stale:
                        # It was sent for an earlier wait and may be old: a newer one is at hand.
                        stale = False
                        if deadline_s is not None:
                            deadline_s = max(deadline_s, time.monotonic() + _AT_HAND_S)
                        continue
                    return self._frame(self._process, **message["frame"])
                if message is not None:
                    self._hear(message)
                elif stale:
                    stale = False
                elif _left(deadline_s) == 0.0:
                    break
            self.ended = self.ended or self._waker.woken
            return None

    def stop(self) -> None:
        self._waker.wake()

    def close(self) -> None:
        self.stop()
        with self._lock:
            self.ended = True
            if self._process is not None:
                self._process.close()
                self._process = None
            self._waker.close()

    def _start(self) -> None:
        self._process = CameraProcess(self._opener, self.name)
        self._opened = self._asked = False
        self._last, self._last_corrupt, self._base = -1, 0, self._next_index
        self._since_s = time.monotonic()

    def _open_first(self) -> None:
        assert self._process is not None
        message = self._process.receive(self._open_timeout_s, self._waker.descriptor)
        if message is None:
            raise SourceError(f"{self.name} does not open within {self._open_timeout_s:g} s")
        if "opened" not in message:
            kind = MissingDependencyError if message.get("missing") else SourceError
            raise kind(self._why(self._process, message))
        self._hear(message)

    def _ask(self) -> None:
        assert self._process is not None
        self._process.want(self._last)
        self._asked = True
        self._since_s = max(self._since_s, time.monotonic())

    def _receive(self, process: CameraProcess, wait_s: float | None) -> dict[str, Any] | None:
        """A message; also that of a stalled camera, ``{"stalled": …}``."""
        limit_s = self._open_timeout_s
        if self._opened:
            period_s = 1.0 / self.rate_hz if self.rate_hz else 0.0
            limit_s = max(self._stall_s, _STALL_PERIODS * period_s)
        left_s = max(0.0, self._since_s + limit_s - time.monotonic())
        message = process.receive(
            left_s if wait_s is None else min(wait_s, left_s), self._waker.descriptor
        )
        stalled = message is None and time.monotonic() - self._since_s >= limit_s
        if stalled and not self._waker.woken:
            what = "no frame for" if self._opened else "it does not open within"
            return {"stalled": f"{what} {limit_s:g} s"}
        return message

    def _hear(self, message: dict[str, Any]) -> None:
        """What is no frame: opened, at the end, or lost."""
        if "opened" in message:
            self.rate_hz = message["opened"]["rate_hz"]
            self._opened, self._since_s = True, time.monotonic()
            self.restarts += self._failures > 0
        elif "end" in message:
            self.ended = True
        else:
            assert self._process is not None
            reason = self._why(self._process, message)
            self._process.kill()
            self._process.close()
            self._process = None
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        now_s = time.monotonic()
        if self._failures and not self._lost and now_s - self._back_s >= _STEADY_S:
            self._failures = 0
        if self._retries is not None and self._failures >= self._retries:
            self.ended = True
            told = f"{self.name} is lost: {reason}"
            if self._failures:
                told += f", also after opening it again {self._failures} times"
            raise SourceError(told)
        first_s, longest_s = self._pauses_s
        # The exponent is bounded: a year of failures must not overflow.
        pause_s = min(first_s * 2.0 ** min(self._failures, 30), longest_s)
        self._failures += 1
        self._again_s = now_s + pause_s
        if self._lost:
            _log.info("%s: %s; again in %.1f s", self.name, reason, pause_s)
        else:
            self._lost = True
            self.tell("lost", f"{self.name} is lost: {reason}; it is opened again", now_s)

    def _pause(self, deadline_s: float | None) -> bool:
        """Waits until the camera is to be opened again, and opens it; ``False``: no time left."""
        pause_s = self._again_s - time.monotonic()
        if pause_s > 0:
            left_s = _left(deadline_s)
            wait_s = pause_s if left_s is None else min(pause_s, left_s)
            if wait_readable([self._waker.descriptor], wait_s) or left_s == 0.0:
                return False
        else:
            try:
                self._start()
            except SourceError as error:
                self._lose(str(error))
        return True

    def _frame(
        self, process: CameraProcess, slot: int, index: int, timestamp_s: float, corrupt: int
    ) -> Frame:
        image = process.image(slot)
        now_s = time.monotonic()
        bad = corrupt - self._last_corrupt
        self.dropped += max(0, index - self._last - 1 - bad)
        self._last, self._last_corrupt, self._since_s = index, corrupt, now_s
        self._next_index = self._base + index + 1
        if self._lost:
            self._lost, self._back_s = False, now_s
            self.tell("back", f"{self.name} gives frames again", now_s)
        self._corrupt_untold += bad
        if self._corrupt_untold and now_s - self._corrupt_told_s >= _TELL_AGAIN_S:
            number, self._corrupt_untold, self._corrupt_told_s = self._corrupt_untold, 0, now_s
            told = f"{self.name}: {number} frame(s) could not be decoded and were left out"
            self.tell("corrupt", told, now_s)
        if self._shape not in (None, image.shape):
            height, width, _ = image.shape
            self.tell("resized", f"{self.name}: frames are {width} × {height} now", now_s)
        self._shape = image.shape
        return Frame(self._base + index, timestamp_s, image)

    def _why(self, process: CameraProcess, message: dict[str, Any]) -> str:
        (reason,) = (v for k, v in message.items() if k in ("failed", "lost", "gone", "stalled"))
        words = process.last_words(ending="failed" in message or "gone" in message)
        told = f"{reason} ({words})" if words else str(reason)
        # The target may stand there in another form than that of a URL.
        return mask_url(told.replace(self._opener.target, mask_url(self._opener.target)))


def _left(deadline_s: float | None) -> float | None:
    """Seconds until then; 0 when it has passed."""
    return None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
