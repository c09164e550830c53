"""The frames that a benchmark gives to a model: a moving scene, drawn beforehand."""

from __future__ import annotations

import itertools

from edgecap.errors import MissingDependencyError
from edgecap.extras import require_cv2
from edgecap.preprocess import Image
from edgecap.spec import InputSpec
from edgecap.synthetic import Scene

#: Height and width where OpenCV can bring frames to the model's size.
CAMERA_SIZE = (480, 640)
_SEED = 1
# A single picture would always get the same answer. Many would have to come from main memory, where
# a camera's frame does not: it has just been copied, or decoded, when the model is given it.
_COUNT = 4
# Frames of a scene that are this far apart differ; it rests before its first gesture.
_APART, _SKIPPED = 3, 6
# A scene is not drawn smaller.
_SMALLEST = 16


def scene_frames(height: int, width: int, count: int = _COUNT) -> tuple[Image, ...]:
    """``count`` frames ``(height, width, 3)`` uint8 RGB of a moving scene, always the same ones."""
    scene = Scene(seed=_SEED, height=max(height, _SMALLEST), width=max(width, _SMALLEST))
    found = itertools.islice(scene, _SKIPPED, _SKIPPED + _APART * count, _APART)
    return tuple(frame.image[:height, :width].copy() for frame in found)


def frame_size(spec: InputSpec, size: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) of the frames to measure with.

    Args:
      size: what was asked for; by default that of a camera, or the model's own without OpenCV.

    Raises:
      MissingDependencyError: another size than the model's was asked for, without OpenCV.
    """
    own = (spec.height, spec.width)
    if size == own:
        return own
    try:
        require_cv2("to resize frames")
    except MissingDependencyError:
        if size is not None:
            raise
        return own
    return size or CAMERA_SIZE


def size_name(size: tuple[int, ...]) -> str:
    """``(480, 640, …)`` → ``640x480``."""
    return f"{size[1]}x{size[0]}"
