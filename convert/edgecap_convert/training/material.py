"""From the name of some data to what a training reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgecap.dataset import open_dataset
from edgecap.errors import DataError
from edgecap.recordings import SYNTHETIC
from edgecap_convert.data import TrainingData
from edgecap_convert.data.clips import ClipData, check_classes, usable
from edgecap_convert.data.frames import FrameCache
from edgecap_convert.data.scenes import SceneData
from edgecap_convert.data.splits import Split, cross_validation, split_clips
from edgecap_convert.training.config import TrainConfig


@dataclass(frozen=True)
class Fold:
    """One part of a cross-validation.

    Attributes:
      number: of this fold, from 0.
      folds: how many there are; or else ``column``: of the manifest, names them.
    """

    number: int
    folds: int | None = None
    column: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"number": self.number, "folds": self.folds, "column": self.column}


def open_material(
    name: str,
    config: TrainConfig,
    *,
    seed: int,
    strict: bool = False,
    fold: Fold | None = None,
) -> TrainingData:
    """Opens ``synthetic:`` or a dataset of clips, decoded into the cache.

    Args:
      name: as given by the user.
      config: size, rate, split and augmentation.
      seed: decides who validates.
      strict: refuse broken clips, instead of leaving them out.
      fold: whose clips test, instead of what ``config.split`` says.

    Raises:
      DataError: nothing usable there.
      ConfigError: settings that do not fit the data.
    """
    if name.startswith(SYNTHETIC):
        if name != SYNTHETIC:
            raise DataError(f"{name}: training takes plain 'synthetic:'; the seed is --seed")
        if fold is not None or config.task not in (None, SceneData.task):
            raise DataError(f"{name}: scenes are endless, and classification: they have no folds")
        return SceneData(name, config.frames, pool=config.scenes)
    dataset = open_dataset(name, task=config.task)
    # Decoding may take hours: what is wrong with labels or split is told before.
    check_classes(dataset)
    choose_split(dataset.clips, config, seed=seed, fold=fold)
    frames = config.frames
    cache = FrameCache(frames.input, frames.rate_hz, limit_bytes=config.cache_bytes)
    report = cache.fill(dataset.clips, strict=strict)
    dataset = usable(dataset, report.usable)
    return ClipData(
        dataset,
        choose_split(dataset.clips, config, seed=seed, fold=fold),
        cache,
        broken=[(clip.name, reason) for clip, reason in report.broken],
        augment=config.augment,
        variants=config.variants,
        grace=config.grace,
        ramp=config.ramp,
        longest=config.longest,
        pool_limit=config.pool_limit,
    )


def choose_split(clips: Any, config: TrainConfig, *, seed: int, fold: Fold | None) -> Split:
    """Who trains, validates and tests."""
    if fold is None:
        split = config.split
        return split_clips(
            clips, validation=split.validation, test=split.test, column=split.column, seed=seed
        )
    splits = cross_validation(
        clips,
        folds=fold.folds,
        column=fold.column,
        validation=config.split.validation,
        seed=seed,
    )
    if not 0 <= fold.number < len(splits):
        raise DataError(f"fold {fold.number}: expected 0 to {len(splits) - 1}")
    return splits[fold.number]
