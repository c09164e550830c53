"""Recordings as people have them: folders of clips, manifests, tables of numbers beside videos."""

from __future__ import annotations

from edgecap.dataset.clip import Clip, ClipFrames
from edgecap.dataset.find import TASKS, Dataset, open_dataset

__all__ = ["TASKS", "Clip", "ClipFrames", "Dataset", "open_dataset"]
