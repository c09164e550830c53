"""The trade-off curve as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from edgecap.errors import ConfigError
from edgecap.extras import require_matplotlib
from edgecap.tuning.counts import Point
from edgecap.tuning.tune import Tuning

_PURPOSE = "to draw the trade-off curve"
_FORMATS = (".png", ".svg", ".pdf")
_INK, _MUTED, _LINE = "#1b2126", "#66717c", "#dfe3e7"
_CURVE, _CHOSEN, _BEFORE = "#2c6e9b", "#3f8f5f", "#c9692b"


def check_plot(path: Path) -> None:
    """Tells before a long job whether a picture can be drawn.

    Raises:
      ConfigError: no known format. MissingDependencyError: Matplotlib is not installed.
    """
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(f"{path}: expected a picture's name, in {', '.join(_FORMATS)}")
    require_matplotlib(_PURPOSE)


def draw(tuning: Tuning, suffix: str, *, name: str) -> bytes:
    """The picture, of a model's name, in the format of a suffix: ``.png``, ``.svg`` or ``.pdf``."""
    matplotlib = require_matplotlib(_PURPOSE)
    style = {"text.parse_math": False, "font.size": 9, "svg.fonttype": "none"}
    with matplotlib.rc_context(style):
        figure = matplotlib.figure.Figure(figsize=(8.0, 4.6), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        _settings(axes, tuning)
        _curve(axes, tuning)
        _marks(axes, tuning)
        _dress(axes, tuning, f"{name}: what is recognised, and at what price")
        picture = io.BytesIO()
        figure.savefig(picture, format=suffix.lower().removeprefix("."))
    return picture.getvalue()


def _xy(point: Point, aim: str) -> tuple[float, float]:
    return point.false_per_hour, point.reached(aim) * 100


def _settings(axes: Any, tuning: Tuning) -> None:
    x, y = zip(*(_xy(point, tuning.aim) for point in tuning.points), strict=True)
    axes.plot(x, y, "o", ms=3, mfc=_LINE, mec="#c3cad1", mew=0.5, ls="none", label="settings tried")


def _curve(axes: Any, tuning: Tuning) -> None:
    x, y = zip(*(_xy(point, tuning.aim) for point in tuning.curve), strict=True)
    # It goes on to the right: more false events are never needed for as much.
    right = max(point.false_per_hour for point in tuning.points)
    axes.plot(
        [*x, max(right, x[-1])],
        [*y, y[-1]],
        drawstyle="steps-post",
        color=_CURVE,
        lw=1.8,
        label="best of them",
    )
    axes.plot(x, y, "o", ms=3.5, color=_CURVE, ls="none")


def _marks(axes: Any, tuning: Tuning) -> None:
    marks = [(tuning.before, _BEFORE, "s", "before")]
    if tuning.chosen is not None:
        marks.append((tuning.chosen, _CHOSEN, "o", "chosen"))
    for point, colour, marker, name in marks:
        x, y = _xy(point, tuning.aim)
        low, high = point.recall_interval
        spread = None
        if tuning.aim == "recall":
            spread = [[y - low * 100], [high * 100 - y]]
        axes.errorbar(
            [x],
            [y],
            xerr=[[0], [point.false_upper - x]],
            yerr=spread,
            fmt=marker,
            ms=8,
            color=colour,
            mec="white",
            mew=1.2,
            elinewidth=1.2,
            capsize=3,
            label=f"{name}, 95 % bounds",
            zorder=5,
        )
    if tuning.held_out is not None:
        x, y = _xy(tuning.held_out.point, tuning.aim)
        axes.plot([x], [y], "D", ms=7, mfc="none", mec=_CHOSEN, mew=1.5, label="held out", zorder=6)


def _dress(axes: Any, tuning: Tuning, title: str) -> None:
    axes.axvline(tuning.target, color=_MUTED, lw=1, ls=(0, (4, 3)))
    hours = tuning.before.background.hours
    # Linear up to one event in all of the background, which is the least above none.
    least = 1 / hours if hours else 1.0
    axes.set_xscale("symlog", linthresh=least, linscale=0.5)
    right = axes.get_xlim()[1]
    axes.set_xlim(-0.15 * least, right)
    steps = [part * 10.0**power for power in range(-4, 6) for part in (1, 2, 5)]
    axes.set_xticks([0.0, *(step for step in steps if least <= step <= right)], minor=False)
    axes.set_xticks([], minor=True)
    shown = [point.reached(tuning.aim) * 100 for point in (*tuning.curve, tuning.before)]
    axes.set_ylim(max(0.0, min(shown) - 12), 101.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.annotate(
        f" {tuning.target:g}/h allowed",
        (tuning.target, 0.02),
        xycoords=("data", "axes fraction"),
        color=_MUTED,
        fontsize=8,
    )
    axes.set_xlabel(f"false events an hour, on {hours:.2f} h of background", color=_INK)
    name = "F1" if tuning.aim == "f1" else "recall"
    axes.set_ylabel(f"{name} of {tuning.before.data.gestures} things to recognise, %", color=_INK)
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.grid(color=_LINE, lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)
    axes.tick_params(colors=_MUTED, length=0, which="both")
    axes.figure.legend(
        frameon=False, fontsize=8, loc="outside lower center", ncols=5, labelcolor=_INK
    )
