"""Runs a recording again and says whether every byte is the same."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import FlightError
from edgecap.events import Event
from edgecap.flight.memory import pack_snapshot, unpack_snapshot
from edgecap.flight.tape import Tape
from edgecap.flight.versions import versions
from edgecap.golden import steps_apart
from edgecap.predictions import Prediction, RegressionPrediction
from edgecap.preprocess import Image
from edgecap.streaming import Snapshot, Stream, StreamingModel

# What a decision stumbles over when a recording's memory is not what it should be.
_MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


@dataclass(frozen=True)
class Difference:
    """Where a replay and its recording part.

    Attributes:
      frame: of the recording, from 0; for states, the frame that they are before.
      tensor: ``outputs``, ``values``, ``events``, ``timestamp``, ``state NAME``, or ``decision``
        (what smoothing and events remember).
      steps: how far apart, in steps of the tensor's grid; ``None`` where that means nothing.
      told: one line.
    """

    frame: int
    tensor: str
    steps: float | None
    told: str


@dataclass(frozen=True)
class FrameAnswer:
    """A frame as it was recorded and as it is now.

    Attributes:
      frame, timestamp_s: which.
      label, score: recorded; of a regression, the label of its first value, and that value.
      new_label, new_score: now.
      events, new_events: recorded and now.
      jump: the state before it came from a reset or a snapshot.
      equal: outputs, values and events are the same to the byte.
    """

    frame: int
    timestamp_s: float
    label: str
    score: float
    new_label: str
    new_score: float
    events: tuple[Event, ...]
    new_events: tuple[Event, ...]
    jump: bool
    equal: bool


@dataclass(frozen=True)
class Replay:
    """What became of a recording that was run again.

    Attributes:
      same_model: by digest; with another model, only answers can be compared.
      first: the first difference; ``None`` for another model too.
      differing: frames whose outputs, values or events differ.
      largest: largest difference of an output, in steps; ``None`` with another model.
      keys: states that were compared.
      versions: name → (recorded, here), of what differs.
      answers: one per frame.
    """

    same_model: bool
    first: Difference | None
    differing: int
    largest: float | None
    keys: int
    versions: dict[str, tuple[str, str]]
    answers: tuple[FrameAnswer, ...]

    @property
    def equal(self) -> bool:
        """Outputs, values, events and states are the same to the byte."""
        return self.same_model and self.first is None

    @property
    def same_events(self) -> bool:
        """The same events at the same frames, whatever their scores."""
        return all(_plain(a.events) == _plain(a.new_events) for a in self.answers)


class _Watch:
    """A stream's observer that keeps the outputs of the last step."""

    outputs: npt.NDArray[Any]

    def stepped(self, image: Image, outputs: npt.NDArray[Any], prediction: Prediction) -> None:
        self.outputs = outputs

    def jumped(self) -> None:
        pass


def replay(tape: Tape, model: StreamingModel, *, other_model: bool = False) -> Replay:
    """Runs a recording again, with its thresholds, from its states.

    Args:
      tape: the recording.
      model: the one that it was recorded with.
      other_model: another one, with its own thresholds and from the reset state; its answers are
        compared with the recorded ones.

    Raises:
      FlightError: another model and not asked for one, or a recording that cannot be run.
    """
    header = tape.header
    same = model.digest == header.model
    if not same and not other_model:
        raise FlightError(
            f"recorded with another model: expected {header.name!r}, digest "
            f"{header.model[:12]}…; got {model.spec.name!r}, digest {model.digest[:12]}…. "
            "Give that model, or ask what this one would have answered (--other-model)"
        )
    apart = _apart(tape, model)
    if not same:
        return _with_other(tape, model, apart)
    spec, size = model.spec, tape.images[0].shape
    if size != (spec.input.height, spec.input.width, 3) or header.labels != model.labels:
        raise FlightError(f"the recording's frames {size} or labels are not those of its model")
    if str(tape.outputs[0].dtype) != spec.output.tensor.dtype:
        raise FlightError("the recording's outputs are not of its model's type")
    try:
        return _Run(tape, model).result(apart)
    except _MALFORMED as error:
        raise FlightError(f"the recorded state cannot be run: {error}") from error


class _Run:
    def __init__(self, tape: Tape, model: StreamingModel) -> None:
        self._tape, self._model = tape, model
        header = tape.header
        self._stream: Stream[Any] = model.stream(header.decision, gate=header.gate)
        self._fresh = self._stream.snapshot()
        self._watch = _Watch()
        self._stream.observer = self._watch
        self._keys = {key.frame: key for key in header.keys}
        self._first: Difference | None = None
        self._compared = 0

    def result(self, apart: dict[str, tuple[str, str]]) -> Replay:
        tape = self._tape
        found = []
        answers = []
        for number in range(len(tape)):
            self._meet(number)
            time_s = float(tape.timestamps_s[number])
            prediction = self._stream.step(tape.images[number], time_s)
            found.append(self._watch.outputs)
            answers.append(self._answer(number, prediction))
        self._meet(len(tape))
        expected = np.stack([np.asarray(row) for row in tape.outputs])
        return Replay(
            same_model=True,
            first=self._first,
            differing=sum(not answer.equal for answer in answers),
            largest=float(steps_apart(np.stack(found), expected).max()),
            keys=self._compared,
            versions=apart,
            answers=tuple(answers),
        )

    def _meet(self, number: int) -> None:
        """Takes over a recorded state, or holds the stream against it."""
        key = self._keys.get(number)
        if key is None:
            return
        snapshot = unpack_snapshot(key.memory, self._fresh, self._tape.arrays)
        if number == 0 or key.jump:
            self._stream.restore(snapshot)
            return
        self._compared += 1
        if self._first is None:
            self._first = self._state_difference(number, snapshot)

    def _state_difference(self, number: int, recorded: Snapshot) -> Difference | None:
        here = self._stream.snapshot()
        for spec, old, new in zip(
            self._model.spec.states, recorded.states, here.states, strict=True
        ):
            if old.tobytes() != new.tobytes():
                steps = float(steps_apart(new.reshape(1, -1), old.reshape(1, -1)).max())
                told = f"state {spec.name} before frame {number} is up to {steps:.4g} steps apart"
                return Difference(number, f"state {spec.name}", steps, told)
        if self._remembered(here) != self._remembered(recorded):
            told = f"what the decision remembers before frame {number} is another"
            return Difference(number, "decision", None, told)
        return None

    def _remembered(self, snapshot: Snapshot) -> tuple[Any, list[bytes]]:
        arrays: list[npt.NDArray[Any]] = []
        bare = dataclasses.replace(snapshot, states=())
        packed = pack_snapshot(bare, self._fresh, arrays)
        return packed, [f"{a.dtype}{a.shape}".encode() + a.tobytes() for a in arrays]

    def _answer(self, number: int, prediction: Prediction) -> FrameAnswer:
        tape, watch = self._tape, self._watch
        difference = self._difference(number, prediction)
        if self._first is None:
            self._first = difference
        key = self._keys.get(number)
        labels = self._model.labels
        label, score = _told(tape.values[number], labels, tape.header.task)
        new_label, new_score = _told(self._model.activate(watch.outputs), labels, tape.header.task)
        return FrameAnswer(
            frame=number,
            timestamp_s=float(tape.timestamps_s[number]),
            label=label,
            score=score,
            new_label=new_label,
            new_score=new_score,
            events=_recorded_events(tape, number),
            new_events=prediction.events,
            jump=key is not None and key.jump,
            equal=difference is None,
        )

    def _difference(self, number: int, prediction: Prediction) -> Difference | None:
        tape, outputs = self._tape, self._watch.outputs
        recorded = np.asarray(tape.outputs[number])
        if recorded.tobytes() != outputs.tobytes():
            steps = float(steps_apart(outputs[None], recorded[None]).max())
            told = f"outputs of frame {number} are up to {steps:.4g} steps apart"
            return Difference(number, "outputs", steps, told)
        values = np.asarray(tape.values[number])
        if values.tobytes() != _values(prediction).tobytes():
            apart = float(np.abs(values - _values(prediction)).max())
            told = f"outputs of frame {number} are equal, and their values up to {apart:.3g} apart"
            return Difference(number, "values", None, told)
        events = _recorded_events(tape, number)
        if events != prediction.events:
            told = (
                f"events of frame {number}: recorded {_listed(events)}, "
                f"now {_listed(prediction.events)}"
            )
            return Difference(number, "events", None, told)
        return None


def _with_other(tape: Tape, model: StreamingModel, apart: dict[str, tuple[str, str]]) -> Replay:
    """What another model answers; both begin where the recording does, it without a past."""
    stream = model.stream()
    jumps = {key.frame for key in tape.header.keys if key.jump}
    answers = []
    for number in range(len(tape)):
        if number in jumps:
            stream.reset()
        time_s = float(tape.timestamps_s[number])
        prediction = stream.step(np.asarray(tape.images[number]), time_s)
        label, score = _told(tape.values[number], tape.header.labels, tape.header.task)
        new_label, new_score = _told(_values(prediction), model.labels, model.spec.task)
        events = _recorded_events(tape, number)
        answers.append(
            FrameAnswer(
                frame=number,
                timestamp_s=time_s,
                label=label,
                score=score,
                new_label=new_label,
                new_score=new_score,
                events=events,
                new_events=prediction.events,
                jump=number in jumps,
                equal=label == new_label and _plain(events) == _plain(prediction.events),
            )
        )
    return Replay(
        same_model=False,
        first=None,
        differing=sum(not answer.equal for answer in answers),
        largest=None,
        keys=0,
        versions=apart,
        answers=tuple(answers),
    )


def _apart(tape: Tape, model: StreamingModel) -> dict[str, tuple[str, str]]:
    """What computes, where it is not what was recorded."""
    recorded = dict(tape.header.versions) | _named(tape.header.backend)
    here = dict(versions()) | _named(model.backend)
    names = [*here, *(name for name in recorded if name not in here)]
    none = "none"
    return {
        name: (str(recorded.get(name, none)), here.get(name, none))
        for name in names
        if recorded.get(name, none) != here.get(name, none)
    }


def _named(backend: Any) -> dict[str, str]:
    return {
        "runtime": f"{backend.name} {backend.version}",
        "kernels": backend.kernels,
        "threads": str(backend.threads),
    }


def _told(values: npt.NDArray[Any], labels: tuple[str, ...], task: str) -> tuple[str, float]:
    best = 0 if task == "regression" else int(np.asarray(values).argmax())
    return labels[best], float(values[best])


def _values(prediction: Prediction) -> npt.NDArray[np.float32]:
    if isinstance(prediction, RegressionPrediction):
        return prediction.values
    return prediction.probabilities  # type: ignore[attr-defined,no-any-return]


def _recorded_events(tape: Tape, number: int) -> tuple[Event, ...]:
    return tuple(
        Event(e.label, e.kind, e.timestamp_s, e.score)
        for e in tape.header.events
        if e.frame == number
    )


def _plain(events: tuple[Event, ...]) -> list[tuple[str, str]]:
    return [(event.label, event.kind) for event in events]


def _listed(events: tuple[Event, ...]) -> str:
    return ", ".join(f"{e.label} {e.kind} ({e.score!r})" for e in events) or "none"
