"""Where frames come from."""

from __future__ import annotations

import re
from pathlib import Path

from edgecap.errors import SourceError
from edgecap.sources.base import Frame, Source

__all__ = ["SOURCE_FORMS", "Frame", "Source", "open_source"]

SOURCE_FORMS = "a camera index (0), a video file, a folder of images, or synthetic:"
_DEFAULT_SIZE = (96, 96)
_DEFAULT_FOLDER_RATE_HZ = 12.0


def open_source(
    name: str | int | Path,
    *,
    size: tuple[int, int] | None = None,
    rate_hz: float | None = None,
) -> Source:
    """Opens a source of frames.

    Args:
      name: a camera index (``0``), a video file, a folder of images, or
        ``synthetic:seed=1,gestures=20``.
      size: (height, width) that the frames will be used at; sources that can choose follow it.
      rate_hz: frames a second that they will be used at; sources that can choose follow it, and a
        folder's images are taken to be this far apart.

    Raises:
      SourceError: the source does not exist or cannot be opened.
      MissingDependencyError: it needs OpenCV, which is not installed.
    """
    text = str(name)
    if text.startswith("synthetic:"):
        from edgecap.sources.synthetic import SyntheticSource, parse_scene

        height, width = size or _DEFAULT_SIZE
        chosen = {"rate_hz": rate_hz} if rate_hz else {}
        scene, _ = parse_scene(text.partition(":")[2], height=height, width=width, **chosen)
        return SyntheticSource(scene, text)
    if re.fullmatch(r"\d{1,3}", text):
        from edgecap.sources.video import Camera

        return Camera(int(text))
    path = Path(text)
    kind = _kind(path) if text else None
    if kind == "folder":
        from edgecap.sources.folder import ImageFolder

        return ImageFolder(path, rate_hz=rate_hz or _DEFAULT_FOLDER_RATE_HZ)
    if kind == "file":
        from edgecap.sources.video import VideoFile

        return VideoFile(path)
    raise SourceError(f"{text}: no such file or folder; a source is {SOURCE_FORMS}")


def _kind(path: Path) -> str | None:
    try:
        return "folder" if path.is_dir() else "file" if path.is_file() else None
    except OSError as error:
        raise SourceError(f"{path}: cannot be opened: {error.strerror}") from error
