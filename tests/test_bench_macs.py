"""Multiply-adds of a graph: against published figures, other formulas and another reader."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.benchmark.macs import count_macs
from edgecap.benchmark.reference import MACS
from edgecap.bundle import read_bundle
from edgecap.flatbuffer import Graph, Operator, Tensor, read_graph
from tests import handmade


def graph(name: str, inputs: list[tuple[int, ...] | None], output: tuple[int, ...]) -> Graph:
    """One operator; ``None`` is an input left out."""
    shapes = [*inputs, output]
    tensors = tuple(
        Tensor(n, str(n), shape or (), "int8", (), (), is_variable=False)
        for n, shape in enumerate(shapes)
    )
    given = tuple(n if shape is not None else -1 for n, shape in enumerate(inputs))
    operator = Operator(name, given, (len(inputs),))
    return Graph(tensors, (operator,), {}, 1, (0,), (len(inputs),))


def macs(name: str, inputs: list[tuple[int, ...] | None], output: tuple[int, ...]) -> int | None:
    return count_macs(graph(name, inputs, output)).macs


def test_a_convolution_multiplies_as_often_as_one_written_out() -> None:
    image, weights = np.ones((1, 7, 5, 3)), np.ones((4, 3, 2, 3))
    done = 0
    for _ in np.ndindex(4):
        for row in range(0, 7 - 3 + 1, 2):
            for column in range(0, 5 - 2 + 1, 2):
                done += image[0, row : row + 3, column : column + 2].size
    assert macs("CONV_2D", [image.shape, weights.shape, (4,)], (1, 3, 2, 4)) == done == 432


@pytest.mark.parametrize(
    ("name", "inputs", "output", "expected"),
    [
        # In two groups each output channel sees half of the input's 8.
        ("CONV_2D", [(1, 4, 4, 8), (6, 3, 3, 4), None], (1, 4, 4, 6), 16 * 6 * 9 * 4),
        ("DEPTHWISE_CONV_2D", [(1, 9, 9, 8), (1, 3, 3, 8), (8,)], (1, 4, 4, 8), 16 * 8 * 9),
        # Two output channels of each input channel.
        ("DEPTHWISE_CONV_2D", [(1, 9, 9, 8), (1, 3, 3, 16), (16,)], (1, 4, 4, 16), 16 * 16 * 9),
        ("CONV_3D", [(1, 3, 4, 4, 2), (3, 1, 1, 2, 5), None], (1, 1, 4, 4, 5), 16 * 5 * 3 * 2),
        ("TRANSPOSE_CONV", [(4,), (5, 2, 2, 3), (1, 4, 4, 3)], (1, 8, 8, 5), 64 * 5 * 3),
        ("FULLY_CONNECTED", [(1, 64), (256, 64), None], (1, 256), 64 * 256),
        ("FULLY_CONNECTED", [(2, 3, 64), (10, 64), (10,)], (2, 3, 10), 6 * 64 * 10),
        # An image given to a dense layer as it is.
        ("FULLY_CONNECTED", [(1, 4, 4, 2), (10, 32), (10,)], (1, 10), 32 * 10),
        ("BATCH_MATMUL", [(2, 5, 7), (2, 7, 3)], (2, 5, 3), 2 * 5 * 7 * 3),
        # Both given transposed.
        ("BATCH_MATMUL", [(2, 7, 5), (2, 3, 7)], (2, 5, 3), 2 * 5 * 7 * 3),
        ("BATCH_MATMUL", [(2, 1, 5, 7), (3, 7, 4)], (2, 3, 5, 4), 6 * 5 * 7 * 4),
    ],
)
def test_the_formulas(
    name: str, inputs: list[tuple[int, ...] | None], output: tuple[int, ...], expected: int
) -> None:
    assert macs(name, inputs, output) == expected


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("projected", [None, 8])
def test_a_fused_lstm_counts_its_matrices_once_a_step(coupled: bool, projected: int | None) -> None:
    width, cells, steps = 24, 16, 5
    out = projected or cells
    into: list[tuple[int, ...] | None] = [(cells, width)] * 4
    back: list[tuple[int, ...] | None] = [(cells, out)] * 4
    if coupled:
        into[0] = back[0] = None
    inputs = [
        (1, steps, width),
        *into,
        *back,
        *[(cells,)] * 3,
        *[(cells,)] * 4,
        (out, cells) if projected else None,
        None,
        (1, out),
        (1, cells),
    ]
    gates = 3 if coupled else 4
    expected = steps * (gates * cells * (width + out) + (out * cells if projected else 0))
    assert macs("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, (1, steps, out)) == expected


@pytest.mark.parametrize("name", ["CUSTOM", "OP_199", "WHILE", "IF", "CALL_ONCE", "LSTM"])
def test_an_operator_of_unknown_cost_leaves_the_sum_unknown_and_is_named(name: str) -> None:
    counted = graph("FULLY_CONNECTED", [(1, 8), (4, 8), None], (1, 4))
    unknown = Operator(name, (0,), (3,))
    count = count_macs(
        Graph(counted.tensors, (unknown, *counted.operators, unknown), {}, 1, (0,), (3,))
    )
    assert count.macs is None
    assert count.uncounted == (name,)
    assert count.by_operator == {"FULLY_CONNECTED": 32}
    assert count.at_least == 32


@pytest.mark.parametrize(
    ("name", "inputs", "output"),
    [
        ("CONV_2D", [(1, -1, -1, 3), (4, 3, 3, 3), None], (1, -1, -1, 4)),
        ("CONV_2D", [(1, 8, 8, 3), (4, 3, 3, 3), None], ()),
        ("CONV_2D", [(1, 8, 8, 3), None], (1, 8, 8, 4)),
        ("CONV_2D", [], (1, 8, 8, 4)),
        ("FULLY_CONNECTED", [(1, 8), (4, 0), None], (1, 4)),
        ("FULLY_CONNECTED", [(1, 9), (4, 8), None], (1, 4)),
        ("FULLY_CONNECTED", [None, (4, 8), None], (1, 4)),
        ("FULLY_CONNECTED", [(), (4, 8), None], (1, 4)),
        ("BATCH_MATMUL", [(7,), (7,)], (1,)),
        ("BATCH_MATMUL", [(5, 7), (7, 3)], (4, 3)),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", [(1, 1, 8)], (1, 1, 8)),
    ],
)
def test_a_size_that_is_not_known_leaves_the_sum_unknown(
    name: str, inputs: list[tuple[int, ...] | None], output: tuple[int, ...]
) -> None:
    count = count_macs(graph(name, inputs, output))
    assert count.macs is None
    assert count.uncounted == (name,)


def test_a_graph_without_weights_takes_no_multiply_adds(tmp_path: Path) -> None:
    handmade.model(tmp_path / "model.tflite", "regression")
    bundle = read_bundle(tmp_path / "model.tflite")
    assert {o.name for o in bundle.graph.operators} >= {"ADD", "AVERAGE_POOL_2D", "RESHAPE"}
    count = count_macs(bundle.graph)
    assert count.macs == 0
    assert count.by_operator == {}


def by_the_schema(data: bytes) -> int:
    """The same by LiteRT's own reader, the sizes of outputs from the strides and paddings."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    tensors = model.subgraphs[0].tensors
    return sum(
        _one(schema, model.operatorCodes[o.opcodeIndex].builtinCode, o, tensors)
        for o in model.subgraphs[0].operators
    )


def _one(schema: Any, code: int, operator: Any, tensors: Any) -> int:
    builtin, options = schema.BuiltinOperator, operator.builtinOptions
    shapes = [list(tensors[i].shape) for i in operator.inputs if i >= 0 and len(tensors[i].shape)]
    if code == builtin.FULLY_CONNECTED:
        return int(math.prod(shapes[1]))
    if code not in (builtin.CONV_2D, builtin.DEPTHWISE_CONV_2D):
        return 0
    (_, height, width, _), (_, kernel_h, kernel_w, _) = shapes[0], shapes[1]
    positions = 1
    for size, kernel, stride in (
        (height, kernel_h, options.strideH),
        (width, kernel_w, options.strideW),
    ):
        seen = size if options.padding == schema.Padding.SAME else size - kernel + 1
        positions *= -(-seen // stride)
    return int(positions * math.prod(shapes[1]))


def test_the_packaged_graphs_count_as_by_another_reader(demo_path: Path) -> None:
    demo = demo_path.read_bytes()
    count = count_macs(read_bundle(demo_path).graph)
    assert count.macs == by_the_schema(demo) > 1e6
    reference = (resources.files("edgecap.assets") / "reference-int8.tflite").read_bytes()
    assert count_macs(read_graph(reference)).macs == by_the_schema(reference) == MACS


def mobilenet_v2(size: int, alpha: float, *, classes: int) -> int:
    """Multiply-adds of MobileNetV2 from the paper's table 2, as keras.applications builds it."""

    def channels(wanted: float) -> int:
        made = max(8, int(wanted + 4) // 8 * 8)
        return made + 8 if made < 0.9 * wanted else made

    side, width = size // 2, channels(32 * alpha)
    total = side * side * 9 * 3 * width
    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)]
    table += [(6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, wanted, repeats, first in table:
        for repeat in range(repeats):
            inner, out = width * expansion, channels(wanted * alpha)
            if expansion > 1:
                total += side * side * width * inner
            side //= first if repeat == 0 else 1
            total += side * side * inner * (9 + out)
            width = out
    last = channels(1280 * alpha) if alpha > 1 else 1280
    return total + side * side * width * last + last * classes


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "size", "alpha", "classes", "published_millions"),
    [
        # keras.io and the paper: 300 M with the classifier of 1,000.
        ("mobilenet_v2_1.0_224_int8.tflite", 224, 1.0, 1000, 300),
        # Published with a classifier of 1.3 M, which is cut off here: 11 M.
        ("mobilenet_v2_0.35_96_embedder.tflite", 96, 0.35, 0, 11),
    ],
)
def test_mobilenet_v2_takes_what_was_published(
    data_folder: Path, file: str, size: int, alpha: float, classes: int, published_millions: int
) -> None:
    path = data_folder / "peers" / file
    if not path.exists():
        pytest.skip(f"needs {file}")
    count = count_macs(read_graph(path.read_bytes()))
    expected = mobilenet_v2(size, alpha, classes=classes)
    # The file's classifier may have a class more: "background".
    assert count.macs in (expected, expected + 1280)
    assert count.macs == pytest.approx(published_millions * 1e6, rel=0.05)


@pytest.mark.data
def test_both_files_of_movinet_count_fully_and_alike(data_folder: Path) -> None:
    files = [data_folder / "peers" / f"movinet_a0_stream_{k}.tflite" for k in ("int8", "dynamic")]
    if not all(file.exists() for file in files):
        pytest.skip("needs MoViNet's files")
    counts = [count_macs(read_graph(file.read_bytes())) for file in files]
    assert counts[0] == counts[1]
    assert counts[0].macs == by_the_schema(files[0].read_bytes())
    # Published beside the checkpoints: 2.7 GFLOPs for 50 frames; what beside convolutions counts
    # there is not said.
    assert 50 * (counts[0].macs or 0) == pytest.approx(2.7e9, rel=0.15)


@pytest.mark.data
def test_a_detector_with_a_custom_operator_says_which(data_folder: Path) -> None:
    path = data_folder / "peers" / "lstm_ssd_traffic.tflite"
    if not path.exists():
        pytest.skip("needs the detector's file")
    count = count_macs(read_graph(path.read_bytes()))
    assert count.macs is None
    assert count.uncounted == ("CUSTOM",)
    assert count.at_least > 5e8
