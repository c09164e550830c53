"""What rewriting a converted flatbuffer takes, whatever is rewritten."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from tensorflow.lite.python import schema_py_generated as schema

from edgecap.flatbuffer import IDENTIFIER
from edgecap_convert.quantization.grids import Grid

FLOAT, INT8, INT16 = (
    schema.TensorType.FLOAT32,
    schema.TensorType.INT8,
    schema.TensorType.INT16,
)
Op = schema.BuiltinOperator


def parse(model: bytes) -> Any:
    """The model as objects that can be changed."""
    return schema.ModelT.InitFromPackedBuf(model, 0)


def pack(model: Any) -> bytes:
    """The flatbuffer of a model."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def code_of(model: Any, operator: Any) -> int:
    """Which builtin operator it is."""
    return number(model.operatorCodes[operator.opcodeIndex])


def set_grid(tensor: Any, dtype: int, grid: Grid) -> None:
    """Makes what is computed an integer on a grid."""
    tensor.type = dtype
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = np.array([grid.scale], np.float32)
    tensor.quantization.zeroPoint = np.array([grid.zero_point], np.int64)


def code_index(model: Any, code: int, version: int) -> int:
    """The place of an operator code in the table, where it is added if it is missing."""
    entries = model.operatorCodes
    known = [(number(entry), entry.version) for entry in entries]
    if (code, version) not in known:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
        entry.version = version
        entries.append(entry)
        known.append((code, version))
    return known.index((code, version))


def operator(
    model: Any, code: int, version: int, inputs: list[int], output: int, options: str = ""
) -> Any:
    """A new operator; ``options``: the name of its table of options, left at the defaults."""
    made = schema.OperatorT()
    made.opcodeIndex = code_index(model, code, version)
    made.inputs, made.outputs = indices(inputs), indices([output])
    if options:
        made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        made.builtinOptions = getattr(schema, options + "T")()
    return made


def indices(numbers: list[int]) -> npt.NDArray[np.int32]:
    """A list of tensors, as the schema has it."""
    return np.array(numbers, np.int32)


def add_tensor(graph: Any, like: Any, name: bytes) -> int:
    """A float tensor of another's shape, at the end of the table; returns its number."""
    made = schema.TensorT()
    made.shape, made.shapeSignature = like.shape, None
    made.type, made.buffer, made.name = FLOAT, 0, name
    graph.tensors.append(made)
    return len(graph.tensors) - 1


def constant(model: Any, tensor: Any) -> npt.NDArray[np.uint8] | None:
    """The bytes of a constant; ``None`` of a tensor that is computed."""
    data = model.buffers[tensor.buffer].data
    return None if data is None or len(data) == 0 else np.asarray(data, np.uint8)


def set_constant(model: Any, tensor: Any, values: npt.NDArray[np.float32]) -> None:
    """Makes a tensor a float constant, in a buffer of its own."""
    tensor.type, tensor.quantization = FLOAT, None
    tensor.buffer = len(model.buffers)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
    model.buffers.append(buffer)


def number(entry: Any) -> int:
    """The builtin operator that a code stands for."""
    return int(max(entry.builtinCode, entry.deprecatedBuiltinCode))
