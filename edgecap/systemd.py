"""Tells systemd how the service does; elsewhere, does nothing. See ``man sd_notify``."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> bool:
    """Sends ``READY=1``, ``WATCHDOG=1``, ``STOPPING=1`` or ``STATUS=…``; never waits or fails.

    Returns:
      Whether a service manager was there to take it.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        # "@": an abstract socket, which has no name in the file system.
        sender.connect("\0" + address[1:] if address[0] == "@" else address)
        sender.send(state.encode())
        return True
    return False


def watchdog_period_s() -> float | None:
    """How often ``WATCHDOG=1`` is due (half of ``WatchdogSec=``); ``None``: nobody watches."""
    told, of = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not told.isdecimal() or int(told) == 0 or of not in ("", str(os.getpid())):
        return None
    return int(told) / 2e6
