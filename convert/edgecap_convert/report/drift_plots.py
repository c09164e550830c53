"""Plots of a file beside its networks: how far apart, in the long run, and in which units."""

from __future__ import annotations

import matplotlib
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from edgecap_convert.report.drawing import ACCENT, INK, LINE, MUTED, STYLE, WARM, svg

#: What the bars of a histogram stand for, in steps; those of ``parity.steps.HISTOGRAM``.
BARS = ("0", "1", "2", "3–4", "5–8", "9–16", "> 16")

_Floats = npt.NDArray[np.float64]
# Of the blocks of a stream, for the line that the eye follows.
_SMOOTHED = 9
# Shares of units are drawn up to here at least: a rare thing must not look like a frequent one.
_SHARE_TOP = 5.0
_ROUND = [1, 2, 5, 10]


def histogram(counts: _Floats) -> Markup:
    """How many differences lie in each of ``BARS``, as shares of all."""
    shares = 100 * counts / max(float(counts.sum()), 1.0)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.7, 1.9), layout="constrained")
        axes = figure.add_subplot()
        axes.bar(np.arange(len(shares)), shares, width=0.76, color=ACCENT, alpha=0.75)
        for x, share in enumerate(shares):
            if share:
                axes.annotate(
                    _share(share),
                    (x, share),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="center",
                    color=INK,
                )
        axes.set_xticks(np.arange(len(shares)), BARS)
        axes.set(xlabel="difference in steps", ylim=(0, 1.14 * max(float(shares.max()), 1.0)))
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(3, steps=_ROUND))
        axes.set_ylabel("% of values")
        return svg(figure, "Differences, in steps")


def _share(percent: float) -> str:
    if percent < 0.1:
        return "< 0.1"
    return f"{percent:.1f}" if percent < 10 or 99 < percent < 99.95 else f"{percent:.0f}"


def course(
    off: _Floats, same: _Floats | None, seconds: float, *, reset_s: float | None = None
) -> Markup:
    """The error over a stream, and below it the share of the same answers.

    Args:
      off: of each block of the stream, as a share of the outputs' deviation.
      same: shares, or ``None`` if there are no answers to speak of.
      seconds: the stream's length. reset_s: where the error has grown too much.
    """
    with matplotlib.rc_context(STYLE):
        rows = 1 if same is None else 2
        figure = Figure(figsize=(11.0, 2.2 + 1.1 * (rows - 1)), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=[2, 1][:rows])[
            :, 0
        ]
        _line(axes[0], 100 * off, seconds, ACCENT)
        axes[0].set_ylabel("error, %")
        if reset_s is not None:
            axes[0].axvline(reset_s, color=WARM, linewidth=1.2)
            axes[0].annotate(
                f"grown after {reset_s:g} s",
                (reset_s, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -9),
                textcoords="offset points",
                color=INK,
            )
        if same is not None:
            _line(axes[1], 100 * same, seconds, WARM)
            axes[1].set(ylabel="same, %", ylim=(min(50.0, _lowest(100 * same) - 5), 104))
            axes[1].set_yticks([50, 100] if _lowest(same) >= 0.5 else [0, 50, 100])
        axes[-1].set_xlabel("seconds since the reset")
        return svg(figure, "Error of the outputs over the stream")


def steps_course(steps: _Floats, seconds: float) -> Markup:
    """The mean difference of one tensor over a stream, in steps."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.7, 1.8), layout="constrained")
        axes = figure.add_subplot()
        _line(axes, steps, seconds, ACCENT)
        axes.set(xlabel="seconds", ylabel="steps")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return svg(figure, "Mean difference over the stream, in steps")


def unit_shares(file: _Floats, whole: _Floats | None = None) -> Markup:
    """How often each unit does something, sorted: of the file filled, of the float network a line.

    Args:
      file: the share of each unit. whole: the same of the float network.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.7, 1.8), layout="constrained")
        axes = figure.add_subplot()
        top = _SHARE_TOP
        for values, colour in ((file, WARM), (whole, MUTED)):
            if values is None or not len(values):
                continue
            shares = 100 * np.sort(np.nan_to_num(values))[::-1]
            top = max(top, 1.06 * float(shares[0]))
            fill = colour == WARM
            axes.stairs(
                shares,
                np.arange(len(shares) + 1),
                fill=fill,
                color=colour,
                alpha=0.75 if fill else 1,
                linewidth=0 if fill else 1.2,
            )
        axes.set(xlabel="units, sorted", ylabel="%", ylim=(0, top), xlim=(0, max(len(file), 1)))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=_ROUND))
        axes.grid(visible=False, axis="x")
        return svg(figure, "Shares of the units, sorted")


def _line(axes: Axes, values: _Floats, seconds: float, colour: str) -> None:
    """Blocks of a stream, thin, and their running mean; the scale begins at zero."""
    x = (np.arange(len(values)) + 0.5) * seconds / max(len(values), 1)
    usable = np.isfinite(values)
    x, values = x[usable], values[usable]
    axes.plot(x, values, color=colour, linewidth=0.8, alpha=0.45)
    if len(values) >= 3 * _SMOOTHED:
        edge = _SMOOTHED // 2
        padded = np.pad(values, edge, mode="edge")
        axes.plot(x, np.convolve(padded, np.ones(_SMOOTHED) / _SMOOTHED, "valid"), color=colour)
    top = float(values.max()) if len(values) else 0.0
    axes.set(xlim=(0, seconds or 1), ylim=(0, 1.08 * top or 1))
    axes.axhline(0, color=LINE, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=_ROUND))


def _lowest(values: _Floats) -> float:
    usable = values[np.isfinite(values)]
    return float(usable.min()) if len(usable) else 0.0
