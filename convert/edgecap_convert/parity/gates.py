"""What a file must fulfil to be written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from edgecap.contract import SIGNATURE
from edgecap.errors import ParityError
from edgecap.flatbuffer import Graph
from edgecap.spec import ModelSpec
from edgecap_convert.quantization.grids import Grid
from edgecap_convert.quantization.recipes import Recipe

# Operators that may be float where the cell state is, and what they may hold in common with it.
_CELL_OPERATORS = ("DEQUANTIZE", "QUANTIZE", "MUL", "ADD", "MINIMUM", "MAXIMUM", "TANH")
_HEAD_OPERATORS = ("DEQUANTIZE", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Gate:
    """One thing that was checked.

    Attributes:
      name: what. bar: what it has to be. found: what it is. passed: whether that will do.
    """

    name: str
    bar: str
    found: str
    passed: bool


def check_states(graph: Graph) -> None:
    """Every state comes in and goes out, on one grid.

    Raises:
      ParityError: a state has one side only, or its sides differ.
    """
    inputs, outputs = graph.signatures[SIGNATURE]
    alone = sorted(set(inputs) - set(outputs)), sorted(set(outputs) - set(inputs))
    if len(alone[0]) != 1 or len(alone[1]) != 1:
        raise ParityError(
            "states are not in pairs: expected one input and one output that have no partner; "
            f"got {', '.join(alone[0])} and {', '.join(alone[1])}"
        )
    check_carried(graph, sorted(set(inputs) & set(outputs)))


def check_carried(graph: Graph, names: Iterable[str]) -> None:
    """States of these names come in and go out on one grid.

    Raises:
      ParityError: one has one side only, or its sides differ.
    """
    inputs, outputs = graph.signatures[SIGNATURE]
    for name in names:
        if name not in inputs or name not in outputs:
            raise ParityError(f"state {name}: expected it to come in and to go out")
        sides = [graph.tensors[side[name]] for side in (inputs, outputs)]
        given, following = [(t.shape, t.dtype, t.scales, t.zero_points) for t in sides]
        if given != following:
            raise ParityError(
                f"state {name}: expected one grid on both sides; comes in as {given}, goes out as "
                f"{following}"
            )


def check_floats(graph: Graph, recipe: Recipe) -> None:
    """No tensor of an integer recipe is float that need not be.

    Raises:
      ParityError: some are.
    """
    if not recipe.integer:
        return
    allowed: tuple[str, ...] = ()
    if recipe.cell == "float32":
        allowed += _CELL_OPERATORS
    if recipe.head == "float32":
        allowed += _HEAD_OPERATORS
    strange = set()
    for operator in graph.operators:
        touched = [i for i in (*operator.inputs, *operator.outputs) if i >= 0]
        if operator.name not in allowed:
            strange |= {i for i in touched if graph.tensors[i].dtype.startswith("float")}
    if strange:
        names = ", ".join(graph.tensors[i].name for i in sorted(strange)[:4])
        raise ParityError(
            f"recipe {recipe.name}: expected no float but the "
            f"{'cell state' if allowed else 'none'}; got {names}"
        )


# A file beside what it was made of, step by step. Trained networks measure up to 0.30 steps, and
# 0.02 running freely; the bars leave room for barely trained ones and for encoders that are not
# simulated to the byte, and none for what tests/convert/test_gates.py spoils.
_MEAN_STEPS = 1.5
# Running freely, errors are told beside the signal: 0.3 of its deviation is 10 dB.
_OFF_SHARE = 0.3
# The recurrent step knows no other noise than ties.
_RECURRENT_WITHIN_ONE = 0.98


def check_grids(spec: ModelSpec, expected: dict[str, Grid]) -> None:
    """The states are on the grids that training had.

    Raises:
      ParityError: one is on another.
    """
    for state in spec.states:
        grid = expected.get(state.name)
        if grid is None or state.dtype == "float32":
            continue
        near = math.isclose(state.scale, grid.scale, rel_tol=1e-5)
        if not near or state.zero_point != grid.zero_point:
            raise ParityError(
                f"state {state.name}: expected steps of {grid.scale:.6g} and zero-point "
                f"{grid.zero_point}, as in training; got {state.scale:.6g} and {state.zero_point}"
            )


def judge(steps: dict[str, Any]) -> list[Gate]:
    """Holds the record of an integer file's differences against the tolerances.

    Args:
      steps: of ``record.measure_steps``.
    """
    gates = [
        judge_step(f"{name}, each step from the same state", found["mean"])
        for name, found in steps["each_step"]["tensors"].items()
    ]
    within = steps["recurrent"]["within_one"]
    gates.append(
        Gate(
            "recurrent step, each from the same state",
            f"{_RECURRENT_WITHIN_ONE * 100:g} % of the values within 1 step",
            f"{within * 100:.3f} %",
            within >= _RECURRENT_WITHIN_ONE,
        )
    )
    return [*gates, judge_outputs(steps["free_running"]["off_share"])]


def judge_step(name: str, mean: float) -> Gate:
    """Holds a tensor's mean error, in steps, against the tolerance."""
    bar = f"mean error of at most {_MEAN_STEPS:g} steps"
    return Gate(name, bar, f"{mean:.3g}", mean <= _MEAN_STEPS)


def judge_outputs(off_share: float) -> Gate:
    """Holds the outputs' error, running freely, against the tolerance."""
    bar = f"rms error of at most {_OFF_SHARE:g} of their deviation"
    return Gate("outputs, running freely", bar, f"{off_share:.3g}", off_share <= _OFF_SHARE)


def require(gates: list[dict[str, Any]]) -> None:
    """All of them passed.

    Args:
      gates: of a record, see :class:`Gate`.

    Raises:
      ParityError: one did not.
    """
    failed = [gate for gate in gates if not gate["passed"]]
    if failed:
        told = "; ".join(f"{g['name']}: expected {g['bar']}; got {g['found']}" for g in failed)
        raise ParityError(
            f"the file does not compute what it was made of: {told}. No model was written; "
            "edgecap doctor tells where the error arises"
        )


def to_dicts(gates: list[Gate]) -> list[dict[str, Any]]:
    return [asdict(gate) for gate in gates]
