"""A step in two parts: the same bytes, from files that are patched and read again."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgecap.bundle import Bundle, Golden
from edgecap.contract import bind
from edgecap.cut import extract, find_cut
from edgecap.cut_step import CutStep, cut_step
from edgecap.errors import BackendError, ModelFileError, SpecError
from edgecap.flatbuffer import Graph, read_graph
from edgecap.gate import SceneGate
from edgecap.interpreter import KERNELS
from edgecap.spec import (
    DecisionSpec,
    GoldenSpec,
    InputSpec,
    ModelSpec,
    OutputSpec,
    TensorSpec,
)
from edgecap.steps import WholeStep
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from tests import handmade
from tests.cutting import differing_frames

Frames = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def many_frames(demo_model: StreamingModel) -> Frames:
    spec = demo_model.spec.input
    scene = Scene(seed=5, height=spec.height, width=spec.width, gestures=8)
    images = np.stack([frame.image for frame in scene])
    assert len(images) >= 200
    return images


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_the_parts_of_the_packaged_model_give_the_bytes_of_the_whole(
    demo_model: StreamingModel, many_frames: Frames, kernels: str
) -> None:
    assert differing_frames(demo_model.bundle, many_frames[:250], kernels=kernels) == []


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", list(handmade.OUTPUTS))
def test_the_parts_of_a_model_made_by_hand_give_the_bytes_of_the_whole(
    tmp_path: Path, dtype: str, kernels: str
) -> None:
    model = handmade.model(tmp_path / "model.tflite", "regression", dtype)
    assert differing_frames(model.bundle, handmade.images(250), kernels=kernels) == []


def test_the_comparison_sees_a_single_wrong_byte(
    demo_model: StreamingModel, many_frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = CutStep.encode

    def wrong(self: CutStep, image: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int8], ...]:
        image = image.copy()
        image[0, 48, 48:52] ^= 0x40
        return encode(self, image)

    monkeypatch.setattr(CutStep, "encode", wrong)
    assert differing_frames(demo_model.bundle, many_frames[:20]) != []
    with pytest.raises(BackendError, match="do not give the same bytes"):
        cut_step(demo_model.bundle, WholeStep(demo_model.bundle))


def test_every_operator_is_in_one_part(demo_model: StreamingModel) -> None:
    graph = demo_model.bundle.graph
    cut = find_cut(graph, bind(graph, demo_model.spec))
    assert sorted(cut.encode + cut.advance) == list(range(len(graph.operators)))
    assert {graph.operators[n].name for n in cut.encode} >= {"CONV_2D", "DEPTHWISE_CONV_2D"}
    assert {graph.operators[n].name for n in cut.advance} >= {"LOGISTIC", "TANH"}


def test_a_next_state_that_depends_on_the_image_alone_is_a_feature(tmp_path: Path) -> None:
    model = handmade.model(tmp_path / "model.tflite", "regression")
    tensors = bind(model.bundle.graph, model.spec)
    cut = find_cut(model.bundle.graph, tensors)
    names = [state.name for state in model.spec.states]
    features = {n for n, i in zip(names, tensors.states_out, strict=True) if i in cut.features}
    assert features == {"map", "last"}
    assert not set(cut.features) & set(cut.advance_outputs)


def test_an_image_that_meets_a_state_is_handed_over_itself(demo_model: StreamingModel) -> None:
    """As of a network that looks at the difference of two images."""
    graph = demo_model.bundle.graph
    tensors = bind(graph, demo_model.spec)
    first = next(n for n, o in enumerate(graph.operators) if tensors.states_in[0] in o.inputs)
    operators = list(graph.operators)
    operators[first] = operators[first]._replace(inputs=(*operators[first].inputs, tensors.image))
    cut = find_cut(graph._replace(operators=tuple(operators)), tensors)
    assert tensors.image in cut.features
    assert tensors.image in cut.advance_inputs
    assert tensors.image not in cut.encode_outputs


def test_a_step_that_computes_nothing_from_the_image_alone_cannot_be_cut(
    demo_model: StreamingModel,
) -> None:
    graph = demo_model.bundle.graph
    tensors = bind(graph, demo_model.spec)
    mixed = tuple(
        o._replace(inputs=(*o.inputs, tensors.states_in[0])) if tensors.image in o.inputs else o
        for o in graph.operators
    )
    with pytest.raises(SpecError, match="cannot be gated"):
        find_cut(graph._replace(operators=mixed), tensors)


def test_a_part_holds_what_was_asked_for_and_nothing_else(demo_model: StreamingModel) -> None:
    data, graph = demo_model.bundle.model, demo_model.bundle.graph
    chosen = [3, 4, 9]
    part = read_graph(extract(data, operators=chosen, inputs=[2], outputs=[5, 6]))
    assert part.operators == tuple(graph.operators[n] for n in chosen)
    assert (part.inputs, part.outputs) == ((2,), (5, 6))
    assert part.tensors == graph.tensors
    assert part.signatures == {}
    assert read_graph(data) == graph, "the model itself is as it was"


@pytest.mark.parametrize("operators", [[1, 0], [0, 0], [0, 10_000], [-1]])
def test_operators_that_are_not_there_or_not_in_order_are_refused(
    demo_model: StreamingModel, operators: list[int]
) -> None:
    with pytest.raises(ModelFileError, match="ascending operators"):
        extract(demo_model.bundle.model, operators=operators, inputs=[0], outputs=[1])


def test_a_file_whose_tables_share_bytes_is_refused(demo_model: StreamingModel) -> None:
    """The graph's inputs and outputs are one field: to write the one changes the other."""
    shared = bytearray(demo_model.bundle.model)
    vtable = _vtable_of_the_subgraph(shared)
    inputs, outputs = vtable + 4 + 2 * 1, vtable + 4 + 2 * 2
    shared[outputs : outputs + 2] = shared[inputs : inputs + 2]
    graph = read_graph(bytes(shared))
    assert graph.inputs == graph.outputs
    with pytest.raises(ModelFileError, match="share bytes"):
        extract(bytes(shared), operators=[0, 1], inputs=[0], outputs=[1])


def _vtable_of_the_subgraph(data: bytearray) -> int:
    def follow(place: int) -> int:
        return place + int(struct.unpack_from("<I", data, place)[0])

    def vtable(table: int) -> int:
        return table - int(struct.unpack_from("<i", data, table)[0])

    model = follow(0)
    (subgraphs,) = struct.unpack_from("<H", data, vtable(model) + 4 + 2 * 2)
    return vtable(follow(follow(model + subgraphs) + 4))


def test_mutated_files_are_cut_or_refused_and_nothing_else(demo_model: StreamingModel) -> None:
    data = demo_model.bundle.model
    graph = demo_model.bundle.graph
    tensors = bind(graph, demo_model.spec)
    rng = np.random.default_rng(3)
    refused = done = 0
    while done + refused < 120:
        mutant = bytearray(data)
        for _ in range(int(rng.integers(1, 6))):
            place = int(rng.integers(len(data) * 0.55, len(data) - 4))
            mutant[place : place + 4] = int(rng.integers(0, 1 << 32)).to_bytes(4, "little")
        try:
            found = read_graph(bytes(mutant))
            cut = find_cut(found, tensors)
            part = extract(
                bytes(mutant),
                operators=cut.encode,
                inputs=[tensors.image],
                outputs=cut.encode_outputs,
            )
        except (ModelFileError, SpecError):
            refused += 1
            continue
        done += 1
        expected: Graph = read_graph(part)
        assert expected.operators == tuple(found.operators[n] for n in cut.encode)
    assert refused > 10
    assert done > 10


def meeting_bundle(state_is_kept: bool) -> Bundle:
    """A step that subtracts the image before from the image: the image itself is a feature.

    output = mean(image) + mean(image − before), before' = image; with ``state_is_kept``, a second
    state that is handed through as it is.
    """
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    flatbuffers = pytest.importorskip("flatbuffers")
    build = handmade._Builder(schema)
    image = TensorSpec("image", (1, 4, 4, 3), "float32")
    real = TensorSpec("real", (1, 3), "float32")
    states = [TensorSpec("before", image.shape, "float32"), TensorSpec("kept", (1, 3), "float32")]
    states = states[: 1 + state_is_kept]
    pixels = build.tensor(image)
    given = [build.tensor(state) for state in states]

    def mean(source: int) -> int:
        options = schema.Pool2DOptionsT()
        options.filterHeight = options.filterWidth = options.strideH = options.strideW = 4
        options.padding = schema.Padding.VALID
        spec = TensorSpec("mean", (1, 1, 1, 3), "float32")
        return reshaped(build.operator("AVERAGE_POOL_2D", [source], spec, options), real)

    def reshaped(source: int, spec: TensorSpec) -> int:
        shape = build.constant(np.array(spec.shape, np.int32))
        options = schema.ReshapeOptionsT()
        options.newShape = list(spec.shape)
        return build.operator("RESHAPE", [source, shape], spec, options)

    change = build.operator("SUB", [pixels, given[0]], image, schema.SubOptionsT())
    answer = build.operator("ADD", [mean(pixels), mean(change)], real, schema.AddOptionsT())
    after = {"before": reshaped(pixels, image)} | ({"kept": given[1]} if state_is_kept else {})
    names = {state.name: index for state, index in zip(states, given, strict=True)}
    packed = flatbuffers.Builder(1024)
    model = build.model({"image": pixels, **names}, {"output": answer, **after})
    packed.Finish(model.Pack(packed), file_identifier=b"TFL3")
    data = bytes(packed.Output())
    spec = ModelSpec(
        name="meeting",
        task="regression",
        rate_hz=10.0,
        labels=("red", "green", "blue"),
        input=InputSpec(image),
        states=tuple(states),
        output=OutputSpec(TensorSpec("output", (1, 3), "float32"), "linear"),
        decision=DecisionSpec(),
        golden=GoldenSpec(1, "none", rounds=1),
        recipe="none",
    )
    return Bundle(data, read_graph(data), spec, Golden(np.zeros((0, 4, 4, 3), np.uint8), {}), "")


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("state_is_kept", [False, True])
def test_a_step_whose_image_meets_a_state_gives_the_same_bytes_in_parts(
    kernels: str, state_is_kept: bool
) -> None:
    bundle = meeting_bundle(state_is_kept)
    frames = np.random.default_rng(0).integers(0, 256, (200, 4, 4, 3), dtype=np.uint8)
    assert (
        bind(bundle.graph, bundle.spec).image
        in find_cut(bundle.graph, bind(bundle.graph, bundle.spec)).features
    )
    assert differing_frames(bundle, frames, kernels=kernels) == []


def test_a_gated_stream_keeps_the_image_that_it_reuses() -> None:
    """Its buffer is written over by other streams' frames meanwhile."""
    model = StreamingModel(meeting_bundle(state_is_kept=False))
    gate = SceneGate(threshold=255.0)
    one, other = model.stream(gate=gate), model.stream()
    dark, bright = np.full((4, 4, 3), 10, np.uint8), np.full((4, 4, 3), 240, np.uint8)
    first = one.step(dark).values
    for _ in range(3):
        other.step(bright)
        # The same image again: no change is left to be added to its mean.
        np.testing.assert_array_equal(one.step(dark).values, first / 2)
        assert one.skipped
