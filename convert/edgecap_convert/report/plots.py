"""Plots as SVG that takes its colours and its font from the page around it."""

from __future__ import annotations

import io
import re
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

# Matplotlib draws with these, the page puts its own in their place, light or dark.
_COLOURS = {
    "ink": "#1b2126",
    "muted": "#66717c",
    "line": "#dfe3e7",
    "accent": "#2c6e9b",
    "warm": "#c9692b",
    "s3": "#3f8f5f",
    "s4": "#8a63b8",
    "s5": "#b0405f",
    "s6": "#8c7a24",
}
#: Begins every id in a figure; the page puts the figure's number in its place.
OWN = "figure-number-"
#: Names of the page's colours, for lines that stand together.
SERIES = ("accent", "warm", "s3", "s4", "s5", "s6")
_INK, _MUTED, _LINE = _COLOURS["ink"], _COLOURS["muted"], _COLOURS["line"]
_ACCENT, _WARM = _COLOURS["accent"], _COLOURS["warm"]

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgecap",
    # Names of values may hold a dollar sign.
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.3,
}
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
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.7, 0.55 + 1.2 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        if len(loss):
            _draw_loss(axes[0], steps, loss)
        if len(validated):
            _draw_validation(axes[-1], validated)
        axes[-1].set_xlabel("step")
        axes[-1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return _svg(figure, "Loss and validation over the steps of the stage")


def _draw_loss(axes: Axes, steps: np.ndarray, loss: np.ndarray) -> None:
    parts = np.array_split(np.arange(len(loss)), min(_LOSS_POINTS, len(loss)))
    x = np.array([steps[part].mean() for part in parts])
    mean = np.array([loss[part].mean() for part in parts])
    low, high = (np.array([f(loss[part]) for part in parts]) for f in (np.min, np.max))
    axes.fill_between(x, low, high, color=_ACCENT, alpha=0.18, linewidth=0)
    width = max(1, len(x) // 30)
    smooth = np.convolve(np.pad(mean, (width - 1, 0), mode="edge"), np.ones(width) / width, "valid")
    axes.plot(x, smooth, color=_ACCENT)
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
    axes.plot(steps, scores, "-", color=_WARM)
    axes.plot(steps, scores, "o", color=_WARM, markersize=2.6)
    best = int(scores.argmax())
    axes.plot(steps[best], scores[best], "o", color=_WARM, markersize=5.5)
    axes.margins(x=0.04, y=0.3)
    right = steps[best] > (steps[0] + steps[-1]) / 2
    axes.annotate(
        f"{scores[best]:.4g}",
        (steps[best], scores[best]),
        xytext=(-4 if right else 4, 5),
        textcoords="offset points",
        ha="right" if right else "left",
        color=_INK,
        fontweight="bold",
    )
    axes.set_ylabel("validation")


def roc(false_rate: np.ndarray, true_rate: np.ndarray) -> Markup:
    """The receiver operating characteristic."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _square()
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
        picks = _thinned(false_rate)
        axes.plot(false_rate[picks], true_rate[picks], color=_ACCENT)
        _fill(axes, false_rate[picks], true_rate[picks])
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        return _svg(figure, "Receiver operating characteristic")


def precision_recall(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Markup:
    """(recall, precision) of one label, or of several in the order of ``SERIES``."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _square()
        for (recall, precision), colour in zip(curves, SERIES, strict=False):
            picks = _thinned(recall)
            # Between two thresholds nothing is reached but the lower one's precision.
            axes.step(recall[picks], precision[picks], where="post", color=_COLOURS[colour])
        axes.set(xlabel="recall", ylabel="precision")
        return _svg(figure, "Precision against recall")


def scatter(targets: np.ndarray, values: np.ndarray) -> Markup:
    """Predicted against true values, one dot a frame."""
    with matplotlib.rc_context(_STYLE):
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
            axes.plot(ends, ends, color=_MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
            axes.scatter(targets[picks], values[picks], s=5, color=_ACCENT, alpha=0.4, linewidths=0)
            axes.set(xlim=ends, ylim=ends)
        axes.set(xlabel="true", ylabel="predicted")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return _svg(figure, "Predicted against true values")


def timeline(
    targets: npt.NDArray[np.float32], values: npt.NDArray[np.float32], rate_hz: float | None
) -> Markup:
    """One value over a recording: true and predicted, ``(N,)`` each."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(11.0, 2.5), layout="constrained")
        axes = figure.add_subplot()
        picks = evenly(len(values), _LINE_POINTS)
        x = picks / rate_hz if rate_hz else picks
        axes.plot(x, targets[picks], color=_MUTED, linewidth=1.3)
        axes.plot(x, values[picks], color=_ACCENT, linewidth=1.3)
        axes.margins(x=0.01)
        axes.set_xlabel("seconds" if rate_hz else "frame")
        return _svg(figure, "The worst recording, true and predicted")


def delays(delays_s: Sequence[float], rate_hz: float | None) -> Markup:
    """A histogram of detection delays; they are multiples of a frame, and so are its bars."""
    values = np.array([value for value in delays_s if np.isfinite(value)], float)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.4, 2.2), layout="constrained")
        axes = figure.add_subplot()
        if len(values):
            frame = 1 / rate_hz if rate_hz else max(float(np.ptp(values)), 1e-3) / 20
            width = frame * max(1, round(float(np.ptp(values)) / frame / 20))
            first = round(float(values.min()) / frame) * frame - frame / 2
            edges = np.arange(first, float(values.max()) + width, width)
            axes.hist(values, bins=edges.tolist(), color=_ACCENT, alpha=0.75, rwidth=0.86)
        if len(values):
            middle = float(np.median(values))
            axes.axvline(middle, color=_WARM, linewidth=1.2)
            axes.annotate(
                f"median {middle:.2f} s",
                (middle, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -9),
                textcoords="offset points",
                color=_INK,
            )
        axes.grid(visible=False, axis="x")
        axes.set(xlabel="seconds from the beginning to the report", ylabel="events")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return _svg(figure, "Detection delays")


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.2, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    return figure, axes


def _fill(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    axes.fill_between(x, 0, y, color=_ACCENT, alpha=0.1, linewidth=0)


def _thinned(values: np.ndarray) -> np.ndarray:
    return evenly(len(values), 300)


def _svg(figure: Figure, title: str) -> Markup:
    """The figure as an element that can stand in a page, in the page's colours."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    text = buffer.getvalue()
    opening = re.search(r'<svg[^>]*viewBox="([^"]+)"[^>]*>', text)
    if opening is None:
        raise RuntimeError("matplotlib wrote no SVG")
    body = text[opening.end() :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    # Only what is referred to keeps its id.
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", body))
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{OWN}{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r"(url\(|href=\")#", rf"\1#{OWN}", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r"font-family: [^;\"]*;?\s?", "", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", body)
    # A hundredth of a point is finer than any screen.
    body = re.sub(r' (?:d|x|y)="[^"]*"', lambda m: re.sub(r"(\d\.\d{2})\d+", r"\1", m[0]), body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    for name, colour in _COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    head = f'<svg class="plot" viewBox="{opening[1]}" role="img"><title>{title}</title>'
    return Markup(head + body)
