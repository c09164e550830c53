"""Cameras and network streams through OpenCV; runs in the camera's own process."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import Any

from edgecap.capture.device import Picture
from edgecap.errors import SourceError
from edgecap.extras import require_cv2
from edgecap.masking import mask_url

_RATES_HZ = (1.0, 1000.0)
# A network camera is asked so often before it counts as lost: some streams fail on a packet or two.
# (FFmpeg itself skips what it cannot decode.)
_MAX_FAILURES = 3
# A finite recording states its frames; a live stream states none, or nonsense.
_MAX_FRAMES = 1e9
# TCP: over UDP a lost packet smears every picture until the next key frame. No buffer: late frames
# are worth nothing.
_FFMPEG_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"


class _Captured:
    """What camera and stream have in common."""

    def __init__(self, capture: Any, cv2: Any, lost: str, max_failures: int) -> None:
        self._capture, self._lost, self._max_failures = capture, lost, max_failures
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        low, high = _RATES_HZ
        self.rate_hz: float | None = rate if low <= rate <= high else None

    def read(self) -> Picture | None:
        for _ in range(self._max_failures):
            if self._capture.grab():
                # Before it is decoded: that takes longer than anything else here.
                now_s = time.monotonic()
                good, image = self._capture.retrieve()
                if not good or image is None or 0 in image.shape:
                    return None
                return Picture(image, now_s, "bgr")
        raise SourceError(self._lost)

    def close(self) -> None:
        self._capture.release()


class Camera(_Captured):
    """A camera by index or by path.

    Args:
      name: ``0`` for the first camera, or ``/dev/video0``.

    Raises:
      SourceError: there is no such camera.
    """

    def __init__(self, name: str) -> None:
        cv2 = require_cv2("to read cameras")
        _check_file(name)
        if re.fullmatch(r"\d+", name):
            capture = cv2.VideoCapture(int(name))
        else:
            capture = cv2.VideoCapture(name, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise SourceError(
                f"camera {name} does not open. Is it connected, and does no other program use it?"
            )
        # Old frames are worth nothing: let the driver keep one.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        super().__init__(capture, cv2, "it gives no frame any more", max_failures=1)


def _check_file(name: str) -> None:
    """Says what OpenCV would not: there is no such camera, or it may not be read."""
    if not sys.platform.startswith("linux"):
        return
    path = f"/dev/video{name}" if name.isdecimal() else name
    if not os.path.exists(path):  # noqa: PTH110  # also where the folder may not be read
        raise SourceError(f"camera {name} does not open: there is no {path}. Is it connected?")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(
            f"camera {name} does not open: {path} may not be read. "
            "Is this user in the group 'video'?"
        )


class Stream(_Captured):
    """A network camera: RTSP over TCP, or HTTP.

    Args:
      url: may hold a password.
      open_timeout_s, read_timeout_s: so long a server may be silent.

    Raises:
      SourceError: nothing answers, or what comes is no video.
    """

    def __init__(
        self, url: str, *, open_timeout_s: float = 10.0, read_timeout_s: float = 30.0
    ) -> None:
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _FFMPEG_OPTIONS)
        cv2 = require_cv2("to read network cameras")
        limits = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(open_timeout_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(read_timeout_s * 1000)),
        ]
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            raise SourceError(
                f"{mask_url(url)} does not open. Is the address right, and the camera on?"
            )
        if 0 < capture.get(cv2.CAP_PROP_FRAME_COUNT) < _MAX_FRAMES:
            capture.release()
            raise SourceError(
                f"{mask_url(url)} is a recording, not a camera: download it and give the file"
            )
        lost = "the server has closed the stream, or is silent"
        super().__init__(capture, cv2, lost, max_failures=_MAX_FAILURES)
