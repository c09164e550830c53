"""The trained network → one TFLite step with explicit states.

The route is the TF converter from a SavedModel, fake quantisation included and without a
representative dataset: the ranges learnt in training are then the ranges in the file.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from edgecap.contract import SIGNATURE
from edgecap.errors import ConfigError
from edgecap.flatbuffer import Graph, read_graph
from edgecap.interpreter import open_interpreter
from edgecap.native import native_stderr_to_log
from edgecap_convert.models.network import MAP, Network

IMAGE, FEATURES, LOGITS = "image", "features", "logits"

_WITH_BIAS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# Room for the products that the kernels add to a bias.
_LARGEST_BIAS = 2**31 - 2**26

# Float operators that each LSTM layer's cell state, and nothing else, may use.
_CELL_OPERATORS = {
    "DEQUANTIZE": 3,
    "MUL": 2,
    "ADD": 1,
    "MINIMUM": 1,
    "MAXIMUM": 1,
    "TANH": 1,
}


def convert_step(network: Network) -> bytes:
    """Converts a fake-quantised network.

    Returns:
      A flatbuffer with the signature ``step``: ``image`` int8 and the states (``c`` float32, all
      others int8) → ``logits`` int8 and the states.

    Raises:
      ConfigError: the network is not quantised, or the converter left float where none may be.
    """
    encoder = network.config.encoder

    def step(image: tf.Tensor, **state: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, state = network.step(image, state)
        return {LOGITS: logits, **state}

    shape = (1, encoder.height, encoder.width, 3)
    return _convert(network, step, {IMAGE: shape, **network.state_shapes()})


def convert_recurrent(network: Network) -> bytes:
    """Converts the LSTM step and the head alone, for holding the kernels against the training.

    Returns:
      Like :func:`convert_step`, with ``features`` ``(1, F)`` int8, on the grid of the
      collector's output, in place of ``image`` and of the neck's state.
    """
    states = network.state_shapes()
    states.pop(MAP, None)

    def step(features: tf.Tensor, **state: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, state = network.step_features(network.requantize_features(features), state)
        return {LOGITS: logits, **state}

    width = network.collector.output_shape[-1]
    return _convert(network, step, {FEATURES: (1, width), **states})


def _convert(
    network: Network,
    step: Callable[..., dict[str, tf.Tensor]],
    inputs: dict[str, tuple[int, ...]],
) -> bytes:
    if network.schedule is None:
        raise ConfigError("expected a quantised network; call .quantized() and learn its ranges")
    module = tf.Module()
    # The saved module must reach every variable that the function captures.
    module.network = network
    module.step = tf.function(step)
    signature = module.step.get_concrete_function(
        **{name: tf.TensorSpec(shape, name=name) for name, shape in inputs.items()}
    )
    with tempfile.TemporaryDirectory() as folder, _quiet():
        tf.saved_model.save(module, folder, signatures={SIGNATURE: signature})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        # Kernels before TFLite 2.16 take one scale for a dense layer's weights, silently.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        model = bytes(converter.convert())
    graph = read_graph(model)
    _check_float(graph, layers=network.config.lstm.layers)
    _check_biases(model, graph)
    return model


def _check_float(graph: Graph, *, layers: int) -> None:
    """Counts float operators: the converter falls back without a word."""
    expected = {name: count * layers for name, count in _CELL_OPERATORS.items() if layers}
    found: dict[str, int] = {}
    for operator in graph.operators:
        if graph.tensors[operator.outputs[0]].dtype == "float32":
            found[operator.name] = found.get(operator.name, 0) + 1
    if found != expected:
        raise ConfigError(
            f"the converter left other float operators than the cell state's: expected "
            f"{expected}; got {found}. Please report it with the version of TensorFlow"
        )


def _check_biases(model: bytes, graph: Graph) -> None:
    """Looks for biases at the end of int32: the converter saturates them without a word."""
    interpreter, _ = open_interpreter(model, kernels="builtin")
    for operator in graph.operators:
        for index in operator.inputs[2:3] if operator.name in _WITH_BIAS else ():
            if index < 0:
                continue
            largest = int(np.abs(interpreter.get_tensor(index).astype(np.int64)).max())
            if largest >= _LARGEST_BIAS:
                raise ConfigError(
                    f"{graph.tensors[index].name}: a bias of {largest} steps leaves int32; the "
                    "weights of its layer are almost nothing. Train on, or with other settings"
                )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Sends what the converter prints, from Python and from native code, to the log."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with native_stderr_to_log(stdout=True):
            yield
    finally:
        logger.setLevel(level)
