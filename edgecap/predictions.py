"""What a frame is answered with, by task, and what the answers of a stream remember."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecap.events import Event, EventDetector
from edgecap.spec import DecisionSpec

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """The answer to one frame; each task adds its own.

    Attributes:
      timestamp_s: the frame's.
      events: what began or ended with this frame, from the smoothed probabilities.
    """

    timestamp_s: float
    events: tuple[Event, ...]


@dataclass(frozen=True)
class ClassPrediction(Prediction):
    """The answer of a classifier.

    Attributes:
      label, score: the most probable label of this frame and its probability.
      probabilities: ``(labels,)`` float32, of this frame alone; sums to 1.
    """

    label: str
    score: float
    probabilities: Values

    @property
    def event(self) -> Event | None:
        """What began or ended with this frame: one at most, as one label is under way at most."""
        return self.events[0] if self.events else None


@dataclass(frozen=True)
class MultiLabelPrediction(Prediction):
    """The answer of a model whose labels do not exclude each other.

    Attributes:
      label, score: the most probable label of this frame and its probability.
      probabilities: ``(labels,)`` float32, of this frame alone; independent of each other.
      active: the labels whose events are under way after this frame, in the model's order.
    """

    label: str
    score: float
    probabilities: Values
    active: tuple[str, ...]


@dataclass(frozen=True)
class RegressionPrediction(Prediction):
    """The answer of a model that measures; it has no events.

    Attributes:
      values: ``(labels,)`` float32, of this frame, not smoothed; named by the model's labels.
    """

    values: Values


class Decider(Protocol):
    """Makes a stream's predictions, and remembers what smoothing and events need."""

    @property
    def active(self) -> tuple[str, ...]: ...

    # A Prediction; of which class follows from the task, which is data and no type.
    def predict(self, values: Values, timestamp_s: float) -> Any: ...

    def reset(self) -> None: ...

    def copy(self) -> Decider: ...


def decider(task: str, labels: Sequence[str], decision: DecisionSpec) -> Decider:
    """The one for a task, in the reset state."""
    if task == "regression":
        return _Regression()
    if task == "multilabel":
        return _MultiLabel(labels, label_detectors(labels, decision))
    return _Classification(labels, EventDetector(labels, decision))


def label_detectors(labels: Sequence[str], decision: DecisionSpec) -> dict[int, EventDetector]:
    """Index of a label → a detector of that label alone; the background has none."""
    alone = dataclasses.replace(decision, background=None)
    return {
        index: EventDetector((label,), alone)
        for index, label in enumerate(labels)
        if label != decision.background
    }


class _Classification:
    def __init__(self, labels: Sequence[str], detector: EventDetector) -> None:
        self._labels, self._detector = labels, detector

    @property
    def active(self) -> tuple[str, ...]:
        active = self._detector.active
        return () if active is None else (active,)

    def predict(self, values: Values, timestamp_s: float) -> ClassPrediction:
        best = int(values.argmax())
        event = self._detector.update(values, timestamp_s)
        return ClassPrediction(
            timestamp_s,
            () if event is None else (event,),
            self._labels[best],
            float(values[best]),
            values,
        )

    def reset(self) -> None:
        self._detector.reset()

    def copy(self) -> _Classification:
        return _Classification(self._labels, self._detector.copy())


class _MultiLabel:
    def __init__(self, labels: Sequence[str], detectors: dict[int, EventDetector]) -> None:
        self._labels, self._detectors = labels, detectors

    @property
    def active(self) -> tuple[str, ...]:
        found = (detector.active for detector in self._detectors.values())
        return tuple(label for label in found if label is not None)

    def predict(self, values: Values, timestamp_s: float) -> MultiLabelPrediction:
        best = int(values.argmax())
        events = (
            detector.update(values[index : index + 1], timestamp_s)
            for index, detector in self._detectors.items()
        )
        # Before `active` is read: the detectors work as this is drawn.
        told = tuple(event for event in events if event is not None)
        return MultiLabelPrediction(
            timestamp_s, told, self._labels[best], float(values[best]), values, self.active
        )

    def reset(self) -> None:
        for detector in self._detectors.values():
            detector.reset()

    def copy(self) -> _MultiLabel:
        copies = {index: detector.copy() for index, detector in self._detectors.items()}
        return _MultiLabel(self._labels, copies)


class _Regression:
    active: tuple[str, ...] = ()

    def predict(self, values: Values, timestamp_s: float) -> RegressionPrediction:
        return RegressionPrediction(timestamp_s, (), values)

    def reset(self) -> None:
        """There is nothing to forget."""

    def copy(self) -> _Regression:
        return self
