"""CSV files as spreadsheets write them."""

from __future__ import annotations

import csv
import itertools
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from edgecap.errors import DataError

_DELIMITERS = (",", ";", "\t")
_MAX_COLUMNS = 1000
# Characters; a cell may have 131,072, by Python's reader.
_LONGEST_LINE = 1 << 20


def read_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Opens a CSV file: with or without a byte-order mark, any line ends, quoted or not.

    Commas, semicolons or tabs separate, whichever the first line holds most of.

    Returns:
      The column names, and the rows as (line in the file, cells), each with as many cells as there
      are columns; empty lines are left out.

    Raises:
      DataError: no such file, no text, no heading, a column twice, or (while rows are read) a row
        with too few or too many cells.
    """
    rows = _rows(path)
    try:
        _, first = next(rows)
    except StopIteration:
        raise DataError(f"{path}: the file is empty; expected a heading and rows") from None
    names = [name.strip() for name in first]
    if len(names) > _MAX_COLUMNS:
        raise DataError(f"{path}: expected {_MAX_COLUMNS} columns at most; got {len(names)}")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: the column {name[:60]!r} is there twice")
    return names, _checked(path, names, rows)


def _checked(
    path: Path, names: list[str], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(
                f"{path}, line {line}: expected {len(names)} cells ({', '.join(names)[:200]}); "
                f"got {len(cells)}. A cell with a separator in it must be quoted"
            )
        yield line, [cell.strip() for cell in cells]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    line = 1
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: expected a file; this is a folder or a device")
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline(_LONGEST_LINE)
            file.seek(0)
            delimiter = max(_DELIMITERS, key=heading.count)
            reader = csv.reader(_lines(path, file), delimiter=delimiter, strict=True)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield line, cells
                # A quoted cell may go over several lines; the row's first is the one to name.
                line = reader.line_num + 1
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as CSV UTF-8"
        ) from error
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: not CSV: {error}") from error


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """The lines, none of them so long that it takes the memory."""
    for number in itertools.count(1):
        line = file.readline(_LONGEST_LINE + 1)
        if not line:
            return
        if len(line) > _LONGEST_LINE:
            raise DataError(
                f"{path}, line {number}: expected {_LONGEST_LINE} characters at most in a line"
            )
        if "\0" in line:
            raise DataError(
                f"{path}, line {number}: not text (a NUL in it, as UTF-16 has); save it as CSV "
                "UTF-8"
            )
        yield line
