"""The operators that edgecap's converters emit, and what must hold wherever one is used.

Kernels trust much of this: that a bias is there, that weights are as long as the picture is deep,
that an axis lies inside. What is allowed is what the recipes give: integers (int8 with int32
biases, int16 with int64), float32, float32 with weights of 8 bits (``dynamic``), and float16
constants that a DEQUANTIZE opens.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from edgecap.schema import OPTIONS, TableError, require

MAX_RANK = 6
QUANTIZED = ("int8", "uint8", "int16")

_MAX_SIZE, _MAX_STRIDE = 1 << 28, 1 << 10
_ACTIVATIONS = range(6)
#: Of the step of what is computed to the step of the result. Above 2^14 the kernels of int16 sums
#: abort, above 2^19 those of int8; of trained layers it is below 1, of int8 that becomes int16 2^8.
_MAX_RATIO = 1 << 13
# The reference kernel aborts below 2^-26. Differences of a millionth in a logarithm mean nothing.
_LEAST_SOFTMAX_STEP = 2.0**-25


class Row(NamedTuple):
    """One row of the tensor table.

    Attributes:
      start: where a constant's bytes begin.
      least, largest: of its scales; 0 where it is not quantised.
      along: the dimension that has a scale for each index; −1 for one scale or none.
    """

    shape: tuple[int, ...]
    dtype: str
    constant: bool
    start: int
    least: float
    largest: float
    along: int

    @property
    def items(self) -> int:
        return math.prod(self.shape)


def _alike(kind: Kind, ins: Sequence[Row], outs: Sequence[Row]) -> bool:
    """All data is of one dtype, with one scale."""
    data = [each for place, each in enumerate(ins) if place not in kind.places]
    dtype = data[0].dtype
    return dtype in ("float32", "int8", "int16", "int32") and all(
        each.dtype == dtype and each.along < 0 for each in (*data, *outs)
    )


# Of what a layer reads and of its weights → of its bias.
_LAYERS = {
    ("float32", "float32"): "float32",
    ("float32", "int8"): "float32",
    ("int8", "int8"): "int32",
    ("int16", "int8"): "int64",
}


def _layer(ins: Sequence[Row], outs: Sequence[Row], channels: int) -> bool:
    """Weights and bias may have a scale for each of the layer's channels."""
    picture, weights, out = ins[0], ins[1], outs[0]
    bias = _LAYERS.get((picture.dtype, weights.dtype))
    return (
        out.dtype == picture.dtype
        and picture.along < 0 > out.along
        and weights.along in (-1, channels)
        and (weights.along < 0 or weights.constant)
        and bias is not None
        and all(each.dtype == bias and each.along < 1 for each in ins[2:])
    )


def _first(_: Kind, ins: Sequence[Row], outs: Sequence[Row]) -> bool:
    return _layer(ins, outs, 0)


def _last(_: Kind, ins: Sequence[Row], outs: Sequence[Row]) -> bool:
    return _layer(ins, outs, 3)


def _matrices(kind: Kind, ins: Sequence[Row], outs: Sequence[Row]) -> bool:
    return _alike(kind, ins, outs) or _layer(ins, outs, -1)


def _chosen(kind: Kind, ins: Sequence[Row], outs: Sequence[Row]) -> bool:
    return ins[1].dtype == "int32" and _alike(kind, ins[:1], outs)


def _opened(_: Kind, ins: Sequence[Row], outs: Sequence[Row]) -> bool:
    given = ins[0]
    return (
        given.dtype in ("float16", *QUANTIZED)
        and outs[0].dtype == "float32"
        and (given.along < 0 or given.constant)
    )


def _rounded(_: Kind, ins: Sequence[Row], outs: Sequence[Row]) -> bool:
    given, out = ins[0], outs[0]
    return (
        given.dtype in ("float32", *QUANTIZED)
        and out.dtype in QUANTIZED
        and given.along < 0 > out.along
    )


def _cast(_: Kind, ins: Sequence[Row], outs: Sequence[Row]) -> bool:
    return all(
        each.dtype in ("float32", "int8", "int16", "int32") and each.along < 0
        for each in (ins[0], outs[0])
    )


def _same_shape(ins: Sequence[Row], out: Row) -> bool:
    return ins[0].shape == out.shape


def _same_count(ins: Sequence[Row], out: Row) -> bool:
    return ins[0].items == out.items


def _broadcast(ins: Sequence[Row], out: Row) -> bool:
    one, other = ins[0].shape, ins[1].shape
    if one == other:
        return out.shape == one
    rank = max(len(one), len(other))
    pairs = zip((1,) * (rank - len(one)) + one, (1,) * (rank - len(other)) + other, strict=True)
    sides = []
    for a, b in pairs:
        if a != b and 1 not in (a, b):
            return False
        sides.append(max(a, b))
    return out.shape == tuple(sides)


def _pooled(ins: Sequence[Row], out: Row) -> bool:
    return len(ins[0].shape) == len(out.shape) == 4 and ins[0].shape[3] == out.shape[3]


def _convolved(ins: Sequence[Row], out: Row) -> bool:
    picture, kernel = ins[0].shape, ins[1].shape
    return (
        len(picture) == len(kernel) == len(out.shape) == 4
        and kernel[3] == picture[3]
        and kernel[0] == out.shape[3] == ins[2].items
    )


def _convolved_in_depth(ins: Sequence[Row], out: Row) -> bool:
    picture, kernel = ins[0].shape, ins[1].shape
    return (
        len(picture) == len(kernel) == len(out.shape) == 4
        and kernel[0] == 1
        and kernel[3] % picture[3] == 0
        and kernel[3] == out.shape[3] == ins[2].items
    )


def _dense(ins: Sequence[Row], out: Row) -> bool:
    weights = ins[1].shape
    return (
        len(weights) == 2
        and ins[0].items % weights[1] == 0
        and out.items == ins[0].items // weights[1] * weights[0]
        and all(bias.items == weights[0] for bias in ins[2:])
    )


_ONE, _TWO, _THREE, _MANY = range(1, 2), range(2, 3), range(3, 4), range(1, 65)


class Kind(NamedTuple):
    """One kind of operator.

    Attributes:
      inputs, outputs: how many it may have. options: their number in the schema's union.
      needed: they must be there; of the others the schema's defaults are fine.
      optional: the input that may be left out.
      places: inputs that say where, in which order or how large: constants of int32.
      dtypes, shapes: whether those of its inputs and outputs go together.
    """

    name: str
    inputs: range
    options: int
    needed: bool = False
    outputs: range = _ONE
    optional: int | None = None
    places: tuple[int, ...] = ()
    dtypes: Callable[[Kind, Sequence[Row], Sequence[Row]], bool] = _alike
    shapes: Callable[[Sequence[Row], Row], bool] | None = None


def _each(name: str, options: int, *, needed: bool = False) -> Kind:
    """Computes each value from the one in its place."""
    return Kind(name, _ONE, options, needed, shapes=_same_shape)


def _pairs(name: str, options: int) -> Kind:
    """Computes each value from two."""
    return Kind(name, _TWO, options, shapes=_broadcast)


def _reduced(name: str) -> Kind:
    return Kind(name, _TWO, 27, needed=True, places=(1,))


#: By their number in the schema.
OPERATORS = {
    0: _pairs("ADD", 11),
    1: Kind("AVERAGE_POOL_2D", _ONE, 5, needed=True, shapes=_pooled),
    2: Kind("CONCATENATION", _MANY, 10, needed=True),
    # Kernels read the bias of a convolution without asking whether it is there.
    3: Kind("CONV_2D", _THREE, 1, needed=True, dtypes=_first, shapes=_convolved),
    4: Kind("DEPTHWISE_CONV_2D", _THREE, 2, needed=True, dtypes=_last, shapes=_convolved_in_depth),
    6: Kind("DEQUANTIZE", _ONE, 38, dtypes=_opened, shapes=_same_shape),
    9: Kind("FULLY_CONNECTED", _THREE, 8, needed=True, optional=2, dtypes=_first, shapes=_dense),
    14: _each("LOGISTIC", 0),
    17: Kind("MAX_POOL_2D", _ONE, 5, needed=True, shapes=_pooled),
    18: _pairs("MUL", 21),
    19: _each("RELU", 0),
    21: _each("RELU6", 0),
    22: Kind("RESHAPE", range(1, 3), 17, places=(1,), shapes=_same_count),
    25: _each("SOFTMAX", 9, needed=True),
    28: _each("TANH", 0),
    34: Kind("PAD", _TWO, 22, places=(1,)),
    36: Kind("GATHER", _TWO, 23, dtypes=_chosen),
    39: Kind("TRANSPOSE", _TWO, 26, places=(1,), shapes=_same_count),
    40: _reduced("MEAN"),
    41: _pairs("SUB", 28),
    42: _pairs("DIV", 29),
    43: Kind("SQUEEZE", _ONE, 30, shapes=_same_count),
    45: Kind("STRIDED_SLICE", range(4, 5), 32, needed=True, places=(1, 2, 3)),
    49: Kind("SPLIT", _TWO, 35, needed=True, outputs=_MANY, places=(0,)),
    53: Kind("CAST", _ONE, 37, dtypes=_cast, shapes=_same_shape),
    55: _pairs("MAXIMUM", 39),
    57: _pairs("MINIMUM", 39),
    60: Kind("PADV2", _THREE, 43, places=(1,)),
    65: Kind("SLICE", _THREE, 48, places=(1, 2)),
    70: Kind("EXPAND_DIMS", _TWO, 52, places=(1,), shapes=_same_count),
    74: _reduced("SUM"),
    82: _reduced("REDUCE_MAX"),
    83: Kind("PACK", _MANY, 59, needed=True),
    101: _each("ABS", 78),
    114: Kind("QUANTIZE", _ONE, 89, dtypes=_rounded, shapes=_same_shape),
    117: _each("HARD_SWISH", 91),
    126: Kind("BATCH_MATMUL", _TWO, 101, needed=True, dtypes=_matrices),
    130: Kind("BROADCAST_TO", _TWO, 104, places=(1,)),
}


def check_operator(
    data: bytes, kind: Kind, operator: dict[str, Any], ins: Sequence[Row], outs: Sequence[Row]
) -> None:
    """Checks one use of an operator.

    Args:
      data: the flatbuffer, for constants. operator: its table. ins, outs: what it reads and writes.

    Raises:
      TableError: what a kernel would trust does not hold.
    """
    options = operator.get("options")
    _check_options(kind, operator.get("options_type", 0), options)
    options = options or {}
    _check_places(data, kind, ins)
    _check_counts(kind, options, ins, outs)
    if not kind.dtypes(kind, ins, outs):
        raise TableError(f"gives {_dtypes(outs)} of {_dtypes(ins)}")
    if kind.shapes is not None and not kind.shapes(ins, outs[0]):
        shapes = ", ".join(str(each.shape) for each in ins)
        raise TableError(f"gives {outs[0].shape} of {shapes}")
    _check_scales(kind, options, ins, outs)


def _dtypes(rows: Sequence[Row]) -> str:
    return ", ".join(each.dtype + " by channel" * (each.along >= 0) for each in rows)


# Options that are lengths, of which none may be 0, by their number → name and default.
_LENGTHS = {
    number: [
        (name, 1 if name.startswith("dilation") else 0)
        for name, _ in fields.values()
        if name.startswith(("stride", "filter", "dilation"))
    ]
    for number, (_, fields) in OPTIONS.items()
}


def _check_options(kind: Kind, number: int, options: dict[str, Any] | None) -> None:
    expected = OPTIONS[kind.options][0] if kind.options else "no"
    require(
        (number == 0 and options is None and not kind.needed)
        or (number == kind.options and options is not None),
        "needs {} options",
        expected,
    )
    if not options:
        options = {}
    require(options.get("activation", 0) in _ACTIVATIONS, "has an unknown activation")
    require(options.get("padding", 0) in (0, 1), "has an unknown padding")
    require(not options.get("weights_format"), "has shuffled weights")
    for name, default in _LENGTHS.get(kind.options, ()):
        value = options.get(name, default)
        require(1 <= value <= _MAX_STRIDE, "has a {} of {}", name, value)


def _check_counts(
    kind: Kind, options: dict[str, Any], ins: Sequence[Row], outs: Sequence[Row]
) -> None:
    if kind.name == "SPLIT":
        splits = options.get("splits", 0)
        require(splits == len(outs), "splits into {} and has {} outputs", splits, len(outs))
    if kind.name == "PACK":
        count = options.get("count", 0)
        require(count == len(ins), "packs {} tensors, which are not its inputs", count)
    if "axis" in options:
        # A pack adds a dimension.
        rank, axis = len(ins[0].shape) + (kind.name == "PACK"), options["axis"]
        require(-rank <= axis < rank, "has axis {}", axis)


# Their results have one grid, whatever they read.
_FIXED = ("LOGISTIC", "SOFTMAX", "TANH")
_MULTIPLIED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL", "BATCH_MATMUL")


def _check_scales(
    kind: Kind, options: dict[str, Any], ins: Sequence[Row], outs: Sequence[Row]
) -> None:
    if kind.name == "SOFTMAX":
        beta, step = options.get("beta", 0.0), ins[0].least
        require(beta == 1.0, "has a beta of {}", beta)
        require(not step or step >= _LEAST_SOFTMAX_STEP, "reads steps of {:g}", step)
    if kind.name in _FIXED:
        return
    if kind.name in _MULTIPLIED:
        # Their accumulator: what a layer reads may be far coarser than what it gives, where its
        # weights are almost nothing.
        largest = ins[0].largest * ins[1].largest
    else:
        largest = max(each.largest for each in ins)
    for out in outs:
        if out.dtype in QUANTIZED:
            require(
                largest <= _MAX_RATIO * out.least,
                "gives a scale of {:g} from {:g}",
                out.least,
                largest,
            )


def _check_places(data: bytes, kind: Kind, ins: Sequence[Row]) -> None:
    """Shapes, axes and steps that kernels take from constants."""
    for place in kind.places:
        if place >= len(ins):
            continue
        row = ins[place]
        require(
            row.constant and row.dtype == "int32" and row.items <= 2 * MAX_RANK,
            "needs a constant of int32 as input {}",
            place,
        )
        values = struct.unpack_from(f"<{row.items}i", data, row.start)
        if kind.name not in ("SLICE", "STRIDED_SLICE"):
            require(all(abs(value) <= _MAX_SIZE for value in values), "has sizes {}", values)
        if kind.name in ("MEAN", "REDUCE_MAX", "SPLIT", "SUM"):
            rank = len(ins[1 - place].shape)
            require(all(-rank <= axis < rank for axis in values), "has axis {}", values)
        elif kind.name == "STRIDED_SLICE":
            require(len(values) == len(ins[0].shape), "has places {}", values)
            require(place != 3 or 0 not in values, "has a step of 0")
        elif kind.name == "TRANSPOSE":
            require(sorted(values) == list(range(len(ins[0].shape))), "has axes {}", values)
