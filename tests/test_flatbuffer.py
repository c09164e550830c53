"""The flatbuffer reader: sees what the interpreter sees, and survives any bytes."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgecap.errors import ModelFileError
from edgecap.flatbuffer import Graph, read_graph
from edgecap.streaming import StreamingModel

# The tables stand at the two ends of the file, the weights between them; a mutation in the weights
# teaches nothing here.
_HEAD, _SHARE_OF_TABLES = 2048, 0.45
_MUTATIONS = 3000


@pytest.fixture(scope="module")
def model(demo_model: StreamingModel) -> bytes:
    return demo_model.bundle.model


@pytest.fixture(scope="module")
def graph(model: bytes) -> Graph:
    return read_graph(model)


@pytest.fixture(scope="module")
def interpreter(model: bytes) -> Interpreter:
    # Not allocated and without delegates, so that its table is the file's.
    return Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )


def test_the_tensor_table_is_the_interpreters(graph: Graph, interpreter: Interpreter) -> None:
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    assert len(graph.tensors) == len(details)
    for tensor in graph.tensors:
        detail = details[tensor.index]
        assert tensor.name == detail["name"]
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.dtype == np.dtype(detail["dtype"]).name
        quantization = detail["quantization_parameters"]
        assert tensor.scales == tuple(quantization["scales"].tolist())
        assert tensor.zero_points == tuple(quantization["zero_points"].tolist())


def test_the_signatures_are_the_interpreters(graph: Graph, interpreter: Interpreter) -> None:
    listed = interpreter.get_signature_list()
    assert set(graph.signatures) == set(listed)
    names = {tensor.index: tensor.name for tensor in graph.tensors}
    for key, (inputs, outputs) in graph.signatures.items():
        runner = interpreter.get_signature_runner(key)
        for ours, theirs in (
            (inputs, runner.get_input_details()),
            (outputs, runner.get_output_details()),
        ):
            assert {name: names[index] for name, index in ours.items()} == {
                name: detail["name"] for name, detail in theirs.items()
            }


def test_the_operators_are_the_interpreters(graph: Graph, interpreter: Interpreter) -> None:
    theirs = [detail["op_name"] for detail in interpreter._get_ops_details()]
    assert [operator.name for operator in graph.operators] == theirs


@pytest.mark.parametrize(
    "data",
    [b"", b"TFL3", b"\0\0\0\0TFL", b"PK\3\4" + bytes(64), b"\x1c\0\0\0TFL2" + bytes(64)],
    ids=["empty", "short", "cut", "zip", "other version"],
)
def test_what_is_no_flatbuffer_is_refused(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="TFL3"):
        read_graph(data)


def test_a_flatbuffer_without_a_subgraph_is_refused() -> None:
    empty_model = struct.pack("<I4sHHi", 12, b"TFL3", 4, 4, 4)
    with pytest.raises(ModelFileError, match="no subgraph"):
        read_graph(empty_model)


def test_noise_behind_the_identifier_is_refused() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        noise = rng.integers(0, 256, int(rng.integers(0, 400)), np.uint8).tobytes()
        root = int(rng.integers(0, 64)).to_bytes(4, "little")
        with pytest.raises(ModelFileError):
            read_graph(root + b"TFL3" + noise)


def test_a_cut_flatbuffer_is_refused(model: bytes) -> None:
    rng = np.random.default_rng(1)
    for length in rng.integers(0, int(len(model) * 0.95), 200).tolist():
        with pytest.raises(ModelFileError):
            read_graph(model[:length])


def test_mutated_tables_raise_nothing_but_model_file_error(model: bytes) -> None:
    rng = np.random.default_rng(2)
    tables = int(len(model) * _SHARE_OF_TABLES)
    refused = 0
    for _ in range(_MUTATIONS):
        data = bytearray(model)
        for _ in range(int(rng.integers(1, 9))):
            position = int(
                rng.integers(0, _HEAD)
                if rng.random() < 0.2
                else rng.integers(len(model) - tables, len(model) - 4)
            )
            if rng.random() < 0.5:
                data[position] ^= 1 << int(rng.integers(8))
            else:
                extreme = rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(model)])
                data[position : position + 4] = int(extreme).to_bytes(4, "little")
        data[4:8] = b"TFL3"
        try:
            read_graph(bytes(data))
        except ModelFileError:
            refused += 1
    # Were none refused, the mutations would miss the tables.
    assert refused > _MUTATIONS // 10


def test_a_small_file_cannot_unfold_into_gigabytes() -> None:
    """65,535 tensors that all share one table, whose shape is one vector of 65,535 numbers."""
    limit = 1 << 30
    result = subprocess.run(
        [sys.executable, "-c", _UNFOLD],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert result.stdout.strip() == "refused", result.stderr[-300:]


_UNFOLD = """
import struct
from edgecap.errors import ModelFileError
from edgecap.flatbuffer import read_graph

COUNT = 0xFFFF
VECTOR = 4 + 4 * COUNT
# Every table has one vtable field in use: offset 4 from the table's start.
VTABLE = {0: struct.pack("<3H", 6, 8, 4), 2: struct.pack("<5H", 10, 8, 0, 0, 4)}

data = bytearray(struct.pack("<I4s", 0, b"TFL3"))

def table(field, distance):
    # Ends with the field, which points to what starts `distance` bytes behind it.
    data.extend(VTABLE[field])
    start = len(data)
    data.extend(struct.pack("<iI", len(VTABLE[field]), distance))
    return start

struct.pack_into("<I", data, 0, table(2, 4))        # model: subgraphs
data.extend(struct.pack("<II", 1, 4 + 6))           # one subgraph, behind its vtable
table(0, 4)                                         # subgraph: tensors
tensors = len(data)
tensor = tensors + VECTOR + 6
entries = range(tensors + 4, tensors + VECTOR, 4)
data.extend(struct.pack("<I", COUNT) + b"".join(struct.pack("<I", tensor - e) for e in entries))
assert table(0, 4) == tensor                        # tensor: shape
data.extend(struct.pack("<I", COUNT) + bytes(4 * COUNT))
try:
    read_graph(bytes(data))
    print("read")
except ModelFileError:
    print("refused")
"""
