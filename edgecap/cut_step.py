"""Runs a model's step in its two parts, each on an interpreter of its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgecap.bundle import Bundle
from edgecap.contract import bind
from edgecap.cut import extract, find_cut
from edgecap.errors import BackendError
from edgecap.interpreter import Backend, Interpreter, open_interpreter
from edgecap.preprocess import Preprocessor
from edgecap.quantization import reset_value
from edgecap.spec import ModelSpec
from edgecap.steps import Array, Arrays, WholeStep

Numbers = tuple[int, ...]

# Frames with which the two parts are held against the whole before they replace it.
_CHECKED_FRAMES = 6


class CutStep:
    """The step in two parts, each on an interpreter of its own; weights are in one of them only.

    Raises:
      SpecError: the graph has no such parts.
      ModelFileError: the file is laid out in a way that cannot be patched.
      BackendError: the runtime refuses a part.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        tensors = bind(bundle.graph, bundle.spec)
        cut = find_cut(bundle.graph, tensors)

        def opened(operators: Numbers, inputs: Numbers, outputs: Numbers) -> Interpreter:
            part = extract(bundle.model, operators=operators, inputs=inputs, outputs=outputs)
            interpreter, _ = open_interpreter(
                part, threads=backend.threads, kernels=backend.kernels, backend=backend.name
            )
            return interpreter

        self._image = tensors.image
        self._features = cut.features
        self._encoder = opened(cut.encode, (tensors.image,), cut.encode_outputs)
        self._rest = (
            opened(cut.advance, cut.advance_inputs, cut.advance_outputs) if cut.advance else None
        )
        # What an interpreter is given: (place among the arrays, tensor).
        self._given_features = _places(cut.features, cut.advance_inputs)
        self._given_states = _places(tensors.states_in, cut.advance_inputs)
        # Where the outputs and next states come from: among the features or the states given, at
        # a place, or out of the interpreter.
        self._results = [
            (index, _place(cut.features, index), _place(tensors.states_in, index))
            for index in (tensors.output, *tensors.states_out)
        ]

    def encode(self, image: Array) -> Arrays:
        """Image tensor → features, fresh arrays."""
        encoder = self._encoder
        encoder.set_tensor(self._image, image)
        encoder.invoke()
        return tuple(
            np.array(image) if index == self._image else encoder.get_tensor(index)
            for index in self._features
        )

    def advance(self, features: Arrays, states: Arrays) -> tuple[Array, Arrays]:
        """Features and states → outputs ``(1, labels)`` and the next states.

        Any of these may be one of the given arrays; none is ever written to.
        """
        rest = self._rest
        if rest is not None:
            for place, index in self._given_features:
                rest.set_tensor(index, features[place])
            for place, index in self._given_states:
                rest.set_tensor(index, states[place])
            rest.invoke()
        outputs, *following = (
            features[feature]
            if feature is not None
            else states[state]
            if state is not None
            else rest.get_tensor(index)  # type: ignore[union-attr]  # there is one, or no such
            for index, feature, state in self._results
        )
        return outputs, tuple(following)

    def step(self, image: Array, states: Arrays) -> tuple[Array, Arrays]:
        return self.advance(self.encode(image), states)


def cut_step(bundle: Bundle, whole: WholeStep) -> CutStep:
    """The two parts of a step, which give the same bytes as the whole.

    That they do is tried on some frames with carried state: how operators are spread over a graph
    is up to the kernels.

    Raises:
      SpecError, ModelFileError: see :class:`CutStep`.
      BackendError: a part is refused, or the parts do not give the same bytes.
    """
    parts = CutStep(bundle, whole.backend)
    spec = bundle.spec
    prepare = Preprocessor(spec.input)
    one = other = _initial(spec)
    for frame in _frames(bundle):
        image = prepare(frame)
        outputs, one = whole.step(image, one)
        found, other = parts.step(image, other)
        if any(
            a.tobytes() != b.tobytes()
            for a, b in zip((outputs, *one), (found, *other), strict=True)
        ):
            raise BackendError(
                f"{whole.backend}: the two parts of this model do not give the same bytes as the "
                "whole. Run it without a gate, or with other kernels"
            )
    return parts


def _places(tensors: Numbers, wanted: Numbers) -> list[tuple[int, int]]:
    return [(place, index) for place, index in enumerate(tensors) if index in wanted]


def _place(tensors: Numbers, index: int) -> int | None:
    return tensors.index(index) if index in tensors else None


def _initial(spec: ModelSpec) -> Arrays:
    return tuple(np.full(s.shape, reset_value(s), s.dtype) for s in spec.states)


def _frames(bundle: Bundle) -> npt.NDArray[np.uint8]:
    """Recorded frames, and noise, which excites every channel."""
    recorded = bundle.golden.frames[: _CHECKED_FRAMES // 2]
    size = bundle.spec.input
    count = _CHECKED_FRAMES - len(recorded)
    noise = np.random.default_rng(0).integers(
        0, 256, (count, size.height, size.width, 3), dtype=np.uint8
    )
    return np.concatenate([recorded.reshape(-1, *noise.shape[1:]), noise])
