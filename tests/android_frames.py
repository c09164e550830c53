"""A camera's frames as Android gives them: YUV 4:2:0 planes with strides, stored turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
ROTATIONS = (0, 90, 180, 270)


@dataclass(frozen=True)
class Layout:
    """How planes lie in memory.

    Attributes:
      padding: bytes behind each row but the last.
      pixel_stride: of the chroma planes: 1, or 2 where U and V are interleaved.
    """

    padding: int = 0
    pixel_stride: int = 1


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """One frame.

    Attributes:
      y: ``(h, w)``; u, v: ``(⌈h/2⌉, ⌈w/2⌉)``, all uint8, as stored.
      rotation: degrees clockwise that make it upright.
      layout: how it lies in memory.
    """

    y: Bytes
    u: Bytes
    v: Bytes
    rotation: int
    layout: Layout

    def upright_rgb(self) -> Bytes:
        """``(H, W, 3)`` uint8 RGB: what the runtime is given in Python."""
        return np.ascontiguousarray(
            np.rot90(yuv_to_rgb(self.y, self.u, self.v), -self.rotation // 90)
        )

    def planes(self, noise: np.random.Generator) -> dict[str, bytes]:
        """Each plane's bytes in its layout; what is no pixel is noise, so that reading it shows."""
        chroma = self.layout.pixel_stride
        return {
            "y": _lay(self.y, self.layout.padding, 1, noise),
            "u": _lay(self.u, self.layout.padding, chroma, noise),
            "v": _lay(self.v, self.layout.padding, chroma, noise),
        }

    def describe(self) -> dict[str, Any]:
        """Sizes, strides and rotation, as the vectors name them."""
        height, width = self.y.shape
        stride, padding = self.layout.pixel_stride, self.layout.padding
        return {
            "width": width,
            "height": height,
            "rotation": self.rotation,
            "y_row_stride": width + padding,
            "chroma_row_stride": self.u.shape[1] * stride + padding,
            "chroma_pixel_stride": stride,
        }


def yuv_to_rgb(y: Bytes, u: Bytes, v: Bytes) -> Bytes:
    """BT.601 over the full range, in integers; the same formula as ``YuvFrame.java``.

    A chroma sample holds for its 2×2 pixels.

    Args:
      y: ``(h, w)``. u, v: ``(⌈h/2⌉, ⌈w/2⌉)``.

    Returns:
      ``(h, w, 3)`` uint8.
    """
    height, width = y.shape
    bright = y.astype(np.int32)
    blue, red = (
        (plane.astype(np.int32) - 128).repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        for plane in (u, v)
    )
    rgb = (
        bright + ((91881 * red + 32768) >> 16),
        bright - ((22554 * blue + 46802 * red + 32768) >> 16),
        bright + ((116130 * blue + 32768) >> 16),
    )
    return np.clip(np.stack(rgb, axis=-1), 0, 255).astype(np.uint8)


def random_frame(
    width: int, height: int, rotation: int, layout: Layout, rng: np.random.Generator
) -> StoredFrame:
    """Noise over the whole range: every rounding and every clamp comes up."""
    chroma = ((height + 1) // 2, (width + 1) // 2)
    return StoredFrame(
        y=rng.integers(0, 256, (height, width), dtype=np.uint8),
        u=rng.integers(0, 256, chroma, dtype=np.uint8),
        v=rng.integers(0, 256, chroma, dtype=np.uint8),
        rotation=rotation,
        layout=layout,
    )


def filmed(image: Bytes, rotation: int, layout: Layout) -> StoredFrame:
    """What a camera that is turned would store of an upright ``(H, W, 3)`` scene."""
    stored = np.rot90(image, rotation // 90).astype(np.float64)
    red, green, blue = (stored[..., channel] for channel in range(3))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    u = (blue - bright) / 1.772 + 128
    v = (red - bright) / 1.402 + 128
    rounded = (np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in (bright, _half(u), _half(v)))
    return StoredFrame(*rounded, rotation, layout)


def _half(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return plane[::2, ::2]


def _lay(plane: Bytes, padding: int, stride: int, noise: np.random.Generator) -> bytes:
    height, width = plane.shape
    rows = noise.integers(0, 256, (height, width * stride + padding), dtype=np.uint8)
    rows[:, : width * stride : stride] = plane
    # A camera's last row ends with its last pixel.
    return rows.tobytes()[: (height - 1) * rows.shape[1] + (width - 1) * stride + 1]
