"""A bounded queue between two threads that loses pictures before it loses events."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from edgecap.notices import Notice
from edgecap.sinks.base import Result

Item = Result | Notice


@dataclass
class Losses:
    """What did not fit.

    Attributes:
      results: results lost, those with events included.
      events: results with events lost.
      notices: notices lost.
    """

    results: int = 0
    events: int = 0
    notices: int = 0

    def add(self, item: Item) -> None:
        """Counts a lost item."""
        if isinstance(item, Notice):
            self.notices += 1
        else:
            self.results += 1
            self.events += bool(item.prediction.events)

    def __str__(self) -> str:
        told = f"results lost: {self.results}, with events: {self.events}"
        return f"{told}; notices lost: {self.notices}" if self.notices else told


class ResultQueue:
    """Results and notices in the order in which they were put; every method takes O(1).

    When full, the oldest result without an event makes room; where only results with events and
    notices are left, a new result without an event is not taken, and otherwise the oldest goes.

    Args:
      capacity: so many items at most.
      max_bytes: so many bytes of pictures at most, whatever the number of items; one item always
        fits.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._capacity, self._max_bytes = capacity, max_bytes
        self._bytes = 0
        self._next = 0
        # By their numbers the two are one queue; apart, the oldest of either is at hand.
        self._plain: deque[tuple[int, Item]] = deque()
        self._kept: deque[tuple[int, Item]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.losses = Losses()

    def __len__(self) -> int:
        return len(self._plain) + len(self._kept)

    def put(self, item: Item) -> None:
        """Adds an item; whatever makes room for it is counted in ``losses``. Never waits."""
        keep = isinstance(item, Notice) or bool(item.prediction.events)
        size = _size(item)
        with self._changed:
            while len(self) and (
                len(self) >= self._capacity or self._bytes + size > self._max_bytes
            ):
                if not self._plain and not keep:
                    self.losses.add(item)
                    return
                self._lose((self._plain or self._kept).popleft()[1])
            (self._kept if keep else self._plain).append((self._next, item))
            self._next += 1
            self._bytes += size
            self._changed.notify()

    def get(self, timeout_s: float | None) -> Item | None:
        """The oldest item; ``None`` after the timeout, or when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self), timeout_s)
            if not len(self):
                return None
            if not self._kept or (self._plain and self._plain[0][0] < self._kept[0][0]):
                item = self._plain.popleft()[1]
            else:
                item = self._kept.popleft()[1]
            self._bytes -= _size(item)
            return item

    def pause(self, seconds: float) -> None:
        """Waits, but not beyond :meth:`close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def close(self) -> None:
        """No one waits from now on; what is left can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def clear(self) -> None:
        """Loses everything."""
        with self._changed:
            for _, item in (*self._plain, *self._kept):
                self._lose(item)
            self._plain.clear()
            self._kept.clear()

    def _lose(self, item: Item) -> None:
        self._bytes -= _size(item)
        self.losses.add(item)


def _size(item: Item) -> int:
    return 0 if isinstance(item, Notice) else item.frame.image.nbytes
