"""Waiting for descriptors, and being woken."""

from __future__ import annotations

import contextlib
import math
import os
import select
from collections.abc import Sequence


def wait_readable(descriptors: Sequence[int], timeout_s: float | None) -> set[int]:
    """Those of the descriptors that can be read, or have ended; empty: none in time.

    Args:
      timeout_s: so long at most; ``None``: until there is one.
    """
    # select() refuses descriptors above 1023, which a large program has.
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    # Rounded up: waiting 0.4 ms as 0 ms would be a busy loop.
    wait_ms = None if timeout_s is None else max(0, math.ceil(timeout_s * 1000))
    return {descriptor for descriptor, _ in poll.poll(wait_ms)}


class Waker:
    """Ends a wait from any thread or signal handler, now and from then on.

    Attributes:
      descriptor: readable once ``wake`` was called; to be waited for too.
    """

    def __init__(self) -> None:
        self.descriptor, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self.woken = False
        self._closed = False

    def wake(self) -> None:
        """Lets go whoever waits, and whoever will."""
        if self.woken or self._closed:
            return
        self.woken = True
        with contextlib.suppress(OSError):
            os.write(self._write, b"!")

    def close(self) -> None:
        """Gives the descriptors back; nobody may wait any more."""
        if not self._closed:
            self._closed = True
            os.close(self.descriptor)
            os.close(self._write)
