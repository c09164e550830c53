"""Recordings as people have them: a folder per class, with video files or folders of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgecap.errors import DataError, EdgecapError, MissingDependencyError
from edgecap.preprocess import Image, resize
from edgecap.rate import RateGate
from edgecap.sources import open_source
from edgecap.sources.folder import SUFFIXES as IMAGE_SUFFIXES
from edgecap.sources.folder import natural_key
from edgecap.spec import InputSpec

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ogv")


@dataclass(frozen=True)
class Clip:
    """A recording of one class.

    Attributes:
      path: a video file or a folder of images.
      label: the class.
    """

    path: Path
    label: str

    def read(self, spec: InputSpec, rate_hz: float) -> Iterator[tuple[Image, float]]:
        """The clip at the model's size and rate.

        Args:
          spec: size and resize rule.
          rate_hz: frames a second; a slower recording keeps its own rate.

        Returns:
          ``(H, W, 3)`` uint8 RGB images with their timestamps in seconds.

        Raises:
          DataError: the clip cannot be decoded.
        """
        try:
            with open_source(self.path, rate_hz=rate_hz) as source:
                for frame in RateGate(rate_hz).select(source):
                    yield resize(frame.image, spec), frame.timestamp_s
        except MissingDependencyError:
            raise
        except EdgecapError as error:
            raise DataError(f"unreadable clip: {error}") from error


def find_clips(folder: str | Path) -> list[Clip]:
    """Lists the clips of a folder per class, classes and clips in natural order.

    Raises:
      DataError: no such folder, a folder that cannot be read, or no clips.
    """
    root = Path(folder)
    clips = []
    try:
        if not root.is_dir():
            raise DataError(
                f"{folder}: no such folder; expected a folder per class, or 'synthetic:'"
            )
        classes = (d for d in root.iterdir() if d.is_dir() and not d.name.startswith("."))
        for directory in sorted(classes, key=lambda d: natural_key(d.name)):
            found = [entry for entry in directory.iterdir() if _is_clip(entry)]
            found.sort(key=lambda entry: natural_key(entry.name))
            clips += [Clip(entry, directory.name) for entry in found]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
    if not clips:
        raise DataError(
            f"{folder}: no clips found; expected CLASS/clip.mp4 or CLASS/clip/frame.jpg, "
            f"videos being {', '.join(VIDEO_SUFFIXES)}"
        )
    return clips


def _is_clip(entry: Path) -> bool:
    if entry.name.startswith("."):
        return False
    if entry.is_dir():
        return any(f.suffix.lower() in IMAGE_SUFFIXES for f in entry.iterdir())
    return entry.suffix.lower() in VIDEO_SUFFIXES
