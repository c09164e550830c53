"""The cameras of ``soak_faults.py``: gestures, and the faults of ``tests.fake_cameras``."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from edgecap.capture.device import Picture
from edgecap.errors import SourceError
from edgecap.synthetic import Scene
from tests.fake_cameras import Scripted

_SIDE = 96


class Gestures(Scripted):
    """A scene, with all faults of a scripted camera and some more.

    Further modes: ``dies`` (its process is killed, and there is no camera then), ``hang_open``
    (killed likewise, and hangs when it is opened) and ``nan`` (frames of floats that are no
    numbers). ``offset_s`` is how wrong its clock goes.
    """

    def __init__(self, control: str) -> None:
        super().__init__(control)
        if self._settings()["mode"] == "dies":
            raise SourceError("there is no camera of this name")
        seed = sum(Path(control).stem.encode())
        self._frames = iter(Scene(seed=seed, height=_SIDE, width=_SIDE))

    def read(self) -> Picture | None:
        settings = self._settings()
        mode = settings["mode"]
        if mode in ("dies", "hang_open"):
            os.kill(os.getpid(), signal.SIGKILL)
        picture = super().read()
        if picture is None or picture.image.ndim != 3:
            return picture
        image: Any = _sized(next(self._frames).image, settings["size"])
        if mode == "nan":
            image = np.full(image.shape, np.nan, np.float32)
        return Picture(image, picture.timestamp_s + settings.get("offset_s", 0.0))


def _sized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (np.arange(side) * _SIDE // side for side in size)
    return np.ascontiguousarray(image[rows][:, columns])
