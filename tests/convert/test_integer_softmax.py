"""SOFTMAX in 16 bits, where TFLite's int8 one is another on Arm."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from edgecap_convert.export import graph as exporting
from edgecap_convert.export.integer_softmax import make_softmax_portable
from edgecap_convert.models.network import normalize
from edgecap_convert.quantization.softmax import attention_weights

from edgecap.flatbuffer import Graph, read_graph
from edgecap.interpreter import open_interpreter
from tests.convert.test_network import MEMORIES, NECKS, lively_network, scenes


@pytest.fixture(scope="module")
def attending() -> dict[str, bytes]:
    """A network that looks at a place and back in time, with the converter's SOFTMAX and ours."""
    network = lively_network(8, NECKS["attend to motion"], MEMORIES["attention"]).quantized()
    network.clip(normalize(tf.constant(scenes(2, 12))), training=True)
    network.schedule.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "make_softmax_portable", lambda model: model)
        plain = exporting.convert_step(network)
    return {"plain": plain, "portable": exporting.convert_step(network)}


def kinds(graph: Graph) -> list[str]:
    """The types that each SOFTMAX reads and gives."""
    found = []
    for operator in graph.operators:
        if operator.name == "SOFTMAX":
            ends = (operator.inputs[0], operator.outputs[0])
            found.append(" → ".join(graph.tensors[i].dtype for i in ends))
    return found


def test_every_softmax_is_of_16_bits(attending: dict[str, bytes]) -> None:
    assert kinds(read_graph(attending["plain"])) == ["int8 → int8"] * 2
    assert kinds(read_graph(attending["portable"])) == ["int16 → int16"] * 2


def test_what_attends_is_as_simulated_and_within_a_step_of_the_exact_softmax(
    attending: dict[str, bytes],
) -> None:
    graph = read_graph(attending["portable"])
    interpreter, _ = open_interpreter(attending["portable"], kernels="builtin", keep_all=True)
    inputs, _ = graph.signatures["step"]
    rng = np.random.default_rng(0)
    casts = [op for op in graph.operators if op.name == "CAST"]
    narrowed = {op.inputs[0]: op.outputs[0] for op in graph.operators if op.name == "QUANTIZE"}
    softmaxes = {op.inputs[0]: op.outputs[0] for op in graph.operators if op.name == "SOFTMAX"}
    errors = []
    for _ in range(40):
        for index in inputs.values():
            tensor = graph.tensors[index]
            if tensor.dtype == "int8":
                interpreter.set_tensor(index, rng.integers(-128, 128, tensor.shape, np.int8))
            else:
                interpreter.set_tensor(index, rng.normal(0, 1, tensor.shape).astype(np.float32))
        interpreter.invoke()
        for cast in casts:
            scores = interpreter.get_tensor(cast.inputs[0]).astype(np.float64)
            scores *= graph.tensors[cast.inputs[0]].scales[0]
            exact = np.exp(scores - scores.max(axis=-1, keepdims=True))
            exact /= exact.sum(axis=-1, keepdims=True)
            found = interpreter.get_tensor(narrowed[softmaxes[cast.outputs[0]]])
            apart = np.abs(found - np.clip(np.rint(exact * 256) - 128, -128, 127))
            errors.append(apart.ravel())
            step = np.float32(graph.tensors[cast.inputs[0]].scales[0])
            centred = interpreter.get_tensor(cast.inputs[0]).astype(np.float32) * step
            simulated = attention_weights(tf.constant(centred), tf.constant(step))
            np.testing.assert_array_equal(simulated * 256 - 128, found)
    apart = np.concatenate(errors)
    assert apart.size > 1000
    assert apart.max() <= 1
    # Ties, and nothing else.
    assert (apart > 0).mean() < 0.03


def test_a_model_without_attention_stays_as_it_is() -> None:
    network = lively_network().quantized()
    network.clip(normalize(tf.constant(scenes(2, 6))), training=True)
    network.schedule.freeze()
    model = exporting.convert_step(network)
    assert make_softmax_portable(model) is model
