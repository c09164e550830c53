"""How many multiply-adds a graph takes, counted from the shapes of its tensors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from edgecap.flatbuffer import Graph, Operator, Tensor

# Each value of the output is computed alone, or moved, or taken from its neighbours by a sum or a
# comparison: no weights, and by the convention of the field no multiply-adds.
# fmt: off
_WITHOUT = frozenset((
    "ADD", "ARG_MAX", "ASSIGN_VARIABLE", "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "BROADCAST_TO",
    "CAST", "CONCATENATION", "DEPTH_TO_SPACE", "DEQUANTIZE", "DIV", "ELU", "EXP", "EXPAND_DIMS",
    "GATHER", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN",
    "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "PACK", "PAD", "PADV2", "PRELU", "QUANTIZE",
    "READ_VARIABLE", "REDUCE_MAX", "RELU", "RELU6", "RESHAPE", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT_V2", "SHAPE", "SLICE", "SOFTMAX",
    "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQRT", "SQUARE",
    "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE", "TRANSPOSE",
    "UNPACK", "VAR_HANDLE",
))
# fmt: on


@dataclass(frozen=True)
class MacCount:
    """Multiply-adds of one run of a graph.

    Attributes:
      macs: all of them; ``None`` where the graph has an operator whose cost is not known.
      uncounted: the names of such operators, each once, in order.
      by_operator: multiply-adds of the operators that were counted, by name; those that take none
        are left out. Its sum is a lower bound where ``macs`` is ``None``.
    """

    macs: int | None
    uncounted: tuple[str, ...]
    by_operator: dict[str, int] = field(default_factory=dict)

    @property
    def at_least(self) -> int:
        """What was counted: ``macs``, or a lower bound of it."""
        return sum(self.by_operator.values())


def count_macs(graph: Graph) -> MacCount:
    """Counts the multiplications of an input or a state with a weight (or of two inputs, in a
    matrix product), each with its addition as one.

    The convention is that of the networks' own papers (MobileNetV2, arXiv:1801.04381, table 4;
    https://keras.io/api/applications): convolutions, dense layers and matrix products count;
    biases, activations, pooling, normalisation, sums, products value by value, resizing and moving
    count nothing. Positions where a kernel lies on padding count as all others.

    Of a graph with more than one subgraph the first is counted; an operator that runs another
    (``IF``, ``WHILE``, ``CALL_ONCE``) is one whose cost is not known, as is ``CUSTOM``.
    """
    counts: Counter[str] = Counter()
    uncounted: list[str] = []
    for operator in graph.operators:
        if operator.name in _WITHOUT:
            continue
        macs = _count(operator, graph.tensors)
        if macs is None:
            uncounted.append(operator.name)
        else:
            counts[operator.name] += macs
    total = None if uncounted else sum(counts.values())
    return MacCount(total, tuple(sorted(set(uncounted))), dict(counts))


def _count(operator: Operator, tensors: tuple[Tensor, ...]) -> int | None:
    """Of one operator; ``None`` where it or a size is not known (a size not fixed reads 0, −1
    or is missing)."""
    formula = _FORMULAS.get(operator.name)
    if formula is None:
        return None
    inputs = [tensors[i].shape if i >= 0 else None for i in operator.inputs]
    outputs = [tensors[i].shape for i in operator.outputs if i >= 0]
    shapes = [shape for shape in (*inputs, *outputs) if shape is not None]
    if any(size < 1 for shape in shapes for size in shape):
        return None
    try:
        return formula(inputs, outputs[0])
    except (IndexError, TypeError, ValueError):
        # Fewer tensors or dimensions than the operator has: a graph that no interpreter takes.
        return None


# Of each formula: the shapes of the inputs (None for one left out), and of the first output.
_Shapes = list[tuple[int, ...] | None]


def _shape(inputs: _Shapes, index: int, rank: int) -> tuple[int, ...]:
    shape = inputs[index]
    if shape is None or len(shape) != rank:
        raise ValueError(f"expected a shape of rank {rank}; got {shape}")
    return shape


def _conv(inputs: _Shapes, output: tuple[int, ...]) -> int:
    # Weights (out, height, width, in), where in is of one group.
    _, *kernel = _shape(inputs, 1, 4)
    return _positions(output, 4) * math.prod(kernel)


def _conv_3d(inputs: _Shapes, output: tuple[int, ...]) -> int:
    # Weights (depth, height, width, in, out).
    *kernel, _ = _shape(inputs, 1, 5)
    return _positions(output, 5) * math.prod(kernel)


def _depthwise(inputs: _Shapes, output: tuple[int, ...]) -> int:
    # Weights (1, height, width, out): each output channel sees one input channel.
    _, height, width, _ = _shape(inputs, 1, 4)
    return _positions(output, 4) * height * width


def _transposed(inputs: _Shapes, output: tuple[int, ...]) -> int:
    # Inputs: the output's shape, weights (out, height, width, in), the image. Each value of the
    # image meets each weight of its channel.
    channels, height, width, _ = _shape(inputs, 1, 4)
    return math.prod(_shape(inputs, 2, 4)) * channels * height * width


def _dense(inputs: _Shapes, output: tuple[int, ...]) -> int:
    # Weights (units, in); what precedes the last dimension of the input is batch, however shaped.
    units, width = _shape(inputs, 1, 2)
    return _batches(inputs, width) * units * width


def _batch_matmul(inputs: _Shapes, output: tuple[int, ...]) -> int:
    # (…, M, K) × (…, K, N) → (…, M, N), and either may be given transposed: K is what M leaves of
    # the first, whichever way it lies.
    first = inputs[0]
    if first is None:
        raise ValueError("a matrix is missing")
    inner, rest = divmod(first[-1] * first[-2], output[-2])
    if rest:
        raise ValueError(f"{first} does not give {output}")
    return math.prod(output) * inner


def _lstm(inputs: _Shapes, output: tuple[int, ...]) -> int:
    # Inputs 1–4 are the gates' weights (cells, in), 5–8 (cells, out), 16 those of a projection
    # (out, cells); the first gate's are left out where it is coupled to the forget gate
    # (tensorflow/lite/kernels/lstm_shared.h). Peepholes work value by value.
    matrices = [shape for shape in (*inputs[1:9], *inputs[16:17]) if shape is not None]
    forget = _shape(inputs, 2, 2)
    return _batches(inputs, forget[-1]) * sum(math.prod(matrix) for matrix in matrices)


def _positions(output: tuple[int, ...], rank: int) -> int:
    if len(output) != rank:
        raise ValueError(f"expected a shape of rank {rank}; got {output}")
    return math.prod(output)


def _batches(inputs: _Shapes, width: int) -> int:
    """How many vectors of that width the first input holds."""
    first = inputs[0]
    if not first:
        raise ValueError("the input has no shape")
    batches, rest = divmod(math.prod(first), width)
    if rest:
        raise ValueError(f"{first} is not made of vectors of {width}")
    return batches


_FORMULAS: dict[str, Callable[[_Shapes, tuple[int, ...]], int]] = {
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv,
    "CONV_3D": _conv_3d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "TRANSPOSE_CONV": _transposed,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}
