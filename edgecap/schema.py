"""Every table of a TFLite flatbuffer that native code follows, read with every offset checked.

What ``flatbuffers::Verifier`` does for C++, which the interpreters' Python bindings do not call: a
table, its vtable and its fields lie inside the file, vectors end inside it, text ends with a zero
byte, and nothing is present that is not known here. Source of the layout: the TFLite schema,
version 3 (``tensorflow/compiler/mlir/lite/schema/schema.fbs``).
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

#: A kind of field: a scalar's struct format; ``*`` and one for a vector of them; ``bytes`` for
#: where a vector of bytes begins and how many they are; ``text``; a table's name; ``[name]`` for a
#: vector of tables; ``options`` for a table that another field names.
Fields = dict[int, tuple[str, str]]

# Fields that are missing here need what edgecap does not emit: sparse and variant tensors, data
# outside the file, custom operators.
TABLES: dict[str, Fields] = {
    "Model": {
        0: ("version", "I"),
        1: ("operator_codes", "[OperatorCode]"),
        2: ("subgraphs", "[SubGraph]"),
        3: ("description", "text"),
        4: ("buffers", "[Buffer]"),
        5: ("metadata_buffer", "*i"),
        6: ("metadata", "[Metadata]"),
        7: ("signatures", "[SignatureDef]"),
    },
    "OperatorCode": {0: ("deprecated", "b"), 2: ("version", "i"), 3: ("builtin", "i")},
    "SubGraph": {
        0: ("tensors", "[Tensor]"),
        1: ("inputs", "*i"),
        2: ("outputs", "*i"),
        3: ("operators", "[Operator]"),
        4: ("name", "text"),
        5: ("debug", "i"),
    },
    "Buffer": {0: ("data", "bytes")},
    "Tensor": {
        0: ("shape", "*i"),
        1: ("type", "b"),
        2: ("buffer", "I"),
        3: ("name", "text"),
        4: ("quantization", "Quantization"),
        5: ("variable", "B"),
        7: ("shape_signature", "*i"),
        8: ("has_rank", "B"),
    },
    "Quantization": {
        0: ("min", "*f"),
        1: ("max", "*f"),
        2: ("scale", "*f"),
        3: ("zero_point", "*q"),
        6: ("dimension", "i"),
    },
    "Operator": {
        0: ("code", "I"),
        1: ("inputs", "*i"),
        2: ("outputs", "*i"),
        3: ("options_type", "B"),
        4: ("options", "options"),
        6: ("custom_format", "b"),
        7: ("mutating", "bytes"),
        8: ("intermediates", "*i"),
        13: ("debug", "i"),
    },
    "Metadata": {0: ("name", "text"), 1: ("buffer", "I")},
    "SignatureDef": {
        0: ("inputs", "[TensorMap]"),
        1: ("outputs", "[TensorMap]"),
        2: ("key", "text"),
        4: ("subgraph", "I"),
    },
    "TensorMap": {0: ("name", "text"), 1: ("tensor", "I")},
}

_ACTIVATION = ("activation", "b")
#: The number of a table of options in the schema's union → its name and fields.
OPTIONS: dict[int, tuple[str, Fields]] = {
    1: (
        "Conv2D",
        {
            0: ("padding", "b"),
            1: ("stride_w", "i"),
            2: ("stride_h", "i"),
            3: _ACTIVATION,
            4: ("dilation_w", "i"),
            5: ("dilation_h", "i"),
            6: ("bias_type", "b"),
        },
    ),
    2: (
        "DepthwiseConv2D",
        {
            0: ("padding", "b"),
            1: ("stride_w", "i"),
            2: ("stride_h", "i"),
            3: ("multiplier", "i"),
            4: _ACTIVATION,
            5: ("dilation_w", "i"),
            6: ("dilation_h", "i"),
        },
    ),
    5: (
        "Pool2D",
        {
            0: ("padding", "b"),
            1: ("stride_w", "i"),
            2: ("stride_h", "i"),
            3: ("filter_w", "i"),
            4: ("filter_h", "i"),
            5: _ACTIVATION,
        },
    ),
    8: (
        "FullyConnected",
        {
            0: _ACTIVATION,
            1: ("weights_format", "b"),
            2: ("keep", "B"),
            3: ("asymmetric", "B"),
            4: ("bias_type", "b"),
        },
    ),
    9: ("Softmax", {0: ("beta", "f")}),
    10: ("Concatenation", {0: ("axis", "i"), 1: _ACTIVATION}),
    11: ("Add", {0: _ACTIVATION, 1: ("power_of_two", "B")}),
    17: ("Reshape", {0: ("new_shape", "*i")}),
    21: ("Mul", {0: _ACTIVATION}),
    22: ("Pad", {}),
    23: ("Gather", {0: ("axis", "i"), 1: ("batch_dims", "i")}),
    26: ("Transpose", {}),
    27: ("Reducer", {0: ("keep", "B")}),
    28: ("Sub", {0: _ACTIVATION, 1: ("power_of_two", "B")}),
    29: ("Div", {0: _ACTIVATION}),
    30: ("Squeeze", {0: ("dimensions", "*i")}),
    32: (
        "StridedSlice",
        {
            0: ("begin_mask", "i"),
            1: ("end_mask", "i"),
            2: ("ellipsis_mask", "i"),
            3: ("new_axis_mask", "i"),
            4: ("shrink_axis_mask", "i"),
            5: ("offset", "B"),
        },
    ),
    35: ("Split", {0: ("splits", "i")}),
    37: ("Cast", {0: ("from", "b"), 1: ("to", "b")}),
    38: ("Dequantize", {}),
    39: ("MaximumMinimum", {}),
    43: ("PadV2", {}),
    48: ("Slice", {}),
    52: ("ExpandDims", {}),
    59: ("Pack", {0: ("count", "i"), 1: ("axis", "i")}),
    78: ("Abs", {}),
    89: ("Quantize", {}),
    91: ("HardSwish", {}),
    101: ("BatchMatMul", {0: ("adjoint_x", "B"), 1: ("adjoint_y", "B"), 2: ("asymmetric", "B")}),
    104: ("BroadcastTo", {}),
}

# Tables can be pointed at many times, so a small file can claim to hold very many. The largest
# networks for small computers have a few thousand.
_MAX_TABLES = 1 << 16
_MAX_ITEMS = 1 << 20
_INT32, _UINT32 = (struct.Struct(f"<{letter}").unpack_from for letter in "iI")


class TableError(ValueError):
    """A table that native code must not follow; says which and why."""


def require(holds: bool, message: str, *values: Any) -> None:
    """Raises ``TableError`` unless something holds; the message is put together only then."""
    if not holds:
        raise TableError(message.format(*values))


class _Field(NamedTuple):
    """One that is there: ``unpack`` its own bytes, or ``read`` what its offset leads to."""

    name: str
    offset: int
    unpack: Callable[[bytes, int], tuple[Any, ...]] | None
    read: Callable[[int], Any] | None


class _Layout(NamedTuple):
    """What a vtable says of one kind of table."""

    size: int
    fields: tuple[_Field, ...]


@functools.cache
def _scalar(kind: str) -> struct.Struct:
    return struct.Struct(f"<{kind}")


class SchemaReader:
    """Reads tables as dictionaries of the fields that are there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._tables_left, self._items_left = _MAX_TABLES, _MAX_ITEMS
        # Tables share their vtables.
        self._layouts: dict[tuple[int, str], _Layout] = {}

    def model(self) -> dict[str, Any]:
        """The whole file.

        Raises:
          TableError: a table leaves the file, or holds what edgecap does not know.
        """
        if len(self._data) < 4:
            raise TableError("it has no table")
        return self._table("Model", _UINT32(self._data, 0)[0])

    def _table(self, name: str, at: int, fields: Fields | None = None) -> dict[str, Any]:
        self._tables_left -= 1
        if self._tables_left < 0:
            raise TableError(f"it has more than {_MAX_TABLES} tables")
        data = self._data
        if at % 4 or at > len(data) - 4:
            raise TableError(f"{name}: a table at {at} leaves the file")
        vtable = at - _INT32(data, at)[0]
        layout = self._layouts.get((vtable, name))
        if layout is None:
            layout = self._layout(name, vtable, TABLES[name] if fields is None else fields)
            self._layouts[vtable, name] = layout
        if at + layout.size > len(data):
            raise TableError(f"{name}: a table at {at} leaves the file")
        found: dict[str, Any] = {}
        for field, offset, unpack, read in layout.fields:
            # Inside of the table, which lies inside of the file.
            place = at + offset
            if unpack is not None:
                found[field] = unpack(data, place)[0]
            elif read is not None:
                found[field] = read(place + _UINT32(data, place)[0])
            else:
                options = found.get("options_type", 0)
                found[field] = self._options(options, place + _UINT32(data, place)[0])
        return found

    def _layout(self, name: str, vtable: int, known: Fields) -> _Layout:
        data = self._data
        if vtable % 2 or not 0 <= vtable <= len(data) - 4:
            raise TableError(f"{name}: its vtable at {vtable} leaves the file")
        length, size = struct.unpack_from("<HH", data, vtable)
        if length < 4 or length % 2 or vtable + length > len(data) or size < 4:
            raise TableError(f"{name}: its vtable at {vtable} is damaged")
        fields = []
        for slot, offset in enumerate(struct.unpack_from(f"<{length // 2 - 2}H", data, vtable + 4)):
            if not offset:
                continue
            if slot not in known:
                raise TableError(f"{name}: it has a field {slot}, which edgecap does not know")
            field, kind = known[slot]
            scalar = _scalar(kind) if len(kind) == 1 else None
            # All but scalars are offsets of four bytes.
            field_size = 4 if scalar is None else scalar.size
            if offset < 4 or offset + field_size > size or offset % min(field_size, 4):
                raise TableError(f"{name}: its field {field!r} lies outside of it")
            unpack = None if scalar is None else scalar.unpack_from
            fields.append(_Field(field, offset, unpack, None if unpack else self._reader(kind)))
        return _Layout(size, tuple(fields))

    def _reader(self, kind: str) -> Callable[[int], Any] | None:
        """What reads a kind of field from where it begins; ``None`` of options."""
        if kind == "options":
            return None
        if kind == "text":
            return self._text
        if kind == "bytes":
            return functools.partial(self._vector, 1)
        if kind[0] == "*":
            return functools.partial(self._numbers, kind[1], _scalar(kind[1]).size)
        if kind[0] == "[":
            return functools.partial(self._tables, kind[1:-1])
        return functools.partial(self._table, kind)

    def _text(self, at: int) -> str:
        start, length = self._vector(1, at)
        end = start + length
        # Native code reads on to the zero byte.
        if end >= len(self._data) or self._data[end]:
            raise TableError(f"a text at {at} does not end")
        try:
            return self._data[start:end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise TableError(f"a text at {at} is not UTF-8") from error

    def _numbers(self, letter: str, size: int, at: int) -> tuple[Any, ...]:
        start, length = self._vector(size, at)
        self._spend(length)
        return struct.unpack_from(f"<{length}{letter}", self._data, start)

    def _tables(self, name: str, at: int) -> list[dict[str, Any]]:
        start, length = self._vector(4, at)
        self._spend(length)
        offsets = struct.unpack_from(f"<{length}I", self._data, start)
        return [
            self._table(name, start + 4 * entry + offset) for entry, offset in enumerate(offsets)
        ]

    def _options(self, number: int, at: int) -> dict[str, Any]:
        if number not in OPTIONS:
            raise TableError(f"an operator has options {number}, which edgecap does not know")
        name, fields = OPTIONS[number]
        return self._table(f"{name}Options", at, fields)

    def _vector(self, item_size: int, at: int) -> tuple[int, int]:
        """Where a vector's items begin, and how many there are."""
        data = self._data
        if at % 4 or at > len(data) - 4:
            raise TableError(f"a vector at {at} leaves the file")
        length, start = _UINT32(data, at)[0], at + 4
        if start + length * item_size > len(data) or (length and start % item_size):
            raise TableError(f"a vector of {length} entries at {at} leaves the file")
        return start, length

    def _spend(self, items: int) -> None:
        self._items_left -= items
        if self._items_left < 0:
            raise TableError("it claims to hold more than any model does")
