"""Figures of a model whose labels do not exclude each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation.metrics import average_precision, mean, precision_recall_f1
from edgecap.evaluation.recording import Recording, Segment, targets_of

_THRESHOLD = 0.5


@dataclass(frozen=True)
class LabelsAnswer:
    """What was said of one segment: a stretch over which the true labels stay the same.

    Attributes:
      recording: its name. start, stop: the segment's frames, ``stop`` excluded.
      truth: the labels that hold.
      answer: those with a mean probability of at least one half over its second half.
      scores: ``(labels,)`` float32: those means.
    """

    recording: str
    start: int
    stop: int
    truth: tuple[str, ...]
    answer: tuple[str, ...]
    scores: npt.NDArray[np.float32]

    @property
    def right(self) -> bool:
        """All labels that hold, and no other."""
        return self.answer == self.truth


@dataclass(frozen=True)
class MultiLabelEvaluation:
    """The figures of a multi-label model over a set of recordings.

    Attributes:
      labels: the model's.
      answers: one per segment; a clip whose labels do not change is one.
    """

    labels: tuple[str, ...]
    answers: tuple[LabelsAnswer, ...]

    @property
    def segments(self) -> int:
        return len(self.answers)

    @property
    def exact_match(self) -> float:
        """Share of the segments with all their labels and no other."""
        return mean(answer.right for answer in self.answers)

    @cached_property
    def _truth(self) -> npt.NDArray[np.bool_]:
        return self._table([answer.truth for answer in self.answers])

    @cached_property
    def _answered(self) -> npt.NDArray[np.bool_]:
        return self._table([answer.answer for answer in self.answers])

    def _table(self, rows: Sequence[Sequence[str]]) -> npt.NDArray[np.bool_]:
        table = np.array([[label in row for label in self.labels] for row in rows], bool)
        return table.reshape(len(rows), len(self.labels))

    def per_label(self) -> dict[str, dict[str, float]]:
        """label → precision, recall, f1, average_precision, support, for labels that occur."""
        right = (self._truth & self._answered).sum(axis=0)
        answered, support = self._answered.sum(axis=0), self._truth.sum(axis=0)
        result = {}
        for i, label in enumerate(self.labels):
            area = average_precision(
                self._truth[:, i], [float(answer.scores[i]) for answer in self.answers]
            )
            if area is not None:
                row = precision_recall_f1(float(right[i]), float(answered[i]), float(support[i]))
                result[label] = row | {"average_precision": area}
        return result

    @property
    def macro_f1(self) -> float:
        """F1 averaged over the labels that occur."""
        return mean(row["f1"] for row in self.per_label().values())

    @property
    def micro_f1(self) -> float:
        """F1 of all labels of all segments, counted together."""
        right = int((self._truth & self._answered).sum())
        return precision_recall_f1(right, int(self._answered.sum()), int(self._truth.sum()))["f1"]

    @property
    def mean_average_precision(self) -> float:
        """mAP: average precision, averaged over the labels that occur."""
        return mean(row["average_precision"] for row in self.per_label().values())

    @property
    def score(self) -> float:
        """The mean of macro F1 and mAP: the first is what counts, the second is finer."""
        return (self.macro_f1 + self.mean_average_precision) / 2

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            "task": "multilabel",
            "score": round(self.score, 5),
            "macro_f1": round(self.macro_f1, 5),
            "micro_f1": round(self.micro_f1, 5),
            "mean_average_precision": round(self.mean_average_precision, 5),
            "exact_match": round(self.exact_match, 5),
            "segments": self.segments,
            "per_label": {
                label: {name: round(value, 4) for name, value in row.items()}
                for label, row in self.per_label().items()
            },
            "labels": list(self.labels),
        }


def answer_labels(
    probabilities: npt.NDArray[np.float32], recording: Recording, labels: Sequence[str]
) -> list[LabelsAnswer]:
    """What ``(N, labels)`` probabilities of a recording say of its segments.

    Raises:
      DataError: the recording has no targets for these labels.
    """
    targets = targets_of(recording, len(labels)) >= _THRESHOLD
    changes = np.flatnonzero((targets[1:] != targets[:-1]).any(axis=1)) + 1
    bounds = [0, *changes.tolist(), len(targets)]
    answers = []
    for start, stop in itertools.pairwise(bounds):
        scores = probabilities[Segment("", start, stop).second_half].mean(axis=0)
        answers.append(
            LabelsAnswer(
                recording=recording.name,
                start=start,
                stop=stop,
                truth=_chosen(labels, targets[start]),
                answer=_chosen(labels, scores >= _THRESHOLD),
                scores=scores,
            )
        )
    return answers


def _chosen(labels: Sequence[str], which: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(label for label, chosen in zip(labels, which.tolist(), strict=True) if chosen)
