"""Training from a folder of clips: what it makes, what it refuses, what it leaves behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
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
    assert edgecap("evaluate", run, clips, "--json", "--network", "fake-quant") == 0
    fake_quant = json.loads(capfd.readouterr().out)
    assert fake_quant["confusion"] == int8["confusion"]
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
        ("rate_hz = 0", "rate_hz"),
        ("rate_hz = 500", "rate_hz"),
        ("feature_windows = 0", "feature_windows"),
        ("units = 0", "units"),
        ("[encoder]\nalpha = inf", "encoder.alpha"),
        ("[encoder]\nalpha = nan", "encoder.alpha"),
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


def test_a_class_folder_that_cannot_be_a_label_is_refused_before_training(
    clips: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "left").symlink_to(clips / "left")
    (data / "ri\tght").symlink_to(clips / "right")
    line = refused(capfd, "train", data, "--out", tmp_path / "run", "--config", tiny)
    assert "printable labels" in line
    assert not (tmp_path / "run").exists()


def test_an_interrupted_training_leaves_nothing(
    clips: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgecap_convert.training import stages

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "train_network", interrupt)
    mine = tmp_path / "empty"
    mine.mkdir()
    for run in (tmp_path / "deep" / "run", mine):
        assert edgecap("train", clips, "--out", run, "--config", tiny) == 130
    assert not (tmp_path / "deep" / "run").exists()
    assert list(mine.iterdir()) == []


def test_a_refusal_is_one_line_in_a_process_of_its_own(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "left").symlink_to(clips / "left")
    done = subprocess.run(
        [sys.executable, "-m", "edgecap", "train", tmp_path / "data", "--out", tmp_path / "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("edgecap: ")


@pytest.fixture(scope="module")
def finished_run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without optimisation: untrained weights, but whole."""
    folder = tmp_path_factory.mktemp("finished")
    config = folder / "none.toml"
    stages = ("pretrain", "recurrent", "joint", "qat")
    config.write_text(TINY.partition("[pretrain]")[0])
    with config.open("a") as file:
        file.writelines(f"[{stage}]\nsteps = 0\n" for stage in stages)
    assert edgecap("train", clips, "--out", folder / "run", "--config", config) == 0
    return folder / "run"


def test_data_that_changed_since_training_is_not_converted_with(
    clips: Path, finished_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(clips, tmp_path / "clips")
    shutil.copytree(finished_run, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    config["data"] = metrics["data"]["name"] = str(tmp_path / "clips")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "clips" / "left" / "0.mp4").rename(tmp_path / "clips" / "left" / "9.mp4")
    line = refused(capfd, "convert", tmp_path / "run", "--out", tmp_path / "m.tflite")
    assert "is not what it was" in line
    assert not (tmp_path / "m.tflite").exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "missing"])
def test_damaged_weights_are_refused(
    finished_run: Path, tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    weights = run / "weights.npz"
    whole = weights.read_bytes()
    weights.unlink()
    if damage != "missing":
        weights.write_bytes(whole[: 0 if damage == "empty" else len(whole) // 2])
    line = refused(capfd, "evaluate", run, "synthetic:")
    assert "weights.npz" in line


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    finished_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for out in (tmp_path, tmp_path / "none" / "m.tflite"):
        assert "cannot write" in refused(capfd, "convert", finished_run, "--out", out)


def test_converting_what_is_no_run_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = refused(capfd, "convert", tmp_path, "--out", tmp_path / "m.tflite")
    assert "no run there" in line
    assert not (tmp_path / "m.tflite").exists()
