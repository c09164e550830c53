"""Holds a captioning model's two graphs against its spec."""

from __future__ import annotations

from typing import NamedTuple

from edgecap.bundle import Bundle
from edgecap.caption_spec import CAPTIONING, CaptionSpec
from edgecap.contract import SIGNATURE, check_nothing_hidden, check_tensor, same_names, tensor_spec
from edgecap.errors import SpecError
from edgecap.flatbuffer import read_graph
from edgecap.tensor_spec import TensorSpec

#: The signature, and the subgraph, that looks at the picture; ``step`` is in the first one.
ENCODE, ENCODE_SUBGRAPH = "encode", 1


class CaptionTensors(NamedTuple):
    """Tensor indices of the ``step`` signature; features and states in the spec's order.

    ``first`` is of ``encode``: the first states as it gives them, by name. Their grid may be one of
    their own: what comes out of TANH is in steps of 1/128, whatever the state is carried in.
    """

    token: int
    features: tuple[int, ...]
    states_in: tuple[int, ...]
    states_out: tuple[int, ...]
    logits: int
    attention: int
    first: dict[str, TensorSpec]


def bind_captions(bundle: Bundle) -> tuple[CaptionSpec, CaptionTensors]:
    """Finds the tensors of the step, and checks that all are what the spec says.

    Raises:
      SpecError: it is no captioning model; a signature or tensor is missing, unknown or differs
        from the spec; a state differs between its sides; a graph hides state or control flow.
    """
    spec, step = bundle.spec, bundle.graph
    caption = spec.caption
    if caption is None:
        raise SpecError(
            f"{spec.name} is a model for {spec.task}: expected one for {CAPTIONING}. Stream it "
            "with 'edgecap run' or edgecap.load"
        )
    if step.subgraphs != 2:
        raise SpecError(
            f"the model must be an encoder and a step; found {step.subgraphs} subgraphs"
        )
    encode = read_graph(bundle.model, ENCODE_SUBGRAPH)
    for graph, name in ((step, SIGNATURE), (encode, ENCODE)):
        check_nothing_hidden(graph)
        if name not in graph.signatures:
            found = ", ".join(graph.signatures) or "none"
            raise SpecError(f"expected a signature {name!r}; found {found}")
    states = [state.name for state in spec.states]
    features = [each.name for each in caption.features]
    inputs, outputs = encode.signatures[ENCODE]
    same_names("inputs", [spec.input.tensor.name], list(inputs), signature=ENCODE)
    same_names("outputs", [*features, *caption.first], list(outputs), signature=ENCODE)
    check_tensor(encode.tensors[inputs[spec.input.tensor.name]], spec.input.tensor, "input")
    for each in caption.features:
        check_tensor(encode.tensors[outputs[each.name]], each, "feature")
    by_name = {state.name: state for state in spec.states}
    first = {name: tensor_spec(name, encode.tensors[outputs[name]]) for name in caption.first}
    for name, given in first.items():
        if given.shape != by_name[name].shape:
            raise SpecError(
                f"first state {name!r}: expected the shape {by_name[name].shape} of the state; the "
                f"graph has {given.shape}"
            )
    inputs, outputs = step.signatures[SIGNATURE]
    same_names("inputs", [caption.token, *features, *states], list(inputs))
    logits, attention = spec.output.tensor, caption.attention
    same_names("outputs", [logits.name, attention.name, *states], list(outputs))
    token = step.tensors[inputs[caption.token]]
    if (token.shape, token.dtype) != ((1,), "int32"):
        raise SpecError(f"token: expected (1,) int32; the graph has {token.shape} {token.dtype}")
    for each in caption.features:
        check_tensor(step.tensors[inputs[each.name]], each, "feature")
    for state in spec.states:
        check_tensor(step.tensors[inputs[state.name]], state, "state in")
        check_tensor(step.tensors[outputs[state.name]], state, "state out")
    check_tensor(step.tensors[outputs[logits.name]], logits, "output")
    check_tensor(step.tensors[outputs[attention.name]], attention, "attention")
    return caption, CaptionTensors(
        token=inputs[caption.token],
        features=tuple(inputs[name] for name in features),
        states_in=tuple(inputs[name] for name in states),
        states_out=tuple(outputs[name] for name in states),
        logits=outputs[logits.name],
        attention=outputs[attention.name],
        first=first,
    )
