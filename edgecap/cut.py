"""A model's step in two parts: what looks at the image, and what carries the state on.

    step     image, states    → outputs, states
    encode   image            → features        every operator that needs the image and no state
    advance  features, states → outputs, states  all others

Any verified file can be cut like this when it is loaded; nothing is converted. The features are
those results of ``encode`` that ``advance`` or the step's outputs use. Where nothing has changed
before the camera, they stay as they are, and ``advance`` alone costs little.

Each part is a copy of the flatbuffer in which the subgraph has fewer operators and other inputs
and outputs. Tables stay where they are, so no offset inside them changes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgecap.contract import StepTensors
from edgecap.errors import ModelFileError, SpecError
from edgecap.flatbuffer import Graph, Operator, Reader, Table, read_graph

# Fields of the schema's tables.
_MODEL_SUBGRAPHS, _MODEL_SIGNATURES = 2, 7
_INPUTS, _OUTPUTS, _OPERATORS = 1, 2, 3


@dataclass(frozen=True)
class Cut:
    """Where a step is cut; all numbers are those of the file.

    Attributes:
      encode, advance: operators, in the order in which they run. What depends on neither image nor
        state is in each part that needs it.
      features: tensors that are handed over; the image itself is one of them where ``advance``
        needs it too.
      encode_outputs: the features that ``encode`` computes, so all but the image.
      advance_inputs: those features and states that an operator of ``advance`` reads.
      advance_outputs: those of the step's outputs and next states that are neither features nor
        states handed through; none if the model has no memory, and ``advance`` is empty then.
    """

    encode: tuple[int, ...]
    advance: tuple[int, ...]
    features: tuple[int, ...]
    encode_outputs: tuple[int, ...]
    advance_inputs: tuple[int, ...]
    advance_outputs: tuple[int, ...]


def find_cut(graph: Graph, tensors: StepTensors) -> Cut:
    """Finds where the step of a graph is to be cut.

    Raises:
      SpecError: the step computes nothing from the image alone.
    """
    of_image, of_state = {tensors.image}, set(tensors.states_in)
    encode: list[int] = []
    advance: list[int] = []
    constant: list[int] = []
    for number, operator in enumerate(graph.operators):
        inputs = set(operator.inputs)
        if inputs & of_state:
            of_state.update(operator.outputs)
            advance.append(number)
        elif inputs & of_image:
            of_image.update(operator.outputs)
            encode.append(number)
        else:
            constant.append(number)
    results = {*tensors.states_out, tensors.output}
    advance = _with_constants(graph, advance, constant, results)
    read = {index for number in advance for index in graph.operators[number].inputs}
    features = of_image & (read | results)
    encoded = features - {tensors.image}
    if not encoded:
        raise SpecError("this model cannot be gated: it computes nothing from the image alone")
    left = results - features - set(tensors.states_in)
    return Cut(
        encode=tuple(_with_constants(graph, encode, constant, set())),
        advance=tuple(advance) if left else (),
        features=tuple(sorted(features)),
        encode_outputs=tuple(sorted(encoded)),
        advance_inputs=tuple(i for i in (*sorted(features), *tensors.states_in) if i in read),
        advance_outputs=tuple(sorted(left)),
    )


def extract(
    data: bytes, *, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
) -> bytes:
    """A copy of a flatbuffer whose graph is some of its operators.

    Args:
      data: a flatbuffer that :func:`read_graph` accepts.
      operators: numbers of those to keep, ascending.
      inputs, outputs: tensor indices.

    Returns:
      A flatbuffer with one subgraph and no signature; tensors keep their index.

    Raises:
      ModelFileError: the file is laid out in a way that cannot be patched.
    """
    whole = read_graph(data)
    model = Table(Reader(data), struct.unpack_from("<I", data, 0)[0])
    main = next(iter(model.tables(_MODEL_SUBGRAPHS)))
    patched = bytearray(data)
    start, count = main.vector(_OPERATORS, 4)
    for place, number in enumerate(operators):
        if not place <= number < count:
            raise ModelFileError(f"expected ascending operators below {count}; got {operators}")
        # Offsets count from their own place and cannot be negative: an entry may move forward.
        old, new = start + 4 * number, start + 4 * place
        (offset,) = struct.unpack_from("<I", data, old)
        struct.pack_into("<I", patched, new, offset + old - new)
    struct.pack_into("<I", patched, start - 4, len(operators))
    for table, field, values in (
        (main, _INPUTS, inputs),
        (main, _OUTPUTS, outputs),
        (model, _MODEL_SIGNATURES, ()),
    ):
        _append_vector(patched, table.position_of(field), values)
    _check(bytes(patched), whole, operators, inputs, outputs)
    return bytes(patched)


def _with_constants(
    graph: Graph, operators: list[int], constant: Iterable[int], results: set[int]
) -> list[int]:
    """The operators and those constant ones that they, or the results, need."""
    needed = {i for number in operators for i in graph.operators[number].inputs} | results
    chosen = set(operators)
    for number in sorted(constant, reverse=True):
        operator: Operator = graph.operators[number]
        if needed & set(operator.outputs):
            chosen.add(number)
            needed.update(operator.inputs)
    return sorted(chosen)


def _append_vector(data: bytearray, position: int | None, values: Sequence[int]) -> None:
    """Writes a vector of int32 at the end, and points a field there."""
    if position is None:
        if not values:
            return
        raise ModelFileError("the TFLite flatbuffer cannot be cut: its graph names no inputs")
    data.extend(bytes(-len(data) % 4))
    struct.pack_into("<I", data, position, len(data) - position)
    data.extend(struct.pack(f"<I{len(values)}i", len(values), *values))


def _check(
    data: bytes,
    whole: Graph,
    operators: Sequence[int],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> None:
    """Reads the patched file again: parts of a file may share bytes, and what was patched must not.

    Raises:
      ModelFileError: something else changed, too.
    """
    found = read_graph(data)
    expected = Graph(
        tensors=whole.tensors,
        operators=tuple(whole.operators[number] for number in operators),
        signatures={},
        subgraphs=whole.subgraphs,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )
    if found != expected:
        raise ModelFileError(
            "the TFLite flatbuffer cannot be cut: its tables share bytes. Convert the model again, "
            "or run it without a gate"
        )
