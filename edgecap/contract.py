"""Holds a model's graph against its spec, and finds the tensors of the step."""

from __future__ import annotations

import math
from typing import NamedTuple

from edgecap.caption_spec import CAPTIONING
from edgecap.errors import SpecError
from edgecap.flatbuffer import Graph, Tensor
from edgecap.spec import ModelSpec, TensorSpec

SIGNATURE = "step"

# Operators that would keep state inside the interpreter, or need more than a TFLite runtime.
_FORBIDDEN = (
    "WHILE",
    "IF",
    "CALL_ONCE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "CUSTOM",
)


class StepTensors(NamedTuple):
    """Tensor indices of the ``step`` signature; states in the spec's order."""

    image: int
    output: int
    states_in: tuple[int, ...]
    states_out: tuple[int, ...]


def bind(graph: Graph, spec: ModelSpec) -> StepTensors:
    """Finds the step's tensors and checks that each is what the spec says.

    Raises:
      SpecError: no ``step`` signature; a tensor is missing, unknown or differs from the spec in
        shape, dtype, scale or zero-point; a state differs between its two sides; the graph hides
        state or control flow.
    """
    if spec.task == CAPTIONING:
        raise SpecError(
            f"{spec.name} is a captioning model, which streams nothing: ask it with 'edgecap "
            "caption', 'edgecap run', or edgecap.load_captioner"
        )
    check_nothing_hidden(graph)
    if graph.subgraphs != 1:
        raise SpecError(f"the graph must be one step; found {graph.subgraphs} subgraphs")
    if SIGNATURE not in graph.signatures:
        found = ", ".join(graph.signatures) or "none"
        raise SpecError(f"expected a signature {SIGNATURE!r}; found {found}")
    inputs, outputs = graph.signatures[SIGNATURE]
    states = [state.name for state in spec.states]
    same_names("inputs", [spec.input.tensor.name, *states], list(inputs))
    same_names("outputs", [spec.output.tensor.name, *states], list(outputs))
    check_tensor(graph.tensors[inputs[spec.input.tensor.name]], spec.input.tensor, "input")
    check_tensor(graph.tensors[outputs[spec.output.tensor.name]], spec.output.tensor, "output")
    for state in spec.states:
        check_tensor(graph.tensors[inputs[state.name]], state, "state in")
        check_tensor(graph.tensors[outputs[state.name]], state, "state out")
    return StepTensors(
        image=inputs[spec.input.tensor.name],
        output=outputs[spec.output.tensor.name],
        states_in=tuple(inputs[name] for name in states),
        states_out=tuple(outputs[name] for name in states),
    )


def check_nothing_hidden(graph: Graph) -> None:
    """Raises ``SpecError`` where a graph keeps state to itself, or has control flow."""
    hidden = sorted({o.name for o in graph.operators} & set(_FORBIDDEN))
    hidden += [f"variable {tensor.name}" for tensor in graph.tensors if tensor.is_variable]
    if hidden:
        raise SpecError(
            f"the graph must be one step without hidden state; found {', '.join(hidden)}"
        )


def tensor_spec(name: str, tensor: Tensor) -> TensorSpec:
    """Describes a graph's tensor the way a spec does.

    Raises:
      SpecError: the tensor has one scale per channel, or no usable shape, dtype or scale.
    """
    if len(tensor.scales) > 1 or len(tensor.zero_points) > 1:
        raise SpecError(f"tensor {name!r}: expected one scale; found {len(tensor.scales)}")
    return TensorSpec(
        name=name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        scale=tensor.scales[0] if tensor.scales else 0.0,
        zero_point=tensor.zero_points[0] if tensor.zero_points else 0,
    )


def same_names(
    side: str, expected: list[str], found: list[str], *, signature: str = SIGNATURE
) -> None:
    """Raises ``SpecError`` unless a side of a signature has the spec's names."""
    if sorted(expected) != sorted(found):
        raise SpecError(
            f"{side} of {signature!r}: the spec names {', '.join(sorted(expected))}; "
            f"the graph has {', '.join(sorted(found))}"
        )


def check_tensor(tensor: Tensor, expected: TensorSpec, role: str) -> None:
    """Raises ``SpecError`` unless a graph's tensor is what the spec says."""
    try:
        found = tensor_spec(expected.name, tensor)
    except SpecError as error:
        raise SpecError(f"{role} {expected.name!r}: {error}") from error
    same = (
        found.shape == expected.shape
        and found.dtype == expected.dtype
        and math.isclose(found.scale, expected.scale, rel_tol=1e-6)
        and found.zero_point == expected.zero_point
    )
    if not same:
        raise SpecError(
            f"{role} {expected.name!r}: the spec says {expected}; the graph has {found}"
        )
