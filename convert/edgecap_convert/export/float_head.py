"""Keeps the head in float: rewrites the last dense layer that the converter has made int8.

The converter would make a float dense layer beside int8 ones a hybrid one, whose weights are 8 bits
all the same; and some of its kernels refuse what comes from an int8 layer.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
import numpy.typing as npt
from tensorflow.lite.python import schema_py_generated as schema

from edgecap.errors import ConfigError
from edgecap.flatbuffer import IDENTIFIER

_FLOAT = schema.TensorType.FLOAT32
_Op = schema.BuiltinOperator


def make_head_float(
    model: bytes,
    output: str,
    kernel: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
) -> bytes:
    """Rewrites the dense layer that gives an output.

    Args:
      model: from the converter.
      output: the name of the signature's output that it gives.
      kernel: its weights, ``(inputs, outputs)``. bias: ``(outputs,)``.

    Returns:
      The flatbuffer, this output in float32.

    Raises:
      ConfigError: the output does not come from a dense layer.
    """
    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = parsed.subgraphs[0]
    (logits,) = (
        int(entry.tensorIndex)
        for entry in parsed.signatureDefs[0].outputs
        if entry.name == output.encode()
    )
    number, head = next(
        (i, operator) for i, operator in enumerate(graph.operators) if logits in operator.outputs
    )
    code = parsed.operatorCodes[head.opcodeIndex]
    if max(code.builtinCode, code.deprecatedBuiltinCode) != _Op.FULLY_CONNECTED:
        raise ConfigError(
            f"the head could not be kept in float: expected a dense layer to give {output}. "
            "Please report it with the version of TensorFlow"
        )
    hidden, weights, biases = (int(i) for i in head.inputs)
    _retype(graph.tensors[logits])
    for index, values in ((weights, kernel.T), (biases, bias)):
        tensor = graph.tensors[index]
        _retype(tensor)
        tensor.buffer = len(parsed.buffers)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
        parsed.buffers.append(buffer)
    real = schema.TensorT()
    real.shape, real.shapeSignature = graph.tensors[hidden].shape, None
    real.type, real.buffer, real.name = _FLOAT, 0, b"head/hidden"
    graph.tensors.append(real)
    opened = schema.OperatorT()
    opened.opcodeIndex = _code(parsed, _Op.DEQUANTIZE, version=2)
    opened.inputs = np.array([hidden], np.int32)
    opened.outputs = np.array([len(graph.tensors) - 1], np.int32)
    opened.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    opened.builtinOptions = schema.DequantizeOptionsT()
    head.inputs = np.array([len(graph.tensors) - 1, weights, biases], np.int32)
    head.opcodeIndex = _code(parsed, _Op.FULLY_CONNECTED, version=1)
    graph.operators.insert(number, opened)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(parsed.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _retype(tensor: schema.TensorT) -> None:
    tensor.type, tensor.quantization = _FLOAT, None


def _code(model: schema.ModelT, code: int, *, version: int) -> int:
    """The number of an operator code, which is added if it is missing."""
    entries = model.operatorCodes
    known = [(max(e.builtinCode, e.deprecatedBuiltinCode), e.version) for e in entries]
    if (code, version) not in known:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
        entry.version = version
        entries.append(entry)
        known.append((code, version))
    return known.index((code, version))
