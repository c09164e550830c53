"""An ensemble that looks at what moves, from clips to an int8 model, by the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgecap as runtime
from tests.convert.tiny import answered, patch, refused, write_frames

FRAMES, MEMBERS, UNITS = 16, 3, 12

CONFIG = f"""
rate_hz = 12
variants = 4
members = {MEMBERS}
freeze_encoder = true
[encoder]
name = "mobilenet_v1"
alpha = 0.25
height = 32
width = 48
stride = 8
[split]
validation = 0.25
[augment]
backdrop = 0.5
[neck]
pool = "attend"
channels = 8
features = 16
[look]
steps = 60
batch = 32
learning_rate = 1e-2
zoom = 0.1
dropout = 0.2
[lstm]
units = {UNITS}
[pretrain]
steps = 150
batch = 32
[recurrent]
steps = 80
batch = 8
length = 16
learning_rate = 2e-2
validate_every = 40
keep = "last"
average = 0.9
[joint]
steps = 0
[qat]
steps = 20
batch = 4
length = 16
validate_every = 20
"""


def write_walks(folder: Path, count: int, *, first: int = 0) -> Path:
    """A patch that walks to the left or to the right before walls of many greys."""
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        start, pace = rng.uniform(0.05, 0.2), rng.uniform(0.04, 0.05)
        places = start + pace * np.arange(FRAMES)
        shade = int(rng.integers(20, 120))
        for label, course in (("right", places), ("left", 1 - places)):
            frames = [patch(x, shade=shade) for x in course]
            write_frames(folder / label / f"{number}.avi", frames, rate_hz=12)
    return folder


@pytest.mark.slow
def test_members_learn_apart_and_answer_together(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "members.toml"
    config.write_text(CONFIG)
    data, fresh = write_walks(tmp_path / "walks", 8), write_walks(tmp_path / "f", 12, first=50)
    run, path = tmp_path / "run", tmp_path / "walks.tflite"
    metrics = answered(capfd, "train", data, "--out", run, "--config", config)
    assert list(metrics["stage_seconds"]) == ["pretrain", "look", "recurrent"]
    weights = np.load(run / "weights.npz")
    kernels = np.split(
        next(weights[name] for name in weights if "lstm1/recurrent_kernel" in name), MEMBERS
    )
    assert np.abs(kernels[0] - kernels[1]).mean() > 0.05
    assert np.abs(kernels[1] - kernels[2]).mean() > 0.05
    parity = answered(capfd, "convert", run, "--out", path)
    assert parity["same_answers"] > 0.97
    floating, int8 = (answered(capfd, "evaluate", what, fresh) for what in (run, path))
    assert floating["segments"] == int8["segments"] == 24
    assert floating["accuracy"] > 0.9
    assert int8["accuracy"] > floating["accuracy"] - 0.05
    # As many tensors are carried as for one.
    states = {spec.name: spec.shape for spec in runtime.load(path).spec.states}
    width = MEMBERS * UNITS
    assert states == {
        "h": (1, width),
        "c": (1, width),
        "place": (1, 2 * MEMBERS),
        "running": (1, 1),
    }


@pytest.mark.parametrize(("members", "said"), [("0", "1 to 16"), ("17", "1 to 16"), ("2.5", "int")])
def test_an_impossible_ensemble_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], members: str, said: str
) -> None:
    config = tmp_path / "members.toml"
    config.write_text(f"members = {members}\n")
    line = refused(capfd, "train", "synthetic:", "--out", tmp_path / "run", "--config", config)
    assert "members" in line
    assert said in line
    assert not (tmp_path / "run").exists()
