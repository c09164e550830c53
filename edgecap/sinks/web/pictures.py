"""JPEG, encoded only while somebody watches, and once for all who do."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from edgecap.extras import require_cv2
from edgecap.preprocess import Image

_log = logging.getLogger(__name__)

#: Name → widest picture, in pixels. Larger frames are made smaller: phones and networks are.
SIZES = {"large": 960, "small": 480}
_QUALITY = 80


class Pictures:
    """Encodes in a thread of its own.

    Raises:
      MissingDependencyError: OpenCV is not installed.
    """

    def __init__(self) -> None:
        self._cv2: Any = require_cv2("to send pictures to the web page")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgecap-web-jpeg")
        self._latest: dict[tuple[int, str], tuple[int, Future[bytes]]] = {}

    async def jpeg(self, camera: int, number: int, image: Image, size: str) -> bytes:
        """A frame as JPEG; from the server's thread only.

        Args:
          camera: of which camera.
          number: of the frame; grows. Whoever asks for an older one gets the newest.
          image: ``(h, w, 3)`` uint8 RGB.
          size: one of ``SIZES``.

        Returns:
          The file; empty where the frame cannot be encoded.
        """
        known = self._latest.get((camera, size))
        if known is None or known[0] < number:
            known = number, self._thread.submit(self.encode, image, SIZES[size])
            self._latest[camera, size] = known
        # Another viewer who leaves must not take the picture away.
        return await asyncio.shield(asyncio.wrap_future(known[1]))

    def encode(self, image: Image, width: int) -> bytes:
        """A frame as JPEG of at most this width."""
        cv2 = self._cv2
        try:
            if image.shape[1] > width:
                height = max(1, round(image.shape[0] * width / image.shape[1]))
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
            bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
            done, data = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
        except cv2.error as error:
            _log.debug("a picture for the web page cannot be encoded: %s", error)
            return b""
        return bytes(data.tobytes()) if done else b""

    def close(self) -> None:
        """Ends the thread, after the picture under way."""
        self._thread.shutdown(wait=True, cancel_futures=True)
