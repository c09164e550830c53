"""CSV files as spreadsheets write them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from edgecap.errors import DataError

_DELIMITERS = (",", ";", "\t")


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
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: the column {name!r} is there twice")
    return names, _checked(path, names, rows)


def _checked(
    path: Path, names: list[str], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(
                f"{path}, line {line}: expected {len(names)} cells ({', '.join(names)}); got "
                f"{len(cells)}. A cell with a separator in it must be quoted"
            )
        yield line, [cell.strip() for cell in cells]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            delimiter = max(_DELIMITERS, key=heading.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            line = 1
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
