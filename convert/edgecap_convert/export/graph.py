"""The trained network → one TFLite step with explicit states.

The route is the TF converter from a SavedModel, fake quantisation included and without a
representative dataset: the ranges learnt in training are then the ranges in the file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.errors import ConfigError
from edgecap.flatbuffer import Graph, read_graph
from edgecap.interpreter import open_interpreter
from edgecap.native import native_stderr_to_log
from edgecap.quantization import dequantize
from edgecap_convert.export.float_head import make_head_float
from edgecap_convert.export.integer_cell import make_cell_integer
from edgecap_convert.export.integer_softmax import make_softmax_portable
from edgecap_convert.models.along import NECK_STATES
from edgecap_convert.models.network import Network
from edgecap_convert.tracing import traced

IMAGE, GRID, FEATURES, LOGITS = "image", "grid", "features", "logits"

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


class Convertible(Protocol):
    """What the converter needs of a network.

    Attributes:
      schedule: of its learnt ranges; ``None`` of a float network.
      cell, float_head: see ``Network.quantized``.
      weights: all its variables.
    """

    schedule: Any
    cell: str
    float_head: bool

    @property
    def weights(self) -> list[tf.Variable]: ...

    @property
    def head_weights(self) -> tuple[tf.Tensor, tf.Tensor]: ...

    def converting(self) -> contextlib.AbstractContextManager[None]: ...


#: Name of an input → its shape, of float32; or its shape and dtype.
Inputs = Mapping[str, "tuple[int, ...] | tf.TensorSpec"]
#: The inputs by name → the outputs by name.
Function = Callable[..., dict[str, tf.Tensor]]


def convert_step(network: Network) -> bytes:
    """Converts a fake-quantised network.

    Returns:
      A flatbuffer with the signature ``step``: ``image`` int8 and the states (``c`` in what the
      network keeps it in, all others int8) → ``logits`` int8 and the states.

    Raises:
      ConfigError: the network is not quantised, or the converter left float where none may be.
    """
    encoder = network.config.encoder

    def step(image: tf.Tensor, **state: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, state = network.step(image, state)
        return {LOGITS: logits, **state}

    shape = (1, encoder.height, encoder.width, 3)
    inputs = {IMAGE: shape, **network.state_shapes()}
    return convert_quantized(network, step, inputs, cells=network.config.lstm.layers)


def convert_float(network: Network, form: str) -> bytes:
    """Converts a float network, without fake quantisation.

    Args:
      form: ``float32``; ``float16`` or ``dynamic``: weights in 16 bits, or in 8.

    Returns:
      A flatbuffer with the signature ``step``; all inputs and outputs are float32, the image in
      the real values of its grid.
    """
    encoder = network.config.encoder

    def step(image: tf.Tensor, **state: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, state = network.step(image, state)
        return {LOGITS: logits, **state}

    shape = (1, encoder.height, encoder.width, 3)
    return convert_unquantized(network, step, {IMAGE: shape, **network.state_shapes()}, form)


def convert_recurrent(network: Network) -> bytes:
    """Converts the LSTM step and the head alone, for holding the kernels against the training.

    Returns:
      Like :func:`convert_step`, with ``features`` ``(1, F)`` int8, on the grid of the
      collector's output, in place of ``image`` and of the neck's state.
    """
    shapes = network.state_shapes()
    states = {name: shape for name, shape in shapes.items() if name not in NECK_STATES}

    def step(features: tf.Tensor, **state: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, state = network.step_features(network.requantize_features(features), state)
        return {LOGITS: logits, **state}

    inputs = {FEATURES: (1, network.view.feature_width), **states}
    return convert_quantized(network, step, inputs, cells=network.config.lstm.layers)


class Int8Encoder:
    """The encoder of a quantised network as int8 kernels compute it, many times as fast.

    Args:
      network: its encoder's ranges are learnt.
      part: of the encoder, from the image on; by default all of it.
    """

    def __init__(
        self, network: Network, part: Callable[[tf.Tensor], tf.Tensor] | None = None
    ) -> None:
        encoder, compute = network.config.encoder, part or network.encode

        def encode(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return {GRID: compute(image)}

        model = convert_quantized(
            network, encode, {IMAGE: (1, encoder.height, encoder.width, 3)}, cells=0
        )
        graph = read_graph(model)
        inputs, outputs = graph.signatures[SIGNATURE]
        self._image, self._grid = inputs[IMAGE], outputs[GRID]
        self._spec = tensor_spec(GRID, graph.tensors[self._grid])
        self._interpreter, _ = open_interpreter(model, threads=os.cpu_count() or 1)

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """``(N, H, W, 3)`` uint8 → grids ``(N, H', W', C)`` float32."""
        grids = []
        for image in images:
            # The image's grid: int8 = u8 − 128.
            self._interpreter.set_tensor(self._image, (image ^ 0x80).view(np.int8)[None])
            self._interpreter.invoke()
            grids.append(dequantize(self._interpreter.get_tensor(self._grid)[0], self._spec))
        return np.stack(grids)


def convert_quantized(
    network: Convertible,
    function: Callable[..., dict[str, tf.Tensor]],
    inputs: Inputs,
    *,
    cells: int,
    float_outputs: bool = False,
) -> bytes:
    """Converts a function of a fake-quantised network, whose floats come in and go out as int8.

    Args:
      network: its ranges are learnt.
      function: the inputs by name → the outputs by name. inputs: see ``Inputs``.
      cells: how many cell states it carries; these may be float.
      float_outputs: what goes out is float after all: the same numbers, by their grids.

    Returns:
      A flatbuffer with the signature ``step``.

    Raises:
      ConfigError: the network is not quantised, or the converter left float where none may be.
    """
    if network.schedule is None:
        raise ConfigError("expected a quantised network; call .quantized() and learn its ranges")

    def configure(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.float32 if float_outputs else tf.int8

    with network.converting():
        model = _flatbuffer(network, function, inputs, configure)
    graph = read_graph(model)
    outputs = graph.signatures[SIGNATURE][1]
    _check_float(graph, cells=cells, dequantized=len(outputs) if float_outputs else 0)
    _check_biases(model, graph)
    model = make_softmax_portable(model)
    if cells and network.cell != "float32":
        model = make_cell_integer(model, network.cell)
    if network.float_head and LOGITS in outputs:
        kernel, bias = network.head_weights
        model = make_head_float(model, LOGITS, kernel.numpy(), bias.numpy())
    return model


def convert_unquantized(
    network: Convertible, function: Function, inputs: Inputs, form: str
) -> bytes:
    """Converts a function of a float network, or of a part that stayed float.

    Args:
      network, function, inputs: as for :func:`convert_quantized`. form: see ``convert_float``.
    """

    def configure(converter: tf.lite.TFLiteConverter) -> None:
        if form != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if form == "float16":
            converter.target_spec.supported_types = [tf.float16]

    return _flatbuffer(network, function, inputs, configure)


def _flatbuffer(
    network: Convertible,
    function: Function,
    inputs: Inputs,
    configure: Callable[[tf.lite.TFLiteConverter], None],
) -> bytes:
    """One call of the converter."""
    module = tf.Module()
    # The saved module must reach every variable that the function captures; the network itself
    # would be traced layer by layer.
    module.reached = network.weights
    module.step = traced(function)
    signature = module.step.get_concrete_function(
        **{
            name: tf.TensorSpec(
                given.shape if isinstance(given, tf.TensorSpec) else given,
                given.dtype if isinstance(given, tf.TensorSpec) else tf.float32,
                name=name,
            )
            for name, given in inputs.items()
        }
    )
    with tempfile.TemporaryDirectory() as folder, _quiet():
        try:
            tf.saved_model.save(module, folder, signatures={SIGNATURE: signature})
        except (OSError, tf.errors.OpError) as error:
            reason = str(getattr(error, "message", error)).rpartition("; ")[2].partition(" [Op")[0]
            raise ConfigError(
                f"cannot write to the temporary folder, {Path(folder).parent}: {reason}. Make room "
                "there, or let TMPDIR name a folder that has some"
            ) from error
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        # Kernels before TFLite 2.16 take one scale for a dense layer's weights, silently.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        configure(converter)
        return bytes(converter.convert())


def _check_float(graph: Graph, *, cells: int, dequantized: int) -> None:
    """Counts float operators: the converter falls back without a word."""
    expected = {name: count * cells for name, count in _CELL_OPERATORS.items() if cells}
    if dequantized:
        expected["DEQUANTIZE"] = expected.get("DEQUANTIZE", 0) + dequantized
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
