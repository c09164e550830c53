"""Every recipe, from a trained run to a file that streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from edgecap_convert.export.assemble import Converted, finish
from edgecap_convert.export.graph import convert_step
from edgecap_convert.export.integer_cell import make_cell_integer
from edgecap_convert.parity.steps import teacher_forced
from edgecap_convert.quantization.recipes import (
    CAPTION_RECIPE,
    RECIPES,
    caption_recipe_named,
    recipe_named,
)
from edgecap_convert.training.material import open_material
from edgecap_convert.training.predict import NetworkPredictor

import edgecap
from edgecap.errors import ConfigError
from edgecap.golden import check_golden
from edgecap.interpreter import open_interpreter
from tests.convert.conftest import SmallRun
from tests.convert.test_network import MEMORIES, NECKS, lively_network, normalize, scenes
from tests.convert.tiny import answered

INTEGERS = [name for name in RECIPES if recipe_named(name).integer]


def float_tensors(model: edgecap.StreamingModel) -> list[str]:
    return [t.name for t in model.bundle.graph.tensors if t.dtype.startswith("float")]


def test_every_recipe_says_what_each_part_is_kept_in() -> None:
    assert RECIPES == ("int8", "int8-int16", "int8-full", "dynamic", "float16", "float32")
    assert INTEGERS == ["int8", "int8-int16", "int8-full"]
    for name in RECIPES:
        recipe = recipe_named(name)
        assert list(recipe.parts) == ["encoder", "neck", "gates", "cell", "head"]
        assert recipe.name == name
        assert recipe.why
    with pytest.raises(ConfigError, match=r"int8, int8-int16, int8-full, .*'int4'"):
        recipe_named("int4")


def test_one_recipe_is_for_captions_alone() -> None:
    """It keeps its head as the rest of what writes; streams are told whose it is."""
    recipe = caption_recipe_named(CAPTION_RECIPE.name)
    assert recipe.integer
    assert recipe.float_words
    assert not any(recipe_named(name).float_words for name in RECIPES)
    assert all(caption_recipe_named(name) == recipe_named(name) for name in RECIPES)
    with pytest.raises(ConfigError, match=r"got 'int8-dynamic' \(that one is for captioning\)"):
        recipe_named("int8-dynamic")
    with pytest.raises(ConfigError, match=r"expected one of int8, .*, int8-dynamic, or"):
        caption_recipe_named("int8-dynamic+float-head")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    RECIPES,
)
def test_every_recipe_converts_verifies_and_streams(
    name: str, small_run: SmallRun, moving_frames: np.ndarray, tmp_path: Path
) -> None:
    recipe, run = recipe_named(name), small_run.run
    network, quantized = run.network(), None
    if recipe.integer:
        # The ranges and weights that were learnt with a float cell.
        quantized = network.quantized(cell=recipe.cell)
        quantized.set_arrays(small_run.quantized.get_arrays())
    data = open_material(run.data, run.config, seed=run.seed)
    path = tmp_path / f"{name}.tflite"
    kept = {each.name: each.read_bytes() for each in run.path.iterdir() if each.is_file()}
    try:
        parity = finish(run, Converted(network, quantized), data, path, recipe, name=name)
    finally:
        for file, content in kept.items():
            (run.path / file).write_bytes(content)
    model = edgecap.load(path)
    assert (model.spec.recipe, parity["recipe"]) == (name, name)
    assert check_golden(model).passed
    # The file answers as the network does that it was made of.
    if name != "int8-full":
        assert parity["same_answers"] > 0.98
    dtypes = {state.name: state.dtype for state in model.spec.states}
    if recipe.integer:
        assert dtypes == {"h": "int8", "c": recipe.cell}
        assert model.spec.input.tensor.dtype == model.spec.output.tensor.dtype == "int8"
        assert bool(float_tensors(model)) == (recipe.cell == "float32")
    else:
        assert set(dtypes.values()) == {"float32"}
        assert model.spec.input.tensor.dtype == "float32"
    stream = model.stream()
    answers = [stream.step(frame).probabilities for frame in moving_frames[:60]]
    assert np.ptp(answers, axis=0).max() > 0.1
    np.testing.assert_allclose(np.sum(answers, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("cell", ["int16", pytest.param("int8", marks=pytest.mark.slow)])
def test_an_integer_cell_computes_what_its_fake_quantisation_says(cell: str) -> None:
    network = lively_network(lstm=MEMORIES["two layers"], members=2)
    images = scenes(3, 40)
    quantized = network.quantized(cell=cell)
    assert quantized.schedule is not None
    quantized.clip(normalize(tf.constant(images)), training=True)
    quantized.schedule.freeze()
    predict = NetworkPredictor(quantized, "classification")
    features = np.concatenate([predict.features(clip) for clip in images])
    for kernels in ("xnnpack", "reference"):
        found = teacher_forced(quantized, features, kernels=kernels)
        # XNNPACK rounds products of 8 bits once, the plain kernels twice.
        assert found.within_one > (0.94 if (cell, kernels) == ("int8", "reference") else 0.985)
        assert found.largest <= 10
        for name in ("c", "c2"):
            assert found.errors[name].mean() < 0.3
            assert np.ptp(found.errors[name]) > 0, "the cells are compared, and not equal by chance"


@pytest.mark.slow
def test_no_float_is_left_where_several_members_look_at_places() -> None:
    network = lively_network(neck=NECKS["attend"], members=3)
    quantized = network.quantized(cell="int16")
    quantized.clip(normalize(tf.constant(scenes(2, 12))), training=True)
    graph = edgecap.flatbuffer.read_graph(convert_step(quantized))
    assert not [t.name for t in graph.tensors if t.dtype == "float32"]
    # Only what is used is in the table.
    used = {i for o in graph.operators for i in (*o.inputs, *o.outputs) if i >= 0}
    used |= {i for side in graph.signatures["step"] for i in side.values()}
    assert used == set(range(len(graph.tensors)))


@pytest.mark.slow
def test_a_graph_without_the_island_is_left_as_it_is() -> None:
    network = lively_network(lstm=MEMORIES["no memory"])
    quantized = network.quantized(cell="int16")
    quantized.clip(normalize(tf.constant(scenes(2, 12))), training=True)
    model = convert_step(quantized)
    graph = edgecap.flatbuffer.read_graph(model)
    same = edgecap.flatbuffer.read_graph(make_cell_integer(model, "int16"))
    assert [o.name for o in same.operators] == [o.name for o in graph.operators]
    assert not [t.name for t in same.tensors if t.dtype.startswith("float")]
    one, other = (open_interpreter(each)[0] for each in (model, make_cell_integer(model, "int16")))
    for side, each in ((graph, one), (same, other)):
        inputs, _ = side.signatures["step"]
        image = np.random.default_rng(0).integers(-128, 128, side.tensors[inputs["image"]].shape)
        each.set_tensor(inputs["image"], image.astype(np.int8))
        each.invoke()
    outputs = [side.signatures["step"][1]["logits"] for side in (graph, same)]
    np.testing.assert_array_equal(one.get_tensor(outputs[0]), other.get_tensor(outputs[1]))


@pytest.mark.slow
def test_ranges_can_be_calibrated_without_training(
    small_run: SmallRun, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, path = small_run.run.path, tmp_path / "ptq.tflite"
    kept = {each.name: each.read_bytes() for each in run.iterdir() if each.is_file()}
    try:
        parity = answered(
            capfd, "convert", run, "--out", path, "--no-qat", "--recipe", "int8-int16"
        )
    finally:
        for file, content in kept.items():
            (run / file).write_bytes(content)
    assert parity["qat_steps"] == 0
    assert parity["same_answers"] > 0.95
    info = answered(capfd, "info", path)
    assert info["spec"]["recipe"] == "int8-int16"
    commands = info["spec"]["provenance"]["commands"]
    assert commands[-1].endswith("--recipe int8-int16 --no-qat")
