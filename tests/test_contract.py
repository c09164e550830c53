"""Graph against spec: every mismatch is refused before native code sees the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from edgecap.contract import bind
from edgecap.errors import BackendError, SpecError
from edgecap.flatbuffer import Graph, Operator
from edgecap.interpreter import Backend
from edgecap.spec import ModelSpec
from edgecap.steps import check_kernels
from edgecap.streaming import StreamingModel
from tests import handmade


@pytest.fixture(scope="module")
def graph(demo_model: StreamingModel) -> Graph:
    return demo_model.bundle.graph


@pytest.fixture(scope="module")
def spec(demo_model: StreamingModel) -> ModelSpec:
    return demo_model.spec


def with_tensor(graph: Graph, index: int, **changes: Any) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = tensors[index]._replace(**changes)
    return graph._replace(tensors=tuple(tensors))


def with_state(spec: ModelSpec, number: int, **changes: Any) -> ModelSpec:
    states = list(spec.states)
    states[number] = dataclasses.replace(states[number], **changes)
    return dataclasses.replace(spec, states=tuple(states))


def test_the_packaged_model_fits_its_spec(graph: Graph, spec: ModelSpec) -> None:
    tensors = bind(graph, spec)
    inputs, outputs = graph.signatures["step"]
    names = [state.name for state in spec.states]
    assert tensors.image == inputs[spec.input.tensor.name]
    assert tensors.output == outputs[spec.output.tensor.name]
    assert tensors.states_in == tuple(inputs[name] for name in names)
    assert tensors.states_out == tuple(outputs[name] for name in names)


def test_states_are_paired_by_name_and_not_by_position(graph: Graph, spec: ModelSpec) -> None:
    backwards = dataclasses.replace(spec, states=spec.states[::-1])
    there, back = bind(graph, spec), bind(graph, backwards)
    assert back.states_in == there.states_in[::-1]
    assert back.states_out == there.states_out[::-1]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("field", "value"),
    [("scale", 0.5), ("dtype", "int16"), ("zero_point", 7), ("shape", (1, 3))],
)
def test_a_state_that_the_spec_describes_otherwise_is_refused(
    graph: Graph, spec: ModelSpec, number: int, field: str, value: Any
) -> None:
    changes = {field: value}
    if field == "dtype":
        changes["scale"] = 0.5
    with pytest.raises(SpecError, match=f"state in {spec.states[number].name!r}"):
        bind(graph, with_state(spec, number, **changes))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("side", ["in", "out"])
@pytest.mark.parametrize(
    "changes",
    [
        {"scales": (0.25,)},
        {"dtype": "int16", "scales": (0.25,)},
        {"zero_points": (1,)},
        {"shape": (1, 2)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_state_that_differs_between_its_sides_is_refused(
    graph: Graph, spec: ModelSpec, number: int, side: str, changes: dict[str, Any]
) -> None:
    inputs, outputs = graph.signatures["step"]
    name = spec.states[number].name
    index = (inputs if side == "in" else outputs)[name]
    with pytest.raises(SpecError, match=f"state {side} {name!r}"):
        bind(with_tensor(graph, index, **changes), spec)


@pytest.mark.parametrize("role", ["input", "output"])
def test_an_input_or_output_of_another_scale_is_refused(
    graph: Graph, spec: ModelSpec, role: str
) -> None:
    index = bind(graph, spec).image if role == "input" else bind(graph, spec).output
    with pytest.raises(SpecError, match=role):
        bind(with_tensor(graph, index, scales=(0.123,)), spec)


def test_a_state_with_a_scale_per_channel_is_refused(graph: Graph, spec: ModelSpec) -> None:
    """One scale in the spec cannot say what two scales mean."""
    state = next(state for state in spec.states if state.dtype != "float32")
    index = graph.signatures["step"][0][state.name]
    scales, zero_points = (state.scale, state.scale * 2), (state.zero_point,) * 2
    with pytest.raises(SpecError, match=f"state in {state.name!r}"):
        bind(with_tensor(graph, index, scales=scales, zero_points=zero_points), spec)


def test_a_state_that_the_graph_lacks_is_refused(graph: Graph, spec: ModelSpec) -> None:
    more = dataclasses.replace(
        spec, states=(*spec.states, dataclasses.replace(spec.states[0], name="extra"))
    )
    with pytest.raises(SpecError, match="extra"):
        bind(graph, more)


def test_a_state_that_the_spec_lacks_is_refused(graph: Graph, spec: ModelSpec) -> None:
    with pytest.raises(SpecError, match="inputs of 'step'"):
        bind(graph, dataclasses.replace(spec, states=spec.states[:1]))


def test_a_state_that_is_not_given_back_is_refused(graph: Graph, spec: ModelSpec) -> None:
    inputs, outputs = graph.signatures["step"]
    kept = {name: i for name, i in outputs.items() if name != spec.states[0].name}
    with pytest.raises(SpecError, match="outputs of 'step'"):
        bind(graph._replace(signatures={"step": (inputs, kept)}), spec)


def test_an_unknown_name_is_refused(graph: Graph, spec: ModelSpec) -> None:
    renamed = with_state(spec, 0, name="memory")
    with pytest.raises(SpecError, match="memory"):
        bind(graph, renamed)


def test_a_graph_without_the_step_signature_is_refused(graph: Graph, spec: ModelSpec) -> None:
    with pytest.raises(SpecError, match="signature 'step'; found none"):
        bind(graph._replace(signatures={}), spec)
    other = graph._replace(signatures={"serving_default": graph.signatures["step"]})
    with pytest.raises(SpecError, match="found serving_default"):
        bind(other, spec)


@pytest.mark.parametrize("name", ["WHILE", "IF", "READ_VARIABLE", "CALL_ONCE", "CUSTOM"])
def test_control_flow_and_hidden_state_are_refused(
    graph: Graph, spec: ModelSpec, name: str
) -> None:
    operators = (*graph.operators, Operator(name, (0,), (0,)))
    with pytest.raises(SpecError, match=name):
        bind(graph._replace(operators=operators), spec)


def test_a_variable_tensor_is_refused(graph: Graph, spec: ModelSpec) -> None:
    with pytest.raises(SpecError, match="hidden state"):
        bind(with_tensor(graph, 3, is_variable=True), spec)


def test_a_second_subgraph_is_refused(graph: Graph, spec: ModelSpec) -> None:
    """Only the first one is read; another could hold what the first must not."""
    with pytest.raises(SpecError):
        bind(graph._replace(subgraphs=2), spec)


@pytest.mark.parametrize("dtype", handmade.OUTPUTS)
def test_outputs_of_any_dtype_and_states_of_any_rank_are_bound(tmp_path: Path, dtype: str) -> None:
    model = handmade.model(tmp_path / "model.tflite", "regression", dtype)
    graph, spec = model.bundle.graph, model.spec
    tensors = bind(graph, spec)
    assert graph.tensors[tensors.output].dtype == dtype
    for state, one, other in zip(spec.states, tensors.states_in, tensors.states_out, strict=True):
        assert graph.tensors[one].shape == graph.tensors[other].shape == state.shape
    for changed in (
        dataclasses.replace(spec.output.tensor, dtype="uint8", scale=0.5, zero_point=0),
        dataclasses.replace(spec.output.tensor, scale=spec.output.tensor.scale + 0.5),
    ):
        output = dataclasses.replace(spec.output, tensor=changed)
        with pytest.raises(SpecError, match="output 'output'"):
            bind(graph, dataclasses.replace(spec, output=output))


def test_a_state_of_the_right_size_and_another_shape_is_refused(tmp_path: Path) -> None:
    model = handmade.model(tmp_path / "model.tflite", "regression")
    spec = with_state(model.spec, 0, shape=(1, handmade.WIDTH, handmade.STEPS))
    with pytest.raises(SpecError, match="state in 'memory'"):
        bind(model.bundle.graph, spec)


def test_kernels_that_are_known_to_be_wrong_are_refused(demo_model: StreamingModel) -> None:
    graph = demo_model.bundle.graph
    image = graph.signatures["step"][0]["image"]
    product = graph.operators[-1]._replace(name="BATCH_MATMUL", outputs=(image,))
    attending = graph._replace(operators=(*graph.operators, product))
    assert graph.tensors[image].dtype == "int8"
    wrong = Backend("tensorflow", "2.21.0", "xnnpack", 1)
    with pytest.raises(BackendError, match=r"tensorflow 2\.21\.0 .* take kernels 'builtin'"):
        check_kernels(attending, wrong)
    check_kernels(graph, wrong)
    check_kernels(attending, Backend("tensorflow", "2.21.0", "builtin", 1))
    check_kernels(attending, Backend("litert", "2.3.0", "xnnpack", 1))
