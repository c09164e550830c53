"""Passwords and tokens in URLs, made unreadable before a URL is told to anyone."""

from __future__ import annotations

import re

MASK = "***"

# Up to the last @ before the path: a password may hold one.
_USER = re.compile(r"([a-z][a-z0-9+.-]*://)([^\s/?#]*)@", re.IGNORECASE)
# A password with a / or ? in it, which nothing should accept, but which people write.
_LOOSE_USER = re.compile(r"([a-z][a-z0-9+.-]*://)([^\s@:/?#]+):(\S*)@", re.IGNORECASE)
# And one with a space, where the text is known to be one URL.
_SPACED_USER = re.compile(r"([a-z][a-z0-9+.-]*://)([^\s@:/?#]+):(.*)@", re.IGNORECASE | re.DOTALL)
_SECRET = r"token|key|pass|pwd|secret|auth|sig|cred|session|jwt|otp|user"
_PARAMETER = re.compile(rf"([?&;#][^=&;#\s]*(?:{_SECRET})[^=&;#\s]*=)[^&;#\s]*", re.IGNORECASE)


def mask_url(text: str) -> str:
    """A text in which the secrets of every URL are replaced by ``***``.

    ``rtsp://admin:pass@camera/1?token=abc`` becomes ``rtsp://admin:***@camera/1?token=***``. A
    user without a password may be a token, and is replaced too. What is no URL stays as it is.

    Args:
      text: a URL, or a message that holds some.
    """
    masked = _USER.sub(_mask_user, text)
    loose = _SPACED_USER if _SPACED_USER.match(masked) else _LOOSE_USER
    masked = loose.sub(_mask_loose, masked)
    return _PARAMETER.sub(rf"\1{MASK}", masked)


def _mask_user(found: re.Match[str]) -> str:
    scheme, user = found.groups()
    name, colon, _ = user.partition(":")
    return f"{scheme}{name}:{MASK}@" if colon else f"{scheme}{MASK}@"


def _mask_loose(found: re.Match[str]) -> str:
    scheme, name, rest = found.groups()
    # host:port/@name is no password; and a mask may be there already.
    if rest == MASK or rest.startswith(f"{MASK}@") or re.match(r"\d{1,5}(/|$)", rest):
        return found.group()
    return f"{scheme}{name}:{MASK}@"
