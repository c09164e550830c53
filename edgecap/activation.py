"""From a model's raw output to what it means: probabilities, or the numbers themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecap.quantization import dequantize
from edgecap.spec import OutputSpec

if TYPE_CHECKING:
    import numpy.typing as npt

Values = np.ndarray[Any, np.dtype[np.float32]]
#: From outputs ``(labels,)`` in the tensor's own dtype to float32 of the same shape.
Activation = Callable[[np.ndarray[Any, np.dtype[Any]]], Values]


def activation(output: OutputSpec) -> Activation:
    """The function that a model's outputs go through.

    * ``softmax``: probabilities that sum to 1.
    * ``sigmoid``: probabilities that do not depend on each other.
    * ``linear``: real = scale · (q − zero_point), or the floats as they are.
    """
    tensor = output.tensor
    tabled = tensor.dtype in ("int8", "uint8")
    if output.activation == "softmax":
        if not tabled:
            return lambda values: _softmax(dequantize(values, tensor))
        # int8 has 256 differences to the largest logit: a table is exact and faster.
        exponentials: Values = np.exp(-np.arange(256) * tensor.scale).astype(np.float32)
        return partial(_softmax_from, exponentials, {})
    if output.activation == "sigmoid":
        if not tabled:
            return lambda values: _sigmoid(dequantize(values, tensor))
        # Indexed by the byte, whatever its sign.
        table = _sigmoid(dequantize(np.arange(256, dtype=np.uint8).view(tensor.dtype), tensor))
        return lambda values: table[values.view(np.uint8)]
    return lambda values: dequantize(values, tensor)


def _softmax_from(
    exponentials: Values, rows: dict[int, Values], values: npt.NDArray[Any]
) -> Values:
    """Args: exp(−k · scale) of k = 0 … 255; rows made of it before; outputs ``(labels,)``."""
    largest = int(values[values.argmax()])
    row = rows.get(largest)
    if row is None:
        # Indexed by the value: negative ones count from the end, as NumPy does it anyway.
        low = np.iinfo(values.dtype).min
        logits = np.arange(low, low + 256)
        row = np.empty(256, np.float32)
        row[logits] = exponentials[np.clip(largest - logits, 0, 255)]
        rows[largest] = row
    chosen = row[values]
    result: Values = chosen / np.add.reduce(chosen)
    return result


def _softmax(real: Values) -> Values:
    exponentials = np.exp(real - real.max())
    result: Values = exponentials / exponentials.sum()
    return result


def _sigmoid(real: Values) -> Values:
    # 1 / (1 + exp(−x)) would overflow far below 0, and 1 + tanh(x / 2) lose what is small.
    result: Values = np.exp(-np.logaddexp(np.float32(0), -real))
    return result
