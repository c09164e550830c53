"""Where the object of a synthetic scene is, and how large, at each instant of a gesture.

Gestures come in pairs that are each other's time reversal: *left* played backwards is *right*,
*up* is *down*, *clockwise* is *counterclockwise*, *towards* is *away*. Both members of a pair are
drawn from the same random paths and the pace is symmetric in time, so the frames of one, taken
singly and in any order, are distributed like the frames of the other: **no single frame tells the
class**, only the order does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BACKGROUND = "background"

#: label → the label of the same motion played backwards.
REVERSED = {
    "left": "right",
    "right": "left",
    "up": "down",
    "down": "up",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
    "towards": "away",
    "away": "towards",
}

GESTURES = tuple(REVERSED)
LABELS = (BACKGROUND, *GESTURES)

# The member of each pair whose path is drawn; the other one is that path played backwards.
_FORWARD = {"left", "up", "clockwise", "towards"}


@dataclass(frozen=True)
class Pose:
    """Position of the object's centre and its radius, in units of the frame's shorter side."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Path:
    """One random path: a line, an arc or a change of size, with a tremor of its own.

    ``Path.draw`` makes it; ``at(u)`` gives the pose at ``u`` in 0…1.
    """

    kind: str
    center_x: float
    center_y: float
    radius: float
    extent: float
    direction: float
    bend: float
    zoom: float
    backwards: bool

    @classmethod
    def draw(cls, label: str, rng: np.random.Generator, aspect: float = 1.0) -> Path:
        """Draws a random path for a gesture.

        Args:
          label: one of ``GESTURES``.
          rng: the only source of randomness; the same state gives the same path, and a label and
            its reversal give the same path in opposite directions.
          aspect: frame width over its shorter side (1 for square frames, 4/3 for VGA).

        Raises:
          ValueError: the label is not a gesture.
        """
        if label not in REVERSED:
            raise ValueError(f"expected one of {', '.join(GESTURES)}; got {label!r}")
        backwards = label not in _FORWARD
        kind = REVERSED[label] if backwards else label
        radius = rng.uniform(0.10, 0.17)
        tilt = rng.normal(0.0, math.radians(7))
        if kind in ("left", "up"):
            extent = rng.uniform(0.32, 0.55)
            direction = (math.pi if kind == "left" else -math.pi / 2) + tilt
            reach_x, reach_y = (extent / 2, 0.08) if kind == "left" else (0.08, extent / 2)
        elif kind == "clockwise":
            extent = rng.uniform(0.13, 0.22)
            direction = rng.uniform(0, 2 * math.pi)
            reach_x = reach_y = extent
        else:
            extent = 0.0
            direction = 0.0
            reach_x = reach_y = 0.08
        margin = 0.75 * radius
        return cls(
            kind=kind,
            center_x=_between(rng, margin + reach_x, aspect - margin - reach_x),
            center_y=_between(rng, margin + reach_y, 1.0 - margin - reach_y),
            radius=radius,
            extent=extent,
            direction=direction,
            bend=rng.normal(0.0, 0.05),
            zoom=rng.uniform(1.5, 1.9),
            backwards=backwards,
        )

    def at(self, u: float) -> Pose:
        """The pose at ``u`` (0 = start, 1 = end); values outside stay at the ends."""
        u = min(max(u, 0.0), 1.0)
        s = _ease(1.0 - u if self.backwards else u)
        if self.kind in ("left", "up"):
            along, across = self.extent * (s - 0.5), self.bend * (4 * s * (1 - s) - 0.5)
            cos, sin = math.cos(self.direction), math.sin(self.direction)
            x = self.center_x + along * cos - across * sin
            y = self.center_y + along * sin + across * cos
            return Pose(x, y, self.radius)
        if self.kind == "clockwise":
            # Image coordinates grow downwards, so a growing angle turns clockwise on the screen.
            angle = self.direction + 2 * math.pi * 1.25 * s
            return Pose(
                self.center_x + self.extent * math.cos(angle),
                self.center_y + self.extent * (1 + self.bend) * math.sin(angle),
                self.radius,
            )
        # Towards the camera: the size grows geometrically around the path's own radius.
        return Pose(
            self.center_x + self.bend * (s - 0.5),
            self.center_y,
            self.radius * self.zoom ** (2 * s - 1),
        )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """A uniform draw, or the middle where the interval is empty (a path as large as the frame)."""
    return rng.uniform(low, high) if low < high else (low + high) / 2


def _ease(u: float) -> float:
    """A pace that starts and ends gently and is symmetric in time: ease(1 − u) = 1 − ease(u)."""
    return 0.5 * u + 0.5 * u * u * (3 - 2 * u)
