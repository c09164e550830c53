"""A folder of images, in the natural order of their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edgecap.errors import DataError, SourceError
from edgecap.images import read_image
from edgecap.sources.base import ClosingSource, Frame

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")


class ImageFolder(ClosingSource):
    """Images as the frames of a film: ``frame2.png`` comes before ``frame10.png``.

    Args:
      path: the folder; subfolders are not entered.
      rate_hz: frames a second the images stand for.

    Raises:
      SourceError: no such folder, or no image in it.
    """

    live = False

    def __init__(self, path: str | Path, *, rate_hz: float) -> None:
        self.name = str(path)
        self.rate_hz: float | None = rate_hz
        folder = Path(path)
        try:
            if not folder.is_dir():
                raise SourceError(f"{path}: no such folder")
            self._files = list_images(folder)
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
        if not self._files:
            raise SourceError(f"{path}: no images in this folder; expected {', '.join(SUFFIXES)}")

    def __iter__(self) -> Iterator[Frame]:
        rate_hz = self.rate_hz or 1.0
        for index, file in enumerate(self._files):
            try:
                image = read_image(file)
            except DataError as error:
                raise SourceError(str(error)) from error
            yield Frame(index, index / rate_hz, image)


def list_images(folder: Path) -> list[Path]:
    """The image files directly in a folder, in natural order."""
    files = (f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file())
    return sorted(files, key=lambda f: natural_key(f.name))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts digits by value: a2 before a10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
