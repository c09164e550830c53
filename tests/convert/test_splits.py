"""Splits: no group on both sides, labels spread evenly, the same for the same seed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra 'convert'")

from edgecap_convert.data.splits import Split, cross_validation, split_clips

from edgecap.dataset import Clip
from edgecap.errors import DataError

LABELS = ("left", "right", "up")


def clips_of(groups: int, seed: int = 0, **columns: str) -> list[Clip]:
    """Groups of one to eight clips of one or more labels."""
    rng = np.random.default_rng(seed)
    clips = []
    for group in range(groups):
        for number in range(int(rng.integers(1, 9))):
            label = LABELS[int(rng.integers(3))]
            path = Path(f"{label}/{group}-{number}.mp4")
            clips.append(Clip(path, (label,), str(group), columns=columns))
    return clips


def groups_of(clips: tuple[Clip, ...]) -> set[str]:
    return {clip.group for clip in clips}


def assert_apart(split: Split, clips: list[Clip]) -> None:
    parts = (split.training, split.validation, split.test)
    assert Counter(clip for part in parts for clip in part) == Counter(clips)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not groups_of(parts[first]) & groups_of(parts[second])
    assert not [note for note in split.notes if "leaky" in note]


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides_and_every_clip_on_one(seed: int) -> None:
    clips = clips_of(40, seed)
    assert_apart(split_clips(clips, validation=0.2, test=0.25, seed=seed), clips)
    for split in cross_validation(clips, folds=4, validation=0.2, seed=seed):
        assert_apart(split, clips)
        assert split.training
        assert split.validation
        assert split.test


def test_labels_are_spread_as_evenly_as_the_groups_allow() -> None:
    clips = clips_of(60)
    split = split_clips(clips, validation=0.25, test=0.2, seed=1)
    whole = Counter(clip.label for clip in clips)
    for part, share in ((split.test, 0.2), (split.validation, 0.2), (split.training, 0.6)):
        found = Counter(clip.label for clip in part)
        for label in LABELS:
            assert found[label] == pytest.approx(share * whole[label], abs=3)
    for fold in cross_validation(clips, folds=4, validation=0.2, seed=1):
        found = Counter(clip.label for clip in fold.test)
        assert all(found[label] == pytest.approx(whole[label] / 4, abs=4) for label in LABELS)


def test_the_folds_test_every_clip_once() -> None:
    clips = clips_of(30)
    tested = [c for s in cross_validation(clips, folds=5, validation=0.1, seed=0) for c in s.test]
    assert Counter(tested) == Counter(clips)


def test_a_seed_gives_one_split_whatever_the_order_of_the_clips() -> None:
    clips = clips_of(40)
    shuffled = [clips[i] for i in np.random.default_rng(7).permutation(len(clips))]
    one, same, other = (
        split_clips(given, validation=0.2, test=0.2, seed=seed)
        for given, seed in ((clips, 3), (shuffled, 3), (clips, 4))
    )
    assert one == same
    assert one != other
    first, again, third = (
        cross_validation(given, folds=4, validation=0.2, seed=seed)
        for given, seed in ((clips, 3), (shuffled, 3), (clips, 4))
    )
    assert first == again
    assert first != third


def test_clips_of_their_own_groups_are_divided_to_the_clip() -> None:
    clips = [
        Clip(Path(f"{label}/{i}.mp4"), (label,), f"{label}{i}")
        for label in LABELS
        for i in range(10)
    ]
    split = split_clips(clips, validation=0.2, seed=0)
    assert Counter(clip.label for clip in split.validation) == dict.fromkeys(LABELS, 2)
    assert split.test == ()
    assert split_clips(clips, validation=0.0, seed=0).validation == ()


def test_even_two_clips_of_a_label_are_on_both_sides() -> None:
    clips = [
        Clip(Path(f"{label}/{i}"), (label,), f"{label}{i}") for label in LABELS for i in (0, 1)
    ]
    split = split_clips(clips, validation=0.1, seed=0)
    assert {clip.label for clip in split.validation} == set(LABELS)
    assert {clip.label for clip in split.training} == set(LABELS)


def test_a_label_with_one_clip_is_refused() -> None:
    clips = [*clips_of(9), Clip(Path("down/0.mp4"), ("down",), "d")]
    with pytest.raises(DataError, match="class 'down' has one clip"):
        split_clips(clips, validation=0.2, seed=0)


def test_a_label_of_one_group_stays_in_the_training_and_that_is_noted() -> None:
    for seed in range(5):
        clips = clips_of(20, seed) + [Clip(Path(f"down/{i}"), ("down",), "d") for i in range(9)]
        split = split_clips(clips, validation=0.2, seed=seed)
        assert sum("down" in clip.labels for clip in split.training) == 9
        assert split.notes == ("no validation clip of down",)


def test_clips_of_one_group_cannot_be_divided() -> None:
    clips = [Clip(Path(f"{label}/{i}"), (label,), "one") for label in LABELS for i in range(5)]
    with pytest.raises(DataError, match="all 15 clips are of one group, 'one'"):
        split_clips(clips, validation=0.2, seed=0)
    with pytest.raises(DataError, match="folds: expected 2 to 1"):
        cross_validation(clips, folds=3, validation=0.2, seed=0)


def test_clips_without_or_with_several_labels_are_divided_by_number() -> None:
    runs = [Clip(Path(f"run{i}.mp4"), (), f"run{i}") for i in range(20)]
    split = split_clips(runs, validation=0.25, test=0.2, seed=0)
    assert [len(part) for part in (split.training, split.validation, split.test)] == [12, 4, 4]
    assert [len(s.test) for s in cross_validation(runs, folds=5, validation=0.2, seed=0)] == [4] * 5
    rng = np.random.default_rng(0)
    many = [
        Clip(Path(f"{i}.mp4"), tuple(x for x in LABELS if rng.random() < 0.4), str(i // 2))
        for i in range(80)
    ]
    assert_apart(split_clips(many, validation=0.2, test=0.2, seed=0), many)
    for split in cross_validation(many, folds=4, validation=0.2, seed=0):
        assert_apart(split, many)


def test_a_column_gives_the_folds_even_if_they_leak_and_then_that_is_noted() -> None:
    clips = [
        Clip(Path(f"{label}/{i}"), (label,), str(i), columns={"fold": str(i % 10), "random": n})
        for n, label in zip("012", LABELS, strict=True)
        for i in range(20)
    ]
    splits = cross_validation(clips, column="fold", validation=0.2, seed=0)
    assert len(splits) == 10
    for number, split in enumerate(splits):
        assert_apart(split, clips)
        assert {clip.columns["fold"] for clip in split.test} == {str(number)}
    for split in cross_validation(clips, column="random", validation=0.2, seed=0):
        assert split.notes[0].startswith("leaky: 20 groups")


def test_a_column_gives_the_parts() -> None:
    def clip(number: int, part: str) -> Clip:
        label = LABELS[number % 2]
        return Clip(Path(f"{number}"), (label,), str(number), columns={"part": part})

    clips = [clip(i, "Train") for i in range(10)] + [clip(i, "test") for i in range(10, 14)]
    split = split_clips(clips, validation=0.2, test=0.9, seed=0, column="part")
    assert set(split.test) == set(clips[10:])
    assert len(split.validation) == 2
    more = [*clips, clip(20, "validation")]
    split = split_clips(more, validation=0.2, seed=0, column="part")
    assert split.validation == (more[-1],)
    assert len(split.training) == 10


@pytest.mark.parametrize(
    ("column", "says"), [("fold", "nothing in column 'fold'.*part"), ("part", "got 'here'")]
)
def test_a_column_that_says_nothing_of_use_is_refused(column: str, says: str) -> None:
    clips = clips_of(5, part="here")
    with pytest.raises(DataError, match=says):
        split_clips(clips, validation=0.2, seed=0, column=column)
    with pytest.raises(DataError, match=r"nothing in column|all \d+ clips are of fold 'here'"):
        cross_validation(clips, column=column, validation=0.2, seed=0)


@pytest.mark.parametrize("wrong", [{"validation": 1.0}, {"validation": -0.1}])
def test_a_share_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="share"):
        split_clips(clips_of(9), seed=0, **wrong)
    with pytest.raises(DataError, match="either a number of folds or a column"):
        cross_validation(clips_of(9), validation=0.1, seed=0)


def test_the_record_of_a_split_has_names_and_groups() -> None:
    clips = clips_of(12)
    split = split_clips(clips, validation=0.2, test=0.2, seed=0)
    record = json.loads(json.dumps(split.to_dict()))
    assert record["training"] == [clip.name for clip in split.training]
    assert set(record["groups"]["test"]) == groups_of(split.test)
    assert sum(len(record[part]) for part in ("training", "validation", "test")) == len(clips)
