"""What must hold of a flatbuffer's tables before an interpreter sees them.

Kernels trust much of what stands in the tables: that an index names a tensor, that a constant is as
large as its shape says, that a step is not 0. A digest does not help against a file that was made
to hurt; so every count, index, size and operator is checked here, in Python. Operators one by one:
:mod:`edgecap.operators`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgecap.errors import ModelFileError
from edgecap.flatbuffer import Graph, Operator, Tensor, check_identifier
from edgecap.operators import MAX_RANK, OPERATORS, QUANTIZED, Kind, Row, check_operator
from edgecap.schema import SchemaReader, TableError, require

# dtype's number in the schema → name, bytes, lowest and highest zero-point. Those that edgecap's
# converters give; int64 is the bias of int16 layers.
_DTYPES = {
    0: ("float32", 4, 0, 0),
    1: ("float16", 2, 0, 0),
    2: ("int32", 4, 0, 0),
    3: ("uint8", 1, 0, 255),
    4: ("int64", 8, 0, 0),
    7: ("int16", 2, 0, 0),
    9: ("int8", 1, -128, 127),
}
_MAX_SUBGRAPHS = 2
#: Bytes of one tensor that is computed, and of all of them: far above what small computers run.
#: Constants are as large as their buffers.
_MAX_TENSOR, _MAX_COMPUTED = 1 << 28, 1 << 30


def check_tables(model: bytes) -> Graph:
    """Checks everything in a flatbuffer that native code would follow or trust.

    Args:
      model: the flatbuffer, without anything appended.

    Returns:
      Its first subgraph, as :func:`edgecap.flatbuffer.read_graph` reads it.

    Raises:
      ModelFileError: a table is damaged, or holds what edgecap's converters do not emit.
    """
    check_identifier(model)
    try:
        tables = SchemaReader(model).model()
        _check_model(model, tables)
    except TableError as error:
        raise ModelFileError(
            f"the TFLite flatbuffer must not be run: {error}. Use a file made by 'edgecap convert'"
        ) from error
    return _graph(tables)


def _check_model(data: bytes, model: dict[str, Any]) -> None:
    require(model.get("version") == 3, "expected version 3 of the schema")
    buffers = [buffer.get("data", (0, 0)) for buffer in model.get("buffers", ())]
    require(bool(buffers) and not buffers[0][1], "its first buffer is not the empty one")
    named = [entry.get("buffer", 0) for entry in model.get("metadata", ())]
    for index in (*named, *model.get("metadata_buffer", ())):
        require(0 <= index < len(buffers), "its metadata names buffer {}", index)
    kinds = [_kind(code) for code in model.get("operator_codes", ())]
    subgraphs = model.get("subgraphs", ())
    require(
        1 <= len(subgraphs) <= _MAX_SUBGRAPHS,
        "expected at most {} subgraphs; found {}",
        _MAX_SUBGRAPHS,
        len(subgraphs),
    )
    computed = 0
    for subgraph in subgraphs:
        rows = []
        for index, tensor in enumerate(subgraph.get("tensors", ())):
            try:
                row, size = _row(tensor, buffers)
            except TableError as error:
                raise TableError(f"tensor {index} {error}") from None
            rows.append(row)
            computed += 0 if row.constant else size
        _check_subgraph(data, subgraph, rows, kinds)
    require(computed <= _MAX_COMPUTED, "its tensors take {} bytes", computed)
    _check_signatures(model.get("signatures", ()), subgraphs)


def _kind(code: dict[str, Any]) -> Kind:
    # Codes up to 126 stand in the old byte field, larger ones in the new field.
    number = max(code.get("deprecated", 0), code.get("builtin", 0))
    kind = OPERATORS.get(number)
    if kind is None:
        raise TableError(f"operator {number} of the schema is not one that edgecap emits")
    return kind


def _row(table: dict[str, Any], buffers: list[tuple[int, int]]) -> tuple[Row, int]:
    """A tensor, and how many bytes it takes."""
    number = table.get("type", 0)
    require(number in _DTYPES, "has dtype {}, which edgecap does not emit", number)
    dtype, item_size, lowest, highest = _DTYPES[number]
    shape = table.get("shape", ())
    require(
        len(shape) <= MAX_RANK and (not shape or min(shape) >= 1),
        "has shape {}: expected at most {} sizes of 1 or more",
        shape[:MAX_RANK],
        MAX_RANK,
    )
    require(table.get("shape_signature", shape) == shape, "has no fixed shape")
    size, buffer = math.prod(shape) * item_size, table.get("buffer", 0)
    require(buffer < len(buffers), "names buffer {} of {}", buffer, len(buffers))
    start, held = buffers[buffer]
    require(held in (0, size), "of shape {} takes {} bytes; its buffer holds {}", shape, size, held)
    require(held or size <= _MAX_TENSOR, "takes {} bytes", size)
    require(not held or start % min(item_size, 4) == 0, "has a buffer that is not aligned")
    require(held or dtype != "float16", "is float16 and no constant")
    quantization = table.get("quantization", {})
    scales, zeros = quantization.get("scale", ()), quantization.get("zero_point", ())
    require(len(zeros) == len(scales), "has {} scales, {} zeros", len(scales), len(zeros))
    if not scales:
        require(dtype not in QUANTIZED, "is {} without a scale", dtype)
        return Row(shape, dtype, held > 0, start, 0.0, 0.0, -1), size
    least, largest = min(scales), max(scales)
    # A sum of what is no number is none.
    require(math.isfinite(sum(scales)) and least > 0, "has a scale that is no number above 0")
    require(
        lowest <= min(zeros) and max(zeros) <= highest,
        "has a zero-point that {} does not hold",
        dtype,
    )
    along = -1
    if len(scales) > 1:
        along = quantization.get("dimension", 0)
        require(
            0 <= along < len(shape) and shape[along] == len(scales),
            "of shape {} has {} scales along dimension {}",
            shape,
            len(scales),
            along,
        )
    return Row(shape, dtype, held > 0, start, least, largest, along), size


def _check_subgraph(data: bytes, table: dict[str, Any], rows: list[Row], kinds: list[Kind]) -> None:
    """Every tensor is a constant, an input, or computed once and before it is read."""
    known = {index for index, row in enumerate(rows) if row.constant}
    for index in table.get("inputs", ()):
        require(
            0 <= index < len(rows) and index not in known,
            "an input names tensor {}, which is none, a constant, or named twice",
            index,
        )
        known.add(index)
    for number, operator in enumerate(table.get("operators", ())):
        code = operator.get("code", 0)
        require(code < len(kinds), "operator {} has code {} of {}", number, code, len(kinds))
        kind = kinds[code]
        try:
            _check_wiring(kind, operator, known, len(rows))
            ins = [rows[index] for index in operator["inputs"] if index >= 0]
            outs = [rows[index] for index in operator["outputs"]]
            check_operator(data, kind, operator, ins, outs)
        except TableError as error:
            raise TableError(f"operator {number}, {kind.name}, {error}") from None
    for index in table.get("outputs", ()):
        require(index in known, "an output names tensor {}, which is never computed", index)


def _check_wiring(kind: Kind, operator: dict[str, Any], known: set[int], rows: int) -> None:
    """What an operator writes is known from then on."""
    read, written = operator.get("inputs", ()), operator.get("outputs", ())
    require(
        len(read) in kind.inputs and len(written) in kind.outputs,
        "has {} inputs and {} outputs",
        len(read),
        len(written),
    )
    for place, index in enumerate(read):
        require(
            index in known or (index == -1 and place == kind.optional),
            "reads tensor {}, which holds nothing by then",
            index,
        )
    for index in written:
        require(
            0 <= index < rows and index not in known,
            "writes tensor {}, which is none or has its value already",
            index,
        )
        known.add(index)
    require(not operator.get("intermediates"), "has intermediate tensors")


def _check_signatures(
    signatures: Sequence[dict[str, Any]], subgraphs: Sequence[dict[str, Any]]
) -> None:
    """Each names all that its subgraph takes and gives: other tensors share their memory."""
    seen: set[Any] = set()
    for signature in signatures:
        key, number = signature.get("key", ""), signature.get("subgraph", 0)
        what = f"signature {key[:60]!r}"
        require(
            number < len(subgraphs) and number not in seen and key not in seen,
            "{} names subgraph {}, or is there twice",
            what,
            number,
        )
        seen |= {key, number}
        for side in ("inputs", "outputs"):
            entries = signature.get(side, ())
            indices = {entry.get("tensor", 0) for entry in entries}
            require(
                indices == set(subgraphs[number].get(side, ())),
                "{} names other {} than subgraph {} has",
                what,
                side,
                number,
            )
            require(
                len({entry.get("name", "") for entry in entries}) == len(entries),
                "{} has a name twice among its {}",
                what,
                side,
            )


def _graph(model: dict[str, Any]) -> Graph:
    """The first subgraph of tables that were checked."""
    subgraph = model["subgraphs"][0]
    kinds = [_kind(code).name for code in model.get("operator_codes", ())]
    tensors = []
    for index, table in enumerate(subgraph.get("tensors", ())):
        quantization = table.get("quantization", {})
        tensors.append(
            Tensor(
                index=index,
                name=table.get("name", ""),
                shape=table.get("shape", ()),
                dtype=_DTYPES[table.get("type", 0)][0],
                scales=quantization.get("scale", ()),
                zero_points=quantization.get("zero_point", ()),
                is_variable=bool(table.get("variable", 0)),
            )
        )
    operators = tuple(
        Operator(kinds[o.get("code", 0)], o["inputs"], o["outputs"])
        for o in subgraph.get("operators", ())
    )
    signatures = {
        s.get("key", ""): (_names(s.get("inputs", ())), _names(s.get("outputs", ())))
        for s in model.get("signatures", ())
        if s.get("subgraph", 0) == 0
    }
    inputs, outputs = subgraph.get("inputs", ()), subgraph.get("outputs", ())
    return Graph(tuple(tensors), operators, signatures, len(model["subgraphs"]), inputs, outputs)


def _names(entries: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {entry.get("name", ""): entry.get("tensor", 0) for entry in entries}
