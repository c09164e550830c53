"""Video files, through OpenCV."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from edgecap.errors import SourceError
from edgecap.extras import require_cv2
from edgecap.native import native_stderr_to_log
from edgecap.sources import containers
from edgecap.sources.base import ClosingSource, Frame

# A decoder may fail on corrupt frames with good ones behind them; after this many in a row, which
# take it no time, the rest is given up.
_MAX_FAILURES = 300
# Decoding so many seconds takes less than going there; and going there is inexact.
_SEEK_S, _SEEK_EARLY_S = 20.0, 2.0
# A container that states more frames, years of them, states nothing.
_MAX_FRAMES = 1e9

_T = TypeVar("_T")


class VideoFile(ClosingSource):
    """A file that OpenCV can decode, read without drops.

    Timestamps are the container's presentation times; where a container has none, the frame
    number over the rate. A file that ends before the end that it states is told of
    (``truncated``), and so are frames that could not be decoded (``corrupt``).

    Args:
      path: the file.

    Attributes:
      stated_frames: how many frames the container says there are, if it does. Containers lie:
        only decoding tells.

    Raises:
      SourceError: no such file, or it cannot be decoded.
    """

    live = False

    def __init__(self, path: str | Path) -> None:
        cv2 = require_cv2("to read video files")
        self.name = str(path)
        if not Path(path).is_file():
            raise SourceError(f"{path}: no such file")
        if not os.access(path, os.R_OK):
            raise SourceError(f"{path}: cannot be read: Permission denied")
        with native_stderr_to_log():
            self._capture = cv2.VideoCapture(str(path))
        self._missing = _looked_at(containers.missing_bytes, path)
        if not self._capture.isOpened():
            cut = f"; it is truncated: {_cut(self._missing)}" if self._missing is not None else ""
            raise SourceError(f"{path}: OpenCV cannot open it as a video{cut}")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate_hz: float | None = float(rate) if 0 < rate < 1000 else None
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.stated_frames: int | None = int(count) if 0 < count < _MAX_FRAMES else None
        self._used = False

    def __iter__(self) -> Iterator[Frame]:
        return self.frames_from(0.0)

    def frames_from(self, start_s: float) -> Iterator[Frame]:
        """The frames from one that stands before ``start_s``, so that none after it is missing.

        Far into a file, the container is asked to go there, and what it says of the time is
        believed, but not where that is after the start: then all frames are given. The indices
        are the container's guess then.
        """
        cv2 = require_cv2("to read video files")
        if self._used:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        self._used = True
        if start_s > _SEEK_S:
            self._capture.set(cv2.CAP_PROP_POS_MSEC, (start_s - _SEEK_EARLY_S) * 1000.0)
            first = int(self._capture.get(cv2.CAP_PROP_POS_FRAMES))
            frames = self._read(first)
            frame = next(frames, None)
            # A container without times says 0.
            if frame is not None and first > 0 and 0 < frame.timestamp_s <= start_s:
                yield frame
                yield from frames
                return
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        yield from self._read(0)

    def _read(self, index: int) -> Iterator[Frame]:
        cv2 = require_cv2("to read video files")
        period_s = 1.0 / self.rate_hz if self.rate_hz else 1.0 / 30.0
        expected = self.stated_frames or 0
        failures, last_s, found, first, decoded, corrupt = 0, -1.0, index > 0, index, 0, 0
        while True:
            good, image = self._capture.read()
            if not good:
                failures += 1
                index += 1
                if failures > _MAX_FAILURES or index >= expected:
                    break
                continue
            timestamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
            if failures and found:
                # One failure may stand for more: what is missing in time is missing.
                lost = round((timestamp_s - last_s) / period_s) - 1 if self.rate_hz else 0
                corrupt += max(failures, min(lost, expected - decoded))
            failures, found = 0, True
            decoded += 1
            if timestamp_s <= last_s:
                # Containers without times report 0 for ever.
                timestamp_s = max(index * period_s, last_s + 1e-3)
            last_s = timestamp_s
            yield Frame(index, timestamp_s, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            index += 1
        if not found:
            raise SourceError(f"{self.name}: not one frame could be decoded")
        self._tell_end(first + decoded, last_s, period_s, corrupt, whole=first == 0)

    def _tell_end(
        self, frames: int, last_s: float, period_s: float, corrupt: int, *, whole: bool
    ) -> None:
        """Tells whether that was the end that the file states, and what was left out."""
        stated = self.stated_frames or 0
        fewer = frames + corrupt < stated
        short = fewer and last_s < (stated - 2) * period_s
        at = f"after {last_s + period_s:.1f} s of {stated * period_s:.1f} s" if stated else ""
        if self._missing is not None and (fewer or not stated):
            told = f"{self.name} is truncated: {_cut(self._missing)}{at and f'; it ends {at}'}"
            self.tell("truncated", told, last_s)
        elif whole and short and _looked_at(containers.ends_in_zeros, self.name):
            told = f"{self.name} is truncated: it ends {at}, and its rest was never written"
            self.tell("truncated", told, last_s)
        elif whole and short and _looked_at(containers.is_riff, self.name):
            corrupt += stated - frames - corrupt
        if corrupt:
            told = f"{self.name}: {corrupt} frame(s) could not be decoded and were left out"
            self.tell("corrupt", told, last_s)

    def close(self) -> None:
        self._capture.release()


def _looked_at(look: Callable[[str | Path], _T], path: str | Path) -> _T | None:
    try:
        return look(path)
    except OSError:
        # OpenCV may still have read it; what cannot be looked at is not judged.
        return None


def _cut(missing: int) -> str:
    return f"the last {missing} bytes are missing" if missing else "its last frame is cut"
