"""A loaded captioning model: a picture in, a sentence out."""

from __future__ import annotations

import hashlib
from _thread import allocate_lock
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecap.bundle import Bundle
from edgecap.captioning.contract import ENCODE, bind_captions
from edgecap.captioning.search import Hypothesis, SearchSettings, log_softmax, search
from edgecap.errors import BackendError
from edgecap.interpreter import DEFAULT_KERNELS, Backend, open_interpreter
from edgecap.opening import open_bundle
from edgecap.preprocess import Image, Preprocessor
from edgecap.quantization import dequantize, quantize, reset_value
from edgecap.spec import ModelSpec
from edgecap.steps import Arrays, check_kernels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from edgecap.tensor_spec import TensorSpec


@dataclass(frozen=True, eq=False)
class Scene:
    """What the model knows of a picture; every sentence about it begins here.

    Attributes:
      features: what each step reads. states: the first ones. Never written to.
    """

    features: Arrays
    states: Arrays


@dataclass(frozen=True, eq=False)
class Step:
    """The answer to one word.

    Attributes:
      logits: ``(words,)`` in the tensor's own dtype. states: the next ones.
      attention: ``(1, heads, 1, cells)`` in its own dtype, where was looked for the next word.
    """

    logits: npt.NDArray[Any]
    states: Arrays
    attention: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Caption:
    """A sentence about a picture.

    Attributes:
      text: the words, in lower case. words: one by one.
      score: log-probability divided by length ** length_penalty; higher is better.
      log_probability: of the whole sentence, its end included.
      attention: ``(words, rows, columns)`` float32, where was looked for each word: the mean over
        the heads; each map sums to 1.
    """

    text: str
    words: tuple[str, ...]
    score: float
    log_probability: float
    attention: npt.NDArray[np.float32]


class CaptionModel:
    """A verified captioning model with an interpreter. Get one from :func:`load_captioner`.

    Safe for several threads: a lock lets one step at a time through.

    Raises:
      SpecError: the spec does not fit the graphs, or is for no captions.
      BackendError: no TFLite runtime is installed, it refuses the model, or is known to compute it
        wrongly.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 1,
        kernels: str = DEFAULT_KERNELS,
        backend: str | None = None,
    ) -> None:
        self._bundle = bundle
        self._caption, self._tensors = bind_captions(bundle)
        self._interpreter, self._backend = open_interpreter(
            bundle.model, threads=threads, kernels=kernels, backend=backend
        )
        check_kernels(bundle.graph, self._backend)
        self._preprocess = Preprocessor(bundle.spec.input)
        self._lock = allocate_lock()
        self._encoded = 0

    @property
    def spec(self) -> ModelSpec:
        """The contract."""
        return self._bundle.spec

    @property
    def bundle(self) -> Bundle:
        """The file's parts."""
        return self._bundle

    @property
    def backend(self) -> Backend:
        """Which runtime computes, and how."""
        return self._backend

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words, by their numbers."""
        return self.spec.labels

    @property
    def encoded(self) -> int:
        """Pictures that the encoder has looked at so far."""
        return self._encoded

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the flatbuffer and of the words."""
        digest = hashlib.sha256(self._bundle.model)
        digest.update("\n".join((self.spec.task, *self.spec.labels)).encode())
        return digest.hexdigest()

    @property
    def search_settings(self) -> SearchSettings:
        """How sentences are looked for, unless asked otherwise."""
        caption = self._caption
        return SearchSettings(
            start=caption.start,
            end=caption.end,
            forbidden=caption.forbidden,
            longest=caption.longest,
            beam=caption.beam,
            length_penalty=caption.length_penalty,
        )

    def encode(self, image: Image) -> Scene:
        """Looks at a picture, once.

        Args:
          image: ``(h, w, 3)`` uint8 RGB of any size; resized by the spec's rule if need be.

        Raises:
          FrameError: the image has a wrong shape or dtype.
          MissingDependencyError: it must be resized and OpenCV is not installed.
        """
        caption, spec = self._caption, self.spec
        with self._lock:
            found = self._run_encode({spec.input.tensor.name: self._preprocess(image)})
            self._encoded += 1
        states = tuple(
            _on_grid(found[state.name], self._tensors.first[state.name], state)
            if state.name in caption.first
            else np.full(state.shape, reset_value(state), state.dtype)
            for state in spec.states
        )
        return Scene(tuple(found[each.name] for each in caption.features), states)

    def _run_encode(self, given: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        interpreter: Any = self._interpreter
        # Made anew each time, and the results copied: while a runner or a view of its results is
        # alive, the interpreter refuses to invoke the steps.
        try:
            runner = interpreter.get_signature_runner(ENCODE)
            return {name: np.array(value) for name, value in runner(**given).items()}
        except (RuntimeError, ValueError) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> BackendError:
        """Signatures are prepared when they first run, not when the file is opened."""
        return BackendError(f"{self._backend.name} cannot run this model: {error}")

    def step(self, word: int, scene: Scene, states: Arrays) -> Step:
        """What may follow a word.

        Args:
          word: its number; ``spec.caption.start`` before the first one.
          scene: the picture. states: those of the scene, or of a previous step; not changed.

        Raises:
          ValueError: there is no word of that number.
        """
        if not 0 <= word < len(self.spec.labels):
            raise ValueError(f"word: expected 0 to {len(self.spec.labels) - 1}; got {word}")
        interpreter, tensors = self._interpreter, self._tensors
        with self._lock:
            interpreter.set_tensor(tensors.token, np.array([word], np.int32))
            for index, value in zip(tensors.features, scene.features, strict=True):
                interpreter.set_tensor(index, value)
            for index, value in zip(tensors.states_in, states, strict=True):
                interpreter.set_tensor(index, value)
            try:
                interpreter.invoke()
            except RuntimeError as error:
                raise self._refused(error) from error
            return Step(
                interpreter.get_tensor(tensors.logits)[0],
                tuple([interpreter.get_tensor(index) for index in tensors.states_out]),
                interpreter.get_tensor(tensors.attention),
            )

    def log_probabilities(self, logits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Of every word, ``(words,)`` float32, from the logits of a step.

        Not a part of the graph: TFLite's int8 LOG_SOFTMAX rounds to sixteenths.
        """
        return log_softmax(dequantize(logits, self.spec.output.tensor))

    def caption(
        self, image: Image, *, beam: int | None = None, length_penalty: float | None = None
    ) -> Caption:
        """The best sentence about a picture; see :meth:`captions`."""
        return self.captions(image, beam=beam, length_penalty=length_penalty)[0]

    def captions(
        self, image: Image, *, beam: int | None = None, length_penalty: float | None = None
    ) -> list[Caption]:
        """Sentences about a picture, the best first. It is encoded once, whatever the beam.

        Args:
          image: ``(h, w, 3)`` uint8 RGB of any size.
          beam: hypotheses that are followed at once, 1 for greedy search; by default the model's.
          length_penalty: see :mod:`edgecap.captioning.search`; by default the model's.

        Raises:
          ConfigError: beam or length penalty is out of range.
          FrameError: the image has a wrong shape or dtype.
        """
        settings = self.search_settings
        if beam is not None:
            settings = replace(settings, beam=beam)
        if length_penalty is not None:
            settings = replace(settings, length_penalty=length_penalty)
        writer = _Forks(self, self.encode(image), settings.beam)
        (found,) = search(writer, 1, settings)
        return [self._told(each, writer) for each in found]

    def _told(self, found: Hypothesis, writer: _Forks) -> Caption:
        words = tuple(self.vocabulary[number] for number in found.words)
        maps = [
            self._map(writer.attention[at][parent])
            for at, parent in enumerate(found.parents[: len(words)])
        ]
        rows, columns = self._caption.rows, self._caption.columns
        attention = np.stack(maps) if maps else np.zeros((0, rows, columns), np.float32)
        return Caption(" ".join(words), words, found.score, found.log_probability, attention)

    def _map(self, attention: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The mean over the heads, as a map that sums to 1."""
        weights = dequantize(attention, self._caption.attention)[0, :, 0].mean(axis=0)
        shaped = weights.reshape(self._caption.rows, self._caption.columns)
        total: npt.NDArray[np.float32] = shaped / max(float(shaped.sum()), 1e-6)
        return total


def _on_grid(value: npt.NDArray[Any], given: TensorSpec, wanted: TensorSpec) -> npt.NDArray[Any]:
    """What a tensor of one spec says, in the numbers of another."""
    return value if given == wanted else quantize(dequantize(value, given), wanted)


class _Forks:
    """The hypotheses about one picture, each with states of its own: what a search steps."""

    def __init__(self, model: CaptionModel, scene: Scene, beam: int) -> None:
        self._model, self._scene = model, scene
        self._states = [scene.states] * beam
        #: Of each step, the attention of each hypothesis before it was told apart into new ones.
        self.attention: list[list[npt.NDArray[Any]]] = []

    def step(self, words: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        model, first = self._model, self.attention == []
        rows: list[npt.NDArray[np.float32]] = []
        maps: list[npt.NDArray[Any]] = []
        for k, word in enumerate(words[0].tolist()):
            if first and k:
                # All begin alike.
                rows.append(rows[0])
                maps.append(maps[0])
                self._states[k] = self._states[0]
                continue
            taken = model.step(word, self._scene, self._states[k])
            self._states[k] = taken.states
            rows.append(model.log_probabilities(taken.logits))
            maps.append(taken.attention)
        self.attention.append(maps)
        return np.stack(rows)[None]

    def follow(self, parents: npt.NDArray[np.int64]) -> None:
        self._states = [self._states[parent] for parent in parents[0].tolist()]


def load_captioner(
    path: str | Path,
    *,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
    probe: bool = False,
    public_key: str | Path | None = None,
) -> CaptionModel:
    """Loads and verifies a captioning model.

    Args:
      path: a ``.tflite`` made by ``edgecap convert`` of a captioning run.
      threads, kernels, backend, probe, public_key: see :func:`edgecap.load`.

    Raises:
      ModelFileError: missing, unreadable, damaged, or no edgecap model.
      SpecError: the spec is malformed, does not fit the graphs, or is for no captions.
      BackendError, SignatureError: see :func:`edgecap.load`.
    """
    runtime: dict[str, Any] = {"threads": threads, "kernels": kernels, "backend": backend}
    return CaptionModel(open_bundle(path, public_key=public_key, probe=probe, **runtime), **runtime)
