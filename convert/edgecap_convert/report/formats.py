"""Figures and settings as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

# Figures of one evaluation, in the order of reading: key → (heading, format).
FIGURES = {
    "accuracy": ("accuracy", "percent"),
    "end_accuracy": ("at the last frame", "percent"),
    "frame_accuracy": ("frames right", "percent"),
    "exact_match": ("all labels right", "percent"),
    "macro_precision": ("macro precision", "number"),
    "macro_recall": ("macro recall", "number"),
    "macro_f1": ("macro F1", "number"),
    "micro_f1": ("micro F1", "number"),
    "mean_average_precision": ("mean AP", "number"),
    "mse": ("MSE", "number"),
    "mean_mse": ("MSE of the mean", "number"),
    "mae": ("MAE", "number"),
    "r2": ("R²", "number"),
    "segments": ("clips", "count"),
    "recordings": ("recordings", "count"),
    "frames": ("frames", "count"),
}


def percent(value: float, digits: int = 1) -> str:
    return "–" if not math.isfinite(value) else f"{value * 100:.{digits}f} %"


def number(value: float) -> str:
    """Four digits that count, without an exponent where that can be read."""
    if not math.isfinite(value):
        return "–"
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        digits = 3 if abs(value) < 1 else max(0, 3 - math.floor(math.log10(abs(value))))
        if 0 < abs(value) < 0.1:
            digits = 3 - math.floor(math.log10(abs(value))) - 1
        return f"{value:,.{digits}f}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def count(value: float) -> str:
    return f"{int(value):,}"


def rate(value: float) -> str:
    """Of rare events in a stretch of time."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def form(name: str, value: float) -> str:
    kind = FIGURES[name][1] if name in FIGURES else "number"
    return {"percent": percent, "number": number, "count": count}[kind](float(value))


def groups(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Nested settings as groups of (name, value); what is not nested comes first."""
    single = [(name, _plain(v)) for name, v in settings.items() if not isinstance(v, Mapping)]
    nested = [
        (str(name), list(_flat(value)))
        for name, value in settings.items()
        if isinstance(value, Mapping) and value
    ]
    return ([("", single)] if single else []) + nested


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(entry) for entry in value) or "–"
    return str(value)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a record's entry is a figure that can be shown."""
    kind = isinstance(value, int | float) and not isinstance(value, bool)
    return kind and math.isfinite(value)


def share(value: Any) -> str:
    """A share of which the rare exceptions count: 99.996 %, 0.022 %; never rounded to all or none.

    What is no figure is a dash, here and in :func:`steps`.
    """
    if not is_number(value):
        return "–"
    if value in (0, 1):
        return f"{value * 100:.0f} %"
    if 0.999 < value < 1:
        return f"{math.floor(value * 1e5 + 1e-6) / 1e3:.3f} %"
    if 0 < value < 0.01:
        return "< 0.001 %" if value < 5e-6 else f"{value * 100:.2g} %"
    return f"{value * 100:.2f} %" if value > 0.99 else percent(value)


def steps(value: Any) -> str:
    """Steps of a grid (LSB): whole ones without decimals."""
    if not is_number(value):
        return "–"
    if value == 0 or (abs(value) >= 1 and abs(value - round(value)) < 5e-4):
        return f"{round(value):,}"
    if abs(value) < 0.1:
        return f"{value:.2g}" if abs(value) >= 1e-4 else "< 0.0001"
    return f"{value:,.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"
