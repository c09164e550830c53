"""Which clips train, validate and test: by group, so that near duplicates stay on one side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.dataset import Clip
from edgecap.errors import DataError
from edgecap.sources.folder import natural_key

#: What a manifest's column may say of a fixed split.
PARTS = ("train", "validation", "test")
_PART_OF = {"train": 0, "training": 0, "validation": 1, "val": 1, "test": 2}
# Groups come in lumps: the best of so many random choices is taken.
_TRIES = 64


@dataclass(frozen=True)
class Split:
    """The clips of each part, each in the order of their names.

    Attributes:
      training, validation, test: the clips; the last two may be empty.
      notes: what a reader of the results should know of the split.
    """

    training: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Names and groups by part, for the run's record."""
        parts = {"training": self.training, "validation": self.validation, "test": self.test}
        result: dict[str, Any] = {
            part: [clip.name for clip in clips] for part, clips in parts.items()
        }
        result["groups"] = {
            part: sorted({clip.group for clip in clips}, key=natural_key)
            for part, clips in parts.items()
        }
        result["notes"] = list(self.notes)
        return result


def split_clips(
    clips: Sequence[Clip],
    *,
    validation: float,
    test: float = 0.0,
    seed: int,
    column: str | None = None,
) -> Split:
    """Divides clips by group; labels are spread evenly as far as the groups allow.

    The order of the clips does not matter: the same clips and seed give the same split.

    Args:
      clips: to divide.
      validation: share of the clips that are not for testing.
      test: share of all clips.
      seed: decides which groups go where.
      column: the manifest's column that says ``train``, ``validation`` or ``test`` of each clip;
        ``test`` is then left aside, and ``validation`` used where no clip is for validation.

    Raises:
      DataError: a label with one clip, too few groups, or a column that is not there or says
        something else.
    """
    _check_share("validation", validation)
    _check_share("test", test)
    clips = _ordered(clips)
    if column is not None:
        return _fixed(clips, column, validation, seed)
    _refuse_single(clips)
    rng = np.random.default_rng([seed, 0])
    rest, tested = _hold_out(clips, test, rng, "testing")
    training, validated = _hold_out(rest, validation, rng, "validation")
    return _split(training, validated, tested)


def cross_validation(
    clips: Sequence[Clip],
    *,
    folds: int | None = None,
    column: str | None = None,
    validation: float,
    seed: int,
) -> list[Split]:
    """One split per fold, with the fold as its test part.

    Args:
      clips: to divide.
      folds: how many, by group and stratified by label (scikit-learn's StratifiedGroupKFold).
      column: the manifest's column that says the fold of each clip, instead.
      validation: share of the clips outside the fold, by group.
      seed: of the folds and of the validation parts.

    Raises:
      DataError: neither or both of folds and column, fewer groups than folds, or a column that is
        not there or is empty for a clip.
    """
    _check_share("validation", validation)
    if (folds is None) == (column is None):
        raise DataError("cross-validation: expected either a number of folds or a column")
    clips = _ordered(clips)
    if column is not None:
        values = _column(clips, column)
        names = sorted(set(values), key=natural_key)
        if len(names) < 2:
            raise DataError(
                f"column {column!r}: all {len(clips)} clips are of fold {names[0]!r}; expected "
                "at least two folds"
            )
        numbers = np.array([names.index(value) for value in values])
    else:
        numbers = _folds(clips, folds or 0, seed)
    splits = []
    for fold in range(int(numbers.max()) + 1):
        tested = [clip for clip, number in zip(clips, numbers, strict=True) if number == fold]
        rest = [clip for clip, number in zip(clips, numbers, strict=True) if number != fold]
        rng = np.random.default_rng([seed, 1, fold])
        training, validated = _hold_out(rest, validation, rng, "validation")
        splits.append(_split(training, validated, tested))
    return splits


def _folds(clips: list[Clip], folds: int, seed: int) -> npt.NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    groups = [clip.group for clip in clips]
    if not 2 <= folds <= len(set(groups)):
        raise DataError(
            f"folds: expected 2 to {len(set(groups))}, the number of groups; got {folds}"
        )
    # Several labels are stratified by their combination. Regression has none: then one class, and
    # what is balanced is the number of clips.
    classes = [";".join(sorted(clip.labels)) for clip in clips]
    counts = {name: classes.count(name) for name in classes}
    # It refuses when every class is rarer than there are folds; those then count as one.
    classes = [name if counts[name] >= folds else "" for name in classes]
    if all(classes.count(name) < folds for name in set(classes)):
        classes = [""] * len(clips)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % (1 << 32))
    numbers = np.full(len(clips), -1, np.int64)
    with warnings.catch_warnings():
        # A class with fewer clips than folds is no reason to stop.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, tested) in enumerate(splitter.split(np.zeros(len(clips)), classes, groups)):
            numbers[tested] = fold
    if len(set(numbers.tolist())) < folds:
        raise DataError(
            f"folds: {folds} do not work with groups of such different sizes: a fold stays empty; "
            "take fewer"
        )
    return numbers


def _fixed(clips: list[Clip], column: str, validation: float, seed: int) -> Split:
    parts: tuple[list[Clip], list[Clip], list[Clip]] = ([], [], [])
    for clip, value in zip(clips, _column(clips, column), strict=True):
        if value.lower() not in _PART_OF:
            raise DataError(
                f"{clip.name}: column {column!r}: expected {', '.join(PARTS)}; got {value!r}"
            )
        parts[_PART_OF[value.lower()]].append(clip)
    training, validated, tested = parts
    if not training:
        raise DataError(f"column {column!r}: no clip is for training")
    if not validated:
        rng = np.random.default_rng([seed, 2])
        training, validated = _hold_out(training, validation, rng, "validation")
    return _split(training, validated, tested)


def _hold_out(
    clips: list[Clip], share: float, rng: np.random.Generator, purpose: str
) -> tuple[list[Clip], list[Clip]]:
    """Takes whole groups until about a share of every label is held out.

    No label loses its last group, and every label with two groups gives one, where possible.
    """
    if not share:
        return clips, []
    groups = list(dict.fromkeys(clip.group for clip in clips))
    if len(groups) < 2:
        raise DataError(
            f"{purpose}: all {len(clips)} clips are of one group, {groups[0]!r}; expected at "
            "least two, one to train on and one to hold out"
            if clips
            else f"{purpose}: no clips are left"
        )
    # Regression has no labels: then the number of clips is what is shared out.
    labels = list(dict.fromkeys(label for clip in clips for label in clip.labels)) or [""]
    counts = np.zeros((len(groups), len(labels)))
    for clip in clips:
        for label in clip.labels or ("",):
            if label in labels:
                counts[groups.index(clip.group), labels.index(label)] += 1
    chosen = min(
        (_choose(counts, share, rng) for _ in range(_TRIES)),
        key=lambda held: _distance(counts, held, share),
    )
    held = {group for group, taken in zip(groups, chosen, strict=True) if taken}
    return (
        [clip for clip in clips if clip.group not in held],
        [clip for clip in clips if clip.group in held],
    )


def _choose(
    counts: npt.NDArray[np.float64], share: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Goes through the groups in random order and takes those that bring every label nearer."""
    held = np.zeros(len(counts), np.bool_)
    order = rng.permutation(len(counts)).tolist()

    def may_go(group: int) -> bool:
        left = counts[~held].sum(axis=0) - counts[group]
        return bool((left[counts[group] > 0] > 0).all()) and bool((~held).sum() > 1)

    def with_group(group: int) -> npt.NDArray[np.bool_]:
        more = held.copy()
        more[group] = True
        return more

    for group in order:
        more = with_group(group)
        if may_go(group) and _distance(counts, more, share) < _distance(counts, held, share):
            held = more
    for label in range(counts.shape[1]):
        if not counts[held, label].sum():
            candidates = [g for g in order if counts[g, label] and may_go(g)]
            if candidates:
                held = with_group(
                    min(candidates, key=lambda g: _distance(counts, with_group(g), share))
                )
    if not held.any():
        # One group has a bit of everything, or all labels have one group each: any will do.
        held[min(order, key=lambda group: float(counts[group].sum()))] = True
    return held


def _distance(counts: npt.NDArray[np.float64], held: npt.NDArray[np.bool_], share: float) -> float:
    """How far the held-out counts are from their share, over all labels."""
    totals = np.maximum(counts.sum(axis=0), 1.0)
    return float((((counts[held].sum(axis=0) - share * totals) ** 2) / totals).sum())


def _split(training: list[Clip], validated: list[Clip], tested: list[Clip]) -> Split:
    parts = {"training": training, "validation": validated, "test": tested}
    notes = []
    outside = {clip.group for clip in (*training, *validated)}
    shared = outside & {clip.group for clip in tested}
    if shared:
        notes.append(f"leaky: {len(shared)} groups have clips both in the test part and outside it")
    if {clip.group for clip in training} & {clip.group for clip in validated}:
        notes.append("leaky: groups have clips both in the training and in the validation part")
    known = {label for clip in training for label in clip.labels}
    for part, clips in parts.items():
        found = {label for clip in clips for label in clip.labels}
        strange = sorted(found - known, key=natural_key)
        if strange:
            notes.append(f"no training clip of {', '.join(strange)}, which {part} has")
        lacking = sorted(known - found, key=natural_key)
        if clips and lacking:
            notes.append(f"no {part} clip of {', '.join(lacking)}")
    return Split(tuple(training), tuple(validated), tuple(tested), tuple(notes))


def _ordered(clips: Sequence[Clip]) -> list[Clip]:
    return sorted(clips, key=lambda clip: (natural_key(clip.name), clip.name))


def _column(clips: list[Clip], column: str) -> list[str]:
    for clip in clips:
        if not clip.columns.get(column):
            others = ", ".join(clip.columns) or "none"
            raise DataError(
                f"{clip.name}: nothing in column {column!r}; further columns of its manifest: "
                f"{others}"
            )
    return [clip.columns[column] for clip in clips]


def _refuse_single(clips: list[Clip]) -> None:
    if any(len(clip.labels) != 1 for clip in clips):
        # A rare label among several on a clip is noted in the split, and no reason to stop.
        return
    counts: dict[str, int] = {}
    for clip in clips:
        for label in clip.labels:
            counts[label] = counts.get(label, 0) + 1
    for label, count in counts.items():
        if count < 2:
            raise DataError(
                f"class {label!r} has one clip; expected at least two, one to train on and one to "
                "validate with"
            )


def _check_share(name: str, share: float) -> None:
    if not 0 <= share < 1:
        raise DataError(f"{name}: expected a share from 0 to below 1; got {share}")
