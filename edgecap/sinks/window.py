"""What is seen, in a window on the screen."""

from __future__ import annotations

import math
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgecap.drawing import Captions, draw, enlarged, fitted
from edgecap.errors import MissingDependencyError, ReaderGoneError, SinkError
from edgecap.extras import require_cv2
from edgecap.notices import Notice
from edgecap.preprocess import Image
from edgecap.sinks.base import Result, RunInfo, Sink

_TITLE = "edgecap"
_ESCAPE = 27
_CONNECT_S = 1.0
# A window begins no larger than this; the user may change it.
_WIDEST, _HIGHEST = 1280, 800


class Window(Sink):
    """Shows the processed frames with their answers; several cameras side by side.

    ``q``, Esc and the window's own button end the run. Belongs behind a queue, as all calls
    must come from one thread.

    Args:
      labels: the model's.
      on_key: called with each other key that is pressed, as a string of one character, in the
        thread that shows the window.

    Raises:
      MissingDependencyError: OpenCV is not installed, or in its form without windows.
      SinkError: there is no screen to show it on.
      ReaderGoneError: when writing or idle: the user has closed the window.
    """

    latest_only = True

    def __init__(self, labels: Sequence[str], on_key: Callable[[str], None] | None = None) -> None:
        self._cv2 = require_cv2("to show a window")
        if not has_windows(self._cv2.getBuildInformation()):
            raise MissingDependencyError(
                "this OpenCV has no windows: expected the package opencv-python; installed is "
                "opencv-python-headless. To change it: pip uninstall opencv-python-headless && "
                "pip install opencv-python"
            )
        _check_screen()
        # It warns of fonts that it does not need, and of threads at the very end.
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
        self._labels, self._on_key = labels, on_key
        self._captions: dict[str, Captions] = {}
        self._latest: dict[str, Image] = {}
        self._open = False

    def begin(self, run: RunInfo) -> None:
        several = len(run.cameras) > 1
        self._captions = {camera: Captions(camera if several else "") for camera in run.cameras}

    def write(self, result: Result) -> None:
        captions = self._captions.setdefault(result.camera, Captions())
        overlay = captions.take(result)
        picture = enlarged(result.frame.image)
        self._latest[result.camera] = draw(picture, result, self._labels, overlay)
        if not self._open:
            # Of a size that the user may change; the picture then keeps its aspect.
            cv2 = self._cv2
            flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
            cv2.namedWindow(_TITLE, flags)
            shown = mosaic(list(self._latest.values()), len(self._captions))
            height, width = shown.shape[:2]
            scale = min(1.0, _WIDEST / width, _HIGHEST / height)
            cv2.resizeWindow(_TITLE, round(width * scale), round(height * scale))
            self._open = True
        shown = mosaic(list(self._latest.values()), len(self._captions))
        self._cv2.imshow(_TITLE, self._cv2.cvtColor(shown, self._cv2.COLOR_RGB2BGR))
        self.idle()

    def notice(self, notice: Notice) -> None:
        for camera, captions in self._captions.items():
            if notice.camera in ("", camera):
                captions.notice(notice)

    def idle(self) -> None:
        """Keeps the window alive: it is drawn and hears keys only in here."""
        if not self._open:
            return
        key = self._cv2.waitKey(1)
        if key in (ord("q"), ord("Q"), _ESCAPE):
            raise ReaderGoneError("the window was closed")
        if self._cv2.getWindowProperty(_TITLE, self._cv2.WND_PROP_VISIBLE) < 1:
            self._open = False
            raise ReaderGoneError("the window was closed")
        if key >= 0 and self._on_key is not None:
            self._on_key(chr(key & 0xFF))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._cv2.destroyWindow(_TITLE)
            self._cv2.waitKey(1)


def mosaic(pictures: Sequence[Image], places: int) -> Image:
    """Pictures side by side in the size of the first, in about as many rows as columns.

    Args:
      pictures: one or more ``(h, w, 3)`` uint8.
      places: for so many there is room, if they come later.
    """
    if max(places, len(pictures)) == 1:
        return pictures[0]
    columns = math.ceil(math.sqrt(max(places, len(pictures))))
    rows = math.ceil(max(places, len(pictures)) / columns)
    height, width = pictures[0].shape[:2]
    canvas = np.zeros((rows * height, columns * width, 3), np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * height, place % columns * width
        canvas[top : top + height, left : left + width] = fitted(picture, (height, width))
    return canvas


def has_windows(build_information: str) -> bool:
    """Whether an OpenCV was built with a way to show windows."""
    found = re.search(r"^\s*GUI:\s*(\S*)", build_information, re.MULTILINE)
    return found is not None and found.group(1) != "NONE"


def _check_screen() -> None:
    """Raises ``SinkError`` without a screen: the window's library would end the process over it."""
    if sys.platform in ("win32", "darwin"):
        return
    display = os.environ.get("DISPLAY", "")
    if not display:
        raise SinkError(
            "cannot show a window: there is no screen (DISPLAY is not set). Over ssh, use ssh -X; "
            "or look at the run from another device, through the web page"
        )
    found = re.fullmatch(r"(?:unix:|unix/)?(?P<host>[^:/]*):(?P<number>\d{1,4})(\.\d+)?", display)
    try:
        if found is not None and not found["host"]:
            _connect_unix(int(found["number"]))
        elif found is not None:
            address = (found["host"], 6000 + int(found["number"]))
            socket.create_connection(address, _CONNECT_S).close()
    except OSError as error:
        raise SinkError(
            f"cannot show a window: the screen DISPLAY={display} cannot be reached"
        ) from error


def _connect_unix(number: int) -> None:
    """Connects to a local X server; it may listen under a name in the file system, or without."""
    path = f"/tmp/.X11-unix/X{number}"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_CONNECT_S)
        client.connect(path if Path(path).exists() else f"\0{path}")
