"""What a frame is answered with, by task, and what the answers of a stream remember."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from edgecap.decisions import DecisionSpec
from edgecap.events import Event, EventDetector

Values = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one frame; each task adds its own.

    Attributes:
      timestamp_s: the frame's.
      events: what began or ended with this frame, from the smoothed probabilities.
      settled: whether the state has seen enough since the last reset (``settle_s``); before it
        has, there are no events, and the rest of the answer is a first guess.
    """

    timestamp_s: float
    events: tuple[Event, ...]
    settled: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class RegressionPrediction(Prediction):
    """The answer of a model that measures; it has no events.

    Attributes:
      values: ``(labels,)`` float32, of this frame, not smoothed; named by the model's labels.
    """

    values: Values


@dataclass(frozen=True, eq=False)
class CaptionPrediction(Prediction):
    """The answer to a frame of a live picture.

    A sentence is an event: it starts with the frame that it was written about, and ends when
    another is told in its place.

    Attributes:
      text: the sentence as it stands; empty before the first.
      score: probability of a word of it, the geometric mean of them all; 0 before the first.
      written: whether it was written about this very frame.
    """

    text: str
    score: float
    written: bool


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
        return _Regression(decision)
    if task == "multilabel":
        return _MultiLabel(labels, decision)
    return _Classification(labels, EventDetector(labels, decision))


def label_detectors(labels: Sequence[str], decision: DecisionSpec) -> dict[int, EventDetector]:
    """Index of a label → a detector of that label alone; the background has none."""
    decision.check_labels(labels)
    return {
        index: EventDetector((label,), dataclasses.replace(decision.of(label), background=None))
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
            settled=self._detector.settled,
        )

    def reset(self) -> None:
        self._detector.reset()

    def copy(self) -> _Classification:
        return _Classification(self._labels, self._detector.copy())


class _MultiLabel:
    def __init__(self, labels: Sequence[str], decision: DecisionSpec) -> None:
        self._labels = labels
        self._detectors = label_detectors(labels, decision)
        self._clock = _SettleClock(decision.settle_s)

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
            timestamp_s,
            told,
            self._labels[best],
            float(values[best]),
            values,
            self.active,
            settled=self._clock.settled_at(timestamp_s),
        )

    def reset(self) -> None:
        for detector in self._detectors.values():
            detector.reset()
        self._clock.reset()

    def copy(self) -> _MultiLabel:
        other = copy.copy(self)
        other._detectors = {index: found.copy() for index, found in self._detectors.items()}
        other._clock = copy.copy(self._clock)
        return other


class _Regression:
    active: tuple[str, ...] = ()

    def __init__(self, decision: DecisionSpec) -> None:
        self._clock = _SettleClock(decision.settle_s)

    def predict(self, values: Values, timestamp_s: float) -> RegressionPrediction:
        settled = self._clock.settled_at(timestamp_s)
        return RegressionPrediction(timestamp_s, (), values, settled=settled)

    def reset(self) -> None:
        self._clock.reset()

    def copy(self) -> _Regression:
        other = copy.copy(self)
        other._clock = copy.copy(self._clock)
        return other


class _SettleClock:
    """Time since the first frame after a reset; a clock that is set back counts as none passed."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self.reset()

    def reset(self) -> None:
        self._last_s: float | None = None
        self._clock_s = 0.0

    def settled_at(self, timestamp_s: float) -> bool:
        """Takes in one frame; whether the state has settled with it."""
        if self._last_s is not None:
            self._clock_s += max(0.0, timestamp_s - self._last_s)
        self._last_s = timestamp_s
        return self._clock_s >= self._settle_s
