"""Frames with their truth: what a model is measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecap.errors import DataError
from edgecap.preprocess import Image
from edgecap.synthetic import Scene


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording in which one thing happens: frames ``start`` to ``stop`` − 1."""

    label: str
    start: int
    stop: int

    @property
    def second_half(self) -> slice:
        """The frames that its answer is taken from: what it is can be known no sooner."""
        return slice((self.start + self.stop) // 2, self.stop)


@dataclass(frozen=True)
class Recording:
    """Frames at the model's size and rate, and what is true of them.

    Attributes:
      name: for messages.
      images: ``(N, H, W, 3)`` uint8 RGB.
      timestamps_s: ``(N,)`` float64.
      truth: the label of each frame (classification).
      segments: what is to be recognised; of a clip, all of it (classification).
      is_stream: gestures follow each other, so that events can be told right or wrong.
      targets: ``(N, K)`` float32: the true values (regression), or 0 and 1 (multi-label); for
        these ``truth`` is empty.
      group: recordings of one group are near duplicates, and stay together when some are kept
        apart; empty: it stands for itself.
    """

    name: str
    images: npt.NDArray[np.uint8]
    timestamps_s: npt.NDArray[np.float64]
    truth: tuple[str, ...]
    segments: tuple[Segment, ...]
    is_stream: bool
    targets: npt.NDArray[np.float32] | None = None
    group: str = ""


def targets_of(recording: Recording, width: int) -> npt.NDArray[np.float32]:
    """The targets of a recording of which each frame must have some.

    Args:
      width: the model's labels.

    Raises:
      DataError: there are none, or of another shape.
    """
    expected = (len(recording.images), width)
    targets = recording.targets
    if targets is None or targets.shape != expected:
        found = "none" if targets is None else f"{targets.shape}"
        raise DataError(f"{recording.name}: expected targets of shape {expected}; got {found}")
    return targets


def record_scene(scene: Scene) -> Recording:
    """Plays a finite scene into a recording; its gestures are the segments."""
    images: list[Image] = []
    times: list[float] = []
    truth: list[str] = []
    starts: dict[int, int] = {}
    stops: dict[int, int] = {}
    for frame in scene:
        images.append(frame.image)
        times.append(frame.timestamp_s)
        truth.append(frame.label)
        if frame.gesture >= 0:
            starts.setdefault(frame.gesture, frame.index)
            stops[frame.gesture] = frame.index + 1
    return Recording(
        name=f"scene {scene.seed}",
        images=np.stack(images),
        timestamps_s=np.array(times),
        truth=tuple(truth),
        segments=tuple(Segment(truth[starts[g]], starts[g], stops[g]) for g in starts),
        is_stream=True,
    )
