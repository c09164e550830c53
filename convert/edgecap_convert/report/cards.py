"""The figures at the head of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgecap_convert.report.formats import FIGURES, duration, form, number, percent, rate
from edgecap_convert.report.pooling import mean_mse, wilson_interval

# More classes make a matrix that nobody reads; the most frequent confusions are listed anyway.


def cards(task: str, evaluation: Mapping[str, Any], seconds: float | None) -> list[dict[str, str]]:
    """The headline: a few large figures, each with what it is of."""
    cards = []
    if task == "classification":
        clips = int(evaluation["segments"])
        right = round(evaluation["accuracy"] * clips)
        low, high = wilson_interval(right, clips)
        cards.append(
            _card(
                "Accuracy",
                percent(evaluation["accuracy"]),
                f"{right:,} of {clips:,} clips; 95 % interval {percent(low)} to {percent(high)}",
            )
        )
    if task == "multilabel" and "exact_match" in evaluation:
        cards.append(
            _card("All labels right", percent(evaluation["exact_match"]), "share of clips")
        )
    if "macro_f1" in evaluation:
        cards.append(_card("Macro F1", number(evaluation["macro_f1"]), "mean over the labels"))
    if "mean_average_precision" in evaluation:
        cards.append(
            _card("Mean AP", number(evaluation["mean_average_precision"]), "over the labels")
        )
    if task == "regression":
        cards += _regression_cards(evaluation)
    events = evaluation.get("events")
    if events:
        detail = f"{events['recognised']:,} of {events['gestures']:,} recognised"
        cards.append(_card("Events", percent(events["recall"]), detail))
        hourly = false_per_hour(events)
        if hourly is not None:
            cards.append(
                _card("False events", f"{rate(hourly)} / h", f"{events['false']:,} in all")
            )
    if seconds is not None:
        cards.append(_card("Training", duration(seconds), "time taken"))
    return cards


def _regression_cards(evaluation: Mapping[str, Any]) -> list[dict[str, str]]:
    mse, of_mean = evaluation.get("mse"), evaluation.get("mean_mse")
    rows = (evaluation.get("per_value") or {}).values()
    if of_mean is None and rows and None not in (found := [mean_mse(row) for row in rows]):
        of_mean = float(np.mean(np.array(found, float)))
    cards = []
    if mse is not None:
        detail = "mean squared error"
        if of_mean:
            detail = f"{percent(mse / of_mean)} of the mean predictor's {number(of_mean)}"
        cards.append(_card("MSE", number(mse), detail))
    if evaluation.get("r2") is not None:
        cards.append(_card("R²", number(evaluation["r2"]), "share of the variance explained"))
    if evaluation.get("mae") is not None:
        cards.append(_card("MAE", number(evaluation["mae"]), "mean absolute error"))
    return cards


def crossval_cards(
    task: str, pooled: Mapping[str, Any], seconds: float | None
) -> list[dict[str, str]]:
    cards = []
    if "confusion" in pooled:
        low, high = pooled["accuracy_interval"]
        right = int(np.trace(np.array(pooled["confusion"])))
        cards.append(
            _card(
                "Accuracy, pooled",
                percent(pooled["accuracy"]),
                f"{right:,} of {pooled['segments']:,} clips; 95 % interval {percent(low)} to "
                f"{percent(high)}",
            )
        )
        cards.append(_card("Macro F1, pooled", number(pooled["macro_f1"]), "mean over the labels"))
    if task == "regression":
        cards += _regression_cards(pooled)
    if task == "multilabel" and "macro_f1" in pooled:
        cards.append(_card("Macro F1, pooled", number(pooled["macro_f1"]), "mean over the labels"))
    for name in ("accuracy", "exact_match", "macro_f1", "mse"):
        if name not in pooled["mean"] or (task == "classification" and name == "macro_f1"):
            continue
        cards.append(
            _card(
                f"{FIGURES[name][0][0].upper()}{FIGURES[name][0][1:]}, mean of folds",
                form(name, pooled["mean"][name]),
                f"± {form(name, pooled['sd'][name])} standard deviation",
            )
        )
    if seconds is not None:
        cards.append(_card("Training", duration(seconds), f"{pooled['folds']} folds"))
    return cards


def _card(name: str, value: str, detail: str) -> dict[str, str]:
    return {"name": name, "value": value, "detail": detail}


def false_per_hour(events: Mapping[str, Any]) -> float | None:
    if events.get("false_per_hour") is not None:
        return float(events["false_per_hour"])
    seconds = float(events.get("seconds") or 0.0)
    return 3600 * events["false"] / seconds if seconds else None
