"""Training material, opened by name."""

from __future__ import annotations

from edgecap.errors import DataError
from edgecap.recordings import SYNTHETIC
from edgecap_convert.data.clips import ClipData
from edgecap_convert.data.scenes import SceneData
from edgecap_convert.data.sequences import (
    FrameFormat,
    LabelledFrame,
    SequenceBatch,
    TrainingData,
    batches,
)

__all__ = [
    "FrameFormat",
    "LabelledFrame",
    "SequenceBatch",
    "TrainingData",
    "batches",
    "open_training_data",
]


def open_training_data(name: str, frames: FrameFormat, *, seed: int) -> TrainingData:
    """Opens ``synthetic:`` or a folder per class of clips.

    Raises:
      DataError: nothing usable there.
    """
    if name.startswith(SYNTHETIC):
        if name != SYNTHETIC:
            raise DataError(f"{name}: training takes plain 'synthetic:'; the seed is --seed")
        return SceneData(name, frames)
    return ClipData(name, frames, seed=seed)
