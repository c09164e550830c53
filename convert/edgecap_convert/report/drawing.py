"""How plots are drawn: SVG that takes its colours and its font from the page around it."""

from __future__ import annotations

import io
import re
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

# Matplotlib draws with these, the page puts its own in their place, light or dark.
COLOURS = {
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
INK, MUTED, LINE = COLOURS["ink"], COLOURS["muted"], COLOURS["line"]
ACCENT, WARM = COLOURS["accent"], COLOURS["warm"]

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgecap",
    # Names of values may hold a dollar sign.
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.3,
}


def svg(figure: Figure, title: str) -> Markup:
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
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    head = f'<svg class="plot" viewBox="{opening[1]}" role="img"><title>{title}</title>'
    return Markup(head + body)
