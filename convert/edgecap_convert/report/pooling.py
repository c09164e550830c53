"""The folds of a cross-validation taken together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: Figures of which mean and deviation over the folds are told, if all folds have them.
AVERAGED = (
    "accuracy",
    "end_accuracy",
    "frame_accuracy",
    "exact_match",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "micro_f1",
    "mean_average_precision",
    "mse",
    "mae",
    "r2",
)
_Z95 = 1.959963984540054


def wilson_interval(right: int, total: int, z: float = _Z95) -> tuple[float, float]:
    """The interval that holds the true share, at 95 % by default (Wilson 1927).

    Unlike the normal approximation it stays inside [0, 1] and is of use near the ends.
    """
    if total <= 0:
        return 0.0, 1.0
    share = right / total
    square = z * z / total
    centre = (share + square / 2) / (1 + square)
    reach = z / (1 + square) * math.sqrt(share * (1 - share) / total + square / (4 * total))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def pool(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Folds' evaluations as one, as plain data.

    Returns:
      ``folds``; ``mean`` and ``sd`` (of a sample; 0 for one fold) of each figure that all have;
      and where there are confusion matrices their sum, with the ``accuracy``, its
      ``accuracy_interval`` and the ``macro_f1`` and ``per_class`` that follow from it; for
      regression ``mse``, ``mae`` and ``r2`` over all frames, each fold being compared with its own
      mean.
    """
    result: dict[str, Any] = {"folds": len(evaluations), "mean": {}, "sd": {}}
    for name in AVERAGED:
        values = [evaluation.get(name) for evaluation in evaluations]
        if any(value is None for value in values):
            continue
        array = np.array(values, float)
        result["mean"][name] = round(float(array.mean()), 5)
        result["sd"][name] = round(float(array.std(ddof=1)) if len(array) > 1 else 0.0, 5)
    if all(evaluation.get("confusion") is not None for evaluation in evaluations):
        confusion = np.sum([np.array(e["confusion"], np.int64) for e in evaluations], axis=0)
        result |= from_confusion(confusion, evaluations[0]["labels"])
    if all(evaluation.get("per_value") for evaluation in evaluations):
        result |= _pool_values(evaluations)
    return result


def mean_mse(row: Mapping[str, Any]) -> float | None:
    """What a constant answer reaches: as given, or else the variance that R² compares with."""
    if row.get("mean_mse") is not None:
        return float(row["mean_mse"])
    if row.get("r2") is None or row["r2"] >= 1:
        return None
    return float(row["mse"] / (1 - row["r2"])) or None


def _pool_values(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    frames = np.array([evaluation["frames"] for evaluation in evaluations], float)
    per_value: dict[str, dict[str, Any]] = {}
    for name in evaluations[0]["per_value"]:
        rows = [evaluation["per_value"][name] for evaluation in evaluations]
        row: dict[str, Any] = {
            figure: float(np.average([row[figure] for row in rows], weights=frames))
            for figure in ("mse", "mae")
        }
        means = [mean_mse(row) for row in rows]
        if None not in means:
            row["mean_mse"] = float(np.average(np.array(means, float), weights=frames))
            row["r2"] = 1 - row["mse"] / row["mean_mse"]
        per_value[name] = row
    joint = {
        figure: float(np.mean([row[figure] for row in per_value.values()]))
        for figure in ("mse", "mae", "r2", "mean_mse")
        if all(figure in row for row in per_value.values())
    }
    return {**joint, "frames": int(frames.sum()), "per_value": per_value}


def from_confusion(confusion: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """The figures that follow from counts by truth (rows) and answer (columns)."""
    total, right = int(confusion.sum()), int(np.trace(confusion))
    per_class = {}
    for number, label in enumerate(labels):
        support, answered = int(confusion[number].sum()), int(confusion[:, number].sum())
        hits = int(confusion[number, number])
        if support:
            per_class[label] = {
                "precision": round(hits / answered if answered else 0.0, 4),
                "recall": round(hits / support, 4),
                "f1": round(2 * hits / (support + answered), 4),
                "support": support,
            }
    f1 = [row["f1"] for row in per_class.values()] or [0.0]
    return {
        "accuracy": round(right / max(1, total), 5),
        "accuracy_interval": [round(end, 5) for end in wilson_interval(right, total)],
        "macro_f1": round(float(np.mean(f1)), 5),
        "segments": total,
        "per_class": per_class,
        "labels": list(labels),
        "confusion": confusion.tolist(),
    }
