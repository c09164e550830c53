"""A recording played as if it were a camera: at its own speed, whoever watches."""

from __future__ import annotations

import time

from edgecap.capture.device import Picture
from edgecap.sources import open_source


class Playing:
    """A video file, a folder of images or a synthetic scene, frame by frame when its time comes.

    Args:
      name: what :func:`edgecap.open_source` takes, but no camera.

    Raises:
      SourceError: it does not open.
    """

    def __init__(self, name: str) -> None:
        self._source = open_source(name)
        self._frames = iter(self._source)
        self.rate_hz = self._source.rate_hz
        self._began_s: float | None = None

    def read(self) -> Picture:
        frame = next(self._frames, None)
        if frame is None:
            raise EOFError
        if self._began_s is None:
            self._began_s = time.monotonic() - frame.timestamp_s
        wait_s = self._began_s + frame.timestamp_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        return Picture(frame.image, time.monotonic())

    def close(self) -> None:
        self._source.close()
