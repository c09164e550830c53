"""Clips as recordings, to evaluate and to calibrate on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from edgecap.dataset import Clip, Dataset
from edgecap.errors import DataError
from edgecap.evaluation import Recording
from edgecap.recordings import recording_of
from edgecap_convert.data.cached import TickImages
from edgecap_convert.data.frames import FrameCache


class ClipRecordings:
    """Clips as recordings at the model's rate, whose images are read when they are asked for.

    Args:
      clips: of the dataset. cache: gives the frames.
      leave_out: told of each clip that turns out broken only now.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        dataset: Dataset,
        cache: FrameCache,
        leave_out: Callable[[Clip, DataError], None],
    ) -> None:
        self._clips, self._dataset, self._cache = tuple(clips), dataset, cache
        self._leave_out = leave_out

    def __len__(self) -> int:
        return len(self._clips)

    def __iter__(self) -> Iterator[Recording]:
        for clip in self._usable:
            opened = self._cache.open(clip)
            # Ticks are at twice the model's rate.
            ticks = np.arange(0, len(opened.ticks), 2)
            values = None if opened.values is None else opened.values[::2]
            images: Any = TickImages(opened, ticks)
            yield recording_of(
                clip,
                self._dataset,
                images=images,
                timestamps_s=np.arange(len(ticks)) / self._cache.rate_hz,
                values=values,
            )

    def keys(self) -> Sequence[str]:
        return [self._cache.digest(clip) for clip in self._usable]

    @cached_property
    def _usable(self) -> tuple[Clip, ...]:
        kept = []
        for clip in self._clips:
            try:
                self._cache.open(clip)
            except DataError as error:
                self._leave_out(clip, error)
            else:
                kept.append(clip)
        return tuple(kept)

    def first(self, count: int) -> ClipRecordings:
        """At most this many of them, evenly chosen."""
        if len(self) <= count:
            return self
        chosen = np.linspace(0, len(self) - 1, count).astype(int)
        clips = [self._clips[i] for i in chosen]
        return ClipRecordings(clips, self._dataset, self._cache, self._leave_out)
