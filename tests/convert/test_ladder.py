"""``--max-loss`` climbs from recipe to recipe; gates and budgets that are missed leave nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgecap_convert.export import assemble, ladder
from edgecap_convert.export import flatbuffers as fb
from edgecap_convert.export.assemble import Converted, finish
from edgecap_convert.export.convert import _checkpoints, _note_begun, convert, quantise
from edgecap_convert.quantization.qat import STAGE
from edgecap_convert.quantization.recipes import recipe_named
from edgecap_convert.training.checkpoints import Snapshot
from edgecap_convert.training.config import load_config
from edgecap_convert.training.material import open_material
from edgecap_convert.training.runs import Run, open_run
from edgecap_convert.training.train import train

import edgecap
from edgecap.errors import ParityError
from tests.convert.tiny import TINY, answered, refused


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("ladder")
    (folder / "tiny.toml").write_text(TINY)
    train("synthetic:", folder / "run", load_config(folder / "tiny.toml"), seed=0)
    return open_run(folder / "run")


def files(run: Run) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in run.path.iterdir() if p.is_file()}


def test_the_rungs_give_up_speed_for_accuracy() -> None:
    def told(name: str) -> list[tuple[str, bool]]:
        return [(rung.name, qat) for rung, qat in ladder.rungs(recipe_named(name))]

    assert told("int8") == [("int8", False), ("int8", True), ("int8+float-head", True)]
    assert told("int8-full") == [
        ("int8-full", False),
        ("int8-full", True),
        ("int8-int16", True),
        ("int8-int16+float-head", True),
    ]
    assert ladder.loss_points(0.9, 0.88, "classification") == pytest.approx(2.0)
    assert ladder.loss_points(0.10, 0.11, "regression") == pytest.approx(10.0)


@pytest.mark.slow
def test_the_first_rung_within_the_budget_is_taken(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.tflite"
    parity = answered(capfd, "convert", run.path, "--out", out, "--max-loss", "100")
    assert [(rung["recipe"], rung["qat"]) for rung in parity["ladder"]] == [("int8", False)]
    assert parity["qat_steps"] == 0
    assert edgecap.load(out).spec.recipe == "int8"


@pytest.mark.slow
def test_a_budget_that_no_rung_keeps_leaves_no_model(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Every rung is made and measured; only the measure is told otherwise.
    monkeypatch.setattr(ladder, "loss_points", lambda *_: 3.25)
    before, out = files(run), tmp_path / "model.tflite"
    line = refused(capfd, "convert", run.path, "--out", out, "--max-loss", "0.5")
    assert "no recipe keeps within a loss of 0.5 points" in line
    assert "int8 calibrated 3.25, int8 trained 3.25, int8+float-head trained 3.25" in line
    assert not out.exists()
    assert files(run) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--max-loss", "-1"), "expected 0 to 100"),
        (("--max-loss", "1", "--recipe", "float16"), "expected an integer recipe"),
        (("--max-loss", "1", "--no-qat"), "leave out no-qat"),
        (("--recipe", "dynamic+float-head"), "expected one of int8"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    out = tmp_path / "model.tflite"
    assert said in refused(capfd, "convert", run.path, "--out", out, *arguments)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["int8+float-head", "int8-full+float-head"])
def test_a_float_head_streams(run: Run, tmp_path: Path, name: str) -> None:
    out = tmp_path / "model.tflite"
    parity = convert(run.path, out, recipe=name, qat=False, audit_frames=0)
    model = edgecap.load(out)
    assert model.spec.output.tensor.dtype == "float32"
    assert {s.name: s.dtype for s in model.spec.states}["h"] == "int8"
    assert parity["steps"]["each_step"]["tensors"]["logits"]["mean"] < 1.0
    assert open_run(run.path).quantized_network().float_head


def test_a_file_that_fails_a_gate_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = open_material(run.data, run.config, seed=run.seed)
    network = run.network()
    recipe = recipe_named("int8")
    made = quantise(run, network, material, recipe, qat=False)
    sound = assemble.convert_made(made, recipe)

    def spoiled(*_: Any) -> bytes:
        model = fb.parse(sound)
        for tensor in model.subgraphs[0].tensors:
            if tensor.name.startswith(b"lstm1/") and tensor.quantization is not None:
                scale = tensor.quantization.scale
                if scale is not None and len(scale) == 1 and np.isclose(scale[0], 1 / 16):
                    tensor.quantization.scale = np.array([1 / 512], np.float32)
        return fb.pack(model)

    monkeypatch.setattr(assemble, "convert_made", spoiled)
    out = tmp_path / "model.tflite"
    out.write_bytes(b"what was there before")
    before = files(run)
    with pytest.raises(ParityError, match="does not compute what it was made of"):
        finish(run, Converted(network, made.quantized), material, out, recipe, name="spoiled")
    assert out.read_bytes() == b"what was there before"
    assert files(run) == before


@pytest.mark.parametrize("begun", ["int8", "int8-full"])
def test_calibration_does_not_go_on_with_a_stopped_training(run: Run, begun: str) -> None:
    """Once, `--resume --no-qat` took the stopped one's checkpoint for done, and learnt no range."""
    material = open_material(run.data, run.config, seed=run.seed)
    _checkpoints(run).save(STAGE, Snapshot({"step": 1}, {}))
    _note_begun(run, begun)
    made = quantise(run, run.network(), material, recipe_named("int8"), qat=False, resume=True)
    assert made.quantized is not None
    head = made.quantized.get_arrays()
    (limits,) = (array for name, array in head.items() if "logits_max" in name)
    assert limits > 0
    _checkpoints(run).clear()


@pytest.mark.slow
def test_another_recipe_does_not_go_on_with_a_stopped_training(run: Run) -> None:
    material = open_material(run.data, run.config, seed=run.seed)
    # Were it gone on with, it would be told as damaged.
    _checkpoints(run).save(STAGE, Snapshot({"step": 1}, {}))
    _note_begun(run, "int8-full")
    made = quantise(run, run.network(), material, recipe_named("int8"), qat=True, resume=True)
    assert len(made.history.loss) == run.config.qat.steps
    _checkpoints(run).clear()
