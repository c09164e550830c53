"""What the parity page shows of errors, step by step and in the long run, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from edgecap_convert.report import drift_plots
from edgecap_convert.report.formats import duration, is_number, share, steps
from edgecap_convert.report.reading import (
    OUTPUTS,
    Record,
    at,
    counted,
    distinct,
    list_at,
    long_run,
    numbers_at,
    shown,
    signed,
    table_at,
    task_of,
    text_at,
)

_TENSORS = {OUTPUTS: "outputs", "h": "hidden state", "c": "cell state"}
_COURSES = {
    "each_step": "whole file, each step",
    "recurrent": "recurrent step, each step",
    "free_running": "running freely",
}
# Units that are named, of each state.
_WORST = 4


def _tensor(name: str) -> tuple[str, str]:
    """A tensor's name, and what it is."""
    kind = name if name in _TENSORS else name.rstrip("0123456789")
    told = _TENSORS.get(kind, "")
    layer = name[len(kind) :]
    return name, f"{told}, layer {layer}" if told and layer else told


def step_by_step(record: Record) -> dict[str, Any]:
    """A table of every tensor under every course, and a histogram of those that differ."""
    found = {name: table_at(record, "steps", name) for name in _COURSES}
    found = {name: course for name, course in found.items() if course}
    names = distinct(name for course in found.values() for name in table_at(course, "tensors"))
    free = found.get("free_running", {})
    tensors, frames = long_run(record)
    return {
        "courses": [
            (_COURSES[name], counted(at(course, "frames"))) for name, course in found.items()
        ],
        "rows": [
            (_tensor(name), [_difference(at(c, "tensors", name)) for c in found.values()])
            for name in names
        ],
        "same": share(free.get("same_answers")) if is_number(free.get("same_answers")) else "",
        "off": share(free.get("off_share")) if is_number(free.get("off_share")) else "",
        "frames": frames,
        "histograms": list(_histograms(tensors)),
        "equal": [name for name, tensor in tensors.items() if at(tensor, "largest") == 0],
    }


def _difference(tensor: Any) -> tuple[str, str, str]:
    return (
        steps(at(tensor, "mean")),
        steps(at(tensor, "largest")),
        share(at(tensor, "within_one")),
    )


def _histograms(tensors: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str, str, Markup]]:
    for name, tensor in tensors.items():
        counts = np.nan_to_num(numbers_at(tensor, "histogram"))
        if len(counts) != len(drift_plots.BARS) or not counts.any() or at(tensor, "largest") == 0:
            continue
        mean, largest, _ = _difference(tensor)
        yield _tensor(name), mean, largest, drift_plots.histogram(counts)


def drift(record: Record) -> dict[str, Any] | None:
    """The audit's verdict, figures and curves, and what the units of each state do."""
    found = table_at(record, "drift")
    if not found:
        return None
    verdict = text_at(found, "verdict") or "no verdict"
    seconds = found.get("seconds")
    length = float(seconds) if is_number(seconds) else 0.0
    off, same = (numbers_at(found, "blocks", name) for name in ("off_float", "same_as_float"))
    answers = task_of(record) != "regression" and len(same) == len(off)
    reset = found.get("reset_every_s")
    units = [_units(name, told) for name, told in table_at(found, "units").items()]
    return {
        "verdict": f"{verdict[:1].upper()}{verdict[1:]}.",
        "good": not is_number(reset) and "stall" not in verdict,
        "figures": _drift_figures(record, found),
        "answers": answers,
        "block_frames": counted(at(found, "blocks", "frames_each")),
        "course": drift_plots.course(
            off,
            same if answers else None,
            length,
            reset_s=float(reset) if is_number(reset) else None,
        )
        if len(off)
        else None,
        "steps": [
            (_tensor(name), drift_plots.steps_course(numbers_at(values), length))
            for name, values in table_at(found, "blocks", "steps").items()
            if _is_watched(name) and np.isfinite(numbers_at(values)).any()
        ],
        "units": units,
        "saturated": [unit for unit in units if unit["saturated_plot"]],
        "stalled": [unit for unit in units if unit["stalled_plot"]],
    }


def _is_watched(name: str) -> bool:
    return name == OUTPUTS or name.rstrip("0123456789") in ("h", "c")


def _drift_figures(record: Record, found: Mapping[str, Any]) -> list[tuple[str, str]]:
    length = shown(found.get("seconds"), duration)
    rows = [("stream", f"{counted(found.get('frames'))} frames, {length}")]
    if task_of(record) != "regression":
        for name, told in (("float", "float"), ("fake_quant", "fake-quantised")):
            value = at(found, "same_answers", name)
            if is_number(value):
                rows.append((f"same answers as the {told} network", share(value)))
    growth, sure = (at(found, "trend", name) for name in ("growth", "t"))
    if is_number(growth):
        rows.append(
            ("error, last third against the first", signed((growth - 1) * 100, " %")),
        )
    if is_number(sure):
        rows.append(("t of the slope", f"{sure:.2f}".replace("-", "−")))
    reset = found.get("reset_every_s")
    if is_number(reset) or (reset is None and "reset_every_s" in found):
        rows.append(("reset every", "never" if reset is None else f"{reset:g} s"))
    return rows


def _units(name: str, told: Any) -> dict[str, Any]:
    file, whole, stalled = (
        numbers_at(told, kind, "each") for kind in ("saturated", "saturated_in_float", "stalled")
    )
    either = np.concatenate([file, whole])
    return {
        "tensor": _tensor(name),
        "count": counted(at(told, "units")),
        "saturated": share(at(told, "saturated", "mean")),
        "saturated_in_float": share(at(told, "saturated_in_float", "mean")),
        "most_saturated": _worst(told, "saturated"),
        "stalled": share(at(told, "stalled", "mean")),
        "most_stalled": _worst(told, "stalled"),
        "saturated_plot": drift_plots.unit_shares(file, whole) if _any(either) else None,
        "stalled_plot": drift_plots.unit_shares(stalled) if _any(stalled) else None,
    }


def _any(values: npt.NDArray[np.float64]) -> bool:
    return bool((np.nan_to_num(values) > 0).any())


def _worst(told: Any, kind: str) -> str:
    pairs = [pair for pair in list_at(told, kind, "worst") if isinstance(pair, list | tuple)]
    named = [
        f"{pair[0]} ({share(pair[1])})"
        for pair in pairs[:_WORST]
        if len(pair) == 2 and is_number(pair[1]) and pair[1] > 0
    ]
    return ", ".join(named) or "none"
