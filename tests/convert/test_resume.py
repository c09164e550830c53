"""A training that was stopped, however often and wherever, ends where an unbroken one does."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from edgecap_convert.data import TrainingData
from edgecap_convert.quantization.qat import train_quantized
from edgecap_convert.training.checkpoints import Checkpoints, Snapshot
from edgecap_convert.training.config import TrainConfig, load_config
from edgecap_convert.training.material import open_material
from edgecap_convert.training.optimise import History
from edgecap_convert.training.stages import Training

from edgecap.errors import ConfigError
from tests.convert.tiny import TINY, read_json, write_gestures

# All that is random or carried: augmentation, dropout, noise, states, the grid of the frame before.
EVERYTHING = (
    TINY.replace("[neck]", "[neck]\ndifference = true")
    .replace("[lstm]", "[lstm]\nattention = 2")
    .replace("length = 8", "length = 4")
    .replace("length = 4", "length = 3")
    .replace("[recurrent]", "[recurrent]\ndropout = 0.2\nnoise = 0.1\npatience = 3")
    .replace("[joint]\nsteps = 2", "[joint]\ndropout = 0.2\nweight_decay = 0.01\nsteps = 3")
    .replace("[pretrain]\nsteps = 2", "[pretrain]\nsteps = 3")
    .replace("[qat]\nsteps = 2", "[qat]\nsteps = 4")
    + '[augment]\nzoom = 0.2\nlight = 0.2\nmirror = {left = "right", right = "left"}\n'
)
SEED = 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gestures(tmp_path_factory.mktemp("clips"), count=4)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text("checkpoint_s = 0\n" + EVERYTHING)
    return load_config(path)


@pytest.fixture(scope="module")
def material(clips: Path, config: TrainConfig) -> TrainingData:
    return open_material(str(clips), config, seed=SEED)


class Stopper:
    """A log that stops the training after a step of a stage, before its checkpoint is written."""

    def __init__(self, stage: str, step: int, error: type[BaseException]) -> None:
        self._at, self._error = (stage, step), error

    def scalars(self, stage: str, step: int, **values: float | None) -> None:
        if (stage, step) == self._at and "loss" in values:
            raise self._error("stopped")

    def resume(self, stage: str, step: int) -> None:
        return None

    def flush(self) -> None:
        return None


@dataclass(frozen=True)
class Result:
    histories: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(cls, histories: list[History], network: Any) -> Result:
        return cls([history.to_dict() for history in histories], network.get_arrays())

    def assert_equals(self, other: Result) -> None:
        assert self.histories == other.histories
        assert self.arrays.keys() == other.arrays.keys()
        for name, array in self.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)


@pytest.fixture(scope="module")
def unbroken(
    config: TrainConfig, material: TrainingData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Training, Result]:
    folder = tmp_path_factory.mktemp("unbroken")
    training = Training(config, material, seed=SEED, folder=folder)
    return training, Result.of(training.run(), training.network)


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_weights(
    config: TrainConfig,
    material: TrainingData,
    unbroken: tuple[Training, Result],
    tmp_path: Path,
) -> None:
    stops = [
        ("pretrain", 2, KeyboardInterrupt),
        ("recurrent", 1, RuntimeError),
        ("recurrent", 5, KeyboardInterrupt),
        ("joint", 2, MemoryError),
    ]
    for stage, step, error in stops:
        log = Stopper(stage, step, error)
        training = Training(config, material, seed=SEED, folder=tmp_path, log=log)
        with pytest.raises(error, match="stopped"):
            training.run()
    training = Training(config, material, seed=SEED, folder=tmp_path)
    histories = training.run()
    found = Result.of(histories, training.network)
    found.assert_equals(unbroken[1])
    assert [len(history["loss"]) for history in found.histories] == [3, 6, 3]
    # Nothing is left to do: all of it is in the checkpoints.
    again = Training(config, material, seed=SEED, folder=tmp_path)
    began_s = time.monotonic()
    kept = again.run()
    took_s = time.monotonic() - began_s
    Result.of(kept, again.network).assert_equals(found)
    # What a stage took is remembered, from process to process.
    assert all(history.seconds > 0 for history in histories)
    for one, other in zip(histories, kept, strict=True):
        assert one.seconds <= other.seconds <= one.seconds + took_s
    again.discard_checkpoints()
    assert not any(tmp_path.rglob("*.np?"))


class StoppingCheckpoints(Checkpoints):
    """Stops the training before or behind the so many-th checkpoint."""

    def __init__(self, folder: Path, *, count: int, behind: bool) -> None:
        super().__init__(folder, every_s=0.0)
        self._left, self._behind = count, behind

    def save(self, stage: str, snapshot: Snapshot) -> None:
        self._left -= 1
        if self._left or self._behind:
            super().save(stage, snapshot)
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("freeze_encoder", [False, True])
def test_a_stopped_quantisation_goes_on_to_the_same_weights(
    config: TrainConfig,
    material: TrainingData,
    unbroken: tuple[Training, Result],
    tmp_path: Path,
    freeze_encoder: bool,
) -> None:
    network = unbroken[0].network
    config = dataclasses.replace(config, freeze_encoder=freeze_encoder)

    def quantise(folder: Path, checkpoints: Checkpoints | None) -> Result:
        trained = train_quantized(
            network, config, material, seed=SEED, folder=folder, checkpoints=checkpoints
        )
        return Result.of([trained.history], trained.quantized)

    expected = quantise(tmp_path / "whole", None)
    folder = tmp_path / "stopped"
    # Before the ranges freeze at the second step of four, and behind it.
    for count, behind in ((2, False), (2, True)):
        with pytest.raises(KeyboardInterrupt):
            quantise(folder, StoppingCheckpoints(folder, count=count, behind=behind))
    quantise(folder, Checkpoints(folder, every_s=0.0)).assert_equals(expected)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Checkpoints, Path]]:
    checkpoints = Checkpoints(tmp_path / "checkpoints", every_s=0.0)
    arrays = {"a": np.arange(200, dtype=np.float32), "b": np.zeros((0, 3), np.int64)}
    checkpoints.save("joint", Snapshot({"step": 3, "loss": [0.5, 1e-9]}, arrays))
    yield checkpoints, tmp_path / "checkpoints" / "joint.npz"


def test_a_checkpoint_is_read_back_as_it_was(kept: tuple[Checkpoints, Path]) -> None:
    checkpoints, path = kept
    snapshot = checkpoints.load("joint")
    assert snapshot is not None
    assert snapshot.meta == {"step": 3, "loss": [0.5, 1e-9]}
    assert snapshot.arrays["a"].dtype == np.float32
    np.testing.assert_array_equal(snapshot.arrays["a"], np.arange(200))
    assert snapshot.arrays["b"].shape == (0, 3)
    assert [entry.name for entry in path.parent.iterdir()] == ["joint.npz"]
    assert checkpoints.load("recurrent") is None
    checkpoints.discard("joint")
    assert checkpoints.load("joint") is None
    checkpoints.clear()
    checkpoints.clear()
    assert not path.parent.exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "other"])
def test_a_damaged_checkpoint_is_told_by_name(kept: tuple[Checkpoints, Path], damage: str) -> None:
    checkpoints, path = kept
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": whole[:-40], "noise": b"x" * 900}.get(damage, whole))
    if damage == "other":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros(3))
    with pytest.raises(ConfigError, match=r"joint\.npz is damaged .*remove it to begin this stage"):
        checkpoints.load("joint")


def test_checkpoints_are_written_no_more_often_than_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 7.0
    clock = SimpleNamespace(monotonic=lambda: now_s)
    monkeypatch.setattr("edgecap_convert.training.checkpoints.time", clock)
    checkpoints = Checkpoints(tmp_path, every_s=30.0)
    now_s += 29.0
    assert not checkpoints.due()
    now_s += 2.0
    assert checkpoints.due()
    checkpoints.save("joint", Snapshot({}))
    assert not checkpoints.due()


@pytest.mark.slow
def test_a_killed_training_goes_on_in_another_process(clips: Path, tmp_path: Path) -> None:
    text = "checkpoint_s = 0\n" + EVERYTHING.replace("steps = 6", "steps = 200")
    (tmp_path / "config.toml").write_text(text)
    environment = os.environ | {"EDGECAP_CACHE": str(tmp_path / "cache")}

    def start(run: Path, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "edgecap", "train", clips, "--out", run, "--seed", "4"]
        command += ["--config", tmp_path / "config.toml", *more]
        return subprocess.Popen(
            list(map(str, command)),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    assert start(tmp_path / "whole").wait(1800) == 0
    killed = tmp_path / "killed"
    process = start(killed)
    try:
        deadline = time.monotonic() + 1800
        while not (killed / "checkpoints" / "recurrent.npz").is_file():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (killed / "metrics.json").exists()
    assert start(killed, "--resume").wait(1800) == 0
    for name in ("history.json", "split.json"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    first, second = (read_json(tmp_path / n / "metrics.json") for n in ("killed", "whole"))
    for name in ("stages", "validation", "data"):
        assert json.dumps(first[name]) == json.dumps(second[name])
    arrays = [dict(np.load(tmp_path / n / "weights.npz")) for n in ("killed", "whole")]
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(array, arrays[1][name])
    shutil.rmtree(tmp_path / "cache")
