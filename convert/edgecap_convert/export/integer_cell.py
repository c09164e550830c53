"""Makes the LSTM's cell state an integer: rewrites the float island that the converter leaves.

The converter has one type for everything that it quantises, and an 8-bit cell stalls. So the graph
is converted with a float cell, and the few operators around it are rewritten in the flatbuffer::

    c' = f · c + i · g        tanh(c')

``int16``: f, i and g are brought to 16 bits (exactly: their grids are powers of two), the products,
their sum, the carried c and TANH are int16, and tanh(c') comes back to 8 bits.
``int8``: everything stays in 8 bits.

Both saturate where the float cell is clipped, so that MINIMUM and MAXIMUM go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecap.errors import ConfigError
from edgecap_convert.export import flatbuffers as fb
from edgecap_convert.models.recurrent import CELL_CLIP
from edgecap_convert.quantization.grids import CELLS, FADED, PRODUCTS, Grid


@dataclass(frozen=True)
class _Integer:
    """A type of the cell.

    Attributes:
      dtype: of its tensors.
      versions: of the operators, as ``tensorflow/compiler/mlir/lite/tools/versioning`` has them
        for their inputs.
      gate: grid of f, i and g in that type; ``None``: as they are.
    """

    dtype: int
    versions: dict[int, int]
    gate: Grid | None


_INTEGERS = {
    "int16": _Integer(
        fb.INT16,
        {fb.Op.QUANTIZE: 1, fb.Op.MUL: 4, fb.Op.ADD: 3, fb.Op.TANH: 3},
        Grid(1 / 32768, 0, bits=16),
    ),
    "int8": _Integer(fb.INT8, {fb.Op.MUL: 2, fb.Op.ADD: 2, fb.Op.TANH: 2}, None),
}


def make_cell_integer(model: bytes, cell: str) -> bytes:
    """Rewrites every LSTM layer's cell state.

    Args:
      model: from the converter; float is the cell's island and nothing else.
      cell: ``int16`` or ``int8``.

    Returns:
      The flatbuffer without any float tensor.

    Raises:
      ConfigError: the island is not what is expected of this version of the converter.
    """
    return _Rewrite(model, cell).result()


class _Rewrite:
    def __init__(self, model: bytes, cell: str) -> None:
        self._model = fb.parse(model)
        self._graph = self._model.subgraphs[0]
        self._kind, self._cell = _INTEGERS[cell], CELLS[cell]
        self._faded, self._product = FADED[cell], PRODUCTS[cell]
        # Tensors that are another one from now on.
        self._same: dict[int, int] = {}
        # Tensors of gates, as the island reads them.
        self._gates: set[int] = set()

    def result(self) -> bytes:
        kept = []
        for operator in self._graph.operators:
            made = self._rewritten(operator) if self._is_float(operator) else operator
            if made is not None:
                kept.append(made)
        self._graph.operators = kept
        self._apply()
        self._drop_unused()
        left = [t.name for t in self._graph.tensors if t.type == fb.FLOAT]
        if left:
            raise ConfigError(
                f"the cell state could not be made an integer: float stays in {left}. "
                "Please report it with the version of TensorFlow"
            )
        return fb.pack(self._model)

    def _is_float(self, operator: Any) -> bool:
        touched = [*operator.inputs, *operator.outputs]
        return any(self._graph.tensors[i].type == fb.FLOAT for i in touched if i >= 0)

    def _rewritten(self, operator: Any) -> Any | None:
        """The operator in integers; ``None`` where it goes."""
        code = fb.code_of(self._model, operator)
        first, out = int(operator.inputs[0]), int(operator.outputs[0])
        if code == fb.Op.DEQUANTIZE:
            self._gates.add(out)
            if self._kind.gate is None:
                self._same[out] = first
                return None
            self._retype(out, self._kind.gate)
            # int8 → int16, which is a QUANTIZE of version 2.
            return fb.operator(self._model, fb.Op.QUANTIZE, 2, [first], out, "QuantizeOptions")
        if code == fb.Op.MUL:
            inputs = [int(i) for i in operator.inputs]
            gated = [i in self._gates for i in inputs]
            for tensor, gate in zip(inputs, gated, strict=True):
                if not gate:
                    # The carried c, as it comes in.
                    self._retype(tensor, self._cell)
            self._retype(out, self._product if all(gated) else self._faded)
        elif code == fb.Op.ADD:
            self._retype(out, self._cell)
            operator.builtinOptions.potScaleInt16 = False
        elif code in (fb.Op.MINIMUM, fb.Op.MAXIMUM):
            self._check_clip(operator)
            self._same[out] = first
            return None
        elif code == fb.Op.TANH:
            grid = self._kind.gate or Grid(1 / 128, 0)
            self._retype(out, grid)
        elif code == fb.Op.QUANTIZE:
            if self._kind.gate is None:
                self._same[out] = first
                return None
        else:
            raise ConfigError(
                f"the cell state cannot be made an integer: unexpected operator {code}. "
                "Please report it with the version of TensorFlow"
            )
        operator.opcodeIndex = fb.code_index(self._model, code, self._kind.versions[code])
        return operator

    def _check_clip(self, operator: Any) -> None:
        limits = self._graph.tensors[int(operator.inputs[1])]
        raw = fb.constant(self._model, limits)
        values = np.frombuffer(b"" if raw is None else raw.tobytes(), np.float32)
        if values.size == 0 or not np.all(np.abs(values) == CELL_CLIP):
            raise ConfigError(
                f"the cell state cannot be made an integer: expected it clipped at {CELL_CLIP:g}; "
                f"got {values}"
            )

    def _retype(self, index: int, grid: Grid) -> None:
        fb.set_grid(self._graph.tensors[index], self._kind.dtype, grid)

    def _renamed(self, index: int) -> int:
        while index in self._same:
            index = self._same[index]
        return index

    def _apply(self) -> None:
        graph = self._graph
        # What a state is called in the graph does not matter; that it is another tensor than the
        # one that comes in does.
        for operator in graph.operators:
            operator.inputs = self._all(operator.inputs)
            operator.outputs = self._all(operator.outputs)
        graph.inputs, graph.outputs = self._all(graph.inputs), self._all(graph.outputs)
        for signature in self._model.signatureDefs:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = self._renamed(int(entry.tensorIndex))

    def _all(self, indices: Any) -> Any:
        return np.array([self._renamed(int(i)) for i in indices], np.int32)

    def _drop_unused(self) -> None:
        """Tensors that nothing reads or writes any more."""
        graph = self._graph
        used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs) if i >= 0}
        used |= {int(i) for i in (*graph.inputs, *graph.outputs)}
        order = sorted(used)
        place = {old: new for new, old in enumerate(order)} | {-1: -1}
        graph.tensors = [graph.tensors[i] for i in order]
        for operator in graph.operators:
            operator.inputs = np.array([place[int(i)] for i in operator.inputs], np.int32)
            operator.outputs = np.array([place[int(i)] for i in operator.outputs], np.int32)
        graph.inputs = np.array([place[int(i)] for i in graph.inputs], np.int32)
        graph.outputs = np.array([place[int(i)] for i in graph.outputs], np.int32)
        for signature in self._model.signatureDefs:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = place[int(entry.tensorIndex)]
