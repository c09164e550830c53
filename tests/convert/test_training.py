"""Training from a folder of clips: what it makes, what it refuses, what it leaves behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edgecap_convert.captions.config import captions_wanted
from edgecap_convert.training.config import load_config
from edgecap_convert.training.tensorboard import TensorBoardLog

from tests.convert.tiny import (
    TINY,
    answered,
    edgecap,
    read_json,
    refused,
    write_gesture,
    write_gestures,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
WHOLE = {
    "config.json",
    "split.json",
    "weights.npz",
    "metrics.json",
    "history.json",
    "report.html",
    "tensorboard",
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of each of two classes; one clip is a folder of images."""
    return write_gestures(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def no_stages(tmp_path: Path) -> Path:
    """Settings under which nothing is optimised."""
    path = tmp_path / "none.toml"
    path.write_text(without_stages())
    return path


def without_stages() -> str:
    stages = ("pretrain", "recurrent", "joint", "qat")
    return TINY.partition("[pretrain]")[0] + "".join(f"[{s}]\nsteps = 0\n" for s in stages)


@pytest.fixture(scope="module")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all stages with seed 1."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(TINY)
    run = folder / "runs" / "one"
    train = ("train", clips, "--out", run, "--config", folder / "tiny.toml", "--seed", 1)
    assert edgecap(*train) == 0
    return run


def test_clips_become_a_model_that_streams(
    clips: Path, trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, model = tmp_path / "run", tmp_path / "one.tflite"
    shutil.copytree(trained, run)
    assert {f.name for f in run.iterdir()} == WHOLE
    metrics = read_json(run / "metrics.json")
    assert metrics["data"]["labels"]["training"] == {"left": 2, "right": 2}
    assert metrics["data"]["clips"] == {"training": 4, "validation": 2, "test": 0}
    assert metrics["data"]["broken"] == []
    assert metrics["validation"]["segments"] == 2
    assert {name: stage["steps"] for name, stage in metrics["stages"].items()} == {
        "pretrain": 2,
        "recurrent": 6,
        "joint": 2,
    }
    split = read_json(run / "split.json")
    assert not set(split["training"]) & set(split["validation"])
    assert sorted([*split["training"], *split["validation"]]) == [
        f"{label}/{name}" for label in ("left", "right") for name in ("0.mp4", "1.mp4", "frames")
    ]
    assert "<html" in (run / "report.html").read_text()
    assert {path.name for path in (run / "tensorboard").iterdir()} == set(metrics["stages"])
    assert edgecap("convert", run, "--out", model) == 0
    assert {f.name for f in run.iterdir()} == WHOLE | {
        "parity.json",
        "parity.html",
        "quantized.npz",
    }
    int8 = answered(capfd, "evaluate", model, clips)
    floating = answered(capfd, "evaluate", run, clips)
    fake_quant = answered(capfd, "evaluate", run, clips, "--network", "fake-quant")
    assert fake_quant["confusion"] == int8["confusion"]
    assert int8["labels"] == floating["labels"] == ["left", "right"]
    assert int8["segments"] == floating["segments"] == 6
    spec = answered(capfd, "info", model)["spec"]
    assert spec["provenance"]["seed"] == 1
    assert [command.split()[1] for command in spec["provenance"]["commands"]] == [
        "train",
        "convert",
    ]


def test_one_class_is_refused(
    clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "left").symlink_to(clips / "left")
    line = refused(capfd, "train", tmp_path / "data", "--out", tmp_path / "run")
    assert "one class, 'left'" in line
    assert not (tmp_path / "run").exists()


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Two clips of each of two classes, and one that is no video."""
    for label in ("left", "right"):
        for number in range(2):
            write_gesture(tmp_path / "data" / label / f"{number}.mp4", label, number)
    (tmp_path / "data" / "right" / "2.mp4").write_bytes(b"no video" * 100)
    return tmp_path / "data"


def test_a_broken_clip_is_left_out_and_listed(
    broken: Path, no_stages: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert edgecap("train", broken, "--out", run, "--config", no_stages) == 0
    metrics = read_json(run / "metrics.json")
    ((name, reason),) = metrics["data"]["broken"]
    assert name == "right/2.mp4"
    assert reason
    assert sum(metrics["data"]["clips"].values()) == 4
    split = read_json(run / "split.json")
    assert name not in [*split["training"], *split["validation"], *split["test"]]
    assert "right/2.mp4" in (run / "report.html").read_text()


def test_a_broken_clip_is_refused_by_name_if_asked(
    broken: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = refused(capfd, "train", broken, "--out", tmp_path / "run", "--config", tiny, "--strict")
    assert "2.mp4" in line
    assert "1 of 5 clips cannot be used" in line
    assert not (tmp_path / "run").exists()


def test_nothing_but_broken_clips_is_refused(
    broken: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for clip in broken.rglob("*.mp4"):
        clip.write_bytes(b"")
    line = refused(capfd, "train", broken, "--out", tmp_path / "run", "--config", tiny)
    assert "5 of 5 clips cannot be used" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate_hz = 0", "rate_hz"),
        ("rate_hz = 500", "rate_hz"),
        ("scenes = 0", "scenes"),
        ("variants = 0", "variants"),
        ("longest = 0", "longest"),
        ("grace = 1", "grace"),
        ("task = 'tracking'", "task: expected one of"),
        ("cache_gb = -1", "cache_gb"),
        ("checkpoint_s = inf", "checkpoint_s"),
        ("resize = 'best'", "resize"),
        ("units = 16", "unknown 'units'"),
        ("[lstm]\nunits = 0", "units"),
        ("[lstm]\nlayers = 9", "lstm.layers"),
        ("[neck]\npool = 'sum'", "neck.pool"),
        ("[split]\nvalidation = 1", "split.validation"),
        ("[split]\nvalidation = 0.5\ntest = 0.5", "so that some can train"),
        ("[augment]\nzoom = -1", "augment.zoom"),
        ("[augment]\nmirror = {left = 'up', up = 'left'}", "'up' is no label"),
        ("[augment]\nmirror = {left = 1}", "augment.mirror"),
        ("[encoder]\nalpha = inf", "encoder.alpha"),
        ("[encoder]\nalpha = nan", "encoder.alpha"),
        ("unit = 3", "unknown 'unit'"),
        ("[lstm]\nunits = 'many'", "units: expected int"),
        ("[encoder]\nstride = 5", "encoder.stride"),
        ("[joint]\nsteps = -1", "steps"),
        ("[joint]\nkeep = 'first'", "keep"),
        ("[joint]\ndropout = 1", "dropout"),
        ("[joint]\nnoise = nan", "noise"),
        ("scenes = ", "not TOML"),
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


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_settings(path: Path) -> None:
    if captions_wanted("", path) is None:
        load_config(path)


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


def test_an_interruption_before_the_training_leaves_nothing(
    clips: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgecap_convert.training import runs

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # The last thing before it.
    monkeypatch.setattr(runs, "settle_split", interrupt)
    mine = tmp_path / "empty"
    mine.mkdir()
    for run in (tmp_path / "deep" / "run", mine):
        assert edgecap("train", clips, "--out", run, "--config", tiny) == 130
    assert not (tmp_path / "deep" / "run").exists()
    assert list(mine.iterdir()) == []


class Interrupted:
    """``edgecap train`` is stopped by Ctrl-C after a step of a stage."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._scalars = TensorBoardLog.scalars
        self._patch = patch

    def after(self, stage: str, step: int) -> None:
        def scalars(log: TensorBoardLog, at: str, number: int, **values: float | None) -> None:
            self._scalars(log, at, number, **values)
            if (at, number) == (stage, step) and "loss" in values:
                raise KeyboardInterrupt

        self._patch.setattr(TensorBoardLog, "scalars", scalars)

    def never(self) -> None:
        self._patch.setattr(TensorBoardLog, "scalars", self._scalars)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Interrupted]:
    yield Interrupted(monkeypatch)


@pytest.mark.slow
def test_an_interrupted_training_is_kept_and_resumed(
    clips: Path,
    trained: Path,
    tiny: Path,
    tmp_path: Path,
    interrupted: Interrupted,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tiny.write_text("checkpoint_s = 0\n" + TINY)
    run = tmp_path / "run"
    train = ("train", clips, "--out", run, "--config", tiny, "--seed", 1)
    interrupted.after("recurrent", 4)
    assert edgecap(*train) == 130
    assert {f.name for f in run.iterdir()} == {
        "config.json",
        "split.json",
        "checkpoints",
        "features",
        "tensorboard",
    }
    interrupted.never()
    # What is not whole is not taken for it.
    assert "was not finished" in refused(capfd, "evaluate", run, clips)
    assert "was not finished" in refused(capfd, "convert", run, "--out", tmp_path / "m.tflite")
    assert "--resume" in refused(capfd, *train)
    assert "begun with other settings (seed)" in refused(capfd, *train, "--resume", "--seed", 5)
    assert (run / "checkpoints" / "recurrent.npz").is_file()
    # Of the pretraining nothing is left to do, of the next stage the rest.
    interrupted.after("pretrain", 1)
    resumed = answered(capfd, *train, "--resume")
    assert {f.name for f in run.iterdir()} == WHOLE
    interrupted.never()
    unbroken = read_json(trained / "metrics.json")
    for name in ("stages", "validation", "data"):
        assert resumed[name] == unbroken[name]
    assert (run / "history.json").read_bytes() == (trained / "history.json").read_bytes()
    first, second = (dict(np.load(path / "weights.npz")) for path in (run, trained))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
    # A finished run is left as it is.
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    assert answered(capfd, *train, "--resume") == resumed
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before
    assert "seed" in refused(capfd, *train, "--resume", "--seed", 5)


def test_resuming_on_other_clips_or_settings_is_refused(
    clips: Path,
    tmp_path: Path,
    interrupted: Interrupted,
    capfd: pytest.CaptureFixture[str],
) -> None:
    data, run, config = tmp_path / "data", tmp_path / "run", tmp_path / "config.toml"
    shutil.copytree(clips, data)
    text = without_stages().replace("[recurrent]\nsteps = 0", "[recurrent]\nsteps = 3")
    config.write_text(text)
    train = ("train", data, "--out", run, "--config", config)
    interrupted.after("recurrent", 1)
    assert edgecap(*train) == 130
    interrupted.never()
    config.write_text("grace = 0.5\n" + text.replace("units = 16", "units = 8"))
    line = refused(capfd, *train, "--resume")
    assert "was begun with other settings (grace, lstm.units)" in line
    config.write_text(text)
    write_gesture(data / "left" / "7.mp4", "left", 7)
    line = refused(capfd, *train, "--resume")
    assert "is not what it was" in line
    (data / "left" / "7.mp4").unlink()
    write_gesture(data / "left" / "0.mp4", "left", 8)
    assert "is not what it was" in refused(capfd, *train, "--resume")
    shutil.rmtree(data)
    shutil.copytree(clips, data)
    (run / "split.json").unlink()
    assert edgecap(*train, "--resume") == 0
    assert {f.name for f in run.iterdir()} == WHOLE


def test_resuming_where_nothing_was_begun_begins(
    clips: Path, no_stages: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    # Killed while the very first file was written.
    (run / ".config.json.1234-5678.tmp").write_text("{")
    assert edgecap("train", clips, "--out", run, "--config", no_stages, "--resume") == 0
    assert (run / "metrics.json").is_file()


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
    config.write_text(without_stages())
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


def test_a_run_that_holds_nothing_out_is_not_converted(
    clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "all.toml"
    config.write_text(without_stages() + "[split]\nvalidation = 0.0\n")
    run = tmp_path / "run"
    metrics = answered(capfd, "train", clips, "--out", run, "--config", config)
    assert metrics["data"]["clips"] == {"training": 6, "validation": 0, "test": 0}
    assert "validation" not in metrics
    line = refused(capfd, "convert", run, "--out", tmp_path / "m.tflite")
    assert "nothing is held out" in line
    assert not (run / "quantized.npz").exists()


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
