"""Several sources as one: whichever has a frame is next, and none waits for another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from edgecap.errors import EdgecapError
from edgecap.notices import Notice
from edgecap.sources.base import Frame, Source

#: While nothing comes, that is told so often.
LOOK_S = 0.5


@dataclass
class _Slot:
    """What one source has to give; written by its thread, under the lock."""

    source: Source
    frame: Frame | None = None
    notices: deque[Notice] = field(default_factory=deque)
    ended: bool = False
    error: BaseException | None = None


class Merged:
    """Frames of several sources, each read by a thread of its own.

    A live source's newest frame wins, as from one camera alone. Of all others every frame comes, in
    order. A source that fails ends, and the others go on; only when none is left is its error
    raised.

    Args:
      sources: opened; closed by the caller.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._slots = [_Slot(source) for source in sources]
        self._changed = threading.Condition()
        self._stopping = False
        self._bug: Exception | None = None

    def __iter__(self) -> Iterator[tuple[int, Frame | Notice | None]]:
        """Gives the number of a source, and its frame or what it has to tell.

        ``None`` comes where nothing else does for a while: whoever waits can look around.
        """
        threads = [
            threading.Thread(
                target=self._read, args=(slot,), name=f"edgecap-source-{number}", daemon=True
            )
            for number, slot in enumerate(self._slots)
        ]
        for slot in self._slots:
            slot.source.told = partial(self._tell, slot)
        for thread in threads:
            thread.start()
        try:
            yield from self._items()
        finally:
            self.stop()
            for thread in threads:
                # One that hangs inside a source is left behind; it is a daemon.
                thread.join(1.0)

    def stop(self) -> None:
        """Ends the frames soon; from any thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for slot in self._slots:
            slot.source.stop()

    def _items(self) -> Iterator[tuple[int, Frame | Notice]]:
        turn = 0
        while True:
            with self._changed:
                found = self._next(turn)
                while found is None:
                    if (
                        self._stopping
                        or self._bug is not None
                        or all(slot.ended for slot in self._slots)
                    ):
                        break
                    self._changed.wait(LOOK_S)
                    found = self._next(turn)
                if found is not None:
                    self._changed.notify_all()
            if found is None:
                break
            yield found
            if isinstance(found[1], Frame):
                # The next one's turn: a fast source does not starve a slow one.
                turn = (found[0] + 1) % len(self._slots)
        if self._bug is not None:
            raise self._bug
        errors = [slot.error for slot in self._slots if slot.error is not None]
        if errors and not self._stopping and len(errors) == len(self._slots):
            raise errors[0]

    def _over(self) -> bool:
        ended = all(slot.ended for slot in self._slots)
        return self._stopping or self._bug is not None or ended

    def _next(self, turn: int) -> tuple[int, Frame | Notice] | None:
        count = len(self._slots)
        for offset in range(count):
            number = (turn + offset) % count
            slot = self._slots[number]
            if slot.notices:
                return number, slot.notices.popleft()
            if slot.frame is not None:
                frame, slot.frame = slot.frame, None
                return number, frame
        return None

    def _tell(self, slot: _Slot, notice: Notice) -> None:
        with self._changed:
            slot.notices.append(notice)
            self._changed.notify_all()

    def _read(self, slot: _Slot) -> None:
        try:
            for frame in slot.source:
                if not self._put(slot, frame):
                    break
        except EdgecapError as error:
            slot.error = error
            self._tell(slot, Notice("lost", f"{error}; it is given up", 0.0, slot.source.name))
        except Exception as error:
            # A bug: not one camera's trouble, so it ends the run.
            slot.error = self._bug = error
        finally:
            with self._changed:
                slot.ended = True
                self._changed.notify_all()

    def _put(self, slot: _Slot, frame: Frame) -> bool:
        """Hands a frame over; ``False``: no more are wanted."""
        with self._changed:
            while slot.frame is not None and not slot.source.live and not self._stopping:
                self._changed.wait(LOOK_S)
            slot.frame = frame
            self._changed.notify_all()
            return not self._stopping
