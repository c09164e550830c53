"""A camera whose faults are told by a file; loaded by the real worker as ``python:``."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgecap.capture.device import Picture
from edgecap.errors import SourceError

SIZE = (48, 64)


class Control:
    """The test's end: what the camera does from now on.

    Args:
      path: of the file, which need not exist yet.
      settings: ``mode`` (ok, silent, hang, hang_blocking, corrupt, lost, absent, end, raises,
        nan_clock), ``rate_hz``, ``size``.
    """

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self._settings = {"mode": "ok", "rate_hz": 100.0, "size": SIZE}
        self.set(**settings)

    @property
    def name(self) -> str:
        return f"python:tests.fake_cameras:Scripted:{self.path}"

    def set(self, **settings: Any) -> None:
        self._settings |= settings
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self._settings))
        new.replace(self.path)


class Scripted:
    """All pixels of a frame are its number, so that a torn one shows."""

    def __init__(self, control: str) -> None:
        self._path, self._number, self._due_s = Path(control), 0, time.monotonic()
        settings = self._settings()
        self.rate_hz = settings.get("stated_hz")
        if settings["mode"] == "absent":
            raise SourceError("there is no camera of this name")
        if settings["mode"] == "hang_open":
            _hang()

    def read(self) -> Picture | None:
        settings = self._settings()
        while settings["mode"] == "silent":
            time.sleep(0.01)
            settings = self._settings()
        mode = settings["mode"]
        if mode == "hang":
            time.sleep(3600)
        if mode == "hang_blocking":
            _hang()
        if mode == "lost":
            raise SourceError("the cable is out")
        if mode == "end":
            raise EOFError
        if mode == "raises":
            raise ZeroDivisionError("a bug")
        if mode == "words":
            # As fprintf does: what does not fit is gone.
            with contextlib.suppress(BlockingIOError):
                os.write(2, b"opening rtsp://admin:geheim@camera/ failed\n" * 2000)
        self._due_s = max(self._due_s + 1 / settings["rate_hz"], time.monotonic() - 0.1)
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        self._number += 1
        if mode == "corrupt" or (mode == "some_corrupt" and self._number % 2):
            return None
        shape = (*settings["size"], 3) if mode != "gray" else settings["size"]
        image = np.full(shape, self._number % 256, np.uint8)
        return Picture(image, float("nan") if mode == "nan_clock" else time.monotonic())

    def close(self) -> None:
        pass

    def _settings(self) -> dict[str, Any]:
        return json.loads(self._path.read_text())


def _hang() -> None:
    """As a broken driver would: in C, with the GIL held and every signal blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(3600)
