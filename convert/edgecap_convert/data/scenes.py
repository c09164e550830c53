"""Synthetic scenes as training material, from the runtime's own generator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation import Recording, record_scene
from edgecap.synthetic import BACKGROUND, LABELS, Scene, SceneFrame
from edgecap_convert.data.sequences import FrameFormat, LabelledFrame

# Scenes below this number are for training; validation takes the ones above, evaluation (see
# edgecap.recordings) those above 2⁴⁸.
_TRAINING_SEEDS = 1 << 40
_GESTURES_A_SCENE = 6
_VALIDATION_SCENES = 4
_VALIDATION_GESTURES = 25

# For this long after a change, the truth can be one or the other: no loss there.
_GRACE_START_S = 0.33
_GRACE_END_S = 0.17
# Two thirds of all frames are background.
_BACKGROUND_WEIGHT = 0.4


class SceneData:
    """Endless scenes of a few gestures each; the state is reset between scenes.

    Args:
      name: as given by the user.
      frames: size and rate.
    """

    labels = LABELS
    background: str | None = BACKGROUND

    def __init__(self, name: str, frames: FrameFormat) -> None:
        self.name = name
        self._frames = frames
        self.validation: tuple[Recording, ...] = tuple(
            record_scene(self._scene(_TRAINING_SEEDS + number, _VALIDATION_GESTURES))
            for number in range(_VALIDATION_SCENES)
        )

    def stream(self, rng: np.random.Generator) -> Iterator[LabelledFrame]:
        rate_hz = self._frames.rate_hz
        while True:
            gesture, since = -1, 0
            for frame in self._scene(int(rng.integers(_TRAINING_SEEDS)), _GESTURES_A_SCENE):
                since = since + 1 if frame.gesture == gesture else 0
                gesture = frame.gesture
                grace_s = _GRACE_START_S if gesture >= 0 else _GRACE_END_S
                settled = since >= round(grace_s * rate_hz)
                weight = 1.0 if gesture >= 0 else _BACKGROUND_WEIGHT
                yield LabelledFrame(
                    image=frame.image,
                    label=LABELS.index(frame.label),
                    weight=weight if settled else 0.0,
                    reset=frame.index == 0,
                )

    def summary(self) -> dict[str, Any]:
        return {
            "kind": "synthetic scenes",
            "validation_gestures": sum(len(r.segments) for r in self.validation),
        }

    def _scene(self, seed: int, gestures: int) -> Scene:
        return Scene(
            seed=seed,
            height=self._frames.height,
            width=self._frames.width,
            rate_hz=self._frames.rate_hz,
            gestures=gestures,
        )


def pose_batches(
    frames: FrameFormat, *, batch: int, seed: int
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]]:
    """Endless batches of single frames with where their object is, for pretraining an encoder.

    Yields:
      ``(batch, H, W, 3)`` uint8 RGB, and ``(batch, 4)`` float32: x and y from the middle of the
      frame in units of the shorter side, ln(radius / 0.13), and 1 if there is an object, else 0
      (then the first three are 0).
    """
    rows = [_pose_frames(frames, np.random.default_rng([seed, 1, row])) for row in range(batch)]
    middle_x = frames.width / min(frames.width, frames.height) / 2
    middle_y = frames.height / min(frames.width, frames.height) / 2
    while True:
        chosen = [next(row) for row in rows]
        poses = [
            (f.pose.x - middle_x, f.pose.y - middle_y, math.log(f.pose.radius / 0.13), 1.0)
            if f.pose is not None
            else (0.0, 0.0, 0.0, 0.0)
            for f in chosen
        ]
        yield np.stack([f.image for f in chosen]), np.array(poses, np.float32)


def _pose_frames(frames: FrameFormat, rng: np.random.Generator) -> Iterator[SceneFrame]:
    """Every third frame of short scenes: neighbours show nearly the same."""
    while True:
        scene = Scene(
            seed=int(rng.integers(_TRAINING_SEEDS)),
            height=frames.height,
            width=frames.width,
            rate_hz=frames.rate_hz,
            gestures=3,
        )
        first = int(rng.integers(3))
        yield from (frame for frame in scene if frame.index % 3 == first)
