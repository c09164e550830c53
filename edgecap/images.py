"""Picture files, as RGB."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecap.documents import read_small
from edgecap.errors import DataError
from edgecap.extras import MAX_PIXELS, require_cv2

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_MAX_BYTES = 1 << 28
_PNG = b"\x89PNG\r\n\x1a\n"


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
        data = read_small(path, _MAX_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    size = _claimed_size(data)
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise DataError(
            f"{path}: {size[0]}×{size[1]} pixels are too many; expected {MAX_PIXELS / 1e6:.0f} "
            "megapixels at most"
        )
    image: Any = None
    # Of a PNG that was cut short, libpng itself would tell on stderr.
    if data and not (data.startswith(_PNG) and b"IEND" not in data):
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            # Of what it refuses by itself.
            image = None
    if image is None:
        raise DataError(
            f"{path}: not a picture that OpenCV can read (JPEG, PNG, WebP, …), or cut short"
        )
    return np.ascontiguousarray(image[:, :, ::-1])


def _claimed_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a PNG claims; a decoder would take the memory before it looks."""
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    return None
