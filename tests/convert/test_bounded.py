"""Clips that do not fit into the cache: work and memory do not grow with them; broken ones show."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the extra 'convert'")
pytest.importorskip("cv2", reason="needs the extra 'camera'")

from edgecap_convert.data import batches
from edgecap_convert.data.augment import AugmentConfig
from edgecap_convert.data.cached import TickImages
from edgecap_convert.data.clips import ClipData
from edgecap_convert.data.frames import FrameCache
from edgecap_convert.data.splits import Split

from edgecap.dataset import Clip, open_dataset
from edgecap.errors import DataError
from tests.material import SPEC, indices, write_images, write_table, write_video

RATE_HZ = 12.0
STILL, DIMMED = AugmentConfig(speed=0.0, start=0.0), AugmentConfig(light=0.3)


def cache(folder: Path, limit_bytes: int) -> FrameCache:
    return FrameCache(SPEC, RATE_HZ, folder=folder, limit_bytes=limit_bytes, workers=1)


def data(root: Path, frames: FrameCache, *, held_out: int = 0, **options: int) -> ClipData:
    dataset = open_dataset(root)
    frames.fill(dataset.clips)
    stop = len(dataset.clips) - held_out
    return ClipData(
        dataset,
        Split(dataset.clips[:stop], dataset.clips[stop:], ()),
        frames,
        augment=DIMMED if options.get("variants") else STILL,
        variants=options.pop("variants", 1),
        grace=0.0,
        ramp=0.0,
        longest=240,
        **options,
    )


def break_in_the_middle(path: Path) -> None:
    """Its first frames can still be decoded, and the container still says how many there were."""
    content = bytearray(path.read_bytes())
    half = len(content) // 3
    content[half:-2000] = bytes(len(content) - half - 2000)
    path.write_bytes(content)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two classes of four clips: 20, 22, 24 and 26 frames in ``a``, one more each in ``b``."""
    root = tmp_path / "videos"
    for number, name in itertools.product(range(4), "ab"):
        write_video(root / name / f"{number}.avi", 20 + 2 * number + (name == "b"))
    return root


def test_what_will_not_fit_is_not_decoded_before_it_is_used(videos: Path, tmp_path: Path) -> None:
    clips = open_dataset(videos).clips
    # They have 20, 22, 24, … images of 1,152 bytes; the first three fit, with their ticks.
    frames = cache(tmp_path / "cache", 80_000)
    report = frames.fill(clips)
    assert (report.decoded, report.uncached, report.unread) == (3, 5, 5)
    assert len(report.usable) == 8
    for clip in clips:
        found = frames.open(clip)
        expected = clip.read(SPEC, RATE_HZ)
        np.testing.assert_array_equal(found.take(np.arange(len(found.ticks))[::2]), expected.images)
    assert cache(tmp_path / "cache", 80_000).fill(clips).unread == 0


def test_the_expected_length_is_that_of_the_part(tmp_path: Path) -> None:
    video = write_video(tmp_path / "x.avi", 36)
    scan = write_images(tmp_path / "scan", 24)
    frames = cache(tmp_path / "cache", 0)
    for clip, seconds in (
        (Clip(video, ("x",), "a"), 3.0),
        (Clip(video, ("x",), "a", start_s=0.5, end_s=1.5), 1.0),
        (Clip(video, ("x",), "a", start_s=2.0), 1.0),
        (Clip(video, ("x",), "a", start_s=2.0, end_s=9.0), 1.0),
        (Clip(scan, ("x",), "a"), 2.0),
    ):
        assert frames.expected_s(clip) == pytest.approx(seconds)


@pytest.mark.parametrize("limit_bytes", [10**9, 0], ids=["cached", "uncached"])
def test_images_are_read_when_they_are_asked_for(tmp_path: Path, limit_bytes: int) -> None:
    # Slower than the ticks: images are shown for several.
    video = write_video(tmp_path / "x.avi", 20, rate_hz=5.0)
    clip = Clip(video, ("x",), "a")
    frames = cache(tmp_path / "cache", limit_bytes)
    frames.fill([clip])
    opened = frames.open(clip)
    assert opened.cached == bool(limit_bytes)
    expected = clip.read(SPEC, RATE_HZ).images
    images = TickImages(opened, np.arange(0, len(opened.ticks), 2))
    assert images.shape == expected.shape
    np.testing.assert_array_equal(np.asarray(images), expected)
    np.testing.assert_array_equal(np.stack(list(images)), expected)
    chunks = [images[i : i + 7] for i in range(0, len(images), 7)]
    np.testing.assert_array_equal(np.concatenate(chunks), expected)
    for index in (3, -1, np.array([30, 2, 2, 17]), slice(None, None, -1), slice(5, 5)):
        np.testing.assert_array_equal(images[index], expected[index])


def test_reading_forward_decodes_each_frame_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = Clip(write_video(tmp_path / "x.avi", 60), ("x",), "a")
    frames = cache(tmp_path / "cache", 0)
    opened = frames.open(clip)
    images = TickImages(opened, np.arange(0, len(opened.ticks), 2))
    decodings = []
    decode = opened.decode
    monkeypatch.setattr(opened, "decode", lambda: decodings.append(1) or decode())
    shown = [indices(images[i : i + 8]) for i in range(0, 60, 8)]
    assert [each for chunk in shown for each in chunk] == [i % 30 for i in range(60)]
    assert len(decodings) == 1
    images[0]
    assert len(decodings) == 2


def test_of_a_large_pool_some_are_chosen_evenly(videos: Path, tmp_path: Path) -> None:
    frames = cache(tmp_path / "cache", 10**9)
    every = data(videos, frames, variants=3).pool()
    assert len(every) == 24
    assert [e.key for e in data(videos, frames, variants=3, pool_limit=24).pool()] == [
        e.key for e in every
    ]
    # The clips themselves come before their variants.
    keys = {e.key for e in data(videos, frames).pool()}
    twelve = data(videos, frames, variants=3, pool_limit=12).pool()
    assert len(twelve) == 12
    assert keys < {e.key for e in twelve} < {e.key for e in every}
    assert Counter(e.stratum for e in twelve) == {0: 6, 1: 6}
    four = data(videos, frames, variants=3, pool_limit=4).pool()
    assert {e.clip.path.stem for e in four} == {"0", "3"}
    assert {e.key for e in four} < keys
    assert [e.key for e in data(videos, frames, variants=3, pool_limit=4).pool()] == [
        e.key for e in four
    ]


def test_only_clips_of_the_pool_are_decoded(videos: Path, tmp_path: Path) -> None:
    frames = cache(tmp_path / "cache", 0)
    small = data(videos, frames, pool_limit=4)
    small.pool()
    assert frames.fill(open_dataset(videos).clips).unread == 4


def test_a_clip_that_turns_out_broken_is_left_out(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (videos / "a" / "1.avi", videos / "b" / "3.avi"):
        break_in_the_middle(path)
    plenty = cache(tmp_path / "plenty", 10**9)
    assert len(plenty.fill(open_dataset(videos).clips).broken) == 2
    mixed = data(videos, cache(tmp_path / "cache", 0), held_out=2)
    assert len(mixed.split.training) + len(mixed.split.validation) == 8
    assert mixed.broken == ()
    assert {e.clip.path.stem for e in mixed.pool() if e.stratum == 0} == {"0", "2", "3"}
    (found,) = mixed.broken
    assert found[0] == "a/1.avi"
    assert "left out" in caplog.text
    lengths = {len(mixed.draw(n, np.random.default_rng([1, n])).weights) for n in range(60)}
    assert lengths == {20, 24, 26, 21, 23}
    recordings = list(mixed.validation)
    assert [recording.name for recording in recordings] == ["b/2.avi"]
    assert len(mixed.validation.keys()) == 1
    assert len(mixed.broken) == 2
    assert len(mixed.summary()["broken"]) == 2


def test_the_same_draws_whether_a_broken_clip_is_known_or_not(videos: Path, tmp_path: Path) -> None:
    break_in_the_middle(videos / "a" / "1.avi")
    first = data(videos, cache(tmp_path / "cache", 0))
    drawn = list(itertools.islice(batches(first.draw, batch=2, length=9, seed=3), 9))
    # As after a stop: the broken clip is met first by another row, or not at all.
    again = data(videos, cache(tmp_path / "cache", 0))
    start = drawn[3].cursor
    resumed = batches(again.draw, batch=2, length=9, seed=3, start=start)
    for one, two in zip(drawn[4:], resumed, strict=False):
        np.testing.assert_array_equal(one.inputs, two.inputs)
        np.testing.assert_array_equal(one.cursor, two.cursor)


def test_nothing_but_broken_clips_is_refused(videos: Path, tmp_path: Path) -> None:
    for path in videos.glob("*/*.avi"):
        break_in_the_middle(path)
    broken = data(videos, cache(tmp_path / "cache", 0))
    with pytest.raises(DataError, match="in a row cannot be decoded"):
        broken.draw(0, np.random.default_rng(0))


def test_values_and_lengths_come_from_the_tables_of_clips_that_are_whole(tmp_path: Path) -> None:
    root = tmp_path / "drives"
    for number in range(3):
        write_video(root / f"{number}.avi", 24)
        write_table(root / f"{number}.csv", 24)
    break_in_the_middle(root / "1.avi")
    drives = data(root, cache(tmp_path / "cache", 0))
    statistics = drives.value_statistics()
    assert statistics is not None
    assert statistics[0] == pytest.approx([11.5, -11.5], abs=0.6)
    for number in range(20):
        assert len(drives.draw(number, np.random.default_rng(number)).weights) == 24
    assert [name for name, _ in drives.broken] == ["1.avi"]
