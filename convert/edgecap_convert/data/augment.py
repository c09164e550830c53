"""Augmentation that respects motion: what changes, changes alike in all frames of a clip.

A crop, a colour or a noise that differed from frame to frame would itself be motion. So one
:class:`Augmentation` is drawn for a whole item and applied to each of its frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConfigError
from edgecap.extras import require_cv2

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class AugmentConfig:
    """How far augmentation goes; the defaults change nothing but start and speed a little.

    Attributes:
      zoom: the picture is scaled by 1/(1 + zoom) to 1 + zoom.
      shift: it is moved by up to this share of its width and height.
      rotate: it is turned by up to this many degrees.
      light: brightness and contrast change by up to this share.
      color: the colour channels are scaled apart by up to this share.
      speed: the clip plays 1/(1 + speed) to 1 + speed times as fast.
      start: up to this share of the clip is left out at its beginning.
      backdrop: in this share of the draws, what moves is put before the still background of another
        training clip, so that places are not learnt with what happens there. For cameras that stand
        still; clips in which it is not clear what moves stay as they are.
      mirror: which label a mirrored clip has. Clips whose label is not named here are never
        mirrored; for regression, ``"-name"`` says that the value changes its sign.
      reverse: which label a clip played backwards has, likewise. Not for regression.
    """

    zoom: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    light: float = 0.0
    color: float = 0.0
    speed: float = 0.1
    start: float = 0.1
    backdrop: float = 0.0
    mirror: dict[str, str] = field(default_factory=dict)
    reverse: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = {"zoom": 4.0, "shift": 1.0, "rotate": 180.0, "light": 1.0, "color": 1.0}
        for name, limit in (limits | {"speed": 4.0, "start": 0.9, "backdrop": 1.0}).items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ConfigError(f"augment.{name}: expected 0 to {limit:g}; got {value}")


@dataclass(frozen=True)
class Augmentation:
    """One draw: what happens to all frames of one item.

    Attributes:
      mirrored: left and right are exchanged, before anything else.
      reversed: the clip is played backwards.
      scale, degrees, shift_x, shift_y: see ``AugmentConfig``; shifts in shares of the side.
      gain, lift, tint: value · gain · tint + lift, for values of 0 to 255.
      speed, start: see ``AugmentConfig``; start as a share of the clip.
      backdrop: in 0 … 1, says which other clip's; ``None``: its own.
    """

    mirrored: bool = False
    reversed: bool = False
    scale: float = 1.0
    degrees: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    gain: float = 1.0
    lift: float = 0.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    speed: float = 1.0
    start: float = 0.0
    backdrop: float | None = None

    @classmethod
    def draw(
        cls,
        config: AugmentConfig,
        rng: np.random.Generator,
        *,
        may_mirror: bool,
        may_reverse: bool = False,
    ) -> Augmentation:
        """Draws one augmentation; the same generator state gives the same one."""
        mirrored = bool(rng.random() < 0.5) and may_mirror
        backwards = bool(rng.random() < 0.5) and may_reverse
        # Factors are drawn evenly in their logarithm: halving is as likely as doubling.
        zoom, speed = (
            math.exp(rng.uniform(-1, 1) * math.log1p(limit))
            for limit in (config.zoom, config.speed)
        )
        shift_x, shift_y = rng.uniform(-config.shift, config.shift, 2).tolist()
        degrees = rng.uniform(-config.rotate, config.rotate)
        gain = 1 + rng.uniform(-config.light, config.light)
        lift = 128 * rng.uniform(-config.light, config.light)
        red, green, blue = (1 + rng.uniform(-config.color, config.color, 3)).tolist()
        return cls(
            mirrored=mirrored,
            reversed=backwards,
            scale=zoom,
            degrees=degrees,
            shift_x=shift_x,
            shift_y=shift_y,
            gain=gain,
            lift=lift,
            tint=(red, green, blue),
            speed=speed,
            start=rng.uniform(0, config.start),
            backdrop=rng.random() if config.backdrop and rng.random() < config.backdrop else None,
        )

    @property
    def moves_pixels(self) -> bool:
        still = (1.0, 0.0, 0.0, 0.0)
        return self.mirrored or (self.scale, self.degrees, self.shift_x, self.shift_y) != still

    @property
    def changes_values(self) -> bool:
        return (self.gain, self.lift, self.tint) != (1.0, 0.0, (1.0, 1.0, 1.0))

    def apply(self, images: Images) -> Images:
        """``(N, H, W, 3)`` uint8 RGB → a new array of the same shape.

        What comes in from outside the frame repeats its border.
        """
        if not (self.moves_pixels or self.changes_values):
            return np.array(images)
        cv2 = require_cv2("to augment clips")
        height, width = images.shape[1:3]
        matrix = self._matrix(height, width)
        levels = np.arange(256, dtype=np.float64)[:, None] * self.gain * np.array(self.tint)
        table = np.clip(np.rint(levels + self.lift), 0, 255).astype(np.uint8)[None]
        result = np.empty(images.shape, np.uint8)
        for image, into in zip(images, result, strict=True):
            moved = image
            if self.moves_pixels:
                moved = cv2.warpAffine(
                    np.ascontiguousarray(image),
                    matrix,
                    (width, height),
                    flags=cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_REPLICATE,
                )
            into[...] = cv2.LUT(moved, table) if self.changes_values else moved
        return result

    def _matrix(self, height: int, width: int) -> npt.NDArray[np.float64]:
        """Source → destination: mirror, turn and scale around the middle, then shift."""
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        angle = math.radians(self.degrees)
        cos, sin = self.scale * math.cos(angle), self.scale * math.sin(angle)
        sign = -1.0 if self.mirrored else 1.0
        linear = np.array([[cos * sign, sin], [-sin * sign, cos]])
        target = np.array([middle_x + self.shift_x * width, middle_y + self.shift_y * height])
        offset = target - linear @ np.array([middle_x, middle_y])
        return np.concatenate([linear, offset[:, None]], axis=1)

    def move(
        self, places: npt.NDArray[np.float32], height: int, width: int
    ) -> npt.NDArray[np.float32]:
        """Where places in a frame of this size are afterwards.

        Args:
          places: ``(N, 3)``: x and y in shares of width and height, and a weight.

        Returns:
          The same; the weight is 0 for what has left the frame.
        """
        matrix, size = self._matrix(height, width), np.array([width, height])
        moved = ((places[:, :2] * size - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5) / size
        inside = ((moved >= 0) & (moved <= 1)).all(axis=1)
        return np.concatenate([moved, (places[:, 2] * inside)[:, None]], axis=1).astype(np.float32)

    def ticks(self, count: int) -> npt.NDArray[np.int64]:
        """Which half-frames of a clip to play.

        Args:
          count: how many half-frames it has: it is sampled at twice the model's rate.

        Returns:
          Increasing indices below ``count``, or decreasing ones if reversed; at least one.
        """
        first = self.start * max(0, count - 1)
        ticks = np.rint(np.arange(first, count - 0.5, 2 * self.speed)).astype(np.int64)
        return ticks[::-1] if self.reversed else ticks


def exchange(table: dict[str, str], labels: tuple[str, ...], *, setting: str) -> dict[int, int]:
    """Checks ``mirror`` or ``reverse``: number of each label that may be changed → what it becomes.

    Raises:
      ConfigError: a label that there is not, or one that does not come back when changed twice.
    """
    found = {}
    for label, other in table.items():
        for name in (label, other):
            if name not in labels:
                raise ConfigError(
                    f"augment.{setting}: {name!r} is no label; expected some of {', '.join(labels)}"
                )
        if table.get(other) != label:
            raise ConfigError(
                f"augment.{setting}: {label!r} becomes {other!r}, which becomes "
                f"{table.get(other)!r}; expected {label!r} again"
            )
        found[labels.index(label)] = labels.index(other)
    return found


def mirrored_signs(mirror: dict[str, str], names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """For regression: +1 or −1 for each value.

    Raises:
      ConfigError: a name that there is not, or something else than ``name`` or ``-name``.
    """
    signs = np.ones(len(names), np.float32)
    for name, other in mirror.items():
        if name not in names or other not in (name, f"-{name}"):
            raise ConfigError(
                f"augment.mirror: expected a value of {', '.join(names)} and itself or its "
                f"negative; got {name!r} and {other!r}"
            )
        signs[names.index(name)] = -1.0 if other.startswith("-") else 1.0
    return signs


def plain(augmentation: Augmentation) -> dict[str, Any]:
    """The draw as plain data, for keys."""
    return {name: getattr(augmentation, name) for name in augmentation.__dataclass_fields__}
