"""Where frames come from."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecap.errors import SourceError
from edgecap.masking import mask_url
from edgecap.sources.base import Frame, Source

if TYPE_CHECKING:
    from edgecap.spec import InputSpec

__all__ = ["SOURCE_FORMS", "Frame", "Source", "open_source"]

SOURCE_FORMS = (
    "a camera (0 or /dev/video0), rtsp://… or http://…, picamera:, a video file, a folder of "
    "images, raw:WIDTHxHEIGHT (standard input), live:FILE, python:MODULE:FUNCTION, or synthetic:"
)
_DEFAULT_SIZE = (96, 96)
_DEFAULT_FOLDER_RATE_HZ = 12.0
_URL = re.compile(r"(rtsps?|https?)://", re.IGNORECASE)
_PICAMERA_USAGE = "picamera:[camera=N,width=N,height=N,rate=HZ]"


def open_source(
    name: str | int | Path,
    *,
    size: tuple[int, int] | None = None,
    rate_hz: float | None = None,
    stall_s: float | None = None,
    retries: int | None = None,
    resize_to: InputSpec | None = None,
) -> Source:
    """Opens a source of frames.

    Args:
      name: a camera index (``0``) or path (``/dev/video0``); ``rtsp://…`` or ``http://…``;
        ``picamera:width=96,height=96,rate=15``; a video file or a folder of images;
        ``raw:640x480,format=rgb24,rate=25`` for frames on standard input;
        ``live:FILE``, which plays a recording as if it were a camera;
        ``python:MODULE:FUNCTION:ARGUMENT``, a :class:`edgecap.capture.device.Device` of your own;
        ``synthetic:seed=1,gestures=20``.
      size: (height, width) that the frames will be used at; sources that can choose follow it.
      rate_hz: frames a second that they will be used at; sources that can choose follow it, and a
        folder's images are taken to be this far apart.
      stall_s, retries: how a camera is watched; see :class:`edgecap.sources.live.LiveSource`.
      resize_to: a model's input: a camera's frames are brought to its size in the camera's own
        process, exactly as the model would do it, and nobody sees larger ones.

    Raises:
      SourceError: the source does not exist or cannot be opened.
      MissingDependencyError: it needs OpenCV or picamera2, which is not installed.
    """
    text = str(name)
    if text.startswith("synthetic:"):
        from edgecap.sources.synthetic import SyntheticSource, parse_scene

        height, width = size or _DEFAULT_SIZE
        chosen = {"rate_hz": rate_hz} if rate_hz else {}
        scene, _ = parse_scene(text.partition(":")[2], height=height, width=width, **chosen)
        return SyntheticSource(scene, text)
    if text.startswith("raw:"):
        from edgecap.sources.raw import parse_raw

        return parse_raw(text)
    camera = _camera(text, size)
    if camera is not None:
        from edgecap.capture.device import Opener
        from edgecap.sources.live import DEFAULT_STALL_S, LiveSource

        kind, target, options = camera
        return LiveSource(
            Opener(kind, target, options, _resizing(resize_to)),
            name=text,
            stall_s=DEFAULT_STALL_S if stall_s is None else stall_s,
            retries=retries,
        )
    path = Path(text)
    found = _kind(path) if text else None
    if found == "folder":
        from edgecap.sources.folder import ImageFolder

        return ImageFolder(path, rate_hz=rate_hz or _DEFAULT_FOLDER_RATE_HZ)
    if found == "file":
        from edgecap.sources.video import VideoFile

        return VideoFile(path)
    raise SourceError(f"{mask_url(text)}: no such file or folder; a source is {SOURCE_FORMS}")


def _camera(text: str, size: tuple[int, int] | None) -> tuple[str, str, Mapping[str, Any]] | None:
    """Kind, target and options of what is read in a process of its own; ``None``: nothing such."""
    scheme, _, rest = text.partition(":")
    if re.fullmatch(r"\d{1,3}", text) or text.startswith("/dev/video") or _is_device(text):
        return "camera", text, {}
    if _URL.match(text):
        return "url", text, {}
    if scheme == "picamera":
        return "picamera", text, _picamera(rest, size)
    if scheme == "python":
        return "python", rest, {}
    if scheme == "live":
        if not rest.startswith("synthetic:") and not (rest and _kind(Path(rest))):
            raise SourceError(f"{mask_url(text)}: no such file or folder to play")
        return "live", rest, {}
    return None


def _picamera(text: str, size: tuple[int, int] | None) -> dict[str, Any]:
    from edgecap.sources.names import parse_options

    types = {"camera": int, "width": int, "height": int, "rate": float}
    options = parse_options(text, types, _PICAMERA_USAGE)
    if size is not None:
        options.setdefault("height", size[0])
        options.setdefault("width", size[1])
    if "rate" in options:
        options["rate_hz"] = options.pop("rate")
    return options


def _kind(path: Path) -> str | None:
    try:
        return "folder" if path.is_dir() else "file" if path.is_file() else None
    except OSError as error:
        raise SourceError(f"{path}: cannot be opened: {error.strerror}") from error


def _is_device(text: str) -> bool:
    """A camera by another path, as /dev/v4l/by-id/…"""
    try:
        return text.startswith("/dev/") and stat.S_ISCHR(Path(text).stat().st_mode)
    except OSError:
        return False


def _resizing(spec: InputSpec | None) -> dict[str, Any]:
    if spec is None:
        return {}
    return {"height": spec.height, "width": spec.width, "resize": spec.resize, "fit": spec.fit}
