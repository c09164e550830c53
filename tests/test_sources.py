"""Sources: every frame once, in order, with times that grow, or an error that says why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgecap
from edgecap.errors import SourceError
from edgecap.sources.folder import ImageFolder, natural_key
from edgecap.synthetic import Scene

RATE_HZ = 10.0
SIZE = (48, 64)
NUMBER = 24


def shade(index: int) -> int:
    return 20 + index * 9


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames at 10 Hz, each of one shade of grey with a red patch at the top left."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE_HZ, SIZE[::-1])
    assert writer.isOpened()
    for index in range(NUMBER):
        image = np.full((*SIZE, 3), shade(index), np.uint8)
        image[:16, :16] = (0, 0, 255)  # BGR
        writer.write(image)
    writer.release()
    return path


def test_a_video_gives_every_frame_in_order_as_rgb(video: Path) -> None:
    with edgecap.open_source(video) as source:
        frames = list(source)
        assert source.live is False
        assert source.rate_hz == pytest.approx(RATE_HZ)
    assert [f.index for f in frames] == list(range(NUMBER))
    for frame in frames:
        assert frame.image.shape == (*SIZE, 3)
        assert frame.image.dtype == np.uint8
        # MJPG loses a few grey levels; neighbouring frames are 9 apart.
        assert abs(float(frame.image[32:, 32:].mean()) - shade(frame.index)) < 4
        red, green, blue = frame.image[4:12, 4:12].mean(axis=(0, 1))
        assert red > 200
        assert max(green, blue) < 60


def test_a_videos_times_grow_by_its_rate(video: Path) -> None:
    with edgecap.open_source(str(video)) as source:
        times = [frame.timestamp_s for frame in source]
    np.testing.assert_allclose(np.diff(times), 1 / RATE_HZ, atol=1e-3)


def test_a_source_may_be_closed_twice(video: Path) -> None:
    with edgecap.open_source(video) as source:
        next(iter(source))
        source.close()


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.02])
def test_a_truncated_video_gives_the_frames_that_are_there_or_an_error(
    video: Path, tmp_path: Path, share: float
) -> None:
    data = video.read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(data[: int(len(data) * share)])
    # In a process of its own, with a limit, so that a hang is a failure and not a hang.
    script = (
        "import json, sys, edgecap\n"
        "from edgecap.errors import SourceError\n"
        "try:\n"
        "    with edgecap.open_source(sys.argv[1]) as source:\n"
        "        found = [float(f.image[32:, 32:].mean()) for f in source]\n"
        "    print(json.dumps(found))\n"
        "except SourceError as error:\n"
        "    print('null')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        timeout=300,
        check=True,
    )
    found = json.loads(result.stdout)
    if found is not None:
        assert 0 < len(found) <= NUMBER
        np.testing.assert_allclose(found, [shade(i) for i in range(len(found))], atol=4)
    if share == 0.9:
        assert found is not None, "most frames are there"
        assert len(found) >= NUMBER * 0.8


@pytest.mark.parametrize("content", [b"", b"no video", bytes(5000)], ids=["empty", "text", "zeros"])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("cv2")
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"clip\.mp4"), edgecap.open_source(path) as source:
        list(source)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images whose natural order is not that of their names, and files that are no images."""
    cv2 = pytest.importorskip("cv2")
    for number in (1, 2, 9, 10, 11, 100):
        image = np.full((*SIZE, 3), (number, 0, 255), np.uint8)  # BGR
        cv2.imwrite(str(tmp_path / f"frame{number}.png"), image)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "sub.png").mkdir()
    return tmp_path


def test_a_folder_gives_its_images_in_natural_order_as_rgb(folder: Path) -> None:
    with edgecap.open_source(folder, rate_hz=5) as source:
        frames = list(source)
    assert [int(f.image[0, 0, 2]) for f in frames] == [1, 2, 9, 10, 11, 100]
    assert all(f.image[0, 0, 0] == 255 for f in frames)
    assert [f.index for f in frames] == list(range(6))
    assert [f.timestamp_s for f in frames] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_natural_order_counts_and_ignores_case() -> None:
    names = ["b1", "A10", "a2", "a2b", "10", "9", "frame01", "frame1", ""]
    ordered = sorted(names, key=natural_key)
    assert ordered.index("9") < ordered.index("10")
    assert ordered.index("a2") < ordered.index("a2b") < ordered.index("A10") < ordered.index("b1")


@pytest.mark.parametrize("name", ["²", "5²", "½", "frame١.png"])
def test_any_name_that_a_file_can_have_can_be_sorted(name: str) -> None:
    """``'²'.isdigit()`` holds, and ``int('²')`` fails."""
    assert sorted([name, "frame2.png"], key=natural_key)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(SourceError, match="no images"):
        edgecap.open_source(tmp_path)


def test_a_broken_image_is_named(folder: Path) -> None:
    (folder / "frame10.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"frame10\.png"):
        list(ImageFolder(folder, rate_hz=1.0))


def test_a_name_that_nothing_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder; a source is"):
        edgecap.open_source(tmp_path / "none.mp4")


def test_a_name_too_long_for_a_file_is_refused() -> None:
    with pytest.raises(SourceError):
        edgecap.open_source("x" * 5000)


def test_a_synthetic_source_is_the_scene_of_its_options() -> None:
    with edgecap.open_source("synthetic:seed=4,gestures=1,width=64,height=48,rate=20") as source:
        frames = list(source)
        assert source.rate_hz == 20.0
    scene = list(Scene(seed=4, gestures=1, width=64, height=48, rate_hz=20.0))
    assert [f.image.tobytes() for f in frames] == [f.image.tobytes() for f in scene]
    assert [(f.index, f.timestamp_s) for f in frames] == [(f.index, f.timestamp_s) for f in scene]


def test_a_synthetic_source_follows_the_model_unless_told_otherwise() -> None:
    with edgecap.open_source("synthetic:", size=(40, 72), rate_hz=9.0) as source:
        assert next(iter(source)).image.shape == (40, 72, 3)
        assert source.rate_hz == 9.0
    with edgecap.open_source("synthetic:width=32", size=(40, 72)) as source:
        assert next(iter(source)).image.shape == (40, 32, 3)


@pytest.mark.parametrize(
    "options",
    [
        "speed=1",
        "seed",
        "seed=",
        "seed=x",
        "seed=1.5",
        "seed=-1",
        "gestures=-3",
        "rate=0",
        "rate=nan",
        "rate=inf",
        "width=8",
        "height=0",
        "width=10000000,height=10000000",
    ],
)
def test_a_wrong_option_of_a_scene_is_refused(options: str) -> None:
    with (
        pytest.raises(SourceError, match="synthetic"),
        edgecap.open_source(f"synthetic:{options}") as source,
    ):
        next(iter(source))
