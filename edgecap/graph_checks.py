"""What must hold of a flatbuffer's tables before an interpreter sees them.

Kernels trust much of what stands in the tables: that an index names a tensor, that a constant is as
large as its shape says, that a step is not 0. A digest does not help against a file that was made
to hurt; so every count, index, size and operator is checked here, in Python.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from edgecap.errors import ModelFileError
from edgecap.schema import OPTIONS, SchemaReader, TableError

# dtype's number in the schema → name, bytes, lowest and highest zero-point. Those that edgecap's
# converters give; int64 is the bias of int16 layers.
_DTYPES = {
    0: ("float32", 4, 0, 0),
    2: ("int32", 4, 0, 0),
    4: ("int64", 8, 0, 0),
    7: ("int16", 2, 0, 0),
    9: ("int8", 1, -128, 127),
}
_QUANTIZED = ("int8", "int16")

_MAX_RANK, _MAX_SUBGRAPHS = 6, 2
#: Bytes of one tensor, and of all that are computed: far above anything for small computers.
_MAX_TENSOR, _MAX_COMPUTED = 1 << 26, 1 << 28
_MAX_STRIDE = 1 << 10
_ACTIVATIONS = range(6)
#: Of the step of what is computed to the step of the result. Kernels shift by its power of two, and
#: abort above 2^30; of trained layers it is below 1.
_MAX_RATIO = 1 << 20


class _Kind(NamedTuple):
    """An operator: its name, how many inputs and outputs it has, its options by number.

    ``needed`` options must be there; of the others the schema's defaults are fine. ``optional`` is
    the input that may be left out.
    """

    name: str
    inputs: range
    options: int
    needed: bool = False
    outputs: range = range(1, 2)
    optional: int | None = None


_ONE, _TWO, _MANY = range(1, 2), range(2, 3), range(1, 65)
#: The operators that edgecap's converters emit, by their number in the schema.
OPERATORS = {
    0: _Kind("ADD", _TWO, 11),
    1: _Kind("AVERAGE_POOL_2D", _ONE, 5, needed=True),
    2: _Kind("CONCATENATION", _MANY, 10, needed=True),
    # Kernels read the bias of a convolution without asking whether it is there.
    3: _Kind("CONV_2D", range(3, 4), 1, needed=True),
    4: _Kind("DEPTHWISE_CONV_2D", range(3, 4), 2, needed=True),
    6: _Kind("DEQUANTIZE", _ONE, 38),
    9: _Kind("FULLY_CONNECTED", range(3, 4), 8, needed=True, optional=2),
    14: _Kind("LOGISTIC", _ONE, 0),
    17: _Kind("MAX_POOL_2D", _ONE, 5, needed=True),
    18: _Kind("MUL", _TWO, 21),
    19: _Kind("RELU", _ONE, 0),
    21: _Kind("RELU6", _ONE, 0),
    22: _Kind("RESHAPE", range(1, 3), 17),
    25: _Kind("SOFTMAX", _ONE, 9, needed=True),
    28: _Kind("TANH", _ONE, 0),
    34: _Kind("PAD", _TWO, 22),
    36: _Kind("GATHER", _TWO, 23),
    39: _Kind("TRANSPOSE", _TWO, 26),
    40: _Kind("MEAN", _TWO, 27, needed=True),
    41: _Kind("SUB", _TWO, 28),
    42: _Kind("DIV", _TWO, 29),
    43: _Kind("SQUEEZE", _ONE, 30),
    45: _Kind("STRIDED_SLICE", range(4, 5), 32, needed=True),
    49: _Kind("SPLIT", _TWO, 35, needed=True, outputs=_MANY),
    53: _Kind("CAST", _ONE, 37),
    55: _Kind("MAXIMUM", _TWO, 39),
    57: _Kind("MINIMUM", _TWO, 39),
    60: _Kind("PADV2", range(3, 4), 43),
    65: _Kind("SLICE", range(3, 4), 48),
    70: _Kind("EXPAND_DIMS", _TWO, 52),
    74: _Kind("SUM", _TWO, 27, needed=True),
    82: _Kind("REDUCE_MAX", _TWO, 27, needed=True),
    83: _Kind("PACK", _MANY, 59, needed=True),
    101: _Kind("ABS", _ONE, 78),
    114: _Kind("QUANTIZE", _ONE, 89),
    117: _Kind("HARD_SWISH", _ONE, 91),
    126: _Kind("BATCH_MATMUL", _TWO, 101, needed=True),
    130: _Kind("BROADCAST_TO", _TWO, 104),
}
_SAME_SHAPE = {
    "ABS",
    "DEQUANTIZE",
    "LOGISTIC",
    "RELU",
    "RELU6",
    "SOFTMAX",
    "TANH",
    "CAST",
    "QUANTIZE",
    "HARD_SWISH",
}
_BROADCAST = {"ADD", "DIV", "MUL", "SUB", "MAXIMUM", "MINIMUM"}
_SAME_COUNT = {"EXPAND_DIMS", "RESHAPE", "TRANSPOSE", "SQUEEZE"}


class _Tensor(NamedTuple):
    shape: tuple[int, ...]
    dtype: str
    constant: bool
    #: Where a constant's bytes begin.
    start: int
    #: Smallest and largest; 1 and 1 of what is not quantised.
    scales: tuple[float, float]

    @property
    def items(self) -> int:
        return math.prod(self.shape)


def check_tables(model: bytes) -> None:
    """Checks everything in a flatbuffer that native code would follow or trust.

    Args:
      model: the flatbuffer, without anything appended.

    Raises:
      ModelFileError: a table is damaged, or holds what edgecap's converters do not emit.
    """
    try:
        _check_model(model, SchemaReader(model).model())
    except TableError as error:
        raise ModelFileError(
            f"the TFLite flatbuffer must not be run: {error}. Use a file made by 'edgecap convert'"
        ) from error


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise TableError(message)


def _check_model(data: bytes, model: dict[str, Any]) -> None:
    _require(model.get("version") == 3, "expected version 3 of the schema")
    buffers = [buffer.get("data", (0, 0)) for buffer in model.get("buffers", ())]
    _require(bool(buffers) and not buffers[0][1], "its first buffer is not the empty one")
    named = [entry.get("buffer", 0) for entry in model.get("metadata", ())]
    for index in (*named, *model.get("metadata_buffer", ())):
        _require(0 <= index < len(buffers), f"its metadata names buffer {index}")
    kinds = [_operator_kind(code) for code in model.get("operator_codes", ())]
    subgraphs = model.get("subgraphs", ())
    _require(
        1 <= len(subgraphs) <= _MAX_SUBGRAPHS,
        f"expected at most {_MAX_SUBGRAPHS} subgraphs; found {len(subgraphs)}",
    )
    computed = 0
    for subgraph in subgraphs:
        tensors = [
            _check_tensor(index, tensor, buffers)
            for index, tensor in enumerate(subgraph.get("tensors", ()))
        ]
        computed += sum(_bytes(tensor) for tensor in tensors if not tensor.constant)
        _check_subgraph(data, subgraph, tensors, kinds)
    _require(computed <= _MAX_COMPUTED, f"its tensors take {computed} bytes")
    _check_signatures(model.get("signatures", ()), subgraphs)


def _operator_kind(code: dict[str, Any]) -> _Kind:
    number = max(code.get("deprecated", 0), code.get("builtin", 0))
    kind = OPERATORS.get(number)
    if kind is None:
        raise TableError(f"operator {number} of the schema is not one that edgecap emits")
    return kind


def _bytes(tensor: _Tensor) -> int:
    return tensor.items * next(size for name, size, *_ in _DTYPES.values() if name == tensor.dtype)


def _check_tensor(index: int, table: dict[str, Any], buffers: list[tuple[int, int]]) -> _Tensor:
    what = f"tensor {index}"
    number = table.get("type", 0)
    _require(number in _DTYPES, f"{what} has dtype {number}, which edgecap does not emit")
    dtype, item_size, lowest, highest = _DTYPES[number]
    shape = table.get("shape", ())
    _require(
        len(shape) <= _MAX_RANK and all(side >= 1 for side in shape),
        f"{what} has shape {shape[:_MAX_RANK]}: expected at most {_MAX_RANK} sizes of 1 or more",
    )
    _require(table.get("shape_signature", shape) == shape, f"{what} has no fixed shape")
    size = math.prod(shape) * item_size
    _require(size <= _MAX_TENSOR, f"{what} takes {size} bytes")
    buffer = table.get("buffer", 0)
    _require(buffer < len(buffers), f"{what} names buffer {buffer} of {len(buffers)}")
    start, held = buffers[buffer]
    _require(
        held in (0, size), f"{what} of shape {shape} takes {size} bytes; its buffer holds {held}"
    )
    _require(not held or start % min(item_size, 4) == 0, f"{what}: its buffer is not aligned")
    quantization = table.get("quantization", {})
    scales, zeros = quantization.get("scale", ()), quantization.get("zero_point", ())
    _require(len(zeros) == len(scales), f"{what} has {len(scales)} scales, {len(zeros)} zeros")
    _require(
        all(math.isfinite(scale) and scale > 0 for scale in scales),
        f"{what} has a scale that is no number above 0",
    )
    _require(
        all(lowest <= zero <= highest for zero in zeros),
        f"{what} has a zero-point that {dtype} does not hold",
    )
    _require(bool(scales) or dtype not in _QUANTIZED, f"{what} is {dtype} without a scale")
    if len(scales) > 1:
        along = quantization.get("dimension", 0)
        _require(
            0 <= along < len(shape) and shape[along] == len(scales),
            f"{what} of shape {shape} has {len(scales)} scales along dimension {along}",
        )
    return _Tensor(shape, dtype, held > 0, start, (min(scales, default=1), max(scales, default=1)))


def _check_subgraph(
    data: bytes, table: dict[str, Any], tensors: list[_Tensor], kinds: list[_Kind]
) -> None:
    """Every tensor is a constant, an input, or computed once and before it is read."""
    known = {index for index, tensor in enumerate(tensors) if tensor.constant}
    inputs = table.get("inputs", ())
    for index in inputs:
        _require(
            0 <= index < len(tensors) and index not in known,
            f"an input names tensor {index}, which is none, a constant, or named twice",
        )
        known.add(index)
    for number, operator in enumerate(table.get("operators", ())):
        what = f"operator {number}"
        code = operator.get("code", 0)
        _require(code < len(kinds), f"{what} has code {code} of {len(kinds)}")
        kind = kinds[code]
        what = f"{what}, {kind.name},"
        read, written = operator.get("inputs", ()), operator.get("outputs", ())
        _require(
            len(read) in kind.inputs and len(written) in kind.outputs,
            f"{what} has {len(read)} inputs and {len(written)} outputs",
        )
        for place, index in enumerate(read):
            _require(
                index in known or (index == -1 and place == kind.optional),
                f"{what} reads tensor {index}, which holds nothing by then",
            )
        for index in written:
            _require(
                0 <= index < len(tensors) and index not in known,
                f"{what} writes tensor {index}, which is none or has its value already",
            )
            known.add(index)
        _require(not operator.get("intermediates"), f"{what} has intermediate tensors")
        _check_options(what, kind, operator)
        ins = [tensors[index] for index in read if index >= 0]
        outs = [tensors[index] for index in written]
        _check_shapes(what, kind, ins, outs)
        _check_scales(what, ins, outs)
        _check_values(what, kind, operator.get("options", {}), ins, data)
    for index in table.get("outputs", ()):
        _require(index in known, f"an output names tensor {index}, which is never computed")


def _check_options(what: str, kind: _Kind, operator: dict[str, Any]) -> None:
    number, options = operator.get("options_type", 0), operator.get("options")
    expected = OPTIONS[kind.options][0] if kind.options else "no"
    _require(
        (number == 0 and options is None and not kind.needed)
        or (number == kind.options and options is not None),
        f"{what} needs {expected} options",
    )
    options = options or {}
    written = len(operator.get("outputs", ()))
    _require(
        kind.name != "SPLIT" or options.get("splits", 0) == written,
        f"{what} splits into {options.get('splits', 0)} and has {written} outputs",
    )
    _require(
        kind.name != "PACK" or options.get("count", 0) == len(operator.get("inputs", ())),
        f"{what} packs {options.get('count', 0)} tensors, which are not its inputs",
    )
    _require(options.get("activation", 0) in _ACTIVATIONS, f"{what} has an unknown activation")
    _require(options.get("padding", 0) in (0, 1), f"{what} has an unknown padding")
    _require(not options.get("weights_format"), f"{what} has shuffled weights")
    steps = [name for _, (name, _) in sorted(OPTIONS[kind.options][1].items())] if options else []
    for name in steps:
        if name.startswith(("stride", "filter", "dilation")):
            value = options.get(name, 1 if name.startswith("dilation") else 0)
            _require(1 <= value <= _MAX_STRIDE, f"{what} has a {name} of {value}")


def _check_shapes(what: str, kind: _Kind, ins: list[_Tensor], outs: list[_Tensor]) -> None:
    first, out = ins[0].shape, outs[0].shape
    if kind.name in _SAME_SHAPE:
        _require(first == out, f"{what} gives {out} of {first}")
    elif kind.name in _BROADCAST:
        _require(_broadcast(first, ins[1].shape) == out, f"{what} gives {out} of {first}")
    elif kind.name in _SAME_COUNT:
        _require(ins[0].items == outs[0].items, f"{what} gives {out} of {first}")
    elif kind.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        _check_convolution(what, kind, ins, out)
    elif kind.name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        _require(
            len(first) == len(out) == 4 and first[3] == out[3], f"{what} gives {out} of {first}"
        )
    elif kind.name == "FULLY_CONNECTED":
        weights = ins[1].shape
        _require(
            len(weights) == 2
            and ins[0].items % weights[1] == 0
            and outs[0].items == ins[0].items // weights[1] * weights[0]
            and _fits_bias(ins, weights[0]),
            f"{what} gives {out} of {first} with weights {weights}",
        )


def _check_convolution(what: str, kind: _Kind, ins: list[_Tensor], out: tuple[int, ...]) -> None:
    image, kernel = ins[0].shape, ins[1].shape
    fits = len(image) == len(kernel) == len(out) == 4
    if fits and kind.name == "CONV_2D":
        fits = kernel[3] == image[3] and kernel[0] == out[3] and _fits_bias(ins, kernel[0])
    elif fits:
        fits = kernel[0] == 1 and kernel[3] % image[3] == 0 and kernel[3] == out[3]
        fits = fits and _fits_bias(ins, kernel[3])
    _require(fits, f"{what} gives {out} of {image} with a kernel of {kernel}")


def _fits_bias(ins: list[_Tensor], channels: int) -> bool:
    return len(ins) < 3 or ins[2].items == channels


def _broadcast(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that two give together; ``None`` where they do not fit."""
    rank = max(len(one), len(other))
    pairs = zip((1,) * (rank - len(one)) + one, (1,) * (rank - len(other)) + other, strict=True)
    sides = []
    for a, b in pairs:
        if a != b and 1 not in (a, b):
            return None
        sides.append(max(a, b))
    return tuple(sides)


# Which input of an operator says where: it must be known before anything runs.
_PLACES = {
    "BROADCAST_TO": (1,),
    "EXPAND_DIMS": (1,),
    "MEAN": (1,),
    "PAD": (1,),
    "PADV2": (1,),
    "REDUCE_MAX": (1,),
    "RESHAPE": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "STRIDED_SLICE": (1, 2, 3),
    "SUM": (1,),
    "TRANSPOSE": (1,),
}


def _check_scales(what: str, ins: list[_Tensor], outs: list[_Tensor]) -> None:
    largest = math.prod(tensor.scales[1] for tensor in ins[:2])
    largest = max(largest, *(tensor.scales[1] for tensor in ins))
    for tensor in outs:
        if tensor.dtype in _QUANTIZED:
            _require(
                largest <= _MAX_RATIO * tensor.scales[0],
                f"{what} gives a scale of {tensor.scales[0]:g} from {largest:g}",
            )


def _check_values(
    what: str, kind: _Kind, options: dict[str, Any], ins: Sequence[_Tensor], data: bytes
) -> None:
    """Shapes, axes and steps that kernels take from constants."""
    for place in _PLACES.get(kind.name, ()):
        if place >= len(ins):
            continue
        tensor = ins[place]
        _require(
            tensor.constant and tensor.dtype == "int32" and tensor.items <= 2 * _MAX_RANK,
            f"{what} needs a constant of int32 as input {place}",
        )
        values = struct.unpack_from(f"<{tensor.items}i", data, tensor.start)
        _require(
            all(abs(value) <= _MAX_TENSOR for value in values)
            or kind.name in ("SLICE", "STRIDED_SLICE"),
            f"{what} has sizes {values}",
        )
        if kind.name in ("MEAN", "REDUCE_MAX", "SPLIT", "SUM"):
            rank = len(ins[1 - place].shape)
            _require(all(-rank <= axis < rank for axis in values), f"{what} has axis {values}")
        if kind.name == "STRIDED_SLICE":
            _require(len(values) == len(ins[0].shape), f"{what} has places {values}")
            _require(place != 3 or 0 not in values, f"{what} has a step of 0")
        if kind.name == "TRANSPOSE":
            _require(sorted(values) == list(range(len(ins[0].shape))), f"{what} has axes {values}")
    if "axis" in options:
        # A pack adds a dimension.
        rank = len(ins[0].shape) + (kind.name == "PACK")
        _require(-rank <= options["axis"] < rank, f"{what} has axis {options['axis']}")


def _check_signatures(
    signatures: Sequence[dict[str, Any]], subgraphs: Sequence[dict[str, Any]]
) -> None:
    """Each names all that its subgraph takes and gives: other tensors share their memory."""
    seen: set[Any] = set()
    for signature in signatures:
        key, number = signature.get("key", ""), signature.get("subgraph", 0)
        what = f"signature {key[:60]!r}"
        _require(
            number < len(subgraphs) and number not in seen and key not in seen,
            f"{what} names subgraph {number}, or is there twice",
        )
        seen |= {key, number}
        for side in ("inputs", "outputs"):
            entries = signature.get(side, ())
            indices = {entry.get("tensor", 0) for entry in entries}
            _require(
                indices == set(subgraphs[number].get(side, ())),
                f"{what} names other {side} than subgraph {number} has",
            )
            _require(
                len({entry.get("name", "") for entry in entries}) == len(entries),
                f"{what} has a name twice among its {side}",
            )
