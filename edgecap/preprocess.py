"""A camera frame → the model's image. The same code in training and on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgecap.errors import FrameError
from edgecap.extras import require_cv2
from edgecap.spec import InputSpec

if TYPE_CHECKING:
    import numpy.typing as npt

Image = np.ndarray[Any, np.dtype[np.uint8]]


def resize(image: Image, spec: InputSpec) -> Image:
    """Brings a frame to the model's size, by the spec's rule.

    Args:
      image: ``(h, w, 3)`` uint8.

    Returns:
      ``(H, W, 3)`` uint8, C-contiguous; the frame itself where it has that size already.

    Raises:
      FrameError: not an ``(h, w, 3)`` uint8 array.
      MissingDependencyError: the size differs and OpenCV is not installed.
    """
    check_frame(image)
    if spec.fit == "crop":
        image = _crop(image, spec.width / spec.height)
    if image.shape[:2] == (spec.height, spec.width):
        return np.ascontiguousarray(image)
    cv2 = require_cv2("to resize frames")
    if spec.resize == "linear":
        rows, left_over = divmod(image.shape[0], spec.height)
        if rows % 2 and not left_over:
            # Each row of the result then lies on one row of the frame: with only those, the same
            # bytes come at three quarters of the time (480 rows to 160 or 96, 1080 to 120 or 72).
            image = image[rows // 2 :: rows]
        method = cv2.INTER_LINEAR
    else:
        method = cv2.INTER_AREA
    resized: Image = cv2.resize(image, (spec.width, spec.height), interpolation=method)
    return resized


def check_frame(image: Any) -> None:
    """Raises ``FrameError`` unless the image is ``(h, w, 3)`` uint8 with at least one pixel."""
    if not isinstance(image, np.ndarray):
        raise FrameError(f"frame: expected a NumPy array; got {type(image).__name__}")
    if image.dtype != np.uint8:
        raise FrameError(f"frame: expected dtype uint8 (0 to 255); got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise FrameError(f"frame: expected shape (height, width, 3), RGB; got {image.shape}")


class Preprocessor:
    """Turns frames into the image tensor, reusing one buffer.

    With the spec's grid of (u8 − 128) / 127.5 at zero-point 0, int8 = u8 − 128 exactly, which is
    one XOR of the sign bit.
    """

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._shape = (spec.height, spec.width, 3)
        self._float = spec.tensor.dtype == "float32"
        self._bytes = np.empty(spec.tensor.shape, np.uint8)
        self._signed = self._bytes.view(np.int8)
        # What a call would make anew each time.
        self._image, self._sign = self._bytes[0], np.uint8(0x80)

    def __call__(self, image: Image) -> npt.NDArray[Any]:
        """``(h, w, 3)`` uint8 RGB → the image tensor, valid until the next call.

        Raises:
          FrameError: wrong shape or dtype.
        """
        if getattr(image, "shape", None) != self._shape or image.dtype != np.uint8:
            image = resize(image, self._spec)
        if self._float:
            return (image[None].astype(np.float32) - 128.0) * np.float32(1 / 127.5)
        np.bitwise_xor(image, self._sign, out=self._image)
        return self._signed


def _crop(image: Image, aspect: float) -> Image:
    """The largest centred part with the given width over height."""
    height, width = image.shape[:2]
    if width > height * aspect:
        keep = max(1, round(height * aspect))
        left = (width - keep) // 2
        return image[:, left : left + keep]
    keep = max(1, round(width / aspect))
    top = (height - keep) // 2
    return image[top : top + keep]
