"""Makes attention compute the same bytes on every processor: SOFTMAX in 16 bits.

TFLite's int8 SOFTMAX looks its exponentials up in a table of floats on x86-64 and in one of 16-bit
integers on Arm (``TFLITE_SOFTMAX_USE_UINT16_LUT``), and the two differ by a step near ties. That
of int16 is one piece of integer arithmetic everywhere (``reference_ops::SoftmaxInt16``), so each::

    int8 SOFTMAX  →  CAST to int16, SOFTMAX, QUANTIZE to int8

The scores' zero-point is dropped on the way, as the int16 kernel wants none: softmax does not see
what all scores have in common. A CAST, and no QUANTIZE, since tflite-runtime 2.14 knows no QUANTIZE
from int8 to int16.
"""

from __future__ import annotations

from edgecap_convert.export import flatbuffers as fb
from edgecap_convert.quantization.grids import Grid

# What the kernel demands of its output.
_WEIGHTS = Grid(1 / 32768, 0, bits=16)


def make_softmax_portable(model: bytes) -> bytes:
    """Rewrites every int8 SOFTMAX; a model without any comes back as it is."""
    parsed = fb.parse(model)
    graph = parsed.subgraphs[0]
    made = []
    for operator in graph.operators:
        scores, weights = int(operator.inputs[0]), int(operator.outputs[0])
        if (
            fb.code_of(parsed, operator) != fb.Op.SOFTMAX
            or graph.tensors[scores].type != fb.INT8
            or graph.tensors[weights].type != fb.INT8
        ):
            made.append(operator)
            continue
        name = bytes(graph.tensors[weights].name)
        wide_scores = fb.add_tensor(graph, graph.tensors[scores], name + b"/scores")
        step = float(graph.tensors[scores].quantization.scale[0])
        fb.set_grid(graph.tensors[wide_scores], fb.INT16, Grid(step, 0, bits=16))
        wide = fb.add_tensor(graph, graph.tensors[weights], name + b"/wide")
        fb.set_grid(graph.tensors[wide], fb.INT16, _WEIGHTS)
        cast = fb.operator(parsed, fb.Op.CAST, 1, [scores], wide_scores, "CastOptions")
        cast.builtinOptions.inDataType, cast.builtinOptions.outDataType = fb.INT8, fb.INT16
        operator.inputs, operator.outputs = fb.indices([wide_scores]), fb.indices([wide])
        # The version of SOFTMAX that knows int16.
        operator.opcodeIndex = fb.code_index(parsed, fb.Op.SOFTMAX, 3)
        narrow = fb.operator(parsed, fb.Op.QUANTIZE, 1, [wide], weights, "QuantizeOptions")
        made += [cast, operator, narrow]
    if len(made) == len(graph.operators):
        return model
    graph.operators = made
    return fb.pack(parsed)
