"""Small untrained networks, calibrated and converted, as models that stream."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from edgecap_convert.export.assemble import open_model
from edgecap_convert.export.graph import IMAGE, LOGITS, convert_step
from edgecap_convert.models.network import Network, normalize

from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.flatbuffer import read_graph
from edgecap.spec import DecisionSpec, GoldenSpec, InputSpec, ModelSpec, OutputSpec
from edgecap.streaming import StreamingModel

RATE_HZ = 12.0


def calibrated(network: Network, clips: np.ndarray, cell: str = "float32") -> Network:
    """Fake-quantised, its ranges learnt of ``(B, T, H, W, 3)`` uint8."""
    quantized = network.quantized(cell=cell)
    assert quantized.schedule is not None
    for _ in range(3):
        quantized.clip(normalize(tf.constant(clips)), training=True)
    quantized.schedule.freeze()
    return quantized


def model_of(quantized: Network, data: bytes | None = None, recipe: str = "int8") -> StreamingModel:
    """Its file, or one made of it that is given."""
    data = data if data is not None else convert_step(quantized)
    graph = read_graph(data)
    inputs, outputs = graph.signatures[SIGNATURE]
    logits = tensor_spec(LOGITS, graph.tensors[outputs[LOGITS]])
    spec = ModelSpec(
        name="lively",
        task="classification",
        rate_hz=RATE_HZ,
        labels=tuple(f"label {i}" for i in range(logits.shape[-1])),
        input=InputSpec(tensor_spec(IMAGE, graph.tensors[inputs[IMAGE]])),
        states=tuple(
            tensor_spec(name, graph.tensors[inputs[name]]) for name in quantized.state_shapes()
        ),
        output=OutputSpec(logits, activation="softmax"),
        decision=DecisionSpec(),
        golden=GoldenSpec(0, "not recorded", 1),
        recipe=recipe,
    )
    return open_model(data, dataclasses.replace(spec))
