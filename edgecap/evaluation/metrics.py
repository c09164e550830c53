"""Figures that need no more than truths and scores. Plain NumPy: a device has no more."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def precision_recall_f1(right: float, answered: float, support: float) -> dict[str, float]:
    """``precision``, ``recall``, ``f1`` and ``support`` from counts; 0 where nothing is counted.

    Args:
      right: answered and true. answered: how often. support: how often true.
    """
    total = answered + support
    return {
        "precision": right / answered if answered else 0.0,
        "recall": right / support if support else 0.0,
        "f1": 2 * right / total if total else 0.0,
        "support": float(support),
    }


def mean(values: Iterable[float]) -> float:
    """The mean, or 0 of nothing."""
    listed = list(values)
    return float(np.mean(listed)) if listed else 0.0


def roc_auc(truth: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """How often a true one has a higher score than a false one; a tie counts half.

    Args:
      truth: ``(N,)`` bools. scores: ``(N,)``.

    Returns:
      The area under the ROC curve, or ``None`` where all are true or none is.
    """
    true = np.asarray(truth, bool)
    positives = int(true.sum())
    negatives = len(true) - positives
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    # Ranks from 1; equal scores share the mean of theirs.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    above = ranks[true].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def average_precision(truth: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """Precision averaged over the recalls that are reached: Σ (Rₙ − Rₙ₋₁) · Pₙ.

    n runs over the distinct scores as thresholds, from the highest; nothing is interpolated.

    Args:
      truth: ``(N,)`` bools. scores: ``(N,)``.

    Returns:
      The area under the precision-recall curve, or ``None`` where none is true.
    """
    true = np.asarray(truth, bool)
    if not true.any():
        return None
    _, place = np.unique(-np.asarray(scores, np.float64), return_inverse=True)
    answered = np.cumsum(np.bincount(place))
    right = np.cumsum(np.bincount(place, weights=true))
    gained = np.diff(right, prepend=0.0) / right[-1]
    return float((gained * right / answered).sum())


def rounded(value: float, digits: int = 6) -> float:
    """To significant digits: the size of these numbers is not known."""
    return float(f"{value:.{digits}g}")
