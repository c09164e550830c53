"""Secrets in URLs do not leave the process."""

from __future__ import annotations

import re

# The user's name stays: it tells which account is meant.
_USER = re.compile(r"(?<=://)([^\s/?#@:]*):([^\s/?#]*)(?=@)")
_QUERY = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:token|passw(?:or)?d|pwd|secret|key|auth|signature|sig))=)[^\s&;#'\"]+"
)


def mask_url(text: str) -> str:
    """Any text with the passwords and tokens of the URLs in it replaced by ``***``."""
    return _QUERY.sub(r"\1***", _USER.sub(r"\1:***", text))
