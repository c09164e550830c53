"""Reads the tensor table of a .tflite file in Python, every offset checked before it is followed.

Only what the contract needs: tensors, operators and signatures of the TFLite schema, version 3
(``tensorflow/compiler/mlir/lite/schema/schema.fbs``). No byte reaches native code before this has
read the file and found it consistent with the spec.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from edgecap.errors import ModelFileError

IDENTIFIER = b"TFL3"

_DTYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    5: "string",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float64",
    13: "resource",
    17: "int4",
}

# Builtin operators by their number in the schema: those that edgecap's converter emits, those that
# must never appear, and those of networks that are measured beside. Others are shown by number.
_OPERATORS = {
    0: "ADD",
    1: "AVERAGE_POOL_2D",
    2: "CONCATENATION",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    5: "DEPTH_TO_SPACE",
    6: "DEQUANTIZE",
    9: "FULLY_CONNECTED",
    14: "LOGISTIC",
    16: "LSTM",
    17: "MAX_POOL_2D",
    18: "MUL",
    19: "RELU",
    21: "RELU6",
    22: "RESHAPE",
    23: "RESIZE_BILINEAR",
    25: "SOFTMAX",
    26: "SPACE_TO_DEPTH",
    28: "TANH",
    32: "CUSTOM",
    34: "PAD",
    35: "UNIDIRECTIONAL_SEQUENCE_RNN",
    36: "GATHER",
    37: "BATCH_TO_SPACE_ND",
    38: "SPACE_TO_BATCH_ND",
    39: "TRANSPOSE",
    40: "MEAN",
    41: "SUB",
    42: "DIV",
    43: "SQUEEZE",
    44: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    45: "STRIDED_SLICE",
    47: "EXP",
    49: "SPLIT",
    52: "BIDIRECTIONAL_SEQUENCE_LSTM",
    53: "CAST",
    54: "PRELU",
    55: "MAXIMUM",
    56: "ARG_MAX",
    57: "MINIMUM",
    59: "NEG",
    60: "PADV2",
    65: "SLICE",
    67: "TRANSPOSE_CONV",
    69: "TILE",
    70: "EXPAND_DIMS",
    74: "SUM",
    75: "SQRT",
    76: "RSQRT",
    77: "SHAPE",
    82: "REDUCE_MAX",
    83: "PACK",
    88: "UNPACK",
    92: "SQUARE",
    97: "RESIZE_NEAREST_NEIGHBOR",
    98: "LEAKY_RELU",
    99: "SQUARED_DIFFERENCE",
    100: "MIRROR_PAD",
    101: "ABS",
    102: "SPLIT_V",
    111: "ELU",
    114: "QUANTIZE",
    117: "HARD_SWISH",
    118: "IF",
    119: "WHILE",
    123: "SELECT_V2",
    126: "BATCH_MATMUL",
    129: "CALL_ONCE",
    130: "BROADCAST_TO",
    132: "CONV_3D",
    142: "VAR_HANDLE",
    143: "READ_VARIABLE",
    144: "ASSIGN_VARIABLE",
    150: "GELU",
}

# Vectors can share their bytes, so a small file can claim to hold very much: what is read in all is
# bounded too. The largest networks for small computers stay a hundred times below.
_MAX_ENTRIES = 1 << 16
_MAX_ENTRIES_READ = 1 << 21
_MAX_RANK = 8


class Tensor(NamedTuple):
    """One row of the tensor table.

    Attributes:
      index: the number by which the interpreter knows the tensor.
      scales, zero_points: one each, or one per channel; empty if not quantised.
      is_variable: the interpreter keeps it between invocations.
    """

    index: int  # type: ignore[assignment]  # hides a method of tuples
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    is_variable: bool


class Operator(NamedTuple):
    """One row of the operator table; −1 in ``inputs`` is an input left out."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Graph(NamedTuple):
    """What a .tflite file holds, as far as the contract goes."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    #: signature → ({input name: tensor index}, {output name: tensor index})
    signatures: dict[str, tuple[dict[str, int], dict[str, int]]]
    subgraphs: int
    #: What an interpreter fills in and reads out, by tensor index.
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def operator_counts(self) -> list[dict[str, Any]]:
        """Operators by name and by the dtype that they give, the most frequent first.

        Returns:
          ``name``, ``dtype`` and ``count`` of each kind.
        """
        counts = Counter((o.name, self.tensors[o.outputs[0]].dtype) for o in self.operators)
        return [
            {"name": name, "dtype": dtype, "count": count}
            for (name, dtype), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ]


def read_graph(data: bytes, subgraph: int = 0) -> Graph:
    """Reads one subgraph of a TFLite flatbuffer, and the signatures that lead to it.

    Args:
      data: the flatbuffer, without anything appended.
      subgraph: its number.

    Raises:
      ModelFileError: not a TFLite flatbuffer, or damaged.
    """
    check_identifier(data)
    try:
        return _read_model(Table(Reader(data), _u32(data, 0)), subgraph)
    except (struct.error, IndexError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFileError(f"the TFLite flatbuffer is damaged: {error}") from error


def check_identifier(data: bytes) -> None:
    """Raises ``ModelFileError`` unless the bytes begin as a TFLite flatbuffer does."""
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise ModelFileError(
            "expected a TFLite flatbuffer (bytes 4 to 7 read TFL3); this file is something else"
        )


def _read_model(model: Table, number: int) -> Graph:
    subgraphs = list(model.tables(2))
    if number >= len(subgraphs):
        raise ModelFileError(f"the TFLite flatbuffer is damaged: it has no subgraph {number}")
    codes = [_operator_name(code) for code in model.tables(1)]
    main = subgraphs[number]
    tensors = tuple(_read_tensor(i, t) for i, t in enumerate(main.tables(0)))
    operators = tuple(
        Operator(codes[op.number(0, "<I")], op.numbers(1, "<i"), op.numbers(2, "<i"))
        for op in main.tables(3)
    )
    for operator in operators:
        for index in (*operator.inputs, *operator.outputs):
            if not -1 <= index < len(tensors):
                raise IndexError(f"operator {operator.name} names tensor {index}")
    signatures = {
        s.text(2): (_read_map(s, 0, len(tensors)), _read_map(s, 1, len(tensors)))
        for s in model.tables(7)
        if s.number(4, "<I") == number
    }
    inputs, outputs = main.numbers(1, "<i"), main.numbers(2, "<i")
    for index in (*inputs, *outputs):
        if not 0 <= index < len(tensors):
            raise IndexError(f"the subgraph's inputs and outputs name tensor {index}")
    return Graph(tensors, operators, signatures, len(subgraphs), inputs, outputs)


def _read_tensor(index: int, table: Table) -> Tensor:
    quantization = table.table(4)
    shape = table.numbers(0, "<i")
    if len(shape) > _MAX_RANK:
        raise IndexError(f"tensor {index} has {len(shape)} dimensions")
    return Tensor(
        index=index,
        name=table.text(3),
        shape=shape,
        dtype=_DTYPES.get(table.number(1, "<b"), "other"),
        scales=quantization.numbers(2, "<f") if quantization else (),
        zero_points=quantization.numbers(3, "<q") if quantization else (),
        is_variable=bool(table.number(5, "<b")),
    )


def _read_map(signature: Table, field: int, tensors: int) -> dict[str, int]:
    found = {entry.text(0): entry.number(1, "<I") for entry in signature.tables(field)}
    for name, index in found.items():
        if index >= tensors:
            raise IndexError(f"signature entry {name!r} names tensor {index}")
    return found


def _operator_name(code: Table) -> str:
    # Codes up to 126 stand in the old byte field, larger ones in the new field.
    number = max(code.number(0, "<b"), code.number(3, "<i"))
    return _OPERATORS.get(number, f"OP_{number}")


# A model has thousands of these: their formats are parsed once.
_UINT16, _INT32, _UINT32 = (struct.Struct(layout).unpack_from for layout in ("<H", "<i", "<I"))


def _u32(data: bytes, position: int) -> int:
    value: int = _UINT32(data, position)[0]
    return value


class Reader:
    """The bytes, and how many vector entries may still be read from them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = _MAX_ENTRIES_READ

    def spend(self, entries: int) -> None:
        self._left -= entries
        if self._left < 0:
            raise IndexError("it claims to hold more than any model does")


class Table:
    """A flatbuffer table: a position, and a vtable that says where its fields are."""

    def __init__(self, reader: Reader, position: int) -> None:
        self._reader, self._data, self._position = reader, reader.data, position
        data = reader.data
        (distance,) = _INT32(data, position)
        self._vtable = position - distance
        if self._vtable < 0:
            raise IndexError(f"a table at {position} points before the file")
        (self._vtable_size,) = _UINT16(data, self._vtable)

    def position_of(self, number: int) -> int | None:
        """The position of a field, or ``None`` where it is left at its default."""
        slot = 4 + 2 * number
        if slot + 2 > self._vtable_size:
            return None
        (offset,) = _UINT16(self._data, self._vtable + slot)
        return self._position + offset if offset else None

    def number(self, field: int, layout: str) -> int:
        position = self.position_of(field)
        if position is None:
            return 0
        (value,) = struct.unpack_from(layout, self._data, position)
        return int(value)

    def vector(self, field: int, item_size: int) -> tuple[int, int]:
        """Where a vector's items begin, and how many; checked to lie inside the file."""
        position = self.position_of(field)
        if position is None:
            return 0, 0
        start = position + _u32(self._data, position)
        length = _u32(self._data, start)
        if length > _MAX_ENTRIES or start + 4 + length * item_size > len(self._data):
            raise IndexError(f"a vector of {length} entries at {start} leaves the file")
        self._reader.spend(length)
        return start + 4, length

    def numbers(self, field: int, layout: str) -> tuple[Any, ...]:
        start, length = self.vector(field, struct.calcsize(layout))
        return struct.unpack_from(f"<{length}{layout[1]}", self._data, start)

    def text(self, field: int) -> str:
        start, length = self.vector(field, 1)
        return self._data[start : start + length].decode("utf-8")

    def table(self, field: int) -> Table | None:
        position = self.position_of(field)
        if position is None:
            return None
        return Table(self._reader, position + _u32(self._data, position))

    def tables(self, field: int) -> Iterator[Table]:
        start, length = self.vector(field, 4)
        for entry in range(start, start + 4 * length, 4):
            yield Table(self._reader, entry + _u32(self._data, entry))
