"""Frames as bare bytes on standard input, from a program of one's own."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from edgecap.errors import SourceError
from edgecap.extras import require_cv2
from edgecap.preprocess import Image
from edgecap.sources.base import ClosingSource, Frame
from edgecap.sources.names import parse_options

USAGE = "raw:WIDTHxHEIGHT[,format=rgb24|bgr24|gray|yuv420][,rate=HZ]"
_MAX_SIDE = 16384
_STDIN = 0


class RawFrames(ClosingSource):
    """Frames of one size, one behind the other, read without drops.

    Args:
      height, width: of the frames; even for ``yuv420``.
      format: ``rgb24`` or ``bgr24`` (three bytes a pixel), ``gray`` (one), or ``yuv420`` (planes Y,
        U and V, BT.601).
      rate_hz: frames a second, from which their times follow; ``None``: a frame's time is when it
        came, as with a camera.
      descriptor: where they are read from; stays open.

    Raises:
      SourceError: an impossible size or an unknown format.
      MissingDependencyError: ``yuv420`` needs OpenCV, which is not installed.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        format: str = "rgb24",
        rate_hz: float | None = None,
        descriptor: int = _STDIN,
        name: str = "raw:",
    ) -> None:
        if sys.platform == "win32":
            raise SourceError("raw frames on standard input need Linux or macOS")
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise SourceError(f"raw: expected sides of 1 to {_MAX_SIDE}; got {width}x{height}")
        if format not in _FORMATS:
            raise SourceError(f"raw: expected a format of {', '.join(_FORMATS)}; got {format!r}")
        if format == "yuv420" and (height % 2 or width % 2):
            raise SourceError(f"raw: yuv420 needs even sides; got {width}x{height}")
        if rate_hz is not None and rate_hz <= 0:
            raise SourceError(f"raw: expected a rate above 0; got {rate_hz}")
        from edgecap.capture.waiting import Waker

        self.name = name
        self.live = rate_hz is None
        self.rate_hz = rate_hz
        self._rows, self._columns, self._convert = _FORMATS[format](height, width)
        self._file = io.FileIO(descriptor, closefd=False)
        self._waker = Waker()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        size = self._rows * self._columns
        while (data := self._read(size)) is not None:
            if len(data) < size:
                if len(data):
                    told = f"{self.name}: frame {index} ends after {len(data)} of {size} bytes"
                    self.tell("truncated", f"{told}; it was left out", time.monotonic())
                break
            now_s = time.monotonic() if self.rate_hz is None else index / self.rate_hz
            yield Frame(index, now_s, self._convert(data.reshape(self._rows, self._columns)))
            index += 1
        if index == 0 and not self._waker.woken:
            raise SourceError(f"{self.name}: not one whole frame on standard input")

    def stop(self) -> None:
        self._waker.wake()

    def close(self) -> None:
        self._waker.wake()
        self._waker.close()

    def _read(self, size: int) -> Image | None:
        """So many bytes, or those before the end; ``None``: stopped."""
        from edgecap.capture.waiting import wait_readable

        data = np.empty(size, np.uint8)
        got = 0
        while got < size:
            if self._waker.woken:
                return None
            ready = wait_readable([self._file.fileno(), self._waker.descriptor], None)
            if self._waker.descriptor in ready:
                return None
            number = self._file.readinto(data.data[got:])
            if number is None:
                # A descriptor that somebody has made non-blocking; nothing there after all.
                continue
            if number == 0:
                break
            got += number
        return data[:got]


_Convert = Callable[[Image], Image]


def _rgb24(height: int, width: int) -> tuple[int, int, _Convert]:
    return height, width * 3, lambda rows: rows.reshape(height, width, 3)


def _bgr24(height: int, width: int) -> tuple[int, int, _Convert]:
    return (
        height,
        width * 3,
        lambda rows: np.ascontiguousarray(rows.reshape(height, width, 3)[:, :, ::-1]),
    )


def _gray(height: int, width: int) -> tuple[int, int, _Convert]:
    return height, width, lambda rows: np.repeat(rows[:, :, None], 3, axis=2)


def _yuv420(height: int, width: int) -> tuple[int, int, _Convert]:
    cv2 = require_cv2("to convert yuv420")
    return height * 3 // 2, width, lambda rows: cv2.cvtColor(rows, cv2.COLOR_YUV2RGB_I420)


_FORMATS: dict[str, Callable[[int, int], tuple[int, int, _Convert]]] = {
    "rgb24": _rgb24,
    "bgr24": _bgr24,
    "gray": _gray,
    "yuv420": _yuv420,
}


def parse_raw(text: str) -> RawFrames:
    """Reads ``raw:640x480,format=gray,rate=25``.

    Raises:
      SourceError: it is not of that form.
    """
    size, _, options = text.partition(":")[2].partition(",")
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if not found:
        raise SourceError(f"{text}: expected {USAGE}")
    chosen = parse_options(options, {"format": str, "rate": float}, USAGE)
    width, height = (int(side) for side in found.groups())
    return RawFrames(
        height,
        width,
        format=chosen.get("format", "rgb24"),
        rate_hz=chosen.get("rate"),
        name=text,
    )
