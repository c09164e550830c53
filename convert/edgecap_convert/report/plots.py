"""Plots of a training: curves, answers and delays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from edgecap_convert.report.digest import evenly
from edgecap_convert.report.drawing import (
    ACCENT,
    COLOURS,
    INK,
    MUTED,
    SERIES,
    STYLE,
    WARM,
    svg,
)

_LOSS_POINTS = 240
_SCATTER_POINTS = 1500
_LINE_POINTS = 700
# A loss that falls by more is read on a logarithmic scale.
_LOG_FROM = 30.0


def stage_curves(history: Mapping[str, Any]) -> Markup | None:
    """Loss above, validation below; ``None`` if there is neither.

    Args:
      history: ``History.to_dict()``: ``loss`` (one a step, or at ``loss_steps``), ``validated``
        pairs of step and score.
    """
    loss = np.array(
        [np.nan if value is None else value for value in history.get("loss") or ()], float
    )
    steps = np.asarray(history.get("loss_steps") or np.arange(1, len(loss) + 1), float)
    validated = np.array(history.get("validated") or np.zeros((0, 2)), float).reshape(-1, 2)
    usable = np.isfinite(loss)
    loss, steps = loss[usable], steps[usable]
    validated = validated[np.isfinite(validated).all(axis=1)]
    rows = [name for name, values in (("loss", loss), ("score", validated)) if len(values)]
    if not rows:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.7, 0.55 + 1.2 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        if len(loss):
            _draw_loss(axes[0], steps, loss)
        if len(validated):
            _draw_validation(axes[-1], validated)
        axes[-1].set_xlabel("step")
        axes[-1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return svg(figure, "Loss and validation over the steps of the stage")


def _draw_loss(axes: Axes, steps: np.ndarray, loss: np.ndarray) -> None:
    parts = np.array_split(np.arange(len(loss)), min(_LOSS_POINTS, len(loss)))
    x = np.array([steps[part].mean() for part in parts])
    mean = np.array([loss[part].mean() for part in parts])
    low, high = (np.array([f(loss[part]) for part in parts]) for f in (np.min, np.max))
    axes.fill_between(x, low, high, color=ACCENT, alpha=0.18, linewidth=0)
    width = max(1, len(x) // 30)
    smooth = np.convolve(np.pad(mean, (width - 1, 0), mode="edge"), np.ones(width) / width, "valid")
    axes.plot(x, smooth, color=ACCENT)
    if smooth.min() > 0 and smooth.max() > _LOG_FROM * smooth.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axes.tick_params(axis="y", which="minor", size=0)
    elif smooth.min() >= 0:
        # One spike must not flatten the rest.
        axes.set_ylim(0, 1.05 * max(np.quantile(high, 0.98), smooth.max()) or 1)
    axes.set_ylabel("loss")


def _draw_validation(axes: Axes, validated: np.ndarray) -> None:
    steps, scores = validated.T
    axes.plot(steps, scores, "-", color=WARM)
    axes.plot(steps, scores, "o", color=WARM, markersize=2.6)
    best = int(scores.argmax())
    axes.plot(steps[best], scores[best], "o", color=WARM, markersize=5.5)
    axes.margins(x=0.04, y=0.3)
    right = steps[best] > (steps[0] + steps[-1]) / 2
    axes.annotate(
        f"{scores[best]:.4g}",
        (steps[best], scores[best]),
        xytext=(-4 if right else 4, 5),
        textcoords="offset points",
        ha="right" if right else "left",
        color=INK,
        fontweight="bold",
    )
    axes.set_ylabel("validation")


def roc(false_rate: np.ndarray, true_rate: np.ndarray) -> Markup:
    """The receiver operating characteristic."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _square()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        picks = _thinned(false_rate)
        axes.plot(false_rate[picks], true_rate[picks], color=ACCENT)
        _fill(axes, false_rate[picks], true_rate[picks])
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        return svg(figure, "Receiver operating characteristic")


def precision_recall(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Markup:
    """(recall, precision) of one label, or of several in the order of ``SERIES``."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _square()
        for (recall, precision), colour in zip(curves, SERIES, strict=False):
            picks = _thinned(recall)
            # Between two thresholds nothing is reached but the lower one's precision.
            axes.step(recall[picks], precision[picks], where="post", color=COLOURS[colour])
        axes.set(xlabel="recall", ylabel="precision")
        return svg(figure, "Precision against recall")


def scatter(targets: np.ndarray, values: np.ndarray) -> Markup:
    """Predicted against true values, one dot a frame."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.2, 3.1), layout="constrained")
        axes = figure.add_subplot()
        usable = np.isfinite(targets) & np.isfinite(values)
        targets, values = targets[usable], values[usable]
        picks = evenly(len(targets), _SCATTER_POINTS)
        if len(picks):
            both = np.concatenate([targets, values])
            low, high = float(both.min()), float(both.max())
            edge = 0.04 * (high - low) or 1.0
            ends = (low - edge, high + edge)
            axes.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
            axes.scatter(targets[picks], values[picks], s=5, color=ACCENT, alpha=0.4, linewidths=0)
            axes.set(xlim=ends, ylim=ends)
        axes.set(xlabel="true", ylabel="predicted")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return svg(figure, "Predicted against true values")


def timeline(
    targets: npt.NDArray[np.float32], values: npt.NDArray[np.float32], rate_hz: float | None
) -> Markup:
    """One value over a recording: true and predicted, ``(N,)`` each."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 2.5), layout="constrained")
        axes = figure.add_subplot()
        picks = evenly(len(values), _LINE_POINTS)
        x = picks / rate_hz if rate_hz else picks
        axes.plot(x, targets[picks], color=MUTED, linewidth=1.3)
        axes.plot(x, values[picks], color=ACCENT, linewidth=1.3)
        axes.margins(x=0.01)
        axes.set_xlabel("seconds" if rate_hz else "frame")
        return svg(figure, "The worst recording, true and predicted")


def delays(delays_s: Sequence[float], rate_hz: float | None) -> Markup:
    """A histogram of detection delays; they are multiples of a frame, and so are its bars."""
    values = np.array([value for value in delays_s if np.isfinite(value)], float)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 2.2), layout="constrained")
        axes = figure.add_subplot()
        if len(values):
            frame = 1 / rate_hz if rate_hz else max(float(np.ptp(values)), 1e-3) / 20
            width = frame * max(1, round(float(np.ptp(values)) / frame / 20))
            first = round(float(values.min()) / frame) * frame - frame / 2
            edges = np.arange(first, float(values.max()) + width, width)
            axes.hist(values, bins=edges.tolist(), color=ACCENT, alpha=0.75, rwidth=0.86)
        if len(values):
            middle = float(np.median(values))
            axes.axvline(middle, color=WARM, linewidth=1.2)
            axes.annotate(
                f"median {middle:.2f} s",
                (middle, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -9),
                textcoords="offset points",
                color=INK,
            )
        axes.grid(visible=False, axis="x")
        axes.set(xlabel="seconds from the beginning to the report", ylabel="events")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return svg(figure, "Detection delays")


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.2, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    return figure, axes


def _fill(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    axes.fill_between(x, 0, y, color=ACCENT, alpha=0.1, linewidth=0)


def _thinned(values: np.ndarray) -> np.ndarray:
    return evenly(len(values), 300)
