"""The Keras and ONNX sides of ``benchmarks/peers.py`` compute the run's own network."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgecap_convert.models.network import Network
from edgecap_convert.training.config import TrainConfig, network_config
from edgecap_convert.training.runs import Run, open_run, save_results, write_settings

from edgecap.synthetic import Scene

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
_LENGTH = 6
_CONFIG = {
    "encoder": {"name": "mobilenet_v1", "alpha": 0.25, "height": 32, "width": 32},
    "neck": {"channels": 4, "features": 16},
    "lstm": {"units": 16},
    "recurrent": {"length": _LENGTH},
}


@pytest.fixture(scope="module", autouse=True)
def sides() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "sides"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, demo_path: Path) -> Any:
    from sides.side import Given

    """A run whose weights are as they began."""
    folder = tmp_path_factory.mktemp("peers")
    config, labels = TrainConfig.from_dict(_CONFIG), ("rest", "left", "right")
    run = Run(folder / "run", config, "nothing", 3, "classification", labels, "rest")
    for path in (run.path, folder / "made"):
        path.mkdir()
    write_settings(run)
    save_results(run, Network(network_config(config, len(labels))), [], {})
    return Given(demo_path, run=folder / "run", made=folder / "made")


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    scene = Scene(seed=3, height=120, width=160, gestures=1)
    return np.stack([frame.image for frame, _ in zip(scene, range(20), strict=False)])


@pytest.mark.parametrize("how", ["function", "predict"])
def test_a_full_window_answers_as_the_network_step_by_step(
    given: Any, clip: np.ndarray, how: str
) -> None:
    from sides.keras_loops import KerasStep, KerasWindow, normal, stepped

    from edgecap.preprocess import resize

    side = KerasWindow(how)
    facts = side.prepare(given, None)
    assert f"window of {_LENGTH} frames" in facts.checked
    assert facts.macs == _LENGTH * KerasStep().prepare(given, None).macs
    for frame in clip[:_LENGTH]:
        found = side.step(frame)
    run = open_run(given.run)
    images = np.stack([resize(frame, run.input) for frame in clip[:_LENGTH]])
    assert found == stepped(run.network(), images).argmax()
    assert np.array_equal(side._frames[-1], normal(images[-1]))


def test_another_networks_logits_are_refused(given: Any) -> None:
    from sides.keras_loops import check

    with pytest.raises(ArithmeticError, match="step by step"):
        check(np.array([0.5, -0.5]), np.array([[0.5, -0.4]]))
    check(np.array([0.5, -0.5]), np.array([[0.5, -0.5 + 1e-6]]))


def test_steps_carry_their_state(given: Any, clip: np.ndarray) -> None:
    from sides.keras_loops import KerasKeptWindow, KerasStep, stepped

    from edgecap.preprocess import resize

    run = open_run(given.run)
    images = np.stack([resize(frame, run.input) for frame in clip])
    side = KerasStep()
    side.prepare(given, None)
    *_, found = (side.step(frame) for frame in clip)
    assert found == stepped(run.network(), images).argmax()
    kept = KerasKeptWindow()
    kept.prepare(given, None)
    *_, found = (kept.step(frame) for frame in clip)
    assert found == stepped(run.network(), images[-_LENGTH:]).argmax()


def test_without_a_run_it_says_what_to_give(given: Any) -> None:
    from sides.keras_loops import KerasStep
    from sides.side import MissingError

    with pytest.raises(MissingError, match="--run"):
        KerasStep().prepare(dataclasses.replace(given, run=None), None)


def test_onnx_files_compute_the_network(given: Any, clip: np.ndarray) -> None:
    for package in ("onnxruntime", "onnx", "tf2onnx"):
        pytest.importorskip(package, reason="pip install onnxruntime onnx tf2onnx")
    from sides.onnx_made import FLOAT_FILE, INT8_FILE, Session, make, read_notes

    make(given, clip)
    notes = read_notes(given.made)
    assert "step by step" in notes.checked[FLOAT_FILE]
    assert "its answers" in " ".join(notes.checked[INT8_FILE].split())
    session = Session(given.made / FLOAT_FILE, notes, 1)
    image = np.zeros((32, 32, 3), np.uint8)
    first, second = session.step(image), session.step(image)
    # The second step is given what the first one left.
    assert not np.array_equal(first, second)
