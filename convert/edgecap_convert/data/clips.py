"""A dataset of clips as training material."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.dataset import Clip, Dataset
from edgecap.errors import ConfigError, DataError
from edgecap.spec import check_labels
from edgecap.synthetic import BACKGROUND
from edgecap_convert.data.augment import (
    Augmentation,
    AugmentConfig,
    exchange,
    mirrored_signs,
    plain,
)
from edgecap_convert.data.cached import CachedClip
from edgecap_convert.data.clip_recordings import ClipRecordings
from edgecap_convert.data.frames import FrameCache
from edgecap_convert.data.moving import BACKGROUND_FRAMES, background, put_before
from edgecap_convert.data.sequences import JOIN_PROBABILITY, Item, Origin
from edgecap_convert.data.splits import Split

# A stratum of which so many clips in a row are broken has no others.
_TRIES = 100
# Backgrounds of clips that are kept in memory.
_BACKGROUNDS = 256
# Of more clips than these, statistics are taken of some, and lengths as the containers say.
_OPENED = 1000

_log = logging.getLogger(__name__)


class ClipData:
    """The training, validation and test clips of one split; see ``TrainingData``.

    Attributes:
      split, broken: as given.
      training_recordings: the training clips as they are, for baselines.

    Args:
      dataset: what was found.
      split: who is where; without validation clips, the last weights of each stage are taken.
      broken: names of clips that are left out, with reasons, for the record.
      cache: gives the frames; must hold, or be able to decode, every clip of the split.
      augment: how training clips vary. The first variant of a clip in the pool is the clip itself.
      variants: versions of each clip in the pool.
      grace: at the start of a clip nothing can be known: no loss for this share of it.
      ramp: the weight of a frame grows from 1 by this much over a whole clip.
      longest: frames of an item at most; of longer clips, a part is drawn.
      pool_limit: items in the pool at most.

    A clip that did not fit into the cache is decoded when its turn comes. One that turns out
    broken only then is left out, with a warning, and named in ``broken``.

    Raises:
      DataError: nothing to train on, or fewer than two classes.
      ConfigError: a mirror that does not fit the labels.
      SpecError: a class whose name cannot be a label.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        cache: FrameCache,
        *,
        broken: Sequence[tuple[str, str]] = (),
        augment: AugmentConfig,
        variants: int,
        grace: float,
        ramp: float,
        longest: int,
        pool_limit: int = 20_000,
    ) -> None:
        self.name = dataset.name
        self.task = dataset.task
        self.labels = dataset.labels
        check_classes(dataset)
        self._check(split)
        self.background = (
            BACKGROUND if self.task == "classification" and BACKGROUND in self.labels else None
        )
        self.split, self.broken = split, tuple(broken)
        self._cache = cache
        self._augment, self._variants = augment, variants
        self._grace, self._ramp, self._longest = grace, ramp, longest
        self._pool_limit = pool_limit
        self._found_broken: set[Clip] = set()
        self._background = lru_cache(_BACKGROUNDS)(self._find_background)
        self._mirror: dict[int, int] = {}
        self._reverse: dict[int, int] = {}
        self._signs: npt.NDArray[np.float32] | None = None
        if self.task == "regression":
            self._signs = mirrored_signs(augment.mirror, self.labels)
            if augment.reverse:
                raise ConfigError("augment.reverse: values have no backwards; leave it out")
        else:
            self._mirror = exchange(augment.mirror, self.labels, setting="mirror")
            self._reverse = exchange(augment.reverse, self.labels, setting="reverse")
        self._strata = self._stratify(split.training)
        self.training_recordings = ClipRecordings(split.training, dataset, cache, self._leave_out)
        self.validation = ClipRecordings(split.validation, dataset, cache, self._leave_out)
        self.test = ClipRecordings(split.test, dataset, cache, self._leave_out)

    def _check(self, split: Split) -> None:
        if not split.training:
            raise DataError(f"{self.name}: no clips are left to train on; hold out less")
        if self.task == "classification":
            known = {clip.label for clip in split.training}
            missing = [label for label in self.labels if label not in known]
            if missing:
                raise DataError(
                    f"{self.name}: no clips to train {', '.join(missing)} on: all are in other "
                    "parts of the split. Add clips of other groups, or hold out less"
                )

    def _stratify(self, clips: Sequence[Clip]) -> list[list[Clip]]:
        """Clips that are drawn equally often: by class, or else all together."""
        if self.task != "classification":
            return [list(clips)]
        return [[clip for clip in clips if clip.label == label] for label in self.labels]

    def draw(self, number: int, rng: np.random.Generator) -> Item:
        """A clip with a fresh augmentation, each class as often as the others.

        Raises:
          DataError: hardly any clip can be decoded.
        """
        for _ in range(_TRIES):
            clips = self._strata[int(rng.integers(len(self._strata)))]
            if self.task == "regression":
                # Every frame as often as any other.
                clip = clips[int(rng.choice(len(clips), p=self._shares))]
            else:
                clip = clips[int(rng.integers(len(clips)))]
            opened = self._open(clip)
            if opened is not None:
                break
        else:
            raise DataError(
                f"{self.name}: {_TRIES} clips in a row cannot be decoded; the last is {clip.name}"
            )
        drawn = self._drawn(clip, rng)
        count = len(drawn.ticks(len(opened.ticks)))
        first = int(rng.integers(max(0, count - self._longest) + 1))
        targets, weights = self.truth(clip, drawn, first)
        return Item(
            self.images(clip, drawn, first),
            targets,
            weights,
            joined=bool(rng.random() < JOIN_PROBABILITY),
        )

    def _open(self, clip: Clip) -> CachedClip | None:
        """A training clip, or ``None`` where it turns out broken now."""
        if clip in self._found_broken:
            return None
        try:
            return self._cache.open(clip)
        except DataError as error:
            self._leave_out(clip, error)
            return None

    def _leave_out(self, clip: Clip, error: DataError) -> None:
        if clip not in self._found_broken:
            self._found_broken.add(clip)
            self.broken += ((clip.name, str(error)),)
            _log.warning("left out: %s", error)

    @cached_property
    def _shares(self) -> npt.NDArray[np.float64]:
        """Of each training clip in the length of all."""
        clips = self.split.training
        if len(clips) > _OPENED:
            lengths = [self._cache.expected_s(clip) for clip in clips]
        else:
            opened = [self._open(clip) for clip in clips]
            lengths = [len(each.ticks) if each is not None else 0.0 for each in opened]
        total = sum(lengths)
        if not total:
            raise DataError(f"{self.name}: no training clip can be decoded")
        return np.array(lengths) / total

    def pool(self) -> Sequence[ClipEntry]:
        """Every training clip in ``variants`` versions, the same ones in every run.

        Long clips come in parts. Where that is more than ``pool_limit``, some, evenly chosen from
        each stratum; only clips of which a version was chosen are opened.
        """
        quota = max(1, self._pool_limit // len(self._strata))
        entries = []
        for stratum, clips in enumerate(self._strata):
            parts = self._parts(stratum, clips, quota)
            entries += [parts[i] for i in evenly(len(parts), quota)]
        return entries

    def _parts(self, stratum: int, clips: Sequence[Clip], quota: int) -> list[ClipEntry]:
        """The parts of so many clips and versions at most, clip by clip."""
        versions: list[list[int]] = [[] for _ in clips]
        left = quota
        for variant in range(self._variants):
            chosen = evenly(len(clips), left)
            left -= len(chosen)
            for i in chosen:
                versions[i].append(variant)
        entries = []
        for clip, variants in zip(clips, versions, strict=True):
            opened = self._open(clip) if variants else None
            if opened is not None:
                content = self._cache.digest(clip)
                count = len(opened.ticks)
                for variant in variants:
                    # Seeded by the content: folds and runs share what they computed.
                    rng = np.random.default_rng([int(content[:12], 16), variant])
                    drawn = self._drawn(clip, rng) if variant else Augmentation()
                    other = self._backdrop(drawn)
                    before = self._cache.digest(other) if other is not None else None
                    for first in range(0, len(drawn.ticks(count)), self._longest):
                        described = [content, plain(drawn), before, first, self._longest]
                        text = json.dumps(described, sort_keys=True)
                        key = hashlib.sha256(text.encode()).hexdigest()[:32]
                        entries.append(ClipEntry(key, stratum, clip, drawn, first, self))
        return entries

    def _drawn(self, clip: Clip, rng: np.random.Generator) -> Augmentation:
        numbers = {self.labels.index(name) for name in clip.labels}
        mirrors = bool(self._augment.mirror)
        if self._signs is None:
            mirrors = mirrors and numbers <= self._mirror.keys()
        drawn = Augmentation.draw(
            self._augment,
            rng,
            may_mirror=mirrors,
            may_reverse=bool(self._reverse) and numbers <= self._reverse.keys(),
        )
        # Both exchange labels, one after the other; what comes between must be known too.
        between = {self._mirror.get(number) for number in numbers}
        if drawn.mirrored and drawn.reversed and not between <= self._reverse.keys():
            return dataclasses.replace(drawn, reversed=False)
        return drawn

    def images(self, clip: Clip, drawn: Augmentation, first: int) -> npt.NDArray[np.uint8]:
        """Frames of one draw, ``longest`` at most, from the frame number ``first`` on."""
        opened = self._cache.open(clip)
        ticks = drawn.ticks(len(opened.ticks))[first : first + self._longest]
        images = opened.take(ticks)
        other = self._backdrop(drawn)
        if other is not None:
            images = put_before(images, self._background(clip), self._background(other))
        return drawn.apply(images)

    def _backdrop(self, drawn: Augmentation) -> Clip | None:
        """The training clip whose background is drawn, if any.

        Clips lie on a ring by their contents, and the next one after the number drawn is taken: so
        most of the draws are the same in all folds, which then share what they computed.
        """
        if drawn.backdrop is None:
            return None
        places, clips = self._ring
        first = int(np.searchsorted(places, drawn.backdrop))
        around = (clips[(first + i) % len(clips)] for i in range(len(clips)))
        return next((clip for clip in around if self._open(clip) is not None), None)

    @cached_property
    def _ring(self) -> tuple[npt.NDArray[np.float64], list[Clip]]:
        """The training clips, and where each lies in 0 … 1."""
        placed = [(int(self._cache.digest(c)[:12], 16) / 16**12, c) for c in self.split.training]
        placed.sort(key=lambda each: each[0])
        return np.array([place for place, _ in placed]), [clip for _, clip in placed]

    def _find_background(self, clip: Clip) -> npt.NDArray[np.uint8]:
        opened = self._cache.open(clip)
        return background(opened.take(evenly(len(opened.ticks), BACKGROUND_FRAMES)))

    def origin(self, clip: Clip, drawn: Augmentation, first: int) -> Origin:
        """The clip that these frames were made of; of a long one, the part."""
        opened = self._cache.open(clip)
        ticks = drawn.ticks(len(opened.ticks))[first : first + self._longest]
        start, stop = 0, len(opened.ticks)
        if stop > 2 * self._longest:
            start, stop = int(ticks.min()), int(ticks.max()) + 1
        spec = self._cache.spec

        def follow(places: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return drawn.move(places[ticks - start], spec.height, spec.width)

        return Origin(
            f"{self._cache.digest(clip)[:32]}-{start}-{stop}",
            lambda: opened.take(np.arange(start, stop)),
            follow,
        )

    def truth(
        self, clip: Clip, drawn: Augmentation, first: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        """What is true of these frames, exchanged where they are mirrored, and their weights."""
        opened = self._cache.open(clip)
        every = drawn.ticks(len(opened.ticks))
        ticks = every[first : first + self._longest]
        weights = np.ones(len(ticks), np.float32)
        if self.task == "regression":
            assert opened.values is not None
            assert self._signs is not None
            values = np.array(opened.values[ticks], np.float32)
            return values * self._signs if drawn.mirrored else values, weights
        course = (first + np.arange(len(ticks)) + 1) / len(every)
        weights = np.where(
            course > self._grace, 1 + self._ramp * (course - self._grace), 0.0
        ).astype(np.float32)
        numbers = [self.labels.index(name) for name in clip.labels]
        for happened, table in ((drawn.mirrored, self._mirror), (drawn.reversed, self._reverse)):
            if happened:
                numbers = [table[number] for number in numbers]
        if self.task == "classification":
            return np.full(len(ticks), numbers[0], np.int64), weights
        targets = np.zeros((len(ticks), len(self.labels)), np.float32)
        targets[:, numbers] = 1.0
        return targets, weights

    def value_statistics(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
        """Mean and deviation of the values over the training clips."""
        if self.task != "regression":
            return None
        clips = self.split.training
        opened = [self._open(clips[i]) for i in evenly(len(clips), _OPENED)]
        values = [each.values for each in opened if each is not None]
        joined = np.concatenate([array for array in values if array is not None])
        deviation = joined.std(axis=0)
        return joined.mean(axis=0), np.where(deviation > 0, deviation, 1.0).astype(np.float32)

    def summary(self) -> dict[str, Any]:
        parts = {
            "training": self.split.training,
            "validation": self.split.validation,
            "test": self.split.test,
        }
        return {
            "kind": "clips",
            "task": self.task,
            "clips": {part: len(clips) for part, clips in parts.items()},
            "groups": {part: len({c.group for c in clips}) for part, clips in parts.items()},
            "labels": {
                part: dict(Counter(name for clip in clips for name in clip.labels))
                for part, clips in parts.items()
            },
            "notes": list(self.split.notes),
            "broken": [list(entry) for entry in self.broken],
            "fingerprint": self._fingerprint(),
        }

    def _fingerprint(self) -> str:
        """Changes when clips come, go, are renamed or change parts."""
        digest = hashlib.sha256()
        for part in ("training", "validation", "test"):
            for clip in getattr(self.split, part):
                line = f"{part} {clip.name} {self._cache.digest(clip)}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class ClipEntry:
    """A version of (a part of) a clip, see ``PoolEntry``."""

    key: str
    stratum: int
    clip: Clip
    drawn: Augmentation
    first: int
    data: ClipData

    def images(self) -> npt.NDArray[np.uint8]:
        return self.data.images(self.clip, self.drawn, self.first)

    def truth(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        return self.data.truth(self.clip, self.drawn, self.first)

    def origin(self) -> Origin:
        return self.data.origin(self.clip, self.drawn, self.first)


def evenly(length: int, most: int) -> npt.NDArray[np.int64]:
    """At most ``most`` of ``length`` indices, evenly spread."""
    if length <= most:
        return np.arange(length)
    return np.round(np.linspace(0, length - 1, most)).astype(np.int64)


def usable(dataset: Dataset, clips: Sequence[Clip]) -> Dataset:
    """The dataset without the clips that turned out broken."""
    kept = {id(clip) for clip in clips}
    remaining = tuple(clip for clip in dataset.clips if id(clip) in kept)
    return dataclasses.replace(dataset, clips=remaining)


def check_classes(dataset: Dataset) -> None:
    """Refuses labels that nothing can be told by.

    Raises:
      DataError: fewer than two classes. SpecError: a name that cannot be a label.
    """
    check_labels(dataset.labels)
    if dataset.task == "classification" and len(dataset.labels) < 2:
        raise DataError(
            f"{dataset.name}: all clips are of one class, {dataset.labels[0]!r}; expected at least "
            "two"
        )
