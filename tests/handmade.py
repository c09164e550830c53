"""A small model made by hand, operator by operator: states of every shape, outputs of any dtype.

One step, with every real number on a grid where the sums are exact:

    colour = mean of the image, int8             (1, 3)
    memory = the last 4 colours, int8            (1, 4, 3)    as of an attention over 4 steps
    map    = the image before, int8              (1, H, W, 3) as of a carried feature map
    sum    = sum + colour, float32               (1, 3)
    double = double + sum, float32               (1, 3)       as of a second layer
    last   = colour, int8                        (1, 3)
    output = double + the colour 4 steps ago + the mean of the image before
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import edgecap
from edgecap.bundle import Bundle, Golden, write_bundle
from edgecap.flatbuffer import read_graph
from edgecap.golden import replay
from edgecap.quantization import image_tensor
from edgecap.spec import (
    ACTIVATIONS,
    CAMERA_SCALE,
    DecisionSpec,
    GoldenSpec,
    InputSpec,
    ModelSpec,
    OutputSpec,
    TensorSpec,
)
from edgecap.streaming import StreamingModel

SIDE, STEPS, WIDTH = 4, 4, 3
STATES = (
    TensorSpec("memory", (1, STEPS, WIDTH), "int8", CAMERA_SCALE),
    TensorSpec("map", (1, SIDE, SIDE, WIDTH), "int8", CAMERA_SCALE),
    TensorSpec("sum", (1, WIDTH), "float32"),
    TensorSpec("double", (1, WIDTH), "float32"),
    TensorSpec("last", (1, WIDTH), "int8", CAMERA_SCALE),
)
OUTPUTS = {
    "float32": TensorSpec("output", (1, WIDTH), "float32"),
    "int16": TensorSpec("output", (1, WIDTH), "int16", 1 / 1024),
    "int8": TensorSpec("output", (1, WIDTH), "int8", 1 / 16, -3),
}


def model(path: Path, task: str, dtype: str = "float32", **decision: Any) -> StreamingModel:
    """Writes such a model with golden frames, and loads it."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    output = OUTPUTS[dtype]
    flat = _flatbuffer(schema, output)
    spec = ModelSpec(
        name="made by hand",
        task=task,
        rate_hz=10.0,
        labels=("red", "green", "blue"),
        input=InputSpec(image_tensor(SIDE, SIDE)),
        states=STATES,
        output=OutputSpec(output, ACTIVATIONS[task]),
        decision=DecisionSpec(**decision),
        golden=GoldenSpec(1, "one rounding", rounds=2),
        recipe="none",
    )
    shape = (0, SIDE, SIDE, WIDTH)
    bare = Bundle(flat, read_graph(flat), spec, Golden(np.zeros(shape, np.uint8), {}), "")
    frames = images(3)
    outputs = replay(StreamingModel(bare), frames, rounds=2)
    write_bundle(
        path, model=flat, spec=spec, golden=Golden(frames, {"xnnpack": outputs}), card="# by hand"
    )
    return edgecap.load(path)


def images(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """``(count, 4, 4, 3)`` plain colours that stay near the middle, so that sums stay small."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(118, 139, (count, 1, 1, WIDTH), dtype=np.uint8)
    return np.broadcast_to(colours, (count, SIDE, SIDE, WIDTH)).copy()


def expected(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The real outputs ``(N, 3)`` over a stream, computed from the formulas above."""
    colours = (frames[:, 0, 0].astype(np.float64) - 128) * CAMERA_SCALE
    padded = np.concatenate([np.zeros((STEPS, WIDTH)), colours])
    double = colours.cumsum(axis=0).cumsum(axis=0)
    return double + padded[: len(frames)] + padded[STEPS - 1 : -1]


def _flatbuffer(schema: Any, output: TensorSpec) -> bytes:
    """The graph, through the object interface of the schema that LiteRT brings."""
    flatbuffers = pytest.importorskip("flatbuffers")
    build = _Builder(schema)
    pixels = build.tensor(dataclasses.replace(STATES[1], name="image"))
    before = {spec.name: build.tensor(spec) for spec in STATES}
    colour = TensorSpec("colour", (1, 1, 1, WIDTH), "int8", CAMERA_SCALE)
    real = TensorSpec("real", (1, WIDTH), "float32")

    def pooled(source: int) -> int:
        options = schema.Pool2DOptionsT()
        options.filterHeight = options.filterWidth = SIDE
        options.strideH = options.strideW = SIDE
        options.padding = schema.Padding.VALID
        return build.operator("AVERAGE_POOL_2D", [source], colour, options)

    def reshaped(source: int, spec: TensorSpec) -> int:
        shape = build.constant(np.array(spec.shape, np.int32))
        options = schema.ReshapeOptionsT()
        options.newShape = list(spec.shape)
        return build.operator("RESHAPE", [source, shape], spec, options)

    def sliced(source: int, begin: int, end: int) -> int:
        options = schema.StridedSliceOptionsT()
        corners = ([0, begin, 0], [1, end, WIDTH], [1, 1, 1])
        places = [build.constant(np.array(corner, np.int32)) for corner in corners]
        shape = (1, end - begin, WIDTH)
        spec = dataclasses.replace(STATES[0], shape=shape)
        return build.operator("STRIDED_SLICE", [source, *places], spec, options)

    def dequantized(source: int) -> int:
        return build.operator("DEQUANTIZE", [source], real, schema.DequantizeOptionsT())

    def added(one: int, other: int, spec: TensorSpec = real) -> int:
        return build.operator("ADD", [one, other], spec, schema.AddOptionsT())

    seen = pooled(pixels)
    row = dataclasses.replace(STATES[0], shape=(1, 1, WIDTH))
    joined = schema.ConcatenationOptionsT()
    joined.axis = 1
    after = {
        "memory": build.operator(
            "CONCATENATION",
            [sliced(before["memory"], 1, STEPS), reshaped(seen, row)],
            STATES[0],
            joined,
        ),
        "map": reshaped(pixels, STATES[1]),
        "last": reshaped(seen, STATES[4]),
    }
    after["sum"] = added(before["sum"], dequantized(after["last"]), STATES[2])
    after["double"] = added(before["double"], after["sum"], STATES[3])
    oldest = dequantized(reshaped(sliced(before["memory"], 0, 1), STATES[4]))
    was = dequantized(reshaped(pooled(before["map"]), STATES[4]))
    answer = added(added(after["double"], oldest), was)
    if output.dtype != "float32":
        answer = build.operator("QUANTIZE", [answer], output, schema.QuantizeOptionsT())
    model = build.model({"image": pixels, **before}, {"output": answer, **after})
    writer = flatbuffers.Builder(4096)
    writer.Finish(model.Pack(writer), file_identifier=b"TFL3")
    return bytes(writer.Output())


class _Builder:
    """Tensors and operators in the order in which they are asked for."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        # The first buffer is the empty one by convention.
        self._buffers = [schema.BufferT()]
        self._codes: list[str] = []

    def tensor(self, spec: TensorSpec) -> int:
        tensor = self._schema.TensorT()
        tensor.name = f"{spec.name}_{len(self._graph.tensors)}"
        tensor.shape = list(spec.shape)
        tensor.type = getattr(self._schema.TensorType, spec.dtype.upper())
        tensor.buffer = 0
        if spec.dtype != "float32":
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = [spec.scale]
            tensor.quantization.zeroPoint = [spec.zero_point]
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def constant(self, values: npt.NDArray[np.int32]) -> int:
        tensor = self._schema.TensorT()
        tensor.name = f"constant_{len(self._graph.tensors)}"
        tensor.shape = list(values.shape)
        tensor.type = self._schema.TensorType.INT32
        tensor.buffer = len(self._buffers)
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._buffers.append(buffer)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(self, name: str, inputs: list[int], output: TensorSpec, options: Any) -> int:
        if name not in self._codes:
            self._codes.append(name)
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._codes.index(name)
        operator.inputs, operator.outputs = inputs, [self.tensor(output)]
        kind = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, kind)
        operator.builtinOptions = options
        self._graph.operators.append(operator)
        return operator.outputs[0]

    def model(self, inputs: dict[str, int], outputs: dict[str, int]) -> Any:
        schema = self._schema
        self._graph.inputs, self._graph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "step", 0
        signature.inputs = [self._entry(*entry) for entry in inputs.items()]
        signature.outputs = [self._entry(*entry) for entry in outputs.items()]
        model = schema.ModelT()
        model.version = 3
        model.subgraphs, model.buffers = [self._graph], self._buffers
        model.signatureDefs = [signature]
        model.operatorCodes = []
        for name in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = 1 if name == "RESHAPE" else 2
            model.operatorCodes.append(code)
        return model

    def _entry(self, name: str, index: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        return entry
