"""Figures of a classifier: segments and frames, and events where recordings are streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation.events import EventScore
from edgecap.evaluation.metrics import average_precision, mean, precision_recall_f1, roc_auc
from edgecap.evaluation.recording import Recording, Segment


@dataclass(frozen=True)
class Answer:
    """What was said of one segment.

    Attributes:
      recording: its name. start, stop: the segment's frames, ``stop`` excluded.
      truth: what it is.
      answer: the label with the highest mean probability over its second half.
      end_answer: the most probable label of its last frame.
      scores: ``(labels,)`` float32: that mean.
    """

    recording: str
    start: int
    stop: int
    truth: str
    answer: str
    end_answer: str
    scores: npt.NDArray[np.float32]

    @property
    def right(self) -> bool:
        return self.answer == self.truth


@dataclass(frozen=True)
class Evaluation:
    """The figures of a classifier over a set of recordings.

    Attributes:
      labels: rows and columns of the confusion matrix.
      answers: one per segment.
      frame_accuracy: share of all frames whose most probable label is the true one.
      events: ``None`` for separate clips.
      positive: of two labels, the one that is to be detected; ``None`` for more.
    """

    labels: tuple[str, ...]
    answers: tuple[Answer, ...]
    frame_accuracy: float
    events: EventScore | None
    positive: str | None

    @cached_property
    def confusion(self) -> npt.NDArray[np.int64]:
        """``(L, L)`` int64, segments by truth (rows) and answer (columns)."""
        matrix = np.zeros((len(self.labels), len(self.labels)), np.int64)
        for answer in self.answers:
            matrix[self.labels.index(answer.truth), self.labels.index(answer.answer)] += 1
        return matrix

    @property
    def segments(self) -> int:
        return len(self.answers)

    @property
    def accuracy(self) -> float:
        """Share of the segments that were answered rightly, by the mean over the second half."""
        return mean(answer.right for answer in self.answers)

    @property
    def end_accuracy(self) -> float:
        """Share of the segments that the last frame answers rightly; of clips, at their end."""
        return mean(answer.end_answer == answer.truth for answer in self.answers)

    def per_class(self) -> dict[str, dict[str, float]]:
        """label → precision, recall, f1 and support, for labels that occur in the truth."""
        right = np.diag(self.confusion)
        support, answered = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return {
            label: precision_recall_f1(float(right[i]), float(answered[i]), float(support[i]))
            for i, label in enumerate(self.labels)
            if support[i]
        }

    @property
    def macro_precision(self) -> float:
        """Precision averaged over the labels that occur."""
        return mean(row["precision"] for row in self.per_class().values())

    @property
    def macro_recall(self) -> float:
        """Recall averaged over the labels that occur, also called balanced accuracy."""
        return mean(row["recall"] for row in self.per_class().values())

    @property
    def macro_f1(self) -> float:
        """F1 averaged over the labels that occur."""
        return mean(row["f1"] for row in self.per_class().values())

    @property
    def roc_auc(self) -> float | None:
        """Of two labels, over the segments' scores; ``None`` for more, or if only one occurs."""
        return None if self.positive is None else roc_auc(*self._binary())

    @property
    def average_precision(self) -> float | None:
        """Of the positive one of two labels; ``None`` for more, or if it does not occur."""
        return None if self.positive is None else average_precision(*self._binary())

    @property
    def score(self) -> float:
        """The mean of segment and frame accuracy: the first is what counts, the second is finer."""
        return (self.accuracy + self.frame_accuracy) / 2

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        result: dict[str, Any] = {
            "task": "classification",
            "score": round(self.score, 5),
            "accuracy": round(self.accuracy, 5),
            "end_accuracy": round(self.end_accuracy, 5),
            "frame_accuracy": round(self.frame_accuracy, 5),
            "macro_precision": round(self.macro_precision, 5),
            "macro_recall": round(self.macro_recall, 5),
            "macro_f1": round(self.macro_f1, 5),
            "segments": self.segments,
        }
        if self.positive is not None:
            areas = {"roc_auc": self.roc_auc, "average_precision": self.average_precision}
            result["binary"] = {"positive": self.positive} | {
                name: None if area is None else round(area, 5) for name, area in areas.items()
            }
        if self.events is not None:
            result["events"] = self.events.to_dict()
        result["per_class"] = {
            label: {name: round(value, 4) for name, value in row.items()}
            for label, row in self.per_class().items()
        }
        result["labels"] = list(self.labels)
        result["confusion"] = self.confusion.tolist()
        return result

    def _binary(self) -> tuple[list[bool], list[float]]:
        assert self.positive is not None
        column = self.labels.index(self.positive)
        truth = [answer.truth == self.positive for answer in self.answers]
        return truth, [float(answer.scores[column]) for answer in self.answers]


def answer_segments(
    probabilities: npt.NDArray[np.float32], recording: Recording, labels: Sequence[str]
) -> list[Answer]:
    """What ``(N, labels)`` probabilities of a recording say of its segments."""
    return [
        _answer(probabilities, recording.name, segment, labels) for segment in recording.segments
    ]


def positive_label(labels: Sequence[str], background: str | None) -> str | None:
    """Of two labels the one that is no background; the second where neither is."""
    if len(labels) != 2:
        return None
    return labels[0] if background == labels[1] else labels[1]


def _answer(
    probabilities: npt.NDArray[np.float32], name: str, segment: Segment, labels: Sequence[str]
) -> Answer:
    scores = probabilities[segment.second_half].mean(axis=0)
    return Answer(
        recording=name,
        start=segment.start,
        stop=segment.stop,
        truth=segment.label,
        answer=labels[int(scores.argmax())],
        end_answer=labels[int(probabilities[segment.stop - 1].argmax())],
        scores=scores,
    )
