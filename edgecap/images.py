"""Picture files, as RGB."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecap.errors import DataError
from edgecap.extras import require_cv2

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

# Above these it is not read: a small file may claim to be a very large picture.
_MAX_BYTES = 1 << 28
_MAX_PIXELS = 1 << 28


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Reads a picture: grey ones become RGB, of transparent ones the colours are taken, 16 bits
    become 8.

    Returns:
      ``(h, w, 3)`` uint8 RGB, turned as its EXIF says.

    Raises:
      DataError: no such file, no picture, or one of more than 268 megapixels.
      MissingDependencyError: OpenCV is not installed.
    """
    cv2 = require_cv2("to read pictures")
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _MAX_BYTES:
        raise DataError(f"{path}: more than {_MAX_BYTES >> 20} MB is too large for a picture")
    size = _claimed_size(data)
    if size is not None and size[0] * size[1] > _MAX_PIXELS:
        raise DataError(
            f"{path}: {size[0]}×{size[1]} pixels are too many; expected {_MAX_PIXELS >> 20} "
            "megapixels at most"
        )
    image: Any = None
    if data:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            # Of what it refuses by itself.
            image = None
    if image is None:
        raise DataError(f"{path}: not a picture that OpenCV can read (JPEG, PNG, WebP, …)")
    return np.ascontiguousarray(image[:, :, ::-1])


def _claimed_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a PNG claims; a decoder would take the memory before it looks."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    return None
