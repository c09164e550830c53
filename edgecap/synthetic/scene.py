"""An endless, license-free camera: gestures in front of backgrounds that distract."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecap.synthetic.background import Background
from edgecap.synthetic.motions import BACKGROUND, GESTURES, LABELS, Path, Pose
from edgecap.synthetic.sprites import SHAPES, Sprite, draw_sprite

DEFAULT_RATE_HZ = 12.0
_SMALLEST, _LARGEST = 16, 4096
_FADE_S = 0.2
# An object must differ from the mean of the wall by this much (RGB distance) to be seen at all.
_CONTRAST = 75.0


@dataclass(frozen=True)
class SceneFrame:
    """One frame of a scene and what is true of it.

    Attributes:
      index: 0, 1, 2, …
      timestamp_s: seconds since the scene began.
      image: ``(H, W, 3)`` uint8 RGB.
      label: the gesture under way, or ``background``.
      gesture: number of the gesture under way (0, 1, …), or −1 in the background.
      pose: where the object is and how large, or ``None`` where there is none.
    """

    index: int
    timestamp_s: float
    image: npt.NDArray[np.uint8]
    label: str
    gesture: int
    pose: Pose | None


class Scene:
    """Gestures one after the other, with rests, false starts and empty stretches between them.

    Iterating gives :class:`SceneFrame`. The same arguments give the same frames, byte for byte.

    Args:
      seed: any non-negative integer.
      height, width: size of the frames in pixels; 16 to 4096.
      rate_hz: frames a second.
      gestures: the labels to perform in this order, a number of random ones, or ``None`` for an
        endless scene. To perform ``background`` is to come, hover and go.

    Raises:
      ValueError: a size, rate or label is out of range.
    """

    def __init__(
        self,
        *,
        seed: int,
        height: int,
        width: int,
        rate_hz: float = DEFAULT_RATE_HZ,
        gestures: Sequence[str] | int | None = None,
    ) -> None:
        if min(height, width) < _SMALLEST or max(height, width) > _LARGEST:
            raise ValueError(
                f"expected frames of {_SMALLEST} to {_LARGEST} pixels a side; got {width}×{height}"
            )
        if not 1.0 <= rate_hz <= 240.0:
            raise ValueError(f"expected a rate of 1 to 240 frames a second; got {rate_hz}")
        if not isinstance(gestures, (int, type(None))):
            for label in gestures:
                if label not in LABELS:
                    raise ValueError(
                        f"expected one of {', '.join(GESTURES)} or {BACKGROUND}; got {label!r}"
                    )
        self.seed, self.height, self.width, self.rate_hz = seed, height, width, rate_hz
        self.script = gestures

    def __iter__(self) -> Iterator[SceneFrame]:
        rng = np.random.default_rng(self.seed)
        background = Background(self.height, self.width, rng)
        index, gesture = 0, 0
        for label in self._labels(rng):
            for shot in self._act(label, background, rng):
                time_s = index / self.rate_hz
                canvas = background.view(time_s)
                if shot.sprite is not None and shot.pose is not None:
                    side = min(self.height, self.width)
                    shot.sprite.place(
                        canvas,
                        shot.pose.x * side,
                        shot.pose.y * side,
                        shot.pose.radius * side,
                        shot.opacity,
                    )
                image = background.expose(canvas)
                under_way = gesture if shot.label != BACKGROUND else -1
                yield SceneFrame(index, time_s, image, shot.label, under_way, shot.pose)
                index += 1
            if label != BACKGROUND:
                gesture += 1

    def _labels(self, rng: np.random.Generator) -> Iterator[str]:
        """The acts to play: gestures in shuffled rounds, with idle acts strewn in."""
        if self.script is not None and not isinstance(self.script, int):
            for label in self.script:
                if rng.random() < 0.2:
                    yield BACKGROUND
                yield label
            return
        played = 0
        while True:
            for number in rng.permutation(len(GESTURES)):
                if played == self.script:
                    return
                if rng.random() < 0.2:
                    yield BACKGROUND
                yield GESTURES[number]
                played += 1

    def _act(self, label: str, background: Background, rng: np.random.Generator) -> Iterator[_Shot]:
        """Enter, rest, perform, rest, leave. An idle act only hovers."""
        sprite = _pick_sprite(background, rng)
        aspect = self.width / min(self.height, self.width)
        idle = label == BACKGROUND
        kind = GESTURES[int(rng.integers(len(GESTURES)))] if idle else label
        path = Path.draw(kind, rng, aspect)
        if idle:
            seconds = rng.uniform(0.8, 2.0)
        elif path.kind == "clockwise":
            seconds = rng.uniform(1.2, 2.0)
        else:
            seconds = rng.uniform(0.7, 1.4)
        hover = _Hover(rng)
        rest_in, rest_out = rng.uniform(0.25, 0.8), rng.uniform(0.3, 0.8)
        empty = rng.uniform(0.2, 0.9) if rng.random() < 0.6 else 0.1
        total = rest_in + seconds + rest_out
        for step in range(round(total * self.rate_hz)):
            now = step / self.rate_hz
            progress = (now - rest_in) / seconds
            under_way = 0 <= progress < 1 and not idle
            pose = hover.at(path.at(0.0 if idle else progress), now, strong=idle)
            opacity = min(1.0, (now + 0.05) / _FADE_S, (total - now + 0.05) / _FADE_S)
            yield _Shot(sprite, pose, opacity, label if under_way else BACKGROUND)
        for _ in range(round(empty * self.rate_hz)):
            yield _Shot(None, None, 0.0, BACKGROUND)


@dataclass(frozen=True)
class _Shot:
    sprite: Sprite | None
    pose: Pose | None
    opacity: float
    label: str


class _Hover:
    """The tremor of a hand at rest; stronger in idle acts, where it is all that happens."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._phase = rng.uniform(0, 2 * math.pi, 3)
        self._rate = rng.uniform(3.0, 11.0, 3)
        self._size = rng.uniform(0.002, 0.012)

    def at(self, pose: Pose, time_s: float, *, strong: bool) -> Pose:
        size = self._size * (2.0 if strong else 1.0)
        wave = np.sin(self._rate * time_s + self._phase)
        return Pose(
            pose.x + size * float(wave[0]),
            pose.y + size * float(wave[1]),
            pose.radius * (1 + 2 * size * float(wave[2])),
        )


def _pick_sprite(background: Background, rng: np.random.Generator) -> Sprite:
    """A hand half of the time, otherwise a shape, in a colour that the wall does not swallow."""
    shape = "hand" if rng.random() < 0.5 else SHAPES[int(rng.integers(1, len(SHAPES)))]
    for _ in range(50):
        if shape == "hand":
            # From light to dark skin, by one brightness, with some variation.
            color = np.array([232, 190, 160]) * rng.uniform(0.3, 1.05) + rng.normal(0, 8, 3)
        else:
            color = rng.uniform(0, 255, 3)
        color = np.clip(color, 0, 255).astype(np.float32)
        if float(np.linalg.norm(color - background.mean_color)) >= _CONTRAST:
            break
    else:
        color = np.where(background.mean_color > 127, 20, 235).astype(np.float32)
    return draw_sprite(shape, color.astype(np.float32), rng)
