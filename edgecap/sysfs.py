"""Facts that a system tells in files, under ``/proc`` and ``/sys``; ``None`` where it does not."""

from __future__ import annotations

import math
import os
from pathlib import Path


def text(path: Path) -> str | None:
    """What a file says, without what surrounds it; ``None`` where it is missing or unreadable."""
    try:
        # The device tree ends its strings with a zero byte.
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \t\r\n")
    except OSError:
        return None


def lines(path: Path) -> list[str]:
    """A file's lines; none where it is missing or unreadable."""
    return (text(path) or "").splitlines()


def integer(value: str | None, base: int = 10) -> int | None:
    """The number of at most 64 bits that is written there; ``None`` where there is none."""
    try:
        found = int(value or "", base)
    except ValueError:
        return None
    # What is larger stands for damage, and does not fit into arithmetic with floats.
    return found if abs(found) < 1 << 64 else None


def real(value: str | None) -> float | None:
    """The finite number that is written there; ``None`` where there is none."""
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def number(path: Path) -> int | None:
    """The number in a file; ``None`` where there is none."""
    return integer(text(path))


def numbered(folder: Path, prefix: str) -> list[Path]:
    """Entries ``prefix0``, ``prefix1``, … in the order of their numbers; none if there is no such
    folder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []
    rests = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    found = [name for name, rest in rests.items() if rest.isascii() and rest.isdigit()]
    return [folder / name for name in sorted(found, key=lambda name: int(rests[name]))]
