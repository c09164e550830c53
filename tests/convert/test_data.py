"""What training reads: sequences that go on, losses only where the answer can be known."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgecap_convert.data import FrameFormat, Item, batches
from edgecap_convert.data.augment import AugmentConfig
from edgecap_convert.data.clips import ClipData, usable
from edgecap_convert.data.frames import FrameCache
from edgecap_convert.data.scenes import PoseData, SceneData
from edgecap_convert.data.sequences import Draw, prefetch
from edgecap_convert.data.splits import Split
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.material import open_material

from edgecap.dataset import Dataset, open_dataset
from edgecap.errors import ConfigError, DataError
from edgecap.evaluation import Recording
from edgecap.recordings import open_recordings
from edgecap.synthetic import LABELS
from tests.material import SPEC, indices, write_table, write_video

RATE_HZ = 12.0
STILL = AugmentConfig(speed=0.0, start=0.0)


@pytest.fixture(scope="module")
def frames() -> FrameFormat:
    return TrainConfig.from_dict({"encoder": {"height": 32, "width": 32}}).frames


@pytest.fixture(scope="module")
def scenes(frames: FrameFormat) -> SceneData:
    return SceneData("synthetic:", frames, pool=3)


def drawn(data: SceneData | ClipData, count: int, seed: int = 0) -> list[Item]:
    return [data.draw(n, np.random.default_rng([seed, n])) for n in range(count)]


def test_rows_go_on_from_batch_to_batch(scenes: SceneData) -> None:
    short = list(itertools.islice(batches(scenes.draw, batch=3, length=5, seed=4), 12))
    (long,) = itertools.islice(batches(scenes.draw, batch=3, length=60, seed=4), 1)
    for field in ("inputs", "targets", "weights", "resets"):
        joined = np.concatenate([getattr(batch, field) for batch in short], axis=1)
        np.testing.assert_array_equal(joined, getattr(long, field))
    np.testing.assert_array_equal(short[-1].cursor, long.cursor)
    assert long.resets[:, 0].all()


def counted(number: int, rng: np.random.Generator) -> Item:
    """One to nine frames; each says its item, its place there and a random number."""
    count = int(rng.integers(1, 10))
    tag = np.full(count, rng.integers(1 << 20))
    inputs = np.stack([np.full(count, number), np.arange(count), tag], axis=1)
    weights = np.ones(count, np.float32)
    return Item(inputs, np.full(count, number), weights, joined=bool(number % 2))


@pytest.mark.parametrize("taken", [1, 2, 3, 7])
def test_a_cursor_goes_on_behind_any_batch(taken: int) -> None:
    def read(count: int, start: np.ndarray | None = None) -> list:
        return list(
            itertools.islice(batches(counted, batch=4, length=5, seed=9, start=start), count)
        )

    whole = read(taken + 5)
    following = read(5, start=whole[taken - 1].cursor)
    for expected, found in zip(whole[taken:], following, strict=True):
        for field in ("inputs", "targets", "weights", "resets", "cursor"):
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))


def test_the_state_is_reset_where_an_item_begins_that_is_not_joined() -> None:
    (batch,) = itertools.islice(batches(counted, batch=3, length=200, seed=1), 1)
    number, place = batch.inputs[..., 0], batch.inputs[..., 1]
    np.testing.assert_array_equal(batch.resets, (place == 0) & (number % 2 == 0))
    # Rows are not copies of each other, and a row holds every frame of every item in order.
    assert len(np.unique(batch.inputs[..., 2])) > 50
    begins = np.diff(number, axis=1) == 1
    assert (np.diff(place, axis=1)[~begins] == 1).all()
    assert (place[:, 1:][begins] == 0).all()


def test_the_first_item_resets_even_if_it_is_joined() -> None:
    def joined(number: int, rng: np.random.Generator) -> Item:
        return Item(np.zeros((4, 1)), np.zeros(4, np.int64), np.ones(4, np.float32), True)

    (batch,) = itertools.islice(batches(joined, batch=2, length=12, seed=0), 1)
    assert batch.resets[:, 0].all()
    assert not batch.resets[:, 1:].any()


def test_there_is_no_loss_where_the_truth_has_just_changed(scenes: SceneData) -> None:
    changes = 0
    seen = set()
    for item in drawn(scenes, 12):
        before = None
        for label, weight in zip(item.targets.tolist(), item.weights.tolist(), strict=True):
            if label != before:
                assert weight == 0.0
                changes += 1
            before = label
            seen.add((label > 0, round(weight, 3)))
        assert not item.joined
    assert changes > 100
    assert seen == {(True, 0.0), (True, 1.0), (False, 0.0), (False, 0.4)}


def test_the_pool_of_scenes_is_fixed_and_its_truth_is_that_of_its_images(
    scenes: SceneData,
) -> None:
    first, second = scenes.pool(), scenes.pool()
    assert len({entry.key for entry in first}) == 3
    for one, other in zip(first, second, strict=True):
        assert one.key == other.key
        images = one.images()
        targets, weights = other.truth()
        assert len(images) == len(targets) == len(weights)
        np.testing.assert_array_equal(one.truth()[0], targets)


def test_validation_scenes_are_none_that_training_draws(scenes: SceneData) -> None:
    shown = {image.tobytes() for item in drawn(scenes, 8) for image in item.inputs}
    shown |= {image.tobytes() for entry in scenes.pool() for image in entry.images()}
    for recording in scenes.validation:
        assert not shown & {image.tobytes() for image in recording.images}
        assert {segment.label for segment in recording.segments} <= set(LABELS[1:])
    assert len(scenes.validation.keys()) == len(set(scenes.validation.keys())) == 4
    assert len(scenes.validation.first(2)) == 2


def test_poses_say_where_the_object_is(frames: FrameFormat) -> None:
    data = PoseData(frames)
    (batch,) = itertools.islice(batches(data.draw, batch=16, length=30, seed=0), 1)
    assert batch.inputs.shape == (16, 30, 32, 32, 3)
    poses = batch.targets.reshape(-1, 4)
    visible = poses[:, 3] == 1
    assert 0 < visible.sum() < len(poses)
    assert np.abs(poses[visible, :2]).max() < 0.6
    assert not poses[~visible].any()


def test_an_error_in_the_reading_thread_reaches_the_reader() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise DataError("the disk is gone")

    reader = prefetch(broken())
    assert next(reader) == 1
    with pytest.raises(DataError, match="the disk is gone"):
        next(reader)


def test_unknown_training_material_is_refused() -> None:
    config = TrainConfig()
    for name, said in (("synthetic:seed=3", "--seed"), ("/no/such/folder", "no such")):
        with pytest.raises(DataError, match=said):
            open_material(name, config, seed=0)
    with pytest.raises(DataError, match="classification"):
        open_material("synthetic:", TrainConfig(task="regression"), seed=0)


# Clips: frame n of a video is of the grey level ``shade(n)``, see tests.material.


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``a`` has one clip for training, ``b`` three, of 12 to 24 frames."""
    root = tmp_path_factory.mktemp("videos")
    for name, count in (("a/0", 12), ("b/0", 16), ("b/1", 20), ("b/2", 24), ("b/3", 14)):
        write_video(root / f"{name}.avi", count)
    return root


def clip_data(
    dataset: Dataset,
    folder: Path,
    *,
    held_out: int = 0,
    augment: AugmentConfig = STILL,
    longest: int = 240,
    variants: int = 1,
    grace: float = 0.25,
    ramp: float = 0.0,
) -> ClipData:
    """The last clips validate."""
    cache = FrameCache(SPEC, RATE_HZ, folder=folder, limit_bytes=10**9, workers=2)
    cache.fill(dataset.clips, strict=True)
    stop = len(dataset.clips) - held_out
    split = Split(dataset.clips[:stop], dataset.clips[stop:], ())
    return ClipData(
        dataset,
        split,
        cache,
        augment=augment,
        variants=variants,
        grace=grace,
        ramp=ramp,
        longest=longest,
    )


def test_classes_are_drawn_equally_often_whatever_they_have(videos: Path, tmp_path: Path) -> None:
    data = clip_data(open_dataset(videos), tmp_path, held_out=1)
    items = drawn(data, 300)
    classes = Counter(int(item.targets[0]) for item in items)
    assert 110 < classes[0] < 190
    lengths = Counter(len(item.weights) for item in items)
    assert set(lengths) == {12, 16, 20, 24}
    assert 0.2 < sum(item.joined for item in items) / 300 < 0.4
    for item in items[:20]:
        assert len(set(item.targets.tolist())) == 1
        count = len(item.weights)
        assert indices(item.inputs) == list(range(count))
        # Of a clip's first quarter, nothing can be known.
        assert item.weights.tolist() == [0.0] * (count // 4) + [1.0] * (count - count // 4)


def test_of_long_clips_parts_are_drawn_and_pooled(videos: Path, tmp_path: Path) -> None:
    data = clip_data(open_dataset(videos), tmp_path, longest=8)
    starts = set()
    for item in drawn(data, 200):
        shown = indices(item.inputs)
        assert len(shown) == 8
        assert shown == list(range(shown[0], shown[0] + 8))
        starts.add(shown[0])
    assert {0, 1, 16} <= starts
    # The pool has every frame of every clip once.
    parts = [indices(entry.images()) for entry in data.pool()]
    assert parts[:2] == [[*range(8)], [8, 9, 10, 11]]
    assert sum(map(len, parts)) == 12 + 16 + 20 + 24 + 14
    # Only the beginning of the clip is without a loss, not that of each part.
    weights = [entry.truth()[1].tolist() for entry in data.pool()]
    assert weights[:2] == [[0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1]]


def test_the_pool_has_the_clip_itself_and_fixed_variants(videos: Path, tmp_path: Path) -> None:
    vary = AugmentConfig(light=0.3, speed=0.5)
    data = clip_data(open_dataset(videos), tmp_path / "1", augment=vary, variants=3)
    entries = data.pool()
    assert len(entries) == 15
    assert len({entry.key for entry in entries}) == 15
    assert [entry.stratum for entry in entries] == [0] * 3 + [1] * 12
    assert indices(entries[0].images()) == list(range(12))
    again = clip_data(open_dataset(videos), tmp_path / "2", augment=vary, variants=3).pool()
    assert [entry.key for entry in again] == [entry.key for entry in entries]
    for one, other in zip(entries[:6], again, strict=False):
        np.testing.assert_array_equal(one.images(), other.images())
    # Which variants there are depends on the settings; the clip itself is always one.
    other = clip_data(open_dataset(videos), tmp_path / "1", variants=1).pool()
    assert {entry.key for entry in other} < {entry.key for entry in entries}


def backdrops(root: Path, names: Sequence[str]) -> Dataset:
    """Clips in which a bright block moves before a wall of the clip's own grey."""
    for place, name in enumerate(names):
        images = np.full((16, 16, 24, 3), 20 + 8 * place, np.uint8)
        for t, image in enumerate(images):
            image[5:12, t : t + 7] = 250
        folder = root / name
        folder.mkdir(parents=True)
        for number, image in enumerate(images):
            cv2.imwrite(str(folder / f"{number:03d}.png"), image)
    return open_dataset(root)


def test_what_moves_is_put_before_the_backdrops_of_other_training_clips(tmp_path: Path) -> None:
    dataset = backdrops(tmp_path / "clips", ["a/0", "a/1", "b/2", "b/3", "b/4"])
    vary = dataclasses.replace(STILL, backdrop=0.5)
    data = clip_data(dataset, tmp_path / "1", held_out=1, augment=vary, variants=40)
    held_out = {int(recording.images[0][0, 0, 0]) for recording in data.validation}
    walls = Counter()
    for entry in data.pool():
        shown = entry.images()
        own = int(data._cache.open(entry.clip).take(np.arange(1))[0, 0, 0, 0])
        wall = int(shown[0, 0, 0, 0])
        walls[wall == own] += 1
        assert wall not in held_out
        # What moves is where it was, and as bright.
        assert shown[4, 8, 4 + 3, 0] > 240
    assert 0.2 < walls[False] / walls.total() < 0.6
    entries = data.pool()
    assert len({entry.key for entry in entries if entry.drawn.backdrop is not None}) > 60


def test_folds_share_most_of_what_they_computed_before_other_backdrops(tmp_path: Path) -> None:
    names = [f"{label}/{number}" for label in "ab" for number in range(8)]
    dataset = backdrops(tmp_path / "clips", names)
    vary = dataclasses.replace(STILL, backdrop=1.0)
    everything, part = (
        {
            entry.key: entry
            for entry in clip_data(
                dataset, tmp_path / "c", held_out=count, augment=vary, variants=8
            ).pool()
        }
        for count in (0, 2)
    )
    shared = everything.keys() & part.keys()
    assert 0.6 * len(part) < len(shared) < len(part)
    for key in list(shared)[:20]:
        np.testing.assert_array_equal(everything[key].images(), part[key].images())


def test_recordings_are_those_of_the_runtime(videos: Path, tmp_path: Path) -> None:
    data = clip_data(open_dataset(videos), tmp_path, held_out=2)
    expected = list(open_recordings(str(videos), spec=SPEC, rate_hz=RATE_HZ, labels=("a", "b")))
    found = list(data.validation)
    assert len(data.validation) == len(found) == 2
    assert len(data.test) == 0

    def plain(recording: Recording) -> tuple:
        return recording.name, recording.truth, recording.segments, recording.is_stream

    for one, other in zip(found, expected[-2:], strict=True):
        assert plain(one) == plain(other)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.timestamps_s, other.timestamps_s)
    (first,) = data.validation.first(1)
    assert first.name == found[0].name


def test_mirrored_clips_exchange_labels_and_others_are_never_mirrored(tmp_path: Path) -> None:
    for name in ("left", "right", "up"):
        write_video(tmp_path / "data" / name / "0.avi", 8)
    mirror = AugmentConfig(speed=0, start=0, mirror={"left": "right", "right": "left"})
    data = clip_data(open_dataset(tmp_path / "data"), tmp_path, augment=mirror)
    (left, right, up) = data.split.training
    rng = np.random.default_rng(0)
    draws = [data._drawn(clip, rng).mirrored for clip in (left, up) * 40]
    assert 10 < sum(draws[::2]) < 30
    assert not any(draws[1::2])
    for clip, other in ((left, "right"), (right, "left")):
        mirrored = next(d for d in iter(lambda c=clip: data._drawn(c, rng), None) if d.mirrored)
        targets, _ = data.truth(clip, mirrored, 0)
        assert set(targets.tolist()) == {data.labels.index(other)}


def test_clips_played_backwards_exchange_labels(tmp_path: Path) -> None:
    for name in ("in", "out", "still"):
        write_video(tmp_path / "data" / name / "0.avi", 8)
    both = AugmentConfig(
        speed=0, start=0, reverse={"in": "out", "out": "in"}, mirror={"still": "still", "in": "in"}
    )
    data = clip_data(open_dataset(tmp_path / "data"), tmp_path, augment=both)
    backwards: Counter[int] = Counter()
    for item in drawn(data, 90):
        # Mirrored or not, a frame is of one grey.
        shown = indices(item.inputs)
        assert shown in ([*range(8)], [*range(8)][::-1])
        backwards[int(item.targets[0])] += shown[0] == 7
    # "in" is drawn forwards as "in" and backwards as "out", and the other way round.
    assert backwards[0] > 5
    assert backwards[1] > 5
    assert backwards[2] == 0


def test_later_frames_weigh_more_where_asked_for(videos: Path, tmp_path: Path) -> None:
    data = clip_data(open_dataset(videos), tmp_path, grace=0.5, ramp=2.0, longest=8)
    joined = np.concatenate([entry.truth()[1] for entry in data.pool()[:2]])
    expected = [0.0] * 6 + [1 + 2 * (n / 12) for n in range(1, 7)]
    np.testing.assert_allclose(joined, expected, rtol=1e-6)


def test_several_labels_hold_at_once(tmp_path: Path) -> None:
    for number in range(4):
        write_video(tmp_path / f"{number}.avi", 8)
    (tmp_path / "m.csv").write_text("path,label\n0.avi,a;b\n1.avi,a\n2.avi,\n3.avi,b;c\n")
    dataset = open_dataset(tmp_path / "m.csv")
    data = clip_data(dataset, tmp_path / "cache")
    assert (data.task, data.labels, data.background) == ("multilabel", ("a", "b", "c"), None)
    rows = [entry.truth()[0] for entry in data.pool()]
    assert all(row.dtype == np.float32 and row.shape == (8, 3) for row in rows)
    assert [row[0].tolist() for row in rows] == [[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert data.value_statistics() is None
    # A clip without labels has none that could forbid a mirror; the settings do.
    rng = np.random.default_rng(0)
    assert not any(data._drawn(dataset.clips[2], rng).mirrored for _ in range(40))


def test_values_are_those_of_the_frames_whatever_their_speed(tmp_path: Path) -> None:
    for number, count in enumerate((12, 24)):
        write_video(tmp_path / f"{number}.avi", count)
        write_table(tmp_path / f"{number}.csv", count)
    vary = AugmentConfig(speed=1.0, start=0.5, mirror={"angle": "-angle"})
    data = clip_data(open_dataset(tmp_path), tmp_path / "cache", augment=vary)
    assert (data.task, data.labels) == ("regression", ("angle", "speed"))
    signs = set()
    for item in drawn(data, 40):
        shown = np.array(indices(item.inputs), np.float32)
        assert item.targets.dtype == np.float32
        np.testing.assert_array_equal(item.targets[:, 1], -shown)
        np.testing.assert_array_equal(np.abs(item.targets[:, 0]), shown)
        signs |= set(np.sign(item.targets[shown > 0, 0]).tolist())
        assert (item.weights == 1).all()
    assert signs == {-1.0, 1.0}
    mean, deviation = data.value_statistics()
    values = np.concatenate([np.arange(12), np.arange(24)])
    assert mean == pytest.approx([values.mean(), -values.mean()], rel=0.05)
    assert deviation == pytest.approx([values.std()] * 2, rel=0.05)
    # Every frame as often as any other: the long clip twice as often as the short one.
    still = clip_data(open_dataset(tmp_path), tmp_path / "cache")
    long = sum(len(item.weights) == 24 for item in drawn(still, 300))
    assert 165 < long < 235


def test_material_that_cannot_be_learnt_from_is_refused(videos: Path, tmp_path: Path) -> None:
    dataset = open_dataset(videos)
    with pytest.raises(DataError, match="no clips to train a on"):
        clip_data(usable(dataset, dataset.clips[1:]), tmp_path)
    with pytest.raises(DataError, match="no clips are left to train on"):
        clip_data(dataset, tmp_path, held_out=5)
    for number in range(2):
        write_video(tmp_path / "road" / f"{number}.avi", 8)
        write_table(tmp_path / "road" / f"{number}.csv", 8)
    with pytest.raises(ConfigError, match="values have no backwards"):
        back = AugmentConfig(reverse={"angle": "-angle"})
        clip_data(open_dataset(tmp_path / "road"), tmp_path, augment=back)
    with pytest.raises(ConfigError, match="'c' is no label"):
        clip_data(dataset, tmp_path, augment=AugmentConfig(mirror={"a": "c"}))


def test_the_record_of_the_material_changes_with_it(videos: Path, tmp_path: Path) -> None:
    dataset = open_dataset(videos)
    whole = clip_data(dataset, tmp_path).summary()
    assert whole["clips"] == {"training": 5, "validation": 0, "test": 0}
    assert whole["labels"]["training"] == {"a": 1, "b": 4}
    assert clip_data(dataset, tmp_path).summary() == whole
    other = clip_data(dataset, tmp_path, held_out=1).summary()
    assert other["fingerprint"] != whole["fingerprint"]


def test_equal_seeds_draw_equal_items(videos: Path, tmp_path: Path) -> None:
    vary = AugmentConfig(zoom=0.2, shift=0.2, rotate=10, light=0.2, color=0.2, speed=0.4, start=0.3)
    data = clip_data(open_dataset(videos), tmp_path, augment=vary)
    draw: Draw = data.draw
    for number in range(6):
        one, other = (draw(number, np.random.default_rng([3, number])) for _ in range(2))
        np.testing.assert_array_equal(one.inputs, other.inputs)
        np.testing.assert_array_equal(one.targets, other.targets)
        assert one.joined == other.joined
