"""What every source of frames gives, and how one is closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from edgecap.preprocess import Image


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

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Source: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class ClosingSource:
    """The context manager's half of a source."""

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
