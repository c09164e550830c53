"""Options in the names of sources: ``picamera:width=96,rate=15``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgecap.errors import SourceError


def parse_options(text: str, types: Mapping[str, type], usage: str) -> dict[str, Any]:
    """Reads ``name=value,…``.

    Args:
      text: may be empty.
      types: name → what its value is: ``int``, ``float`` or ``str``.
      usage: shown where the text is wrong.

    Raises:
      SourceError: an unknown name, or a value that is no number, or negative or not finite.
    """
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in types:
            raise SourceError(f"unknown option {name!r}; expected {usage}")
        try:
            options[name] = types[name](value)
        except ValueError:
            raise SourceError(f"{name} expects a number; got {value!r}; expected {usage}") from None
        if types[name] is not str and not 0 <= options[name] < math.inf:
            raise SourceError(f"{name} expects 0 or more; got {value}")
    return options
