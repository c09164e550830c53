"""The frame cache: what comes out of it is what Clip.read gives, whatever happened to it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the extra 'convert'")
pytest.importorskip("cv2", reason="needs the extra 'camera'")

from edgecap_convert.data.budget import default_cache
from edgecap_convert.data.cached import CachedClip
from edgecap_convert.data.frames import FrameCache

from edgecap.dataset import Clip, open_dataset
from edgecap.errors import DataError
from tests.material import SPEC, indices, write_images, write_table, write_video

RATE_HZ = 12.0
PLENTY = 10**9


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Other rates, other sizes, parts, images, values."""
    root = tmp_path / "data"
    fast = write_video(root / "fast.avi", 25, rate_hz=30.0)
    slow = write_video(root / "slow.mp4", 10, rate_hz=5.0, size=(30, 40))
    scan = write_images(root / "scan", 12)
    table = write_table(root / "fast.csv", 25)
    return [
        Clip(fast, ("x",), "a"),
        Clip(slow, ("y",), "b"),
        Clip(scan, ("x",), "c"),
        Clip(fast, ("y",), "a", start_s=0.2, end_s=0.6),
        Clip(fast, (), "a", table=table),
    ]


def cache(folder: Path, *, limit_bytes: int = PLENTY, rate_hz: float = RATE_HZ) -> FrameCache:
    return FrameCache(SPEC, rate_hz, folder=folder, limit_bytes=limit_bytes, workers=2)


def assert_same(found: CachedClip, clip: Clip) -> None:
    """The frames, ticks and values are those of the clip, by either way to read them."""
    expected = clip.read(SPEC, RATE_HZ)
    images = found.images
    assert images.dtype == np.uint8
    assert found.ticks.dtype == np.int32
    assert sorted(set(found.ticks.tolist())) == list(range(len(images)))
    np.testing.assert_array_equal(images[found.ticks[::2]], expected.images)
    ticks = np.arange(len(found.ticks))[::2]
    np.testing.assert_array_equal(found.take(ticks), expected.images)
    np.testing.assert_array_equal(found.take(ticks[::-1]), expected.images[::-1])
    assert found.take([]).shape == (0, 16, 24, 3)
    if expected.values is None:
        assert found.values is None
    else:
        assert found.values is not None
        np.testing.assert_array_equal(found.values[::2], expected.values)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("frames/??/*"))


def test_every_second_tick_is_a_frame_of_the_clip(clips: list[Clip], tmp_path: Path) -> None:
    filled = cache(tmp_path / "cache")
    report = filled.fill(clips, strict=True)
    assert (report.usable, report.broken, report.uncached) == (tuple(clips), (), 0)
    for clip in clips:
        assert_same(filled.open(clip), clip)
        assert isinstance(filled.open(clip).images, np.memmap)
    finer = filled.open(clips[0])
    # 30 frames a second at 24 ticks a second.
    assert indices(finer.images[finer.ticks]) == [int(m * 30 / 24 + 0.01) for m in range(20)]


def test_what_was_decoded_is_not_decoded_again(clips: list[Clip], tmp_path: Path) -> None:
    assert cache(tmp_path / "cache").fill(clips).decoded == 5
    files = [(path, path.stat().st_mtime_ns) for path in entries(tmp_path / "cache")]
    assert cache(tmp_path / "cache").fill(clips).decoded == 0
    assert [(path, path.stat().st_mtime_ns) for path in entries(tmp_path / "cache")] == files
    # Labels, groups and names are not what frames depend on.
    moved = clips[0].path.rename(clips[0].path.with_name("moved.avi"))
    assert cache(tmp_path / "cache").fill([Clip(moved, ("z",), "q")]).decoded == 0


def test_the_key_is_content_part_size_and_rate(clips: list[Clip], tmp_path: Path) -> None:
    one = cache(tmp_path / "cache")
    digests = [one.digest(clip) for clip in clips]
    assert len(set(digests)) == 5
    assert all(len(digest) == 64 for digest in digests)
    assert cache(tmp_path / "other").digest(clips[0]) == digests[0]
    assert cache(tmp_path / "cache", rate_hz=10.0).digest(clips[0]) != digests[0]


@pytest.mark.parametrize("age_s", [0, 100], ids=["just written", "older"])
def test_other_bytes_under_the_same_name_are_decoded_anew(
    clips: list[Clip], tmp_path: Path, age_s: int
) -> None:
    video, scan = clips[0], clips[2]
    for path in (video.path, *scan.path.iterdir()):
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    filled = cache(tmp_path / "cache")
    filled.fill([video, scan])
    before = filled.open(video).images.copy()
    write_video(video.path, 25, rate_hz=25.0)
    write_images(scan.path, 5)
    (scan.path / "12.png").unlink()
    again = cache(tmp_path / "cache")
    assert again.fill([video, scan]).decoded == 2
    assert_same(again.open(video), video)
    assert_same(again.open(scan), scan)
    assert before.shape != again.open(video).images.shape


def test_another_table_gives_other_values(clips: list[Clip], tmp_path: Path) -> None:
    clip = clips[4]
    cache(tmp_path / "cache").fill([clip])
    assert clip.table is not None
    clip.table.write_text(clip.table.read_text().replace(",3,", ",77,"))
    again = cache(tmp_path / "cache")
    again.fill([clip])
    assert_same(again.open(clip), clip)


DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "one bit of an image": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "one bit of the header": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
    "one bit of the end": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "longer": lambda data: data + b"\0",
    "text": lambda data: b"hello",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_entry_is_decoded_anew(clips: list[Clip], tmp_path: Path, how: str) -> None:
    cache(tmp_path / "cache").fill(clips[:1])
    (path,) = entries(tmp_path / "cache")
    good = path.read_bytes()
    path.write_bytes(DAMAGE[how](good))
    again = cache(tmp_path / "cache")
    assert again.fill(clips[:1]).decoded == 1
    assert_same(again.open(clips[0]), clips[0])
    assert path.read_bytes() == good


def test_an_entry_that_goes_while_a_run_goes_on_is_decoded_anew(
    clips: list[Clip], tmp_path: Path
) -> None:
    filled = cache(tmp_path / "cache")
    filled.fill(clips)
    for path, damage in zip(entries(tmp_path / "cache"), (b"", b"x", None, None, b""), strict=True):
        path.unlink() if damage is None else path.write_bytes(damage)
    for clip in clips:
        assert_same(filled.open(clip), clip)


@pytest.mark.parametrize("content", [b"no data base", b""])
def test_a_damaged_memo_costs_nothing_but_time(
    clips: list[Clip], tmp_path: Path, content: bytes
) -> None:
    cache(tmp_path / "cache").fill(clips)
    (tmp_path / "cache" / "frames" / "memo.sqlite").write_bytes(content)
    again = cache(tmp_path / "cache")
    assert again.fill(clips).decoded == 0
    assert_same(again.open(clips[0]), clips[0])


def test_a_locked_memo_stops_nothing(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecap_convert.data.memo._LOCK_S", 0.05)
    filled = cache(tmp_path / "cache")
    with sqlite3.connect(tmp_path / "cache" / "frames" / "memo.sqlite") as base:
        base.execute("BEGIN EXCLUSIVE")
        assert len(filled.fill(clips).usable) == 5
        assert_same(filled.open(clips[0]), clips[0])


@pytest.mark.parametrize("limit_bytes", [0, 20_000])
def test_what_does_not_fit_is_decoded_when_it_is_opened(
    clips: list[Clip], tmp_path: Path, limit_bytes: int
) -> None:
    small = cache(tmp_path / "cache", limit_bytes=limit_bytes)
    report = small.fill(clips)
    assert len(report.usable) == 5
    # The clips have 20, 10, 12, 10 and 20 frames of 1,152 bytes.
    assert report.uncached == (5 if not limit_bytes else report.uncached)
    assert 3 <= report.uncached <= 5
    images = sum(path.stat().st_size for path in entries(tmp_path / "cache"))
    assert images <= limit_bytes + 5 * 1000
    for clip in clips:
        assert_same(small.open(clip), clip)
    # That they can be decoded is known from now on.
    assert cache(tmp_path / "cache", limit_bytes=limit_bytes).fill(clips).decoded == 0
    assert cache(tmp_path / "cache").fill(clips).uncached == 0


def test_what_nobody_has_used_for_long_makes_way(clips: list[Clip], tmp_path: Path) -> None:
    cache(tmp_path / "cache").fill(clips[:1])
    (old,) = entries(tmp_path / "cache")
    full = cache(tmp_path / "cache", limit_bytes=old.stat().st_size + 5000)
    assert full.fill(clips[1:2]).uncached == 1
    assert old.exists(), "it was used just now"
    os.utime(old, (time.time() - 10_000, old.stat().st_mtime))
    assert full.fill(clips[1:2]).uncached == 0
    assert not old.exists()
    assert_same(full.open(clips[1]), clips[1])


def test_what_dead_processes_left_is_cleared_away(clips: list[Clip], tmp_path: Path) -> None:
    cache(tmp_path / "cache").fill(clips[:1])
    left, fresh = (entries(tmp_path / "cache")[0].with_name(f".{n}.1-1.tmp") for n in "ab")
    for path in (left, fresh):
        path.write_bytes(bytes(1000))
    os.utime(left, (time.time() - 10_000, time.time() - 10_000))
    cache(tmp_path / "cache").fill(clips[:1])
    assert not left.exists()
    assert fresh.exists()


def test_broken_clips_are_left_out_with_their_reasons(clips: list[Clip], tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "empty.mp4").write_bytes(b"")
    (data / "text.mp4").write_text("no video")
    (data / "no images").mkdir()
    half = write_video(data / "half.avi", 60)
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    names = ["empty.mp4", "text.mp4", "no images", "half.avi", "gone.mp4"]
    broken = [Clip(data / name, ("x",), name) for name in names]
    mixed = [broken[0], *clips[:2], *broken[1:], *clips[2:]]
    filled = cache(tmp_path / "cache")
    report = filled.fill(mixed)
    assert report.usable == tuple(clips)
    assert [clip for clip, _ in report.broken] == broken
    for (clip, reason), says in zip(
        report.broken,
        ("0 bytes", "cannot open", "no images", "cut short", "no such file"),
        strict=True,
    ):
        assert says in reason.lower()
        assert clip.path.name in reason
    assert not list((tmp_path / "cache").glob("**/*.tmp"))
    with pytest.raises(DataError, match=r"5 of 10 clips.*empty\.mp4.*half\.avi.*gone\.mp4"):
        filled.fill(mixed, strict=True)
    with pytest.raises(DataError, match="cut short"):
        filled.open(broken[3])


def test_many_broken_clips_are_counted(tmp_path: Path) -> None:
    clips = [Clip(tmp_path / f"{i}.avi", ("x",), "g") for i in range(25)]
    with pytest.raises(DataError, match=r"25 of 25 clips.*9\.avi.*and 15 more$") as error:
        cache(tmp_path / "cache").fill(clips)
    assert "10.avi" not in str(error.value)


def test_a_table_that_does_not_fit_breaks_its_clip(clips: list[Clip], tmp_path: Path) -> None:
    assert clips[4].table is not None
    clips[4].table.write_text("frame,angle\n0,1\n1,2\n")
    report = cache(tmp_path / "cache").fill(clips)
    assert [clip for clip, _ in report.broken] == clips[4:]
    assert "covers frame 0 to 1" in report.broken[0][1]


def test_two_processes_may_fill_at_once(tmp_path: Path) -> None:
    for number in range(8):
        write_video(tmp_path / "data" / "xy"[number % 2] / f"{number}.avi", 40 + number)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edgecap.dataset import open_dataset\n"
        "from edgecap_convert.data.frames import FrameCache\n"
        "from tests.material import SPEC\n"
        "cache = FrameCache(SPEC, 12.0, folder=Path(sys.argv[2]), workers=2)\n"
        "report = cache.fill(open_dataset(sys.argv[1]).clips, strict=True)\n"
        "assert len(report.usable) == 8 and report.uncached == 0\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "data"), str(tmp_path / "cache")]
    root = Path(__file__).parents[2]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, cwd=root) for _ in range(3)]
    for process in running:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said.decode()
    dataset = open_dataset(tmp_path / "data")
    filled = cache(tmp_path / "cache")
    assert filled.fill(dataset.clips).decoded == 0
    assert len(entries(tmp_path / "cache")) == 8
    for clip in dataset.clips:
        assert_same(filled.open(clip), clip)


def test_threads_may_open_at_once(clips: list[Clip], tmp_path: Path) -> None:
    filled = cache(tmp_path / "cache", limit_bytes=20_000)
    filled.fill(clips)
    expected = [clip.read(SPEC, RATE_HZ).images for clip in clips]
    wrong: list[object] = []

    def read() -> None:
        try:
            for _ in range(5):
                for clip, images in zip(clips, expected, strict=True):
                    found = filled.open(clip)
                    if not np.array_equal(found.take(np.arange(len(found.ticks))[::2]), images):
                        wrong.append(clip)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=600)
    assert not wrong


def test_many_opened_clips_hold_no_files_open(clips: list[Clip], tmp_path: Path) -> None:
    filled = cache(tmp_path / "cache")
    filled.fill(clips)
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    before = len(list(Path("/proc/self/fd").iterdir()))
    opened = [filled.open(clip) for clip in clips for _ in range(50)]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    assert all(len(clip.ticks) for clip in opened)


def test_a_cache_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="set EDGECAP_CACHE to another folder"):
        cache(tmp_path / "file")


def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECAP_CACHE", str(tmp_path / "here"))
    assert default_cache() == tmp_path / "here"
    monkeypatch.delenv("EDGECAP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "edgecap"
