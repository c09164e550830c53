"""A loaded model, and streams that carry its state from frame to frame."""

from __future__ import annotations

import hashlib
from _thread import allocate_lock
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from edgecap.activation import activation
from edgecap.bundle import Bundle
from edgecap.errors import StateError
from edgecap.interpreter import DEFAULT_KERNELS, Backend
from edgecap.opening import open_bundle
from edgecap.predictions import Decider, Prediction, decider
from edgecap.preprocess import Image, Preprocessor, resize
from edgecap.quantization import reset_value
from edgecap.spec import DecisionSpec, ModelSpec
from edgecap.steps import Arrays, WholeStep

if TYPE_CHECKING:
    # What only a gated stream needs is imported by it: a cold start does not wait for it.
    from pathlib import Path

    import numpy.typing as npt

    from edgecap.cut_step import CutStep
    from edgecap.gate import SceneGate, Seen

# What the predictions of a stream are; which they are stands in the model file.
_P = TypeVar("_P", bound=Prediction)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A stream at one instant; independent of what the stream does afterwards.

    Attributes:
      model: digest of the model that it belongs to.
      states: one array per state of the spec, in its order.
      frames: frames since the reset.
      timestamp_s: of the last frame, or ``None`` before the first.
      encoded: of the frames, those that the encoder looked at.
      seen: of a gated stream, the picture that was encoded last.
    """

    model: str
    states: Arrays
    frames: int
    timestamp_s: float | None
    _decider: Decider
    encoded: int = 0
    seen: Seen | None = None


class StreamObserver(Protocol):
    """Is told what a stream does, in the thread that steps it; see ``Stream.observer``."""

    def stepped(self, image: Image, outputs: npt.NDArray[Any], prediction: Prediction) -> None:
        """After each step: the ``(H, W, 3)`` image that the graph was given, the outputs
        ``(labels,)`` in their own dtype, and the answer. None of them is written to."""

    def jumped(self) -> None:
        """The state was set by a reset or a snapshot, not by a step."""


class StreamingModel:
    """A verified model with an interpreter; makes streams. Get one from :func:`load`.

    One interpreter serves all streams, from any thread: a lock lets one step at a time through.
    Once a stream is gated there are two, for the two parts of the step (:mod:`edgecap.cut`); they
    serve all streams and give the same bytes.
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
        whole = WholeStep(bundle, threads=threads, kernels=kernels, backend=backend)
        self._step: WholeStep | CutStep = whole
        self._backend = whole.backend
        self._lock = allocate_lock()
        self._preprocess = Preprocessor(bundle.spec.input)
        self._activation = activation(bundle.spec.output)

    @property
    def spec(self) -> ModelSpec:
        """The contract."""
        return self._bundle.spec

    @property
    def bundle(self) -> Bundle:
        """The file's parts."""
        return self._bundle

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the flatbuffer, labels and task: what the states and outputs mean."""
        digest = hashlib.sha256(self._bundle.model)
        digest.update("\n".join((self.spec.task, *self.spec.labels)).encode())
        return digest.hexdigest()

    @property
    def backend(self) -> Backend:
        """Which runtime computes, and how."""
        return self._backend

    @property
    def labels(self) -> tuple[str, ...]:
        """One per output, in the order of a prediction's ``probabilities`` or ``values``."""
        return self._bundle.spec.labels

    def stream(
        self, decision: DecisionSpec | None = None, *, gate: SceneGate | None = None
    ) -> Stream[Any]:
        """A new stream in the reset state.

        Which predictions it gives depends on the file, which no type checker reads; name them
        where that matters: ``stream: Stream[RegressionPrediction] = model.stream()``.

        Args:
          decision: replaces the model's own thresholds.
          gate: leaves the encoder out while nothing changes in the picture; the state is carried
            on with every frame all the same. Without one, every frame is encoded.

        Raises:
          SpecError, ModelFileError, BackendError: with a gate, and the model cannot be cut in two.
        """
        if gate is not None:
            self._cut()
        return Stream(self, decision or self.spec.decision, gate)

    def initial_states(self) -> Arrays:
        """The states after a reset: the value that means 0 on each state's grid."""
        return tuple(
            np.full(state.shape, reset_value(state), state.dtype) for state in self.spec.states
        )

    def infer(self, image: Image, states: Arrays) -> tuple[npt.NDArray[Any], Arrays]:
        """One step of the graph, without decisions.

        Args:
          image: ``(h, w, 3)`` uint8 RGB of any size.
          states: as :meth:`initial_states` or a previous call returned them; not changed.

        Returns:
          Outputs ``(labels,)`` in their own dtype, and the next states, all fresh arrays.

        Raises:
          FrameError: the image has a wrong shape or dtype.
        """
        with self._lock:
            outputs, following = self._step.step(self._preprocess(image), states)
        return outputs[0], following

    def infer_gated(
        self,
        image: Image,
        states: Arrays,
        *,
        gate: SceneGate,
        seen: Seen | None,
        timestamp_s: float,
    ) -> tuple[npt.NDArray[Any], Arrays, Seen]:
        """Like :meth:`infer`, with the encoder left out where the gate stays closed.

        Args:
          image, states: as for :meth:`infer`.
          gate: decides.
          seen: what the call for the frame before returned; ``None`` after a reset.
          timestamp_s: when the frame was taken.

        Returns:
          Outputs ``(labels,)``, the next states, and what to give to the next call. ``reused`` of
          it is 0 where the frame was encoded.

        Raises:
          FrameError: the image has a wrong shape or dtype.
          SpecError, ModelFileError, BackendError: the model cannot be cut in two.
        """
        from edgecap.gate import Seen

        picture = resize(image, self.spec.input)
        blocks = gate.blocks(picture)
        opened = gate.opens(seen, blocks, timestamp_s)
        parts = self._cut()
        with self._lock:
            if opened or seen is None:
                seen = Seen(blocks, parts.encode(self._preprocess(picture)), timestamp_s)
            else:
                seen = Seen(seen.blocks, seen.features, seen.encoded_s, seen.reused + 1)
            outputs, following = parts.advance(seen.features, states)
        return outputs[0], following, seen

    def _cut(self) -> CutStep:
        """The two parts of the step, which replace the whole from then on."""
        step = self._step
        if isinstance(step, WholeStep):
            from edgecap.cut_step import cut_step

            with self._lock:
                # Another thread may have done it meanwhile.
                if isinstance(self._step, WholeStep):
                    self._step = cut_step(self._bundle, self._step)
                step = self._step
        return step

    def activate(self, outputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """What outputs ``(labels,)`` of :meth:`infer` mean.

        Returns:
          ``(labels,)`` float32: probabilities that sum to 1 (classification), independent ones
          (multi-label), or the numbers themselves (regression).
        """
        return self._activation(outputs)


class Stream(Generic[_P]):
    """Frames in, answers out; the state is carried from each frame to the next.

    The answers are :class:`~edgecap.predictions.ClassPrediction`, ``MultiLabelPrediction`` or
    ``RegressionPrediction``, by the model's task.

    Not safe for two threads at once; use one stream per camera.

    Attributes:
      observer: told of every step and reset, where there is one; forks have none.
      decision: the thresholds of its events.
    """

    observer: StreamObserver | None = None

    def __init__(
        self, model: StreamingModel, decision: DecisionSpec, gate: SceneGate | None = None
    ) -> None:
        self._model = model
        self._gate = gate
        self.decision = decision
        self._decider = decider(model.spec.task, model.labels, decision)
        self._states = model.initial_states()
        self._frames = self._encoded = 0
        self._last_s: float | None = None
        self._seen: Seen | None = None

    @property
    def model(self) -> StreamingModel:
        return self._model

    @property
    def frames(self) -> int:
        """Frames since the last reset."""
        return self._frames

    @property
    def gate(self) -> SceneGate | None:
        """What leaves the encoder out while nothing changes, if anything does."""
        return self._gate

    @property
    def encoded(self) -> int:
        """Of the frames since the last reset, those that the encoder looked at."""
        return self._encoded

    @property
    def skipped(self) -> bool:
        """Whether the encoder was left out of the last frame: the gate saw no change."""
        return self._seen is not None and self._seen.reused > 0

    @property
    def active(self) -> tuple[str, ...]:
        """The labels of the events under way; a classifier has one at most."""
        return self._decider.active

    def step(self, image: Image, timestamp_s: float | None = None) -> _P:
        """Takes in one frame.

        Args:
          image: ``(h, w, 3)`` uint8 RGB of any size; resized by the spec's rule if need be.
          timestamp_s: when it was taken, in seconds; by default one period of the model's frame
            rate after the previous frame.

        Raises:
          FrameError: the image has a wrong shape or dtype; the stream is as before.
          MissingDependencyError: the frame must be resized and OpenCV is not installed.
        """
        model = self._model
        if self.observer is not None:
            # Here and not where it is inferred, so that it is told of what the graph is given.
            image = resize(image, model.spec.input)
        if timestamp_s is None:
            last_s = self._last_s
            timestamp_s = 0.0 if last_s is None else last_s + 1.0 / model.spec.rate_hz
        if self._gate is None:
            outputs, self._states = model.infer(image, self._states)
            self._encoded += 1
        else:
            outputs, self._states, self._seen = model.infer_gated(
                image, self._states, gate=self._gate, seen=self._seen, timestamp_s=timestamp_s
            )
            self._encoded += not self._seen.reused
        self._last_s = timestamp_s
        self._frames += 1
        prediction: _P = self._decider.predict(model.activate(outputs), timestamp_s)
        if self.observer is not None:
            self.observer.stepped(image, outputs, prediction)
        return prediction

    def reset(self) -> None:
        """Forgets everything that was seen."""
        self._states = self._model.initial_states()
        self._decider.reset()
        self._frames = self._encoded = 0
        self._last_s = None
        self._seen = None
        if self.observer is not None:
            self.observer.jumped()

    def snapshot(self) -> Snapshot:
        """The stream as it is now."""
        # The arrays are never written to: each step makes new ones.
        return Snapshot(
            model=self._model.digest,
            states=self._states,
            frames=self._frames,
            timestamp_s=self._last_s,
            _decider=self._decider.copy(),
            encoded=self._encoded,
            seen=self._seen,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to a snapshot of a stream of the same model.

        Raises:
          StateError: the snapshot is of another model; the stream is as before.
        """
        if snapshot.model != self._model.digest:
            raise StateError(
                f"the snapshot is of another model: expected one of {self._model.spec.name!r}, "
                f"digest {self._model.digest[:12]}…; got {snapshot.model[:12]}…"
            )
        self._states = snapshot.states
        self._frames = snapshot.frames
        self._last_s = snapshot.timestamp_s
        self._decider = snapshot._decider.copy()
        self._encoded = snapshot.encoded
        # Without a gate it would only grow old.
        self._seen = snapshot.seen if self._gate is not None else None
        if self.observer is not None:
            self.observer.jumped()

    def fork(self) -> Stream[_P]:
        """An independent stream that goes on from here."""
        other: Stream[_P] = Stream.__new__(Stream)
        other._model, other._gate = self._model, self._gate
        other.decision = self.decision
        other.restore(self.snapshot())
        return other


def load(
    path: str | Path,
    *,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
    probe: bool = False,
    public_key: str | Path | None = None,
) -> StreamingModel:
    """Loads and verifies a model file.

    Args:
      path: a ``.tflite`` made by ``edgecap convert``.
      threads: for kernels that can use more than one; one is fastest for small networks.
      kernels: ``xnnpack``, ``builtin`` or ``reference``.
      backend: ``litert``, ``tflite-runtime`` or ``tensorflow``; by default the first installed.
      probe: a model that is not known on this machine runs in a child process first.
      public_key: a PEM file; only a model signed with its private key is taken.

    Raises:
      ModelFileError: missing, unreadable, damaged, or no edgecap model.
      SpecError: the spec is malformed or does not fit the graph.
      BackendError: no TFLite runtime is installed, it refuses the model, or died of it in the
        child process.
      SignatureError: with a key, and the model is not signed, by another one, or changed since.
    """
    runtime: dict[str, Any] = {"threads": threads, "kernels": kernels, "backend": backend}
    return StreamingModel(
        open_bundle(path, public_key=public_key, probe=probe, **runtime), **runtime
    )
