"""A camera without hardware: pictures drawn beforehand, at the pace of a clock."""

from __future__ import annotations

import re
import time

from edgecap.benchmark.frames import scene_frames
from edgecap.capture.device import Picture
from edgecap.errors import SourceError

_FORM = re.compile(r"(\d+)x(\d+):(\d+(?:\.\d+)?)")


class Pictures:
    """Opened as ``python:edgecap.benchmark.camera:Pictures:640x480:30``, in a process of its own.

    Like a camera it does not wait: what is late is not made up for.

    Args:
      form: width, height and frames a second.

    Raises:
      SourceError: another form.
    """

    def __init__(self, form: str) -> None:
        found = _FORM.fullmatch(form)
        if found is None or float(found[3]) <= 0:
            raise SourceError(f"expected WIDTHxHEIGHT:HZ, as 640x480:30; got {form!r}")
        self.rate_hz: float | None = float(found[3])
        self._period_s = 1.0 / float(found[3])
        self._frames = scene_frames(int(found[2]), int(found[1]))
        self._next, self._due_s = 0, time.monotonic()

    def read(self) -> Picture:
        now_s = time.monotonic()
        self._due_s = max(self._due_s + self._period_s, now_s)
        time.sleep(self._due_s - now_s)
        self._next = (self._next + 1) % len(self._frames)
        return Picture(self._frames[self._next], time.monotonic())

    def close(self) -> None:
        pass
