"""What stands behind the moving object, and everything in it that only distracts."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# Room around the frame, as a share of its shorter side, that camera shake can move into.
_MARGIN = 0.12


class Background:
    """A textured wall seen by a shaky, noisy camera, with distractions.

    Distractions are drawn per background: a patch that sways like a curtain, specks that drift,
    a light that flickers. None of them depends on the gesture.
    """

    def __init__(self, height: int, width: int, rng: np.random.Generator) -> None:
        self._height, self._width, self._rng = height, width, rng
        side = min(height, width)
        self._margin = max(2, round(_MARGIN * side))
        self._wall = _texture(height + 2 * self._margin, width + 2 * self._margin, rng)
        #: ``(3,)`` float32 mean colour, for choosing an object that stands out.
        self.mean_color: FloatArray = self._wall.mean(axis=(0, 1))
        self._shake_px = rng.uniform(0.0, 0.022) * side
        self._shake_phase = rng.uniform(0, 2 * math.pi, 4)
        self._shake_rate = rng.uniform(1.0, 9.0, 4)
        noise_sigma = rng.uniform(2.0, 9.0)
        self._noise = rng.normal(0, noise_sigma, (height + 24, width + 24, 3)).astype(np.float32)
        self._flicker = rng.uniform(0, 12.0) if rng.random() < 0.4 else 0.0
        self._flicker_rate = rng.uniform(2.0, 20.0)
        self._curtain = self._draw_curtain() if rng.random() < 0.4 else None
        self._specks = self._draw_specks() if rng.random() < 0.5 else None

    def view(self, time_s: float) -> FloatArray:
        """The background at a time, without noise: ``(H, W, 3)`` float32, a fresh array."""
        a, b = self._shake_rate, self._shake_phase
        dx = self._shake_px * (math.sin(a[0] * time_s + b[0]) + math.sin(a[1] * time_s + b[1]))
        dy = self._shake_px * (math.sin(a[2] * time_s + b[2]) + math.sin(a[3] * time_s + b[3]))
        left, top = self._margin + round(dx / 1.5), self._margin + round(dy / 1.5)
        left = min(max(left, 0), 2 * self._margin)
        top = min(max(top, 0), 2 * self._margin)
        canvas = self._wall[top : top + self._height, left : left + self._width].copy()
        if self._curtain is not None:
            x0, y0, x1, y1, sway_px, rate = self._curtain
            shift = round(sway_px * math.sin(rate * time_s))
            source = left + x0 + shift
            source = min(max(source, 0), self._wall.shape[1] - (x1 - x0))
            canvas[y0:y1, x0:x1] = self._wall[top + y0 : top + y1, source : source + x1 - x0]
        if self._specks is not None:
            start, speed, color = self._specks
            columns = (start[0] + speed[0] * time_s) % self._width
            rows = (start[1] + speed[1] * time_s) % self._height
            canvas[rows.astype(np.intp), columns.astype(np.intp)] = color
        if self._flicker:
            canvas += np.float32(self._flicker * math.sin(self._flicker_rate * time_s))
        return canvas

    def expose(self, canvas: FloatArray) -> npt.NDArray[np.uint8]:
        """Adds the camera's noise and rounds: ``(H, W, 3)`` uint8 RGB. The canvas is used up."""
        row, column = self._rng.integers(0, 25, 2)
        canvas += self._noise[row : row + self._height, column : column + self._width]
        np.clip(canvas, 0, 255, out=canvas)
        return canvas.astype(np.uint8)

    def _draw_curtain(self) -> tuple[int, int, int, int, float, float]:
        rng = self._rng
        width = round(self._width * rng.uniform(0.15, 0.35))
        height = round(self._height * rng.uniform(0.3, 0.8))
        x0 = int(rng.integers(0, self._width - width + 1))
        y0 = int(rng.integers(0, self._height - height + 1))
        sway_px = rng.uniform(0.01, 0.04) * min(self._height, self._width)
        return x0, y0, x0 + width, y0 + height, sway_px, rng.uniform(2.0, 6.0)

    def _draw_specks(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        rng = self._rng
        number = int(rng.integers(4, 24))
        size = np.array([[self._width], [self._height]], np.float32)
        start = (rng.random((2, number)) * size).astype(np.float32)
        speed = (rng.normal(0, 0.25, (2, number)) * size).astype(np.float32)
        return start, speed, rng.uniform(0, 255, (number, 3)).astype(np.float32)


def _texture(height: int, width: int, rng: np.random.Generator) -> FloatArray:
    """Coloured value noise in several octaves, with stripes now and then: float32 0…255."""
    base = rng.uniform(50, 205, 3)
    wall = np.broadcast_to(base, (height, width, 3)).astype(np.float32)
    strength = rng.uniform(15, 60)
    for octave, cells in enumerate((2, 4, 8, 16, 32)):
        grid = rng.normal(0, 1, (cells + 1, cells + 1))
        layer = _stretch_to(cells, height) @ grid @ _stretch_to(cells, width).T
        tint = rng.normal(1.0, 0.4, 3)
        wall += (strength / (octave + 1) * layer)[..., None] * tint
    if rng.random() < 0.3:
        y, x = np.mgrid[:height, :width]
        angle, period = rng.uniform(0, math.pi), rng.uniform(0.06, 0.3) * min(height, width)
        wave = np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)
        wall += (rng.uniform(5, 25) * wave)[..., None]
    return np.clip(wall, 0, 255).astype(np.float32)


def _stretch_to(cells: int, size: int) -> npt.NDArray[np.float64]:
    """The matrix of linear interpolation from ``cells + 1`` knots to ``size`` samples."""
    position = np.linspace(0, cells, size)
    knots = np.arange(cells + 1)
    weights: npt.NDArray[np.float64] = np.clip(1 - abs(position[:, None] - knots), 0, 1)
    return weights
