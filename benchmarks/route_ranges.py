"""Ranges of tensors by their names, which differ between the routes; for ``routes.py``."""

from __future__ import annotations

import math
import re

import numpy as np

from edgecap.contract import SIGNATURE
from edgecap.flatbuffer import Graph, Operator, Tensor

Ranges = dict[str, dict[str, np.ndarray]]


class Learnt:
    """The ranges of a trained file, under the names of the float one.

    Attributes:
      ranges: tensor → minimum and maximum. missing: tensors that the trained file does not name.
    """

    def __init__(self, trained: Graph, plain: Graph) -> None:
        self._known: dict[str, Tensor] = {}
        for operator in trained.operators:
            for index in operator.outputs:
                tensor = trained.tensors[index]
                if tensor.dtype == "int8":
                    self._known.setdefault(tensor.name.partition(";")[0], tensor)
        sides = list(zip(plain.signatures[SIGNATURE], trained.signatures[SIGNATURE], strict=True))
        roles = {here[k]: trained.tensors[there[k]] for here, there in sides for k in here}
        inside = {o.outputs[0] for island in cells(plain).values() for o in island}
        self.ranges: Ranges = {}
        self.missing: list[str] = []
        self._fixed: set[str] = set()
        fixed = _fixed_grids()
        for index in activations(plain):
            tensor = plain.tensors[index]
            found = roles.get(index) or self._find(tensor)
            if found is not None and found.dtype == "int8":
                low, high = limits(found)
                grid = (found.scales[0], found.zero_points[0])
                if any(math.isclose(grid[0], s, rel_tol=1e-6) and grid[1] == z for s, z in fixed):
                    self._fixed.add(tensor.name)
            elif index in inside or index in roles:
                low, high = (-1.0, 127 / 128) if "Tanh" in tensor.name else (-4.0, 4.0)
                self._fixed.add(tensor.name)
            else:
                self.missing.append(tensor.name)
                continue
            axes = (1,) * len(tensor.shape)
            self.ranges[tensor.name] = {
                "min": np.full(axes, low, np.float32),
                "max": np.full(axes, high, np.float32),
            }

    def _find(self, tensor: Tensor) -> Tensor | None:
        # The converter joins the names of what it fuses, and numbers those that come twice.
        name = tensor.name.partition(";")[0]
        for guess in (name, name.removesuffix("1")):
            found = self._known.get(guess)
            if found is not None and math.prod(found.shape) == math.prod(tensor.shape):
                return found
        return None

    def fixed(self) -> Ranges:
        """Those that are not learnt but stand by construction, and those of the float cell."""
        return {name: self.ranges[name] for name in self._fixed}


def _fixed_grids() -> list[tuple[float, int]]:
    from edgecap_convert.models.view import PLACE
    from edgecap_convert.quantization import grids

    fixed = (grids.IMAGE, grids.PREACTIVATION, grids.SIGMOID, grids.TANH, PLACE)
    return [(grid.scale, grid.zero_point) for grid in fixed]


def limits(tensor: Tensor) -> tuple[float, float]:
    """The real values at both ends of an int8 grid."""
    scale, zero_point = tensor.scales[0], tensor.zero_points[0]
    return scale * (-128 - zero_point), scale * (127 - zero_point)


def activations(graph: Graph) -> list[int]:
    """Inputs of the step, and what its operators compute."""
    inputs = graph.signatures[SIGNATURE][0].values()
    return sorted({*inputs, *(i for operator in graph.operators for i in operator.outputs)})


def cells(graph: Graph) -> dict[str, list[Operator]]:
    """The operators of each cell state: from the gates to c', and the tanh that reads it."""
    makers = {i: operator for operator in graph.operators for i in operator.outputs}
    found = {}
    for name, index in graph.signatures[SIGNATURE][1].items():
        if re.fullmatch(r"c\d*", name) is None:
            continue
        island: list[Operator] = []
        waiting = [index]
        while waiting:
            operator = makers.get(waiting.pop())
            if operator is None or operator in island or operator.name in ("LOGISTIC", "TANH"):
                continue
            island.append(operator)
            waiting += operator.inputs
        island += [o for o in graph.operators if o.name == "TANH" and index in o.inputs]
        found[name] = island
    return found
