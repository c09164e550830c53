"""What the parity page shows of accuracy, gates and making, as plain data for the template."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from edgecap_convert.export.card import clips_both_ways, form_name
from edgecap_convert.report.formats import (
    FIGURES,
    duration,
    form,
    is_number,
    number,
    percent,
    rate,
    share,
    steps,
)
from edgecap_convert.report.plots import stage_curves
from edgecap_convert.report.reading import (
    OUTPUTS,
    Record,
    at,
    counted,
    distinct,
    list_at,
    long_run,
    origin_of,
    shown,
    signed,
    table_at,
    task_of,
    text_at,
)

_TASKS = {"multilabel": "multi-label classification"}
# The one figure of a task, that a loss is told of.
_HEADLINES = {"classification": "accuracy", "multilabel": "macro_f1", "regression": "mse"}
_SHOWN = (
    "accuracy",
    "end_accuracy",
    "frame_accuracy",
    "exact_match",
    "macro_f1",
    "micro_f1",
    "mean_average_precision",
    "mse",
    "mae",
    "r2",
)
# Longer lists of operators stand in two columns.
_COLUMN = 10


def facts(record: Record) -> list[str]:
    """The line under the title."""
    recipe, task, runtime, data = (
        text_at(record, name) for name in ("recipe", "task", "runtime", "data")
    )
    told = [f"recipe {recipe}"] if recipe else []
    told += [_TASKS.get(task, task)] if task else []
    told += [_kilobytes(record["bytes"])] if is_number(record.get("bytes")) else []
    told += [runtime] if runtime else []
    if data:
        told.append(
            f"measured on the {data}: {counted(record.get('recordings'))} recordings, "
            f"{counted(record.get('frames'))} frames"
        )
    return told


def _kilobytes(size: float) -> str:
    return f"{size / 1000:,.0f} kB"


def _card(name: str, value: str, detail: str) -> dict[str, str]:
    # Cards are narrow: a figure stays beside its sign.
    return {"name": name, "value": value, "detail": detail.replace(" %", "\u00a0%")}


def cards(record: Record) -> list[dict[str, str]]:
    """The headline: accuracy, agreement, steps, drift and size."""
    return [
        _accuracy_card(record),
        _agreement_card(record),
        _outputs_card(record),
        _drift_card(record),
        _size_card(record),
    ]


def _accuracy_card(record: Record) -> dict[str, str]:
    figure = _HEADLINES.get(task_of(record), "accuracy")
    name = FIGURES[figure][0]
    whole, file = (_headline(record, key) for key in ("float", _file(record)))
    told = "of the file"
    lost = loss(record, _file(record))
    if whole is not None and lost is not None:
        beside = f"the float network's {form(figure, whole)}"
        if figure == "mse":
            told = f"{abs(lost):.1f} % {'above' if lost > 0 else 'below'} {beside}"
        else:
            points = f"{abs(lost):.1f} points"
            told = f"{points} {'lost against' if lost > 0 else 'above'} {beside}"
        if abs(lost) < 0.05:
            told = f"as {beside}"
    value = "–" if file is None else form(figure, file)
    return _card(f"{name[0].upper()}{name[1:]} of the file", value, told)


def _agreement_card(record: Record) -> dict[str, str]:
    origin = origin_of(record)
    if task_of(record) == "regression":
        return _card(
            "Mean difference",
            shown(record.get("mean_difference"), number),
            f"of the values from the {origin} network's; at most "
            f"{shown(record.get('largest_difference'), number)}",
        )
    frames = counted(record.get("frames"))
    return _card(
        "Same answers",
        share(record.get("same_answers")),
        f"as the {origin} network, in {frames} frames",
    )


def _outputs_card(record: Record) -> dict[str, str]:
    tensors, frames = long_run(record)
    found = at(tensors, OUTPUTS, "mean")
    if not is_number(found):
        return _card("Outputs", "–", "not compared step by step")
    return _card(
        "Outputs",
        f"{steps(found)} LSB",
        f"apart on average, {steps(at(tensors, OUTPUTS, 'largest'))} at most, in {frames} frames",
    )


def _drift_card(record: Record) -> dict[str, str]:
    if not table_at(record, "drift"):
        return _card("Drift", "–", "not audited")
    seconds = shown(at(record, "drift", "seconds"), _seconds)
    stalls = [at(unit, "stalled", "mean") for unit in table_at(record, "drift", "units").values()]
    stall = max(filter(is_number, stalls), default=None)
    told = f"in {seconds} without a reset"
    told += f"; units stall in {share(stall)} of them" if stall is not None else ""
    reset = at(record, "drift", "reset_every_s")
    if is_number(reset):
        return _card("Drift", "grows", f"reset every {reset:g} s; measured {told}")
    unknown = "reset_every_s" not in record["drift"] or reset is not None
    return _card("Drift", "–" if unknown else "no growth", told)


def _seconds(value: float) -> str:
    return f"{value:,.0f} s"


def _size_card(record: Record) -> dict[str, str]:
    made = [o for o in list_at(record, "operators") if is_number(at(o, "count"))]
    floats = sum(o["count"] for o in made if str(o.get("dtype")).startswith("float"))
    total = sum(o["count"] for o in made)
    told = f"{counted(floats) if floats else 'none'} of {counted(total)} operators gives floats"
    if floats > 1:
        told = told.replace("gives", "give")
    size = record.get("bytes")
    return _card("Size", shown(size, _kilobytes), told if made else "of the flatbuffer")


def _file(record: Record) -> str:
    """The key of the file's own figures."""
    for key in table_at(record, "accuracy"):
        if key not in ("float", "float_streamed", "fake_quant") and not key.endswith("_carried"):
            return str(key)
    return "int8"


def _headline(record: Record, key: str) -> float | None:
    found = at(record, "accuracy", key, _HEADLINES.get(task_of(record), "accuracy"))
    return float(found) if is_number(found) else None


def loss(record: Record, key: str) -> float | None:
    """Points lost against the float network, or percent of its squared error."""
    whole, found = _headline(record, "float"), _headline(record, key)
    if whole is None or found is None:
        return None
    if task_of(record) == "regression":
        return (found / whole - 1) * 100 if whole else None
    return (whole - found) * 100


def accuracy(record: Record) -> dict[str, Any]:
    """A row for each form, the file's marked; and the clips by who is right."""
    results = table_at(record, "accuracy")
    names = [n for n in _SHOWN if any(is_number(at(r, n)) for r in results.values())]
    events = any(table_at(result, "events") for result in results.values())
    unit = "error against float" if task_of(record) == "regression" else "points against float"
    return {
        "headings": [
            *(FIGURES[name][0] for name in names),
            *(("events", "false an hour") if events else ()),
            unit,
        ],
        "rows": [
            {
                "name": form_name(str(key), text_at(record, "recipe")),
                "own": key == _file(record),
                "values": [
                    *(shown(at(result, name), partial(form, name)) for name in names),
                    *(_events(result) if events else ()),
                    "" if key == "float" else _against(record, str(key)),
                ],
            }
            for key, result in results.items()
        ],
        "clips": _clips(record),
    }


def _events(result: Any) -> tuple[str, str]:
    seconds = at(result, "events", "seconds")
    false = at(result, "events", "false")
    hourly = 3600 * false / seconds if seconds and is_number(seconds) and is_number(false) else None
    return shown(at(result, "events", "recall"), percent), shown(hourly, rate)


def _against(record: Record, key: str) -> str:
    lost = loss(record, key)
    if lost is None:
        return "–"
    if task_of(record) == "regression":
        return signed(lost, " %")
    return signed(-lost, "")


def _clips(record: Record) -> dict[str, Any] | None:
    names = ("both", "float_only", "file_only", "neither")
    counts = [at(record, "clips", name) for name in names]
    if not all(map(is_number, counts)) or not sum(counts):
        return None
    total = sum(counts)
    cells = [
        {"count": counted(found), "share": round(found / total, 3), "same": name in names[::3]}
        for name, found in zip(names, counts, strict=True)
    ]
    told = clips_both_ways(dict(record)) if is_number(at(record, "clips", "same")) else ""
    return {"cells": cells, "told": told}


def gates(record: Record) -> list[dict[str, Any]]:
    return [
        {
            **{name: text_at(gate, name) or "–" for name in ("name", "bar", "found")},
            "passed": bool(gate.get("passed")),
        }
        for gate in list_at(record, "gates")
        if isinstance(gate, Mapping)
    ]


def operators(record: Record) -> dict[str, Any] | None:
    """Operators down, the dtypes that they give across; and how many there are."""
    counts: dict[tuple[str, str], float] = {}
    for operator in list_at(record, "operators"):
        if is_number(at(operator, "count")):
            kind = str(at(operator, "name")), str(at(operator, "dtype"))
            counts[kind] = counts.get(kind, 0) + operator["count"]
    if not counts:
        return None
    dtypes = distinct(dtype for _, dtype in counts)
    rows = [
        (name, [counted(counts[name, d]) if (name, d) in counts else "" for d in dtypes])
        for name in distinct(name for name, _ in counts)
    ]
    half = len(rows) if len(rows) <= _COLUMN else (len(rows) + 1) // 2
    totals = {d: sum(n for (_, dtype), n in counts.items() if dtype == d) for d in dtypes}
    return {
        "columns": [
            {"headings": dtypes, "rows": part} for part in (rows[:half], rows[half:]) if part
        ],
        "told": f"{counted(sum(totals.values()))} operators: "
        + ", ".join(f"{counted(total)} {dtype}" for dtype, total in totals.items()),
    }


def making(record: Record) -> dict[str, Any]:
    """Times, the training with fake quantisation, and what was tried on the way."""
    qat, validated = record.get("qat_steps"), list_at(record, "qat_validated")
    pairs = [p for p in validated if isinstance(p, list | tuple) and len(p) == 2]
    pairs = [pair for pair in pairs if all(map(is_number, pair))]
    rows = [
        ("conversion", shown(record.get("convert_seconds"), _precise)),
        ("measuring", shown(record.get("parity_seconds"), _precise)),
    ]
    if is_number(qat):
        rows.append(("training with fake quantisation", f"{counted(qat)} steps" if qat else "none"))
    if pairs:
        step, best = max(pairs, key=lambda pair: pair[1])
        rows.append(("best validation", f"{number(best)} at step {counted(step)}"))
    return {
        "rows": rows,
        "plot": stage_curves({"validated": pairs}) if len(pairs) > 1 else None,
        "ladder": _ladder(record),
    }


def _precise(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else duration(seconds)


def _ladder(record: Record) -> list[dict[str, Any]]:
    unit = " %" if task_of(record) == "regression" else " points"
    rungs = [rung for rung in list_at(record, "ladder") if isinstance(rung, Mapping)]
    return [
        {
            "recipe": text_at(rung, "recipe") or "–",
            "how": "trained" if rung.get("qat") else "calibrated",
            "loss": shown(rung.get("loss"), lambda v: f"{v:.2f}{unit}".replace("-", "−")),
            "taken": place == len(rungs),
        }
        for place, rung in enumerate(rungs, 1)
    ]
