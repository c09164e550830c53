"""Keeps the head in float: rewrites the last dense layer that the converter has made int8.

The converter would make a float dense layer beside int8 ones a hybrid one, whose weights are 8 bits
all the same, and which the kernels then refuse.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConfigError
from edgecap_convert.export import flatbuffers as fb


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
    parsed = fb.parse(model)
    graph = parsed.subgraphs[0]
    (logits,) = (
        int(entry.tensorIndex)
        for entry in parsed.signatureDefs[0].outputs
        if entry.name == output.encode()
    )
    at, head = next((i, o) for i, o in enumerate(graph.operators) if logits in o.outputs)
    if fb.code_of(parsed, head) != fb.Op.FULLY_CONNECTED:
        raise ConfigError(
            f"the head could not be kept in float: expected a dense layer to give {output}. "
            "Please report it with the version of TensorFlow"
        )
    hidden, weights, biases = (int(i) for i in head.inputs)
    graph.tensors[logits].type, graph.tensors[logits].quantization = fb.FLOAT, None
    fb.set_constant(parsed, graph.tensors[weights], kernel.T)
    if biases < 0:
        # The converter leaves out a bias that is all zeros.
        biases = fb.add_tensor(graph, graph.tensors[logits], b"head/bias")
        graph.tensors[biases].shape = fb.indices(list(bias.shape))
    fb.set_constant(parsed, graph.tensors[biases], bias)
    real = fb.add_tensor(graph, graph.tensors[hidden], b"head/hidden")
    head.inputs = fb.indices([real, weights, biases])
    head.opcodeIndex = fb.code_index(parsed, fb.Op.FULLY_CONNECTED, 1)
    opened = fb.operator(parsed, fb.Op.DEQUANTIZE, 2, [hidden], real, "DequantizeOptions")
    graph.operators.insert(at, opened)
    return fb.pack(parsed)
