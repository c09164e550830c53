"""Training on several machines: two workers here follow the loss curve of one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from edgecap_convert.training.distribute import ALONE, Place, check_batches, find_place

from edgecap.errors import ConfigError
from tests.convert.tiny import read_json, refused, write_gestures

CONFIG = """
rate_hz = 12
variants = 2
validation_limit = 4
checkpoint_s = 0.2
[encoder]
name = "mobilenet_v1"
alpha = 0.25
height = 32
width = 32
[neck]
channels = 4
features = 16
[lstm]
units = 16
[split]
validation = 0.34
[pretrain]
steps = 4
batch = 16
[recurrent]
steps = 24
batch = 6
length = 4
learning_rate = 2e-2
validate_every = 12
keep = "last"
dropout = 0.2
noise = 0.1
[joint]
steps = 24
batch = 4
length = 3
learning_rate = 1e-3
validate_every = 12
keep = "last"
dropout = 0.1
weight_decay = 0.01
"""
ADDRESSES = ["10.0.0.1:2222", "10.0.0.2:2222"]


def place(monkeypatch: pytest.MonkeyPatch, document: object) -> Place:
    text = document if isinstance(document, str) else json.dumps(document)
    monkeypatch.setenv("TF_CONFIG", text)
    return find_place()


def task(index: int, role: str = "worker", **cluster: list[str]) -> dict[str, object]:
    found = cluster or {"worker": ADDRESSES}
    return {"cluster": found, "task": {"type": role, "index": index}}


def test_a_worker_finds_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place(monkeypatch, task(1)) == Place(1, 2)
    chief = {"chief": ADDRESSES[:1], "worker": ADDRESSES[1:]}
    assert place(monkeypatch, task(0, "chief", **chief)) == Place(0, 2)
    assert place(monkeypatch, task(0, "worker", **chief)) == Place(1, 2)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("", "is not set"),
        ("{", "expected"),
        ("[]", "expected"),
        ({"cluster": {"worker": ADDRESSES}}, "expected"),
        (task(2), "is none of the cluster"),
        (task(-1), "is none of the cluster"),
        (task(0, "evaluator"), "is none of the cluster"),
        (task(0, ps=ADDRESSES), "at most one chief"),
        (task(0, "chief", chief=ADDRESSES), "at most one chief"),
        (task(0, worker=["host"]), "host:port"),
        (task(0, worker=ADDRESSES[:1] * 2), "same address"),
    ],
)
def test_no_place_is_refused(document: object, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        place(monkeypatch, document)
    assert "TF_CONFIG" in str(error.value)


def test_batches_must_be_shared_out_evenly() -> None:
    check_batches({"recurrent": 6, "joint": 3}, 3)
    with pytest.raises(ConfigError, match=r"joint\.batch: .* multiple of the 2 workers.* got 3"):
        check_batches({"recurrent": 6, "joint": 3}, 2)


def test_nothing_is_made_for_a_worker_without_a_place(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", "synthetic:", "--out", tmp_path / "run", "--distributed")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert "TF_CONFIG is not set" in refused(capfd, *command)
    three = {"cluster": {"worker": [*ADDRESSES, "c:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(three))
    config = tmp_path / "c.toml"
    config.write_text("[joint]\nbatch = 16\n")
    assert "joint.batch" in refused(capfd, *command, "--config", config)
    assert not (tmp_path / "run").exists()


def test_one_worker_does_everything_itself() -> None:
    assert ALONE.chief
    assert ALONE.rows(7) == slice(0, 7)
    assert ALONE.joint(np.arange(7), 7).tolist() == list(range(7))


class Workers:
    """``edgecap train``, as one process or as several that find each other on this machine."""

    def __init__(self, folder: Path, clips: Path, config: str = CONFIG) -> None:
        self.out, self._clips = folder / "run", clips
        self._config = folder / "config.toml"
        folder.mkdir()
        self._config.write_text(config)

    def start(self, count: int, *more: str) -> list[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "edgecap", "train", self._clips, "--out", self.out]
        command += ["--config", self._config, "--seed", "5", *more]
        if count == 1:
            return [self._process(command, os.environ)]
        addresses = [f"localhost:{port}" for port in free_ports(count)]
        return [
            self._process(
                [*command, "--distributed"],
                os.environ | {"TF_CONFIG": json.dumps(task(index, worker=addresses))},
            )
            for index in range(count)
        ]

    def run(self, count: int, *more: str) -> None:
        for process in self.start(count, *more):
            _, said = process.communicate(timeout=1800)
            assert process.returncode == 0, said

    @staticmethod
    def _process(command: list[object], environment: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            list(map(str, command)),
            env=environment,  # type: ignore[arg-type]
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def assert_alike(first: Path, second: Path) -> None:
    """The same losses at every step, validations, and weights in the end."""
    histories = [read_json(run / "history.json") for run in (first, second)]
    assert [stage["stage"] for stage in histories[0]] == ["pretrain", "recurrent", "joint"]
    for one, two in zip(*histories, strict=True):
        assert len(one["loss"]) == len(two["loss"])
        # Losses are written with five digits.
        np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4, atol=1e-5)
        assert np.ptp(one["loss"]) > 0.01, "nothing was learnt, so nothing can differ"
        np.testing.assert_allclose(two["validated"], one["validated"], rtol=1e-3)
    with np.load(first / "weights.npz") as one, np.load(second / "weights.npz") as two:
        assert one.files == two.files
        for name in one.files:
            np.testing.assert_allclose(two[name], one[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gestures(tmp_path_factory.mktemp("clips"), 6)


@pytest.fixture(scope="module")
def one(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one worker."""
    alone = Workers(tmp_path_factory.mktemp("one") / "one", clips)
    alone.run(1)
    return alone.out


@pytest.mark.slow
def test_two_workers_follow_the_curve_of_one(one: Path, clips: Path, tmp_path: Path) -> None:
    both = Workers(tmp_path / "two", clips)
    both.run(2)
    assert_alike(one, both.out)
    assert {f.name for f in both.out.iterdir()} == {f.name for f in one.iterdir()}
    assert read_json(both.out / "metrics.json")["stages"]["joint"]["steps"] == 24


@pytest.mark.slow
def test_one_goes_on_where_one_of_two_was_lost(one: Path, clips: Path, tmp_path: Path) -> None:
    both = Workers(tmp_path / "two", clips)
    chief, other = both.start(2)
    checkpoint = both.out / "checkpoints" / "joint.npz"
    deadline = time.monotonic() + 1800
    while not checkpoint.exists() and time.monotonic() < deadline and chief.poll() is None:
        time.sleep(0.02)
    other.kill()
    _, said = chief.communicate(timeout=1800)
    assert checkpoint.exists(), said
    assert chief.returncode == 1
    assert "lost another one" in said.splitlines()[-1], said
    both.run(1, "--resume")
    assert_alike(one, both.out)


@pytest.mark.slow
def test_workers_with_other_settings_are_refused(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    chief = Workers(tmp_path / "a", clips)
    other = Workers(tmp_path / "b", clips, CONFIG + "smoothing = 0.1\n")
    chief.out = other.out = folder
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    ends = []
    for index, worker in enumerate((chief, other)):
        command = [sys.executable, "-m", "edgecap", "train", clips, "--out", folder, "--config"]
        command += [worker._config, "--distributed"]
        environment = os.environ | {"TF_CONFIG": json.dumps(task(index, worker=addresses))}
        ends.append(worker._process(command, environment))
    for process in ends:
        _, said = process.communicate(timeout=1800)
        assert process.returncode == 1
        assert "other ones than the chief" in said.splitlines()[-1], said
    assert not folder.exists()
