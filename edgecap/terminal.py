"""Pictures and bars made of characters."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import TextIO

import numpy as np
import numpy.typing as npt

from edgecap.preprocess import Image

RESET = "\x1b[0m"
BOLD = "\x1b[1m"
DIM = "\x1b[2m"
GREEN = "\x1b[38;5;42m"
YELLOW = "\x1b[38;5;221m"
RED = "\x1b[38;5;203m"
BLUE = "\x1b[38;5;75m"
HIDE_CURSOR = "\x1b[?25l"
SHOW_CURSOR = "\x1b[?25h"

_EIGHTHS = " ▏▎▍▌▋▊▉"
_HEIGHTS = " ▁▂▃▄▅▆▇█"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PARTS = re.compile(rf"{_CONTROL.pattern}|.", re.DOTALL)


def is_rich(stream: TextIO) -> bool:
    """Whether a stream is a terminal that may be drawn on (``NO_COLOR`` and dumb ones are not)."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def move_up(lines: int) -> str:
    """The control sequence that goes back to redraw ``lines`` lines."""
    return f"\x1b[{lines}F" if lines else ""


def picture(image: Image, *, columns: int) -> list[str]:
    """An image as lines of half blocks, two pixels to a character cell.

    Args:
      image: ``(h, w, 3)`` uint8 RGB.
      columns: width in characters; the aspect is kept.
    """
    height, width = image.shape[:2]
    rows = max(2, round(columns * height / width) // 2 * 2)
    y = (np.arange(rows) * height // rows).astype(np.intp)
    x = (np.arange(columns) * width // columns).astype(np.intp)
    small = image[np.ix_(y, x)].tolist()
    lines = []
    for top, bottom in zip(small[::2], small[1::2], strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀"
            for a, b in zip(top, bottom, strict=True)
        )
        lines.append("".join(cells) + RESET)
    return lines


def bar(fraction: float, *, columns: int) -> str:
    """A horizontal bar of exactly ``columns`` characters for a fraction in 0…1."""
    eighths = round(min(max(fraction, 0.0), 1.0) * columns * 8)
    full, rest = divmod(eighths, 8)
    text = "█" * full + (_EIGHTHS[rest] if rest else "")
    return text.ljust(columns)


def curve(fractions: Iterable[float], *, columns: int) -> str:
    """A curve of exactly ``columns`` characters; the latest fraction in 0…1 is on the right."""
    latest = list(fractions)[-columns:]
    last = len(_HEIGHTS) - 1
    return "".join(_HEIGHTS[round(min(max(f, 0.0), 1.0) * last)] for f in latest).rjust(columns)


def width(text: str) -> int:
    """How many columns a text takes; control sequences take none, East Asian letters two."""
    return sum(map(_columns, _CONTROL.sub("", text)))


def cut(text: str, columns: int) -> str:
    """As much of a text as fits, with all its control sequences; a cut is marked by ``…``."""
    if width(text) <= columns:
        return text
    kept, left = [], columns - 1
    for part in _PARTS.findall(text):
        if _CONTROL.fullmatch(part):
            kept.append(part)
        elif left >= 0:
            left -= _columns(part)
            kept.append(part if left >= 0 else "…")
    return "".join(kept)


def _columns(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def bars(
    labels: Sequence[str],
    probabilities: npt.NDArray[np.float32],
    *,
    active: Collection[str],
    columns: int = 24,
) -> list[str]:
    """One line per label: name, bar, per cent; labels of active events stand out."""
    widest = max(len(label) for label in labels)
    best = int(probabilities.argmax())
    lines = []
    for number, (label, p) in enumerate(zip(labels, probabilities.tolist(), strict=True)):
        color = GREEN if label in active else BLUE if number == best else DIM
        weight = BOLD if label in active else ""
        lines.append(
            f"{weight}{color}{label:>{widest}} {bar(p, columns=columns)} {p * 100:3.0f} %{RESET}"
        )
    return lines
