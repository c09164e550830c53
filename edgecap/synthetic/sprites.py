"""The things that move in a synthetic scene: hands and simple shapes, drawn from formulas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# Sprites are drawn once at this many pixels a side and sampled when placed, which is several
# times cheaper than evaluating the shape's formula in every frame.
_SIDE = 64
# A sprite spans [-_REACH, _REACH] in units of the object's radius; fingers reach past the palm.
_REACH = 1.35

SHAPES = ("hand", "disc", "square", "triangle", "ring", "cross")


@dataclass(frozen=True)
class Sprite:
    """A picture with transparency.

    Attributes:
      color: ``(S, S, 3)`` float32, RGB 0…255.
      alpha: ``(S, S, 1)`` float32, 0 transparent … 1 opaque.
    """

    color: FloatArray
    alpha: FloatArray

    def place(
        self, canvas: FloatArray, x_px: float, y_px: float, radius_px: float, opacity: float = 1.0
    ) -> None:
        """Blends the sprite into a canvas, in place; parts outside are cut off.

        Args:
          canvas: ``(H, W, 3)`` float32, RGB 0…255.
          x_px: column of the centre. y_px: row of the centre. radius_px: object radius.
          opacity: 0…1, multiplied with the sprite's own alpha.
        """
        height, width = canvas.shape[:2]
        half = radius_px * _REACH
        left, right = max(0, math.ceil(x_px - half)), min(width, math.floor(x_px + half) + 1)
        top, bottom = max(0, math.ceil(y_px - half)), min(height, math.floor(y_px + half) + 1)
        if left >= right or top >= bottom or opacity <= 0:
            return
        scale = (_SIDE - 1) / (2 * half)
        columns = np.clip(((np.arange(left, right) - x_px + half) * scale + 0.5), 0, _SIDE - 1)
        rows = np.clip(((np.arange(top, bottom) - y_px + half) * scale + 0.5), 0, _SIDE - 1)
        index = np.ix_(rows.astype(np.intp), columns.astype(np.intp))
        alpha = self.alpha[index] * np.float32(opacity)
        view = canvas[top:bottom, left:right]
        view += alpha * (self.color[index] - view)


def draw_sprite(shape: str, color: FloatArray, rng: np.random.Generator) -> Sprite:
    """Draws one of ``SHAPES`` at a random angle, with a slight texture and shading.

    Args:
      shape: one of ``SHAPES``.
      color: ``(3,)`` float32, RGB 0…255.
      rng: source of randomness.

    Raises:
      ValueError: the shape is unknown.
    """
    axis = np.linspace(-_REACH, _REACH, _SIDE, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    distance: npt.NDArray[Any]
    angle = rng.uniform(-0.5, 0.5) if shape == "hand" else rng.uniform(0, 2 * math.pi)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = cos * x - sin * y, sin * x + cos * y
    if shape == "hand":
        distance = _hand(x, y, rng)
    elif shape == "disc":
        distance = np.hypot(x, y) - 1
    elif shape == "square":
        distance = np.maximum(abs(x), abs(y)) - 0.85
    elif shape == "triangle":
        distance = np.maximum(abs(x) * 0.866 + y * 0.5, -y) - 0.55
    elif shape == "ring":
        distance = abs(np.hypot(x, y) - 0.75) - 0.28
    elif shape == "cross":
        distance = np.minimum(
            np.maximum(abs(x) - 0.32, abs(y) - 1), np.maximum(abs(y) - 0.32, abs(x) - 1)
        )
    else:
        raise ValueError(f"expected one of {', '.join(SHAPES)}; got {shape!r}")
    alpha = np.clip(0.5 - distance / 0.12, 0, 1)
    shade = 1 - 0.18 * (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1))
    grain = rng.normal(0, 6, (_SIDE, _SIDE, 1))
    texture = color * shade[..., None] + grain
    return Sprite(
        color=np.clip(texture, 0, 255).astype(np.float32),
        alpha=alpha[..., None].astype(np.float32),
    )


def _hand(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Signed distance of an open or half-closed hand: a palm, a thumb and up to four fingers."""
    distance: npt.NDArray[Any] = np.hypot(x / 0.62, (y - 0.35) / 0.68) * 0.62 - 0.62
    fingers = int(rng.integers(1, 5))
    for number in range(fingers):
        spread = (number - (fingers - 1) / 2) * 0.30
        length = rng.uniform(0.85, 1.15)
        distance = np.minimum(
            distance, _capsule(x, y, (spread * 0.8, 0.1), (spread * 1.3, -length)) - 0.14
        )
    thumb = _capsule(x, y, (-0.4, 0.5), (-0.95, 0.0)) - 0.15
    joined: npt.NDArray[Any] = np.minimum(distance, thumb)
    return joined


def _capsule(
    x: FloatArray, y: FloatArray, start: tuple[float, float], end: tuple[float, float]
) -> npt.NDArray[Any]:
    """Distance to the segment from ``start`` to ``end``."""
    (ax, ay), dx, dy = start, end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    distance: npt.NDArray[Any] = np.hypot(x - ax - along * dx, y - ay - along * dy)
    return distance
