"""What the sections of the page show, as plain data for the templates."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from edgecap.evaluation.classification import positive_label
from edgecap_convert.report import plots, thumbnails
from edgecap_convert.report.cards import false_per_hour
from edgecap_convert.report.data import ClipResult, PartSummary, ReportData
from edgecap_convert.report.digest import Digest
from edgecap_convert.report.drawing import SERIES
from edgecap_convert.report.formats import FIGURES, count, duration, form, number, percent, rate
from edgecap_convert.report.pooling import mean_mse

# More classes make a matrix that nobody reads; the most frequent confusions are listed anyway.
_MATRIX_CLASSES = 40
_DENSE_CLASSES = 14
_CONFUSIONS = 8
_PLOTTED_VALUES = 4
_LISTED_GROUPS = 60
_COURSES = 3


def facts(data: ReportData) -> list[str]:
    """The line under the title."""
    noun = "values" if data.task == "regression" else "labels"
    task = {"multilabel": "multi-label classification"}.get(data.task, data.task)
    facts = [task, f"{len(data.labels)} {noun if len(data.labels) != 1 else noun[:-1]}"]
    if data.split:
        sizes = (f"{part.clips:,} {name}" for name, part in data.split.items())
        facts.append("clips: " + ", ".join(sizes))
    return facts


def parts_table(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    names = [name for name in FIGURES if any(_is_figure(m.get(name)) for m in metrics.values())]
    return {
        "names": names,
        "headings": [FIGURES[name][0] for name in names],
        "rows": [
            (part, [form(n, m[n]) if _is_figure(m.get(n)) else "–" for n in names])
            for part, m in metrics.items()
        ],
    }


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def result(
    data: ReportData,
    evaluation: Mapping[str, Any],
    found: Digest,
    *,
    delays_s: Sequence[float] | None = None,
) -> dict[str, Any]:
    """What the main part's section shows; each entry may be missing."""
    events = evaluation.get("events")
    delays = list(data.delays_s if delays_s is None else delays_s)
    return {
        "matrix": _matrix(evaluation),
        "per_class": _per_class(data, evaluation),
        "binary": _binary(data, evaluation, found) if data.task == "classification" else None,
        "label_curves": _label_curves(data, found) if data.task == "multilabel" else None,
        "values": _values(evaluation) if data.task == "regression" else None,
        "scatters": _scatters(data, found) if data.task == "regression" else [],
        "timelines": _timelines(data, found) if data.task == "regression" else None,
        "events": _events(events, delays, data.rate_hz) if events else None,
    }


def _matrix(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    if evaluation.get("confusion") is None:
        return None
    labels = list(evaluation["labels"])
    counts = np.array(evaluation["confusion"], np.int64)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    rows = [
        {
            "label": label,
            "total": int(counts[row].sum()),
            "cells": [
                {
                    "count": int(counts[row, column]),
                    "share": round(float(shares[row, column]), 3),
                    "right": row == column,
                    "answer": labels[column],
                }
                for column in range(len(labels))
            ],
        }
        for row, label in enumerate(labels)
    ]
    wrong = sorted(
        (
            (int(counts[i, j]), labels[i], labels[j], percent(shares[i, j], 0))
            for i, j in itertools.permutations(range(len(labels)), 2)
            if counts[i, j]
        ),
        key=lambda entry: -entry[0],
    )
    return {
        "labels": labels,
        "rows": rows if len(labels) <= _MATRIX_CLASSES else [],
        "dense": len(labels) > _DENSE_CLASSES,
        "confusions": wrong[:_CONFUSIONS],
        "more": max(0, len(wrong) - _CONFUSIONS),
    }


def _per_class(data: ReportData, evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    per_class = evaluation.get("per_class") or evaluation.get("per_label")
    if not per_class:
        return None
    rows = []
    for label in [*data.labels, *(label for label in per_class if label not in data.labels)]:
        row = per_class.get(label)
        if row is None:
            rows.append({"label": label, "support": None, "ap": None})
            continue
        area = row.get("average_precision")
        rows.append(
            {
                "label": label,
                "support": count(row["support"]),
                "ap": None if area is None else number(area),
                **{name: (row[name], number(row[name])) for name in ("precision", "recall", "f1")},
            }
        )
    return {"rows": rows, "ap": any(row["ap"] is not None for row in rows)}


def _hits(found: Digest, label: str) -> np.ndarray:
    return np.array([label in truth for truth in found.truths])


def _label_curves(data: ReportData, found: Digest) -> dict[str, Any] | None:
    from sklearn.metrics import precision_recall_curve

    if not found.scores:
        return None
    scores = np.stack(found.scores)
    present = [
        (index, label)
        for index, label in enumerate(data.labels)
        if label != data.background and _hits(found, label).any()
    ]
    if not present or len(present) > len(SERIES) or not np.isfinite(scores).all():
        return None
    curves = []
    for index, label in present:
        precision, recall, _ = precision_recall_curve(_hits(found, label), scores[:, index])
        curves.append((recall, precision))
    legend = [(label, colour) for (_, label), colour in zip(present, SERIES, strict=False)]
    return {"plot": plots.precision_recall(curves), "legend": legend}


def _binary(
    data: ReportData, evaluation: Mapping[str, Any], found: Digest
) -> dict[str, Any] | None:
    if len(data.labels) != 2 or not found.scores:
        return None
    from sklearn.metrics import (
        average_precision_score,
        precision_recall_curve,
        roc_auc_score,
        roc_curve,
    )

    given = evaluation.get("binary") or {}
    positive = str(given.get("positive") or positive_label(data.labels, data.background))
    true = _hits(found, positive)
    scores = np.stack(found.scores)[:, data.labels.index(positive)]
    if true.all() or not true.any() or not np.isfinite(scores).all():
        return {"positive": positive, "plots": None}
    false_rate, true_rate, _ = roc_curve(true, scores)
    precision, recall, _ = precision_recall_curve(true, scores)
    area = given.get("roc_auc")
    average = given.get("average_precision")
    return {
        "positive": positive,
        "auc": number(roc_auc_score(true, scores) if area is None else area),
        "ap": number(average_precision_score(true, scores) if average is None else average),
        "plots": (
            plots.roc(false_rate, true_rate),
            plots.precision_recall([(recall, precision)]),
        ),
    }


def _values(evaluation: Mapping[str, Any]) -> list[dict[str, str]] | None:
    per_value = evaluation.get("per_value")
    if not per_value:
        return None
    rows = []
    for name, row in per_value.items():
        mse, of_mean = float(row["mse"]), mean_mse(row)
        rows.append(
            {
                "name": name,
                "mse": number(mse),
                "mean_mse": "–" if of_mean is None else number(of_mean),
                "ratio": percent(mse / of_mean) if of_mean else "–",
                "mae": number(row["mae"]) if row.get("mae") is not None else "–",
                "r2": number(row["r2"]) if row.get("r2") is not None else "–",
            }
        )
    return rows


def _scatters(data: ReportData, found: Digest) -> list[tuple[str, Markup]]:
    if not found.points:
        return []
    targets, values = (np.concatenate(side) for side in zip(*found.points, strict=True))
    return [
        (label, plots.scatter(targets[:, index], values[:, index]))
        for index, label in enumerate(data.labels[:_PLOTTED_VALUES])
    ]


def _timelines(data: ReportData, found: Digest) -> dict[str, Any] | None:
    if not found.worst:
        return None
    worst = found.worst[0]
    # It has an error, so it has both.
    assert worst.course is not None
    assert worst.targets is not None
    return {
        "name": worst.name,
        "mse": number(worst.squared_error),
        "plots": [
            (label, plots.timeline(worst.targets[:, n], worst.course[:, n], data.rate_hz))
            for n, label in enumerate(data.labels[:_PLOTTED_VALUES])
        ],
    }


def _events(
    events: Mapping[str, Any], delays_s: Sequence[float], rate_hz: float | None
) -> dict[str, Any]:
    hourly = false_per_hour(events)
    rows = [
        ("events performed", count(events["gestures"])),
        ("recognised", f"{count(events['recognised'])} ({percent(events['recall'])})"),
        ("precision of the reports", percent(events["precision"])),
        ("false", count(events["false"])),
        ("length of the recordings", duration(float(events["seconds"]))),
    ]
    if hourly is not None:
        rows.append(("false per hour", rate(hourly)))
    if events.get("background_seconds"):
        quiet = duration(float(events["background_seconds"]))
        rows.append(
            (
                f"false per hour of background ({quiet})",
                rate(events["background_false_per_hour"]),
            )
        )
    middle, late = events.get("delay_median_s"), events.get("delay_p95_s")
    if delays_s:
        middle, late = np.quantile(np.array(delays_s, float), [0.5, 0.95]).tolist()
    if middle is not None and late is not None:
        rows.append(("delay, median and 95th percentile", f"{middle:.2f} s, {late:.2f} s"))
    return {"rows": rows, "plot": plots.delays(delays_s, rate_hz) if delays_s else None}


def joint_events(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    found = [evaluation["events"] for evaluation in evaluations if evaluation.get("events")]
    if not found:
        return None
    names = ["gestures", "recognised", "false", "seconds"]
    if all("background_seconds" in events for events in found):
        names += ["background_false", "background_seconds"]
    joint = {name: sum(events[name] for events in found) for name in names}
    reported = joint["recognised"] + joint["false"]
    joint["recall"] = joint["recognised"] / max(1, joint["gestures"])
    joint["precision"] = joint["recognised"] / max(1, reported)
    if joint.get("background_seconds"):
        hourly = 3600 * joint["background_false"] / joint["background_seconds"]
        joint["background_false_per_hour"] = hourly
    return joint


def clips(data: ReportData, found: Digest) -> dict[str, Any]:
    return {
        "worst": [_clip(data, clip) for clip in found.worst],
        "best": [_clip(data, clip) for clip in found.best],
        "count": found.count,
    }


def _clip(data: ReportData, clip: ClipResult) -> dict[str, Any]:
    confidence = clip.confidence(data.task, data.labels)
    decided = None
    length = len(clip.course) if clip.course is not None else 0
    if clip.decided is not None and length:
        start, stop = clip.decided
        decided = (round(100 * start / length, 1), round(100 * (stop - start) / length, 1))
    return {
        "name": clip.name,
        "truth": ", ".join(clip.truth) or "nothing",
        "answer": ", ".join(clip.answer) or "nothing",
        "correct": clip.correct,
        "figure": number(-confidence) if data.task == "regression" else f"{confidence:.2f}",
        "strip": thumbnails.strip(clip),
        "courses": _courses(data, clip),
        "decided": decided,
    }


def _courses(data: ReportData, clip: ClipResult) -> list[tuple[str, str]]:
    """(colour, points) of the lines under a strip."""
    course = clip.course
    if course is None or not len(course):
        return []
    if data.task == "regression":
        if clip.targets is None:
            return []
        both = np.concatenate([course[:, 0], clip.targets[:, 0]])
        both = both[np.isfinite(both)]
        low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
        return [
            ("muted", thumbnails.course_points(clip.targets[:, 0], low, high)),
            ("accent", thumbnails.course_points(course[:, 0], low, high)),
        ]
    false = [label for label in clip.answer if label not in clip.truth]
    lines = [("warm", label) for label in false[:_COURSES]]
    lines += [("accent", label) for label in clip.truth[:_COURSES]]
    return [
        (colour, thumbnails.course_points(course[:, data.labels.index(label)]))
        for colour, label in lines
        if label in data.labels
    ]


def stages(histories: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for history in histories:
        drawn = plots.stage_curves(history)
        if drawn is not None:
            steps = len(history.get("loss") or ())
            rows.append({"name": str(history.get("stage", "")), "steps": steps, "plot": drawn})
    return rows


def split(split: Mapping[str, PartSummary], order: Sequence[str]) -> dict[str, Any] | None:
    if not split:
        return None
    found = {label for part in split.values() for label in part.per_label}
    labels = [label for label in order if label in found]
    labels += sorted(found - set(labels))
    return {
        "names": list(split),
        "clips": [count(part.clips) for part in split.values()],
        "groups": [count(len(part.groups)) for part in split.values()],
        "labels": [
            (label, [count(part.per_label.get(label, 0)) for part in split.values()])
            for label in labels
        ],
        "members": [
            (name, part.groups[:_LISTED_GROUPS], max(0, len(part.groups) - _LISTED_GROUPS))
            for name, part in split.items()
            # Without groups of their own, clips are named after themselves: no news.
            if 0 < len(part.groups) < part.clips
        ],
    }
