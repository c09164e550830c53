"""Figures of a model that measures: how far its numbers are from the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation.metrics import mean, rounded
from edgecap.evaluation.recording import Recording, targets_of


@dataclass(frozen=True)
class ValuesAnswer:
    """What was said of one recording.

    Attributes:
      recording: its name.
      truth, answer: ``(N, values)`` float32, frame by frame.
    """

    recording: str
    truth: npt.NDArray[np.float32]
    answer: npt.NDArray[np.float32]

    @property
    def mse(self) -> float:
        """Mean squared error of this recording, over frames and values."""
        return float(_squared_errors(self.truth, self.answer).mean())


@dataclass(frozen=True)
class RegressionEvaluation:
    """The figures of a regression over all frames of a set of recordings.

    Means over several values take them as they are, in their own units.

    Attributes:
      labels: names of the values.
      answers: one per recording.
    """

    labels: tuple[str, ...]
    answers: tuple[ValuesAnswer, ...]

    @property
    def frames(self) -> int:
        return sum(len(answer.truth) for answer in self.answers)

    @cached_property
    def _per_value(self) -> dict[str, dict[str, float]]:
        if not self.frames:
            return {}
        truth = np.concatenate([answer.truth for answer in self.answers]).astype(np.float64)
        answer = np.concatenate([answer.answer for answer in self.answers])
        squares = _squared_errors(truth, answer).mean(axis=0)
        absolute = np.abs(truth - answer).mean(axis=0)
        variance = truth.var(axis=0)
        return {
            label: {
                "mse": float(squares[i]),
                "mae": float(absolute[i]),
                "r2": _r2(float(squares[i]), float(variance[i])),
            }
            for i, label in enumerate(self.labels)
        }

    def per_value(self) -> dict[str, dict[str, float]]:
        """value → mse, mae and r2; empty where there are no frames."""
        return self._per_value

    @property
    def mse(self) -> float:
        """Mean squared error, averaged over the values."""
        return mean(row["mse"] for row in self._per_value.values())

    @property
    def mae(self) -> float:
        """Mean absolute error, averaged over the values."""
        return mean(row["mae"] for row in self._per_value.values())

    @property
    def r2(self) -> float:
        """R², averaged over the values: 1 is perfect, 0 as good as the mean of the truth."""
        return mean(row["r2"] for row in self._per_value.values())

    @property
    def score(self) -> float:
        """−MSE: higher is better, as for the other tasks."""
        return -self.mse

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            "task": "regression",
            "score": rounded(self.score),
            "mse": rounded(self.mse),
            "mae": rounded(self.mae),
            "r2": rounded(self.r2),
            "frames": self.frames,
            "recordings": len(self.answers),
            "per_value": {
                label: {name: rounded(value) for name, value in row.items()}
                for label, row in self._per_value.items()
            },
            "labels": list(self.labels),
        }


def answer_values(
    values: npt.NDArray[np.float32], recording: Recording, labels: Sequence[str]
) -> ValuesAnswer:
    """``(N, labels)`` values of a recording beside the true ones.

    Raises:
      DataError: the recording has no targets for these labels.
    """
    return ValuesAnswer(recording.name, targets_of(recording, len(labels)), values)


def _squared_errors(
    truth: npt.NDArray[np.floating[Any]], answer: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    errors: npt.NDArray[np.float64] = truth.astype(np.float64) - answer
    return errors * errors


def _r2(mse: float, variance: float) -> float:
    # What does not vary cannot be explained; scikit-learn says the same.
    if variance == 0.0:
        return 1.0 if mse == 0.0 else 0.0
    return 1.0 - mse / variance
