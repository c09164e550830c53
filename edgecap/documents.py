"""Small files that people and other programs write: settings, keys, results."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# Far above what any of them needs.
_MAX_BYTES = 1 << 26
_MAX_DEPTH = 64


def read_small(path: str | Path, most: int = _MAX_BYTES) -> bytes:
    """The bytes of a file; a pipe or a device, which may never end, is not opened.

    Raises:
      OSError: missing, unreadable, no file, or of more than ``most`` bytes; ``strerror`` says
        which.
    """
    # Not through pathlib, which a cold start would wait for.
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise OSError(errno.EINVAL, "expected a file; this is a folder or a device", str(path))
    with open(path, "rb") as file:  # noqa: PTH123
        # Not by the size that it states: it may grow meanwhile.
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"too large; expected {most >> 20} MB at most", str(path))
    return data


def read_json(path: str | Path) -> Any:
    """What a JSON file holds, with or without a byte-order mark.

    Raises:
      OSError: see :func:`read_small`. ValueError: see :func:`parse_json`; or no UTF-8.
    """
    return parse_json(read_small(path).decode("utf-8-sig"))


def parse_json(text: str | bytes) -> Any:
    """Like :func:`json.loads`, for text from elsewhere.

    Raises:
      ValueError: no JSON, or nested so deeply that code which follows it runs out of stack.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raises ``ValueError`` for lists and tables in each other, more than 64 deep."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"nested too deeply; expected {_MAX_DEPTH} levels at most"
