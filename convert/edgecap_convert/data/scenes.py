"""Synthetic scenes as training material, from the runtime's own generator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation import Recording, record_scene
from edgecap.synthetic import BACKGROUND, LABELS, Scene
from edgecap_convert.data.sequences import FrameFormat, Item, Origin

# Scenes below this number are for training; validation takes the ones above, evaluation (see
# edgecap.recordings) those above 2⁴⁸.
_TRAINING_SEEDS = 1 << 40
_POOL_SEED = 1
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
      pool: number of scenes in the pool.
    """

    task = "classification"
    labels = LABELS
    background: str | None = BACKGROUND

    def __init__(self, name: str, frames: FrameFormat, *, pool: int) -> None:
        self.name = name
        self._frames = frames
        self._pool = pool
        self.validation = SceneRecordings(
            [
                self._scene(_TRAINING_SEEDS + number, _VALIDATION_GESTURES)
                for number in range(_VALIDATION_SCENES)
            ]
        )
        self.test = SceneRecordings([])

    def draw(self, number: int, rng: np.random.Generator) -> Item:
        """A scene that was not drawn before."""
        return _item(self._scene(int(rng.integers(_TRAINING_SEEDS)), _GESTURES_A_SCENE))

    def pool(self) -> Sequence[SceneEntry]:
        """The first scenes of a fixed list."""
        seeds = np.random.default_rng(_POOL_SEED).integers(_TRAINING_SEEDS, size=self._pool)
        return [SceneEntry(self._scene(seed, _GESTURES_A_SCENE)) for seed in seeds.tolist()]

    def value_statistics(self) -> None:
        return None

    def summary(self) -> dict[str, Any]:
        return {
            "kind": "synthetic scenes",
            "validation_gestures": _VALIDATION_SCENES * _VALIDATION_GESTURES,
        }

    def _scene(self, seed: int, gestures: int) -> Scene:
        return Scene(
            seed=seed,
            height=self._frames.height,
            width=self._frames.width,
            rate_hz=self._frames.rate_hz,
            gestures=gestures,
        )


class SceneEntry:
    """A scene of the pool, see ``PoolEntry``."""

    stratum = 0

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.key = _key(scene)

    @cached_property
    def _truth(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        item = _item(self._scene)
        return item.targets, item.weights

    def images(self) -> npt.NDArray[np.uint8]:
        item = _item(self._scene)
        # Drawing the scene again for the truth alone would take as long.
        self._truth = item.targets, item.weights
        return item.inputs

    def truth(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        return self._truth

    def origin(self) -> Origin:
        return Origin(self.key, self.images, lambda places: places)


class SceneRecordings:
    """Scenes as recordings, drawn when their turn comes and kept: they are few."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self._scenes = tuple(scenes)
        self._drawn: dict[int, Recording] = {}

    def __len__(self) -> int:
        return len(self._scenes)

    def __iter__(self) -> Iterator[Recording]:
        for number, scene in enumerate(self._scenes):
            if number not in self._drawn:
                self._drawn[number] = record_scene(scene)
            yield self._drawn[number]

    def keys(self) -> Sequence[str]:
        return [_key(scene) for scene in self._scenes]

    def first(self, count: int) -> SceneRecordings:
        return self if len(self) <= count else SceneRecordings(self._scenes[:count])


def _key(scene: Scene) -> str:
    parts = (scene.seed, scene.script, scene.height, scene.width, scene.rate_hz)
    return "scene-" + "-".join(map(str, parts))


def _item(scene: Scene) -> Item:
    """A whole scene; there is no loss where the truth has just changed."""
    images, labels, weights = [], [], []
    gesture, since = -1, 0
    for frame in scene:
        since = since + 1 if frame.gesture == gesture else 0
        gesture = frame.gesture
        grace_s = _GRACE_START_S if gesture >= 0 else _GRACE_END_S
        settled = since >= round(grace_s * scene.rate_hz)
        weight = 1.0 if gesture >= 0 else _BACKGROUND_WEIGHT
        images.append(frame.image)
        labels.append(LABELS.index(frame.label))
        weights.append(weight if settled else 0.0)
    return Item(np.stack(images), np.array(labels, np.int64), np.array(weights, np.float32))


class PoseData:
    """Single frames with where their object is, for pretraining an encoder."""

    def __init__(self, frames: FrameFormat) -> None:
        self._frames = frames

    def draw(self, number: int, rng: np.random.Generator) -> Item:
        """Every third frame of a short scene: neighbours show nearly the same.

        The targets are ``(N, 4)`` float32: x and y from the middle of the frame in units of the
        shorter side, ln(radius / 0.13), and 1 if there is an object, else 0 (then the first three
        are 0).
        """
        side = min(self._frames.width, self._frames.height)
        middle_x, middle_y = self._frames.width / side / 2, self._frames.height / side / 2
        scene = Scene(
            seed=int(rng.integers(_TRAINING_SEEDS)),
            height=self._frames.height,
            width=self._frames.width,
            rate_hz=self._frames.rate_hz,
            gestures=3,
        )
        first = int(rng.integers(3))
        images, poses = [], []
        for frame in scene:
            if frame.index % 3 != first:
                continue
            pose = frame.pose
            images.append(frame.image)
            poses.append(
                (pose.x - middle_x, pose.y - middle_y, math.log(pose.radius / 0.13), 1.0)
                if pose is not None
                else (0.0, 0.0, 0.0, 0.0)
            )
        weights = np.ones(len(images), np.float32)
        return Item(np.stack(images), np.array(poses, np.float32), weights)
