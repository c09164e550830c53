"""The newest frame, handed over when it is asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgecap.capture.slots import SLOTS, Slots, anonymous_memory, size_of
from edgecap.preprocess import Image

#: Sends a message, and a file descriptor where there is one.
Send = Callable[[dict[str, Any], "int | None"], None]


@dataclass(frozen=True)
class _Newest:
    slots: Slots
    slot: int
    index: int
    timestamp_s: float
    corrupt: int


class Mailbox:
    """Three slots, two threads: one publishes frames, the other says that a frame is wanted.

    The reader, in another process, owns the slot it was last told of until it asks again, so no
    frame is overwritten while it is copied; and no lock is shared with it that the death of one
    process would keep held.

    Args:
      send: called with ``{"block": …}`` and a descriptor when frames have a new size, with
        ``{"frame": …}``, and with ``{"end": True}`` after the last. At most one frame is under
        way, so it never has to wait.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._slots: Slots | None = None
        self._descriptor: int | None = None
        self._newest: _Newest | None = None
        self._held: _Newest | None = None
        self._wanted: int | None = None
        self._finished = False

    def room(self, height: int, width: int) -> Image:
        """Where the next frame is to be written: neither the newest nor the reader's.

        Raises:
          OSError: no memory for frames of this size.
        """
        if self._slots is None or self._slots.shape[:2] != (height, width):
            descriptor = anonymous_memory(size_of(height, width))
            with self._lock:
                if self._descriptor is not None:
                    # The reader never heard of it: its frames are dropped with it.
                    os.close(self._descriptor)
                    self._newest = None
                self._descriptor = descriptor
                self._slots = Slots(descriptor, height, width, writable=True)
        self._free = self._free_slot()
        return self._slots[self._free]

    def publish(self, index: int, timestamp_s: float, corrupt: int) -> None:
        """What was written where ``room`` said is the newest frame now.

        Args:
          index: counts what the camera delivered.
          timestamp_s: when it was taken.
          corrupt: how many until now could not be decoded.
        """
        assert self._slots is not None, "room comes first"
        with self._lock:
            self._newest = _Newest(self._slots, self._free, index, timestamp_s, corrupt)
            self._answer()

    def want(self, after: int) -> None:
        """The reader is done with its slot and wants a frame later than index ``after``."""
        with self._lock:
            self._held, self._wanted = None, after
            self._answer()

    def finish(self) -> None:
        """No frame will follow: who wants one is told, once the last is taken."""
        with self._lock:
            self._finished = True
            self._answer()

    def _free_slot(self) -> int:
        with self._lock:
            taken = {n.slot for n in (self._newest, self._held) if n and n.slots is self._slots}
        return next(slot for slot in range(SLOTS) if slot not in taken)

    def _answer(self) -> None:
        newest = self._newest
        if self._wanted is None:
            return
        if newest is None or newest.index <= self._wanted:
            if self._finished:
                self._send({"end": True}, None)
            return
        if self._descriptor is not None and newest.slots is self._slots:
            # The first frame of its size: the reader gets the memory, and we need no name for it.
            height, width, _ = newest.slots.shape
            self._send({"block": {"height": height, "width": width}}, self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        frame = {
            "slot": newest.slot,
            "index": newest.index,
            "timestamp_s": newest.timestamp_s,
            "corrupt": newest.corrupt,
        }
        self._send({"frame": frame}, None)
        self._held, self._wanted = newest, None
