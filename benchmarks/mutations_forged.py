"""Hostile model files whose digests are right: specs, golden frames and flatbuffer tables."""

from __future__ import annotations

import copy
import functools
import hashlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecap import ziptail
from edgecap.bundle import GOLDEN_MEMBER, SPEC_MEMBER
from edgecap.schema import SchemaReader

_WORDS = (0, 1, 2, 3, 4, 7, 0x7F, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_PLAIN: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 255, 1e308, 2**63, 10**400, "", "x" * 5000, "\x1b[2J", "../x", [], {}),
    *([[]], [1, -1], [2**31] * 4, {"a": {}}),
)
_SIZES = (0, -1, 1, 2, 3, 255, 1 << 15, (1 << 31) - 1, -(1 << 31))


def parts(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The flatbuffer, and the members by name."""
    members = ziptail.members(data)
    return data[: min(each.offset for each in members)], {
        each.name: ziptail.read(data, each) for each in members
    }


def put_together(model: bytes, members: dict[str, bytes], *, spec: bytes | None = None) -> bytes:
    """A model file with right digests, or with that spec as it is."""
    if spec is None:
        document = json.loads(members[SPEC_MEMBER])
        others = {name: content for name, content in members.items() if name != SPEC_MEMBER}
        document["digests"] = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in {"model": model, **others}.items()
        }
        spec = json.dumps(document, ensure_ascii=False).encode()
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in {**members, SPEC_MEMBER: spec}.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _spec(data: bytes, rng: random.Random) -> bytes:
    """A value of the spec is another, or a piece of its text is noise."""
    model, members = parts(data)
    text = members[SPEC_MEMBER]
    if rng.random() < 0.2:
        at = rng.randrange(len(text))
        spec = text[:at] + rng.choice((b"", b"NaN", b"\xff", b"[" * 20000, b"1" * 9000)) + text[at:]
        return put_together(model, members, spec=spec)
    document = json.loads(text)
    place = document
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], (dict, list)) or not place[key] or rng.random() < 0.2:
            break
        place = place[key]
    if isinstance(place, dict) and rng.random() < 0.2:
        place[rng.choice(("unknown", "", "__class__"))] = place.pop(key)
    else:
        place[key] = rng.choice(_PLAIN)
    return put_together(model, members, spec=json.dumps(document).encode())


def _golden(data: bytes, rng: random.Random) -> bytes:
    """Arrays whose headers lie, that are of other shapes or dtypes, or that are bombs."""
    model, members = parts(data)
    content = bytearray(members[GOLDEN_MEMBER])
    choice = rng.randrange(3)
    if choice == 0:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif choice == 1:
        shape = rng.choice(((0,), (1, 1, 1, 3), (2**40, 2**40), (-1,), (3, 96, 96, 3)))
        descr = rng.choice(("|u1", "|O", "<f8", "<U9", "|V0", "<i4"))
        header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
        array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(24)
        content = bytearray(_npz({"frames": array}))
    else:
        plain = io.BytesIO()
        np.save(plain, np.zeros((1 << rng.randrange(27), 3), np.uint8))
        content = bytearray(_npz({"frames": plain.getvalue()}))
    return put_together(model, {**members, GOLDEN_MEMBER: bytes(content)})


def _npz(arrays: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def _table_words(data: bytes, rng: random.Random) -> bytes:
    """One to three words of the tables, not of the weights, are others."""
    model, members = parts(data)
    changed = bytearray(model)
    gaps = _table_places(model)
    for _ in range(rng.choice((1, 1, 2, 3))):
        begin, end = rng.choices(gaps, [end - begin for begin, end in gaps])[0]
        at = rng.randrange(begin, max(begin + 1, end - 3))
        (old,) = struct.unpack_from("<I", changed, at)
        word = rng.choice((*_WORDS, old + 1, old - 1, old + 4, old ^ (1 << rng.randrange(32))))
        struct.pack_into("<I", changed, at, word & 0xFFFFFFFF)
    return put_together(bytes(changed), members)


@functools.lru_cache(2)
def _table_places(model: bytes) -> list[tuple[int, int]]:
    """The stretches between the constants that are larger than a few numbers."""
    found = SchemaReader(model).model()["buffers"]
    data = sorted(buffer["data"] for buffer in found if "data" in buffer)
    gaps, at = [], 0
    for start, length in data:
        if length > 64:
            gaps.append((at, start))
            at = start + length
    gaps.append((at, len(model)))
    return [(begin, end) for begin, end in gaps if end - begin >= 8]


def _table_rows(data: bytes, rng: random.Random) -> bytes:
    """A whole flatbuffer, written anew by the schema's own writer, with hostile rows."""
    model, members = parts(data)
    built = copy.deepcopy(_objects(model))
    for _ in range(rng.choice((1, 1, 2))):
        _EDITS[rng.randrange(len(_EDITS))](built, rng)
    writer = flatbuffers.Builder(len(model))
    try:
        writer.Finish(built.Pack(writer), file_identifier=b"TFL3")
    except (OverflowError, TypeError, ValueError, struct.error):
        # The writer refuses some values by their type; those in the words of tables reach further.
        return _table_words(data, rng)
    return put_together(bytes(writer.Output()), members)


@functools.lru_cache(2)
def _objects(model: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))


def _edit_shape(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    shape = list(tensor.shape if tensor.shape is not None else [])
    choice = rng.randrange(4)
    if choice == 0 or not shape:
        shape = [rng.choice(_SIZES) for _ in range(rng.choice((0, 1, 4, 7, 9)))]
    elif choice == 1:
        shape[rng.randrange(len(shape))] = rng.choice(_SIZES)
    elif choice == 2:
        rng.shuffle(shape)
    else:
        shape.append(1)
    tensor.shape = np.array(shape, np.int32)


def _edit_tensor(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    choice = rng.randrange(5)
    if choice == 0:
        tensor.type = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 9, 13, 15, 17, 100))
    elif choice == 1:
        tensor.buffer = rng.choice((0, 1, rng.randrange(len(model.buffers)), 1 << 20, 0xFFFFFFFF))
    elif choice == 2:
        tensor.isVariable = True
    elif choice == 3:
        tensor.sparsity = schema.SparsityParametersT()
        tensor.sparsity.traversalOrder = [rng.choice(_SIZES)]
    else:
        tensor.shapeSignature = np.array([-1] * rng.choice((1, 4)), np.int32)


def _edit_quantization(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    made = tensor.quantization
    if made is None or rng.random() < 0.2:
        tensor.quantization = None if made is not None else schema.QuantizationParametersT()
        return
    count = rng.choice((0, 1, 2, 3, 1000))
    choice = rng.randrange(4)
    if choice == 0:
        made.scale = np.array([rng.choice((0.0, -1.0, 1e-45, 3e38, np.nan, np.inf))] * count, "f4")
    elif choice == 1:
        made.zeroPoint = np.array([rng.choice((0, -129, 300, 2**62))] * count, "i8")
    elif choice == 2:
        made.quantizedDimension = rng.choice(_SIZES)
    else:
        made.scale, made.zeroPoint = None, made.zeroPoint


def _edit_operator(model: Any, rng: random.Random) -> None:
    graph = rng.choice(model.subgraphs)
    operator = rng.choice(graph.operators)
    choice = rng.randrange(6)
    index = rng.choice((-1, -2, len(graph.tensors), 1 << 30, rng.randrange(len(graph.tensors))))
    if choice == 0:
        operator.opcodeIndex = rng.choice((*range(len(model.operatorCodes) + 1), 1 << 30))
    elif choice == 1:
        side = rng.choice(("inputs", "outputs"))
        values = list(getattr(operator, side))
        values[rng.randrange(len(values))] = index
        setattr(operator, side, np.array(values, np.int32))
    elif choice == 2:
        side = rng.choice(("inputs", "outputs"))
        values = list(getattr(operator, side))
        setattr(operator, side, np.array(values[:-1] or values * 9, np.int32))
    elif choice == 3:
        operator.builtinOptions = None
        operator.builtinOptionsType = rng.choice((0, 1, 14, 35, 100))
    elif choice == 4:
        other = rng.choice(graph.operators)
        operator.builtinOptions = other.builtinOptions
        operator.builtinOptionsType = other.builtinOptionsType
    else:
        operator.customOptions = np.zeros(rng.choice((0, 1, 4096)), np.uint8)
        operator.intermediates = np.array([index], np.int32)


def _edit_options(model: Any, rng: random.Random) -> None:
    operators = [
        each
        for graph in model.subgraphs
        for each in graph.operators
        if each.builtinOptions is not None and vars(each.builtinOptions)
    ]
    options = rng.choice(operators).builtinOptions
    name = rng.choice(list(vars(options)))
    value: Any = rng.choice((*_SIZES, 127))
    if isinstance(getattr(options, name), (list, np.ndarray)):
        value = np.array([value] * rng.choice((1, 9)), np.int32)
    setattr(options, name, value)


def _edit_code(model: Any, rng: random.Random) -> None:
    code = rng.choice(model.operatorCodes)
    if rng.random() < 0.2:
        code.version = rng.choice((0, -1, 99))
    else:
        code.builtinCode = rng.randrange(-1, 210)
        code.deprecatedBuiltinCode = max(-1, min(127, code.builtinCode))


def _edit_buffer(model: Any, rng: random.Random) -> None:
    index = rng.randrange(len(model.buffers))
    buffer = model.buffers[index]
    choice = rng.randrange(3)
    if choice == 0 and buffer.data is not None:
        length = len(buffer.data)
        buffer.data = buffer.data[: rng.choice((0, 1, length // 2, max(0, length - 1)))]
    elif choice == 1:
        buffer.offset, buffer.size = rng.choice((1, 2, 1 << 40)), rng.choice((1, 2, 1 << 40))
    else:
        buffer.data = np.full(rng.choice((1, 4, 4096)), 255, np.uint8)


def _edit_places(model: Any, rng: random.Random) -> None:
    """The small constants say where: axes, corners, shapes."""
    small = [each for each in model.buffers if each.data is not None and 0 < len(each.data) <= 16]
    if not small:
        return
    buffer = rng.choice(small)
    words = len(buffer.data) // 4
    values = [rng.choice(_SIZES) for _ in range(words)]
    buffer.data = np.frombuffer(np.array(values, np.int32).tobytes(), np.uint8)


def _edit_interface(model: Any, rng: random.Random) -> None:
    graph = rng.choice(model.subgraphs)
    choice = rng.randrange(5)
    index = rng.choice((-1, len(graph.tensors), rng.randrange(len(graph.tensors))))
    if choice == 0:
        side = rng.choice(("inputs", "outputs"))
        values = list(getattr(graph, side))
        values[rng.randrange(len(values))] = index
        setattr(graph, side, np.array(values, np.int32))
    elif choice == 1:
        model.signatureDefs.append(copy.deepcopy(rng.choice(model.signatureDefs)))
    elif choice == 2:
        signature = rng.choice(model.signatureDefs)
        rng.choice(signature.inputs + signature.outputs).tensorIndex = index & 0xFFFFFFFF
    elif choice == 3:
        model.subgraphs.append(copy.deepcopy(graph))
    else:
        rng.shuffle(graph.operators)


def _tensor(model: Any, rng: random.Random) -> Any:
    return rng.choice(rng.choice(model.subgraphs).tensors)


_EDITS: tuple[Callable[[Any, random.Random], None], ...] = (
    _edit_shape,
    _edit_tensor,
    _edit_quantization,
    _edit_operator,
    _edit_options,
    _edit_code,
    _edit_buffer,
    _edit_places,
    _edit_interface,
)

#: Class → how it is made of the file.
KINDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "spec": _spec,
    "golden frames": _golden,
    "table words": _table_words,
    "table rows": _table_rows,
}
