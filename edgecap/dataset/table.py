"""Tables of numbers beside a recording: what is true at which frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecap.dataset.csvfile import read_rows
from edgecap.errors import DataError

#: What the first column may be called: the frame's number from 0, or seconds from the start.
KEYS = ("frame", "time_s")
# A table may start this share of its recording too late, or end so much too early.
_UNCOVERED = 0.1


@dataclass(frozen=True)
class Table:
    """Numbers over frames or seconds.

    Attributes:
      path: the CSV file.
      key: ``frame`` or ``time_s``: what ``at`` counts.
      names: of the values.
      at: ``(R,)`` float64, growing.
      values: ``(R, K)`` float32.
    """

    path: Path
    key: str
    names: tuple[str, ...]
    at: npt.NDArray[np.float64]
    values: npt.NDArray[np.float32]

    def lookup(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """The newest row at each point; before the first row, the first.

        Args:
          points: ``(M,)`` frame numbers or seconds, not falling.

        Returns:
          ``(M, K)`` float32.

        Raises:
          DataError: the table leaves more than a tenth of the points to guess.
        """
        # Times are rounded when they are written down.
        slack = 1e-3 if self.key == "time_s" else 0.0
        rows = np.searchsorted(self.at, points + slack, side="right") - 1
        step = float(np.median(np.diff(self.at))) if len(self.at) > 1 else 1.0
        outside = (rows < 0) | (points > self.at[-1] + 2 * step)
        if outside.mean() > _UNCOVERED:
            raise DataError(
                f"{self.path}: covers {self.key} {self.at[0]:g} to {self.at[-1]:g}, but the "
                f"recording's part goes from {points[0]:g} to {points[-1]:g}"
            )
        return self.values[np.maximum(rows, 0)]


def read_names(path: Path) -> tuple[str, ...]:
    """The names of a table's values.

    Raises:
      DataError: not readable, or no table of values.
    """
    names, _ = read_rows(path)
    return _value_names(path, names)


def read_key(path: Path) -> str:
    """``frame`` or ``time_s``: what a table counts.

    Raises:
      DataError: not readable, or no table of values.
    """
    names, _ = read_rows(path)
    _value_names(path, names)
    return names[0].lower()


def read_table(path: Path) -> Table:
    """Reads ``frame,value[,value…]`` or ``time_s,value[,value…]``.

    Raises:
      DataError: not such a table, a cell that is no finite number, or frames out of order.
    """
    names, rows = read_rows(path)
    values = _value_names(path, names)
    numbers: list[list[float]] = []
    for line, cells in rows:
        row = [_number(path, line, *pair) for pair in zip(names, cells, strict=True)]
        if numbers and row[0] <= numbers[-1][0]:
            raise DataError(
                f"{path}, line {line}: {names[0]} {cells[0]} does not come after "
                f"{numbers[-1][0]:g}; expected growing numbers"
            )
        numbers.append(row)
    if not numbers:
        raise DataError(f"{path}: a heading and no rows")
    array = np.array(numbers)
    return Table(path, names[0].lower(), values, array[:, 0], array[:, 1:].astype(np.float32))


def _value_names(path: Path, names: list[str]) -> tuple[str, ...]:
    if names[0].lower() not in KEYS or len(names) < 2 or not all(names):
        raise DataError(
            f"{path}: expected the columns frame,value[,value…] or time_s,value[,value…]; found "
            f"{','.join(names)[:200]}"
        )
    return tuple(names[1:])


def _number(path: Path, line: int, name: str, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{path}, line {line}: {name}: expected a number; got {cell[:40]!r}")
    return number
