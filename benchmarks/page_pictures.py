"""The page's pictures: SVG on a light card, which reads the same on a light and on a dark page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from edgecap_convert.report.drawing import ACCENT, COLOURS, INK, LINE, MUTED, STYLE, WARM
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from page_data import digest

CARD = "#fbfcfd"
PALE = "#b9c6d1"
GREEN = COLOURS["s3"]
STAGES = {
    "preprocess": COLOURS["s3"],
    "set": COLOURS["s4"],
    "invoke": ACCENT,
    "get": COLOURS["s5"],
    "post": WARM,
}
_STYLE = STYLE | {
    # Text as outlines: a page that shows a picture from a file has no fonts of ours.
    "svg.fonttype": "path",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
}


class Picture:
    """A figure that remembers what it was drawn of."""

    def __init__(self, width: float, height: float, data: Any) -> None:
        #: Of the figures that it shows; stands in the SVG, too.
        self.digest = digest(data)
        with matplotlib.rc_context(_STYLE):
            self.figure = Figure(figsize=(width, height), layout="constrained")
            self.figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.05, hspace=0.06)

    def axes(self, rows: int = 1, columns: int = 1, **options: Any) -> Any:
        with matplotlib.rc_context(_STYLE):
            return self.figure.subplots(rows, columns, **options)

    def save(self, path: Path) -> None:
        """Writes the SVG; nothing in it tells when. A PNG where the name says so, to look at."""
        card = FancyBboxPatch(
            (0.002, 0.002),
            0.996,
            0.996,
            boxstyle="round,pad=0,rounding_size=0.012",
            transform=self.figure.transFigure,
            facecolor=CARD,
            edgecolor=LINE,
            linewidth=1.0,
            zorder=-10,
            mutation_aspect=self.figure.get_figwidth() / self.figure.get_figheight(),
        )
        self.figure.patches.append(card)
        with matplotlib.rc_context(_STYLE):
            if path.suffix == ".png":
                self.figure.savefig(path, dpi=150)
                return
            file = io.StringIO()
            about = {"Date": None, "Creator": None, "Description": self.digest}
            self.figure.savefig(file, format="svg", metadata=about)
        path.write_text(file.getvalue().replace("\r\n", "\n"), "utf-8")


def factors(rows: Sequence[dict[str, Any]], *, label: str) -> Picture:
    """How many times: lying bars that begin at 1, on a logarithmic axis.

    Each row has ``name``, ``value`` and ``told``, which stands at the bar's end; ``low`` and
    ``high`` where they are known; and ``own`` where it is what the others are held against.
    """
    picture = Picture(8.2, 0.75 + 0.34 * len(rows), [list(rows), label])
    axes: Axes = picture.axes()
    places = range(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        own, value = row.get("own", False), row["value"]
        end = max(1.0, value, row.get("high") or value)
        if own:
            axes.plot(value, place, "o", markersize=8, color=ACCENT)
        else:
            # What is faster than ours goes the other way, and is not to be overlooked.
            axes.barh(place, value - 1, left=1, height=0.62, color=PALE if value >= 1 else WARM)
        if row.get("low") is not None:
            axes.plot([row["low"], row["high"]], [place, place], color=INK, linewidth=1.1)
        axes.annotate(
            row["told"],
            (end, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INK,
            fontweight="bold" if own else "normal",
        )
    axes.axvline(1, color=ACCENT, linewidth=1.2)
    axes.set_yticks(list(places), [row["name"] for row in rows])
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_color(INK)
        tick.set_fontweight("bold" if row.get("own") else "normal")
    values = [row["value"] for row in rows]
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.5, max(values) * 7)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    _plain(axes)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(label)
    return picture


def stacked(rows: Sequence[tuple[str, dict[str, float]]], *, label: str) -> Picture:
    """Lying bars in parts: a name, and its parts in the order of ``STAGES``."""
    picture = Picture(8.2, 1.25 + 0.42 * len(rows), [list(rows), label])
    axes: Axes = picture.axes()
    places = list(range(len(rows)))[::-1]
    starts = [0.0] * len(rows)
    for stage, colour in STAGES.items():
        widths = [parts.get(stage, 0.0) for _, parts in rows]
        axes.barh(places, widths, left=starts, height=0.62, color=colour, label=stage)
        starts = [start + width for start, width in zip(starts, widths, strict=True)]
    for place, end in zip(places, starts, strict=True):
        axes.annotate(
            f"{end:,.0f} µs",
            (end, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INK,
        )
    axes.set_yticks(places, [name for name, _ in rows])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_xlim(0, max(starts) * 1.15)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(label)
    picture.figure.legend(
        loc="outside upper center", ncols=len(STAGES), frameon=False, fontsize=8.5, handlelength=1.0
    )
    return picture


def curve(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    *,
    colour: str = ACCENT,
    name: str | None = None,
    band: Sequence[Sequence[float]] | None = None,
) -> None:
    """A line through points, with the interval of each."""
    if band:
        low, high = zip(*band, strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, y, marker="o", markersize=4, color=colour, label=name)


def titled(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold", color=INK, pad=8)


def small(axes: Axes, title: str, label: str, *, x: Sequence[float], log: bool) -> None:
    """The frame of one of many small plots."""
    titled(axes, title)
    axes.set_xlabel(label)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(x), [_short(value) for value in x])
    axes.xaxis.set_minor_formatter(NullFormatter())


def dots(
    panels: Sequence[tuple[str, Sequence[dict[str, Any]]]], *, label: str, width: float = 8.2
) -> Picture:
    """Points with intervals, one row each, panels side by side: ``name``, ``value``, ``low``…"""
    most = max(len(rows) for _, rows in panels)
    picture = Picture(width, 0.9 + 0.27 * most, [[t, list(r)] for t, r in panels])
    for axes, (title, rows) in zip(
        picture.axes(1, len(panels), squeeze=False, sharey=False)[0], panels, strict=True
    ):
        places = list(range(len(rows)))[::-1]
        for place, row in zip(places, rows, strict=True):
            colour = WARM if row.get("own") else ACCENT
            if row.get("low") is not None:
                axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.4)
            axes.plot(row["value"], place, "o", markersize=5, color=colour)
        axes.set_yticks(places, [row["name"] for row in rows])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        titled(axes, title)
        axes.set_xlabel(label)
    return picture


def _plain(axes: Axes) -> None:
    """Numbers on a logarithmic axis as people write them."""
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_locator(NullLocator())


def _short(value: float) -> str:
    if value >= 1e4 and math.log10(value) == round(math.log10(value)):
        return f"10{'⁰¹²³⁴⁵⁶⁷⁸⁹'[round(math.log10(value))]}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


__all__ = ["ACCENT", "COLOURS", "INK", "MUTED", "WARM"]
