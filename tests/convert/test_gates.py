"""A file that is not what it has to be is named by the gates, or first by the doctor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from edgecap_convert.export import flatbuffers as fb
from edgecap_convert.export.graph import convert_step
from edgecap_convert.models.network import Network
from edgecap_convert.parity.doctor import examine
from edgecap_convert.parity.gates import (
    check_floats,
    check_grids,
    check_states,
    judge,
    require,
    to_dicts,
)
from edgecap_convert.parity.record import measure_steps
from edgecap_convert.parity.trace import NetworkTracer
from edgecap_convert.quantization.recipes import recipe_named

from edgecap.contract import SIGNATURE
from edgecap.errors import ParityError
from edgecap.flatbuffer import read_graph
from tests.convert.made import calibrated, model_of
from tests.convert.test_network import MEMORIES, SIZE, lively_network, scenes

Spoil = Callable[[Any], None]


@pytest.fixture(scope="module")
def quantized() -> Network:
    """Two layers, so that there are states to be swapped."""
    return calibrated(lively_network(lstm=MEMORIES["two layers"]), scenes(3, 24))


@pytest.fixture(scope="module")
def tracer(quantized: Network) -> NetworkTracer:
    return NetworkTracer(quantized)


@pytest.fixture(scope="module")
def sound(quantized: Network) -> bytes:
    return convert_step(quantized)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return scenes(2, 30).reshape(-1, SIZE, SIZE, 3)


def spoiled(sound: bytes, spoil: Spoil) -> bytes:
    model = fb.parse(sound)
    spoil(model)
    return fb.pack(model)


def ends(model: Any, name: str) -> list[Any]:
    """The tensors of a state: as it comes in, and as it goes out."""
    signature = model.signatureDefs[0]
    return [
        model.subgraphs[0].tensors[entry.tensorIndex]
        for entry in (*signature.inputs, *signature.outputs)
        if entry.name == name.encode()
    ]


def test_a_sound_file_passes(
    quantized: Network, tracer: NetworkTracer, sound: bytes, images: np.ndarray
) -> None:
    graph = read_graph(sound)
    check_states(graph)
    check_floats(graph, recipe_named("int8"))
    model = model_of(quantized, sound)
    check_grids(model.spec, quantized.state_grids())
    gates = judge(measure_steps(tracer, model, images))
    require(to_dicts(gates))
    assert {"h, each step from the same state", "outputs, running freely"} <= {
        gate.name for gate in gates
    }


@pytest.mark.parametrize(
    "sides", [slice(0, 1), slice(1, 2), slice(0, 2)], ids=["in", "out", "both"]
)
def test_a_state_scale_off_by_two_percent_is_refused(
    quantized: Network, sound: bytes, sides: slice
) -> None:
    def spoil(model: Any) -> None:
        for tensor in ends(model, "h")[sides]:
            tensor.quantization.scale = np.asarray(tensor.quantization.scale) * np.float32(1.02)

    data = spoiled(sound, spoil)
    with pytest.raises(ParityError, match="state h: expected"):
        check_states(read_graph(data))
        check_grids(model_of(quantized, data).spec, quantized.state_grids())


def test_a_state_without_a_partner_is_refused(sound: bytes) -> None:
    def spoil(model: Any) -> None:
        for entry in model.signatureDefs[0].outputs:
            if entry.name == b"c2":
                entry.name = b"c3"

    with pytest.raises(ParityError, match=r"not in pairs.*c2.*c3"):
        check_states(read_graph(spoiled(sound, spoil)))


def test_swapped_states_are_refused(
    quantized: Network, tracer: NetworkTracer, sound: bytes, images: np.ndarray
) -> None:
    def spoil(model: Any) -> None:
        outputs = {entry.name: entry for entry in model.signatureDefs[0].outputs}
        one, other = outputs[b"h"], outputs[b"h2"]
        one.tensorIndex, other.tensorIndex = other.tensorIndex, one.tensorIndex

    data = spoiled(sound, spoil)
    # Of one shape and grid, they pass for each other until they are computed.
    check_states(read_graph(data))
    model = model_of(quantized, data)
    check_grids(model.spec, quantized.state_grids())
    with pytest.raises(ParityError, match="h, each step from the same state"):
        require(to_dicts(judge(measure_steps(tracer, model, images))))


def clip_gates(model: Any) -> None:
    """What the gates read ends at ±2 in place of ±8."""
    for tensor in model.subgraphs[0].tensors:
        if tensor.name.startswith(b"lstm1/") and tensor.quantization is not None:
            scale = tensor.quantization.scale
            if scale is not None and len(scale) == 1 and np.isclose(scale[0], 1 / 16):
                tensor.quantization.scale = np.array([1 / 64], np.float32)


@pytest.mark.slow
def test_a_clipped_gate_range_is_refused_and_named_first(
    quantized: Network, tracer: NetworkTracer, sound: bytes, images: np.ndarray
) -> None:
    data = spoiled(sound, clip_gates)
    check_states(read_graph(data))
    model = model_of(quantized, data)
    with pytest.raises(ParityError, match="each step from the same state"):
        require(to_dicts(judge(measure_steps(tracer, model, images))))
    first = examine(model, images)["findings"][0]
    assert (first["kind"], first["part"]) == ("clips", "gates")
    assert first["tensor"].startswith("lstm1/")


@pytest.mark.slow
def test_calibration_from_a_single_step_is_named_first(images: np.ndarray) -> None:
    """From a state of zero, outputs hardly move: their range is far too small for what follows."""
    network = lively_network()
    model = model_of(calibrated(network, images[None, :1]))
    first = examine(model, images)["findings"][0]
    assert first["kind"] == "clips"
    assert first["severity_db"] < 15
    proper = examine(model_of(calibrated(network, images[None])), images)
    worst = min((f["severity_db"] for f in proper["findings"] if f["kind"] == "clips"), default=99)
    assert worst > first["severity_db"] + 6


def test_float_where_none_may_be_is_refused(sound: bytes) -> None:
    graph = read_graph(sound)
    with pytest.raises(ParityError, match="recipe int8-int16: expected no float"):
        check_floats(graph, recipe_named("int8-int16"))


def test_hidden_state_and_control_flow_are_refused(quantized: Network, sound: bytes) -> None:
    from edgecap.errors import SpecError

    def hide(model: Any) -> None:
        inputs = {entry.name: entry.tensorIndex for entry in model.signatureDefs[0].inputs}
        model.subgraphs[0].tensors[inputs[b"h"]].isVariable = True

    def flex(model: Any) -> None:
        code = fb.code_index(model, fb.Op.CUSTOM, 1)
        model.operatorCodes[code].customCode = b"FlexAdd"
        model.subgraphs[0].operators[3].opcodeIndex = code

    for spoil in (hide, flex):
        with pytest.raises(SpecError, match="without hidden state"):
            model_of(quantized, spoiled(sound, spoil))


def test_the_signature_is_the_step(sound: bytes) -> None:
    inputs, outputs = read_graph(sound).signatures[SIGNATURE]
    assert set(inputs) ^ set(outputs) == {"image", "logits"}
