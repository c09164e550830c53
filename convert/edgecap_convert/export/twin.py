"""Puts parts of an int8 file back to float: the same graph, tensor for tensor.

Weights keep the values that they were rounded to; what goes is the rounding of everything that is
computed. With all parts put back, the file has a twin in float, and each tensor of one can be held
against that of the other.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecap.contract import SIGNATURE
from edgecap.flatbuffer import Graph
from edgecap_convert.export import flatbuffers as fb

#: In the order of the computation.
PARTS = ("encoder", "neck", "gates", "cell", "head")

_LOOKUP = (
    ("encoder", re.compile(r"encoder/")),
    ("cell", re.compile(r"lstm\d*/cell/")),
    ("gates", re.compile(r"(lstm\d*|frame|attention)/")),
    ("head", re.compile(r"head/")),
    ("neck", re.compile(r"(neck|look\d*|collect\w*)/")),
)
_DTYPES = {9: np.int8, 7: np.int16, 2: np.int32, 3: np.uint8}


@dataclass(frozen=True)
class Twin:
    """A file with parts in float.

    Attributes:
      model: the flatbuffer.
      same: tensor of the original → the float tensor that stands for it.
    """

    model: bytes
    same: dict[int, int]


def operator_parts(graph: Graph) -> list[str]:
    """To which of PARTS each operator belongs, by the names of what it gives.

    A name that tells nothing, as the converter gives to some, is that of what is read.
    """
    _, outputs = graph.signatures[SIGNATURE]
    ends = {outputs[name]: _end(name) for name in outputs}
    by_tensor: dict[int, str] = {}
    parts = []
    for operator in graph.operators:
        name = graph.tensors[operator.outputs[0]].name
        part = next((part for part, pattern in _LOOKUP if pattern.match(name)), None)
        if part is None:
            part = ends.get(operator.outputs[0])
        if part is None:
            read = [by_tensor[i] for i in operator.inputs if i in by_tensor]
            part = max(read, key=PARTS.index) if read else "neck"
        by_tensor |= dict.fromkeys(operator.outputs, part)
        parts.append(part)
    return parts


def _end(name: str) -> str | None:
    """The part that gives an output of the signature; ``None``: another name tells."""
    if name == "logits":
        return "head"
    if re.fullmatch(r"c\d*", name):
        return "cell"
    return "gates" if re.fullmatch(r"h\d*|window", name) else None


def put_back(model: bytes, graph: Graph, parts: Collection[str] = PARTS) -> Twin:
    """Rewrites a file of int8 (or int16) with some parts in float.

    Args:
      model: the flatbuffer. graph: the same, read.
      parts: those of PARTS that become float; the image stays as it comes.
    """
    return _Rewrite(model, graph, parts).result()


class _Rewrite:
    def __init__(self, model: bytes, graph: Graph, parts: Collection[str]) -> None:
        self._model = fb.parse(model)
        self._graph = self._model.subgraphs[0]
        of_operators = operator_parts(graph)
        self._back = [part in parts for part in of_operators]
        self._in_cell = [part == "cell" for part in of_operators]
        self._made: list[Any] = []
        # Tensor → its float form; and those whose original form is there too.
        self._real: dict[int, int] = {}
        self._kept: set[int] = set()
        # Those whose integers mean something else than their float form: a zero-point was dropped.
        self._shifted: set[int] = set()
        self._states = self._paired_states()
        # Inputs and outputs of the file that become float.
        self._ends: set[int] = set()

    def result(self) -> Twin:
        self._open_states()
        operators = list(self._graph.operators)
        for operator, back, cell in zip(operators, self._back, self._in_cell, strict=True):
            if back:
                self._float(operator, cell=cell)
            else:
                operator.inputs = self._all(operator.inputs, self._stored)
                self._made.append(operator)
                self._kept |= {int(i) for i in operator.outputs}
        self._close()
        self._graph.operators = self._made
        same = {index: real for index, real in self._real.items() if index not in self._shifted}
        return Twin(fb.pack(self._model), same)

    def _is_real(self, index: int) -> bool:
        return bool(self._graph.tensors[index].type == fb.FLOAT)

    def _paired_states(self) -> list[tuple[int, int]]:
        signature = self._model.signatureDefs[0]
        given = {entry.name: int(entry.tensorIndex) for entry in signature.inputs}
        return [
            (given[entry.name], int(entry.tensorIndex))
            for entry in signature.outputs
            if entry.name in given
        ]

    def _open_states(self) -> None:
        """A state comes in as it goes out: float where a float part gives it."""
        giver = {
            int(i): back
            for operator, back in zip(self._graph.operators, self._back, strict=True)
            for i in operator.outputs
        }
        self._ends = {int(i) for i in self._graph.outputs if giver.get(int(i))}
        for given, following in self._states:
            if giver.get(following) and not self._is_real(given):
                self._real[given] = self._new(given)
                self._ends.add(given)
            else:
                self._kept.add(given)
        self._kept |= {int(i) for i in self._graph.inputs} - {given for given, _ in self._states}

    def _float(self, operator: Any, *, cell: bool) -> None:
        code = fb.code_of(self._model, operator)
        first, out = int(operator.inputs[0]), int(operator.outputs[0])
        if code in (fb.Op.DEQUANTIZE, fb.Op.QUANTIZE, fb.Op.CAST):
            # What only changes the grid has nothing to do.
            self._real[out] = self._value(first)
            if code == fb.Op.CAST:
                self._shifted.add(out)
            return
        operator.inputs = self._all(operator.inputs, self._value)
        limits = [self._limit(int(i)) for i in operator.outputs]
        operator.outputs = np.array([self._output(int(i)) for i in operator.outputs], np.int32)
        self._made.append(operator)
        if cell and code == fb.Op.ADD and limits[0] is not None:
            self._clip(out, limits[0])

    def _output(self, index: int) -> int:
        if self._is_real(index):
            self._real[index] = index
        else:
            self._real[index] = self._new(index)
        return self._real[index]

    def _value(self, index: int) -> int:
        """The float form of what is read."""
        if index < 0 or self._is_real(index):
            return self._real.get(index, index)
        if index not in self._real:
            tensor = self._graph.tensors[index]
            quantization = tensor.quantization
            if quantization is None or quantization.scale is None or len(quantization.scale) == 0:
                # A shape, an axis: no number on a grid.
                return index
            raw = fb.constant(self._model, tensor)
            self._real[index] = self._new(index)
            if raw is None:
                self._made.append(
                    fb.operator(
                        self._model,
                        fb.Op.DEQUANTIZE,
                        2,
                        [index],
                        self._real[index],
                        "DequantizeOptions",
                    )
                )
            else:
                target = self._graph.tensors[self._real[index]]
                fb.set_constant(self._model, target, _dequantized(tensor, raw))
        return self._real[index]

    def _stored(self, index: int) -> int:
        """The original form of what is read: rounded again, if a float part gave it."""
        if index in self._real and index not in self._kept and not self._is_real(index):
            self._made.append(
                fb.operator(
                    self._model, fb.Op.QUANTIZE, 1, [self._real[index]], index, "QuantizeOptions"
                )
            )
            self._kept.add(index)
        elif index >= 0 and self._is_real(index):
            return self._real.get(index, index)
        return index

    def _clip(self, index: int, limit: float) -> None:
        """A float cell ends where the integer one saturates."""
        real, last = self._real[index], self._real[index]
        for code, name, bound in (
            (fb.Op.MINIMUM, b"upper", limit),
            (fb.Op.MAXIMUM, b"lower", -limit),
        ):
            end = fb.add_tensor(self._graph, self._graph.tensors[real], b"cell/" + name)
            tensor = self._graph.tensors[end]
            tensor.shape = np.array([], np.int32)
            fb.set_constant(self._model, tensor, np.array(bound, np.float32))
            following = self._new(index)
            self._made.append(
                fb.operator(self._model, code, 1, [last, end], following, "MaximumMinimumOptions")
            )
            last = following
        self._real[index] = last

    def _limit(self, index: int) -> float | None:
        tensor = self._graph.tensors[index]
        if tensor.type not in (9, 7) or tensor.quantization is None:
            return None
        return float(tensor.quantization.scale[0]) * 2 ** (7 if tensor.type == 9 else 15)

    def _new(self, index: int) -> int:
        like = self._graph.tensors[index]
        return fb.add_tensor(self._graph, like, bytes(like.name or b"") + b"/float")

    def _all(self, indices: Any, form: Any) -> Any:
        return np.array([form(int(i)) for i in indices], np.int32)

    def _close(self) -> None:
        """Inputs and outputs in the forms that they have now."""

        def form(index: int) -> int:
            return self._real.get(index, index) if index in self._ends else index

        graph = self._graph
        graph.inputs, graph.outputs = self._all(graph.inputs, form), self._all(graph.outputs, form)
        for signature in self._model.signatureDefs:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = form(int(entry.tensorIndex))


def _dequantized(tensor: Any, raw: Any) -> Any:
    values = np.frombuffer(raw.tobytes(), _DTYPES[tensor.type]).reshape(tensor.shape)
    scale = np.asarray(tensor.quantization.scale, np.float64)
    zero = np.asarray(tensor.quantization.zeroPoint, np.float64)
    if len(scale) > 1:
        shape = [1] * values.ndim
        shape[tensor.quantization.quantizedDimension] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape) if len(zero) > 1 else zero
    return ((values - zero) * scale).astype(np.float32)
