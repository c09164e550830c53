"""Golden outputs: what counts as the same, for every task and dtype of the output."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import edgecap
from edgecap.bundle import Golden, write_bundle
from edgecap.golden import GoldenCheck, check_golden, steps_apart
from edgecap.spec import ACTIVATIONS
from edgecap.streaming import StreamingModel
from tests import handmade

TASKS = list(ACTIVATIONS)
DTYPES = list(handmade.OUTPUTS)


def checked_against(model: StreamingModel, path: Path, change: np.ndarray) -> GoldenCheck:
    """The check of the model with other recorded outputs."""
    bundle = model.bundle
    outputs = {k: (v + change).astype(v.dtype) for k, v in bundle.golden.outputs.items()}
    golden = dataclasses.replace(bundle.golden, outputs=outputs)
    assert isinstance(golden, Golden)
    write_bundle(path, model=bundle.model, spec=bundle.spec, golden=golden, card="")
    return check_golden(edgecap.load(path))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("task", TASKS)
def test_a_model_repeats_its_own_outputs(tmp_path: Path, task: str, dtype: str) -> None:
    check = check_golden(handmade.model(tmp_path / "model.tflite", task, dtype))
    assert check.passed
    assert (check.frames, check.same_answers, check.largest) == (6, 6, 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("task", TASKS)
def test_an_output_two_steps_off_is_different(tmp_path: Path, task: str, dtype: str) -> None:
    model = handmade.model(tmp_path / "model.tflite", task, dtype)
    (recorded,) = model.bundle.golden.outputs.values()
    change = np.zeros(recorded.shape)
    change[4, 1] = 2
    if dtype == "float32":
        change *= np.abs(recorded[:, 1]).max() / 128
    check = checked_against(model, tmp_path / "other.tflite", change)
    assert not check.passed
    # Measured against outputs that were changed: their largest magnitude may be a little larger.
    assert check.largest == pytest.approx(2, rel=0.02)
    if task == "regression":
        assert check.same_answers == 5


def test_a_multilabel_answer_is_the_set_of_labels_above_one_half(tmp_path: Path) -> None:
    model = handmade.model(tmp_path / "model.tflite", "multilabel", "int16")
    (recorded,) = model.bundle.golden.outputs.values()
    # The least probable label goes over one half in two frames: no classifier's answer changes.
    change = np.zeros(recorded.shape)
    for row in (1, 5):
        least = int(recorded[row].argmin())
        assert recorded[row, least] < 0
        change[row, least] = 1 - recorded[row, least]
    check = checked_against(model, tmp_path / "other.tflite", change)
    assert check.same_answers == 4


def test_steps_are_the_grids_or_128ths_of_what_was_recorded() -> None:
    integers = np.array([[-128, 3], [127, 3]], np.int8)
    assert steps_apart(integers[::-1], integers).tolist() == [[255, 0], [255, 0]]
    recorded = np.array([[256.0, 1.0], [-128.0, -0.5]], np.float32)
    found = recorded + np.array([[1.0, 0.0], [0.0, 0.125]], np.float32)
    assert steps_apart(found, recorded).tolist() == [[0.5, 0.0], [0.0, 16.0]]


def test_a_number_that_is_none_is_no_match() -> None:
    recorded = np.ones((2, 1), np.float32)
    found = np.array([[1.0], [np.nan]], np.float32)
    check = GoldenCheck("xnnpack", float(steps_apart(found, recorded).max()), 255, 0, 2)
    assert not check.passed
