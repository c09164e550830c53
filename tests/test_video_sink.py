"""Videos of what was seen: honest about time, and playable whatever happens to the writer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.errors import SinkError
from edgecap.notices import Notice
from edgecap.sinks import video
from edgecap.sinks.video import CODECS, Video
from tests.runs import LABELS, result, run_info

cv2 = pytest.importorskip("cv2", reason="needs the extra 'camera'")
RATE_HZ = run_info().spec.rate_hz
SIZE = (120, 160)


def written(path: Path) -> list[Any]:
    """All pictures of a video."""
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while True:
        good, picture = capture.read()
        if not good:
            return pictures
        pictures.append(picture)


def at(index: int, timestamp_s: float, size: tuple[int, int] = SIZE, camera: str = "door") -> Any:
    return result(index, timestamp_s=timestamp_s, size=size, camera=camera)


def write(path: Path, times_s: Any, **options: Any) -> None:
    sink = Video(str(path), LABELS, **options)
    sink.begin(run_info())
    for index, time_s in enumerate(times_s):
        sink.write(at(index, time_s))
    sink.close()


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_a_video_has_a_picture_for_each_frame_at_the_models_rate(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"out{suffix}"
    write(path, np.arange(30) / RATE_HZ)
    assert len(written(path)) == 30
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(RATE_HZ, rel=0.01)
    # Enlarged until there is room for text.
    assert written(path)[0].shape == (480, 640, 3)


def test_a_second_of_video_is_a_second_of_the_world(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    # A camera with half the rate, and some jitter.
    rng = np.random.default_rng(0)
    times_s = np.arange(40) * 2 / RATE_HZ + rng.uniform(0, 0.2 / RATE_HZ, 40)
    write(path, times_s)
    assert len(written(path)) == pytest.approx((times_s[-1] - times_s[0]) * RATE_HZ + 1, abs=1)


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_long_pause_is_cut_and_a_clock_set_back_is_survived(
    tmp_path: Path, jump_s: float
) -> None:
    path = tmp_path / "out.mkv"
    times_s = np.arange(20) / RATE_HZ
    write(path, [*(1e5 + times_s), *(1e5 + jump_s + times_s)])
    assert len(written(path)) == pytest.approx(40, abs=1)


def test_a_camera_that_changes_its_size_is_fitted_into_the_first(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    sink = Video(str(path), LABELS)
    sink.begin(run_info())
    for index in range(30):
        size = (480, 640) if index < 10 else (1080, 1920) if index < 20 else (961, 121)
        sink.write(at(index, index / RATE_HZ, size))
    sink.close()
    assert [picture.shape for picture in written(path)] == [(480, 640, 3)] * 30


def test_each_camera_has_a_file_of_its_own_whose_name_tells_no_password(tmp_path: Path) -> None:
    cameras = ("0", "rtsp://me:hunter2@10.0.0.5/1")
    sink = Video(str(tmp_path / "out.mkv"), LABELS)
    sink.begin(run_info(*cameras))
    for index in range(10):
        for camera in cameras:
            sink.write(at(index, index / RATE_HZ, camera=camera))
    sink.notice(Notice("lost", "no frame for 5 s", 1.0, "0"))
    sink.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["out-0.mkv", "out-rtsp_me_10.0.0.5_1.mkv"]
    assert [len(written(tmp_path / name)) for name in names] == [10, 10]


def test_segments_follow_each_other_without_a_loss_and_old_ones_are_given_up(
    tmp_path: Path,
) -> None:
    write(tmp_path / "all.mkv", np.arange(50) / RATE_HZ, segment_s=10 / RATE_HZ)
    segments = sorted(tmp_path.iterdir(), key=lambda p: p.stat().st_mtime_ns)
    assert [len(written(path)) for path in segments] == [10] * 5
    mine = tmp_path / "some-holiday.mkv"
    mine.write_bytes(b"mine")
    write(tmp_path / "some.mkv", np.arange(50) / RATE_HZ, segment_s=10 / RATE_HZ, keep=2)
    assert len(list(tmp_path.glob("some-2*.mkv"))) == 2
    assert mine.exists() and all(path.exists() for path in segments)


_ENDLESS = """
import sys
from edgecap.sinks.video import Video
from tests.runs import LABELS, result, run_info
sink = Video(sys.argv[1], LABELS)
sink.begin(run_info())
rate_hz = run_info().spec.rate_hz
for index in range(10**9):
    sink.write(result(index, timestamp_s=index / rate_hz, size=(160, 640)))
    if index % 100 == 0:
        print(index, flush=True)
"""


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_video_whose_writer_was_killed_can_be_played(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    root = Path(__file__).parent.parent
    writer = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(4)]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    # What the encoder and the file's buffer held is lost.
    assert len(written(path)) > told[-1] - 150


def test_too_little_room_is_told_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_CHECK_EVERY_S", 0.0)
    path = tmp_path / "out.mkv"
    sink = Video(str(path), LABELS)
    sink.begin(run_info())
    for index in range(20):
        sink.write(at(index, index / RATE_HZ))
    enough = video._LEAST_FREE_BYTES
    monkeypatch.setattr(video, "_LEAST_FREE_BYTES", shutil.disk_usage(tmp_path).free * 2)
    for _ in range(2):
        with pytest.raises(SinkError, match="MB free; expected at least"):
            sink.write(at(20, 20 / RATE_HZ))
    monkeypatch.setattr(video, "_LEAST_FREE_BYTES", enough)
    for index in range(20, 25):
        sink.write(at(index, index / RATE_HZ))
    sink.close()
    # Not over what was written before.
    assert len(written(path)) == 20
    assert len(written(tmp_path / "out-2.mkv")) == 5


_LIMITED = """
import resource, sys
from edgecap.errors import SinkError
from edgecap.sinks import video
from tests.runs import LABELS, result, run_info
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
video._CHECK_EVERY_S = 0.0
sink = video.Video(sys.argv[1], LABELS, segment_s=float(sys.argv[2]) or None)
sink.begin(run_info())
told = 0
for index in range(int(sys.argv[3])):
    try:
        sink.write(result(index, timestamp_s=index / 10, size=(480, 640)))
    except SinkError as error:
        told += 1
        if told == 1:
            print(error)
print(told)
"""


def limited(path: Path, *, segment_s: float, pictures: int) -> list[str]:
    """What is told of videos that may have 5 kB each, and how often."""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path), str(segment_s), str(pictures)],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_file_that_no_longer_grows_is_told(tmp_path: Path) -> None:
    told, _ = limited(tmp_path / "out.avi", segment_s=0, pictures=700)
    assert "does not grow any more" in told


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_segment_that_lacks_its_end_is_told(tmp_path: Path, suffix: str) -> None:
    """Segments that end before so many pictures that a file must have grown."""
    told, times = limited(tmp_path / f"out{suffix}", segment_s=10, pictures=350)
    assert "does not grow any more" in told
    # Once for each of three segments.
    assert int(times) == 3


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4", ".webm"])
def test_short_segments_that_are_whole_are_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(video, "_CHECK_EVERY_S", 0.0)
    sink = Video(str(tmp_path / f"out{suffix}"), LABELS, segment_s=0.2)
    sink.begin(run_info())
    for index in range(21):
        sink.write(at(index, index / RATE_HZ))
    sink.close()
    assert len(list(tmp_path.iterdir())) > 5


def test_what_cannot_be_a_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"a name that ends with \.mkv, \.avi, \.mp4, \.webm"):
        Video(str(tmp_path / "out.gif"), LABELS)
    with pytest.raises(SinkError, match="no folder"):
        Video(str(tmp_path / "missing" / "out.mkv"), LABELS)
    with pytest.raises(SinkError, match="segments longer than 0 s"):
        Video(str(tmp_path / "out.mkv"), LABELS, segment_s=0)
    assert set(CODECS) == {".mkv", ".avi", ".mp4", ".webm"}
