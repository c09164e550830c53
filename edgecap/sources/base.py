"""What every source of frames gives, and how one is closed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from edgecap.notices import Notice
from edgecap.preprocess import Image

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """One picture.

    Attributes:
      index: position in the source: 0, 1, 2, …; frames that were dropped leave gaps.
      timestamp_s: when it was taken: monotonic seconds for cameras, seconds from the start of the
        material for files, folders and synthetic scenes.
      image: ``(h, w, 3)`` uint8 RGB.
    """

    index: int
    timestamp_s: float
    image: Image


class Source(Protocol):
    """Frames, one after the other; a context manager.

    Attributes:
      name: as given by the user.
      live: ``True`` where the world goes on without us (cameras), ``False`` where every frame
        waits to be read.
      rate_hz: frames a second, where the source knows it.
    """

    name: str
    live: bool
    rate_hz: float | None
    told: Callable[[Notice], None] | None

    def __iter__(self) -> Iterator[Frame]: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Source: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class ClosingSource:
    """What sources have in common: the context manager, and how they tell what they meet.

    Attributes:
      told: called with what a person should know, in the thread that asks for frames; ``None``:
        nobody listens, and it goes to the log.
    """

    told: Callable[[Notice], None] | None = None

    def tell(self, kind: str, told: str, timestamp_s: float) -> None:
        """Tells of something; see :mod:`edgecap.notices`."""
        notice = Notice(kind, told, timestamp_s, getattr(self, "name", ""))
        if self.told is not None:
            self.told(notice)
        else:
            _log.warning("%s", notice.told)

    def stop(self) -> None:
        """Ends the frames soon: whoever waits for one is let go. From any thread or handler.

        Sources whose frames never keep one waiting need not do anything.
        """

    def close(self) -> None:
        """Gives back what the source holds; may be called twice."""

    def __enter__(self) -> Source:
        return self  # type: ignore[return-value]  # subclasses are Sources

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
