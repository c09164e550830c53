"""Training material: clips and synthetic scenes, as endless batches of sequences."""

from __future__ import annotations

from edgecap_convert.data.sequences import (
    FrameFormat,
    Item,
    PoolEntry,
    Recordings,
    SequenceBatch,
    TrainingData,
    batches,
)

__all__ = [
    "FrameFormat",
    "Item",
    "PoolEntry",
    "Recordings",
    "SequenceBatch",
    "TrainingData",
    "batches",
]
