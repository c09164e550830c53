"""Training from a folder of clips: what it makes, what it refuses, what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecap.cli import main
from edgecap.synthetic import Scene

TINY = """
rate_hz = 12
units = 16
feature_windows = 2
[encoder]
height = 32
width = 32
[neck]
channels = 4
features = 16
[pretrain]
steps = 2
batch = 8
[recurrent]
steps = 6
batch = 4
length = 8
validate_every = 3
[joint]
steps = 2
batch = 2
length = 4
validate_every = 2
[qat]
steps = 2
batch = 2
length = 4
validate_every = 2
"""


def write_clip(path: Path, label: str, seed: int) -> None:
    """A gesture as a video of 48×40 pixels at 24 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 24.0, (48, 40))
    for frame in Scene(seed=seed, height=40, width=48, rate_hz=24, gestures=[label]):
        if frame.gesture >= 0:
            writer.write(frame.image[..., ::-1])
    writer.release()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of each of two classes; one clip is a folder of images."""
    folder = tmp_path_factory.mktemp("clips")
    for label in ("left", "right"):
        for number in range(2):
            write_clip(folder / label / f"{number}.mp4", label, number)
        images = folder / label / "frames"
        images.mkdir()
        for frame in Scene(seed=5, height=40, width=48, gestures=[label]):
            if frame.gesture >= 0:
                cv2.imwrite(str(images / f"{frame.index}.png"), frame.image[..., ::-1])
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def edgecap(*arguments: str | Path) -> int:
    """Runs a verb in this process; returns its exit status."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def test_clips_become_a_model_that_streams(
    clips: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, model = tmp_path / "runs" / "one", tmp_path / "one.tflite"
    assert edgecap("train", clips, "--out", run, "--config", tiny, "--seed", 1) == 0
    assert {f.name for f in run.iterdir()} == {
        "config.json",
        "weights.npz",
        "metrics.json",
        "history.json",
        "curves.png",
    }
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["data"]["training_clips"] == {"left": 2, "right": 2}
    assert metrics["validation"]["segments"] == 2
    assert edgecap("convert", run, "--out", model) == 0
    capfd.readouterr()
    assert edgecap("evaluate", model, clips, "--json") == 0
    int8 = json.loads(capfd.readouterr().out)
    assert edgecap("evaluate", run, clips, "--json") == 0
    floating = json.loads(capfd.readouterr().out)
    assert int8["labels"] == floating["labels"] == ["left", "right"]
    assert int8["segments"] == floating["segments"] == 6
    assert edgecap("info", model, "--json") == 0
    spec = json.loads(capfd.readouterr().out)["spec"]
    assert spec["provenance"]["seed"] == 1
    assert [command.split()[1] for command in spec["provenance"]["commands"]] == [
        "train",
        "convert",
    ]


def test_the_same_seed_trains_the_same_network(clips: Path, tiny: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert edgecap("train", clips, "--out", tmp_path / name, "--config", tiny) == 0
    first, second = (dict(np.load(tmp_path / name / "weights.npz")) for name in ("a", "b"))
    for name, array in first.items():
        np.testing.assert_allclose(array, second[name], rtol=1e-3, atol=1e-4)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Runs a verb that must fail with one line after any progress bars; returns the line."""
    status = edgecap(*arguments)
    out, err = capfd.readouterr()
    assert status in (1, 2)
    assert out == ""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("edgecap: ")]
    assert lines == err.splitlines()[-1:], err
    return lines[0]


def test_one_class_is_refused(
    clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "left").symlink_to(clips / "left")
    line = refused(capfd, "train", tmp_path / "data", "--out", tmp_path / "run")
    assert "one class, 'left'" in line
    assert not (tmp_path / "run").exists()


def test_an_unreadable_clip_is_refused_by_name(
    clips: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for label in ("left", "right"):
        write_clip(tmp_path / "data" / label / "0.mp4", label, 1)
        write_clip(tmp_path / "data" / label / "1.mp4", label, 2)
    (tmp_path / "data" / "right" / "2.mp4").write_bytes(b"no video" * 100)
    line = refused(capfd, "train", tmp_path / "data", "--out", tmp_path / "run", "--config", tiny)
    assert "2.mp4" in line
    assert "unreadable clip" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unit = 3", "unknown 'unit'"),
        ("units = 'many'", "units: expected int"),
        ("[encoder]\nstride = 5", "encoder.stride"),
        ("[joint]\nsteps = -1", "steps"),
        ("units = ", "not TOML"),
    ],
)
def test_wrong_settings_are_refused(
    text: str, said: str, clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(text)
    line = refused(capfd, "train", clips, "--out", tmp_path / "run", "--config", config)
    assert said in line
    assert not (tmp_path / "run").exists()


def test_a_folder_with_something_in_it_is_not_overwritten(
    clips: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "run" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    line = refused(capfd, "train", clips, "--out", tmp_path / "run", "--config", tiny)
    assert "not empty" in line
    assert [f.name for f in precious.parent.iterdir()] == ["precious.txt"]


def test_converting_what_is_no_run_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = refused(capfd, "convert", tmp_path, "--out", tmp_path / "m.tflite")
    assert "no run there" in line
    assert not (tmp_path / "m.tflite").exists()
