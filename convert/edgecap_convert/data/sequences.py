"""What training reads: endless batches of sequences whose rows go on from batch to batch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from edgecap.evaluation import Recording
from edgecap.spec import InputSpec

#: How often a clip goes on with the state that the clip before it left, as on a live camera.
JOIN_PROBABILITY = 0.3


@dataclass(frozen=True)
class Item:
    """A stretch of consecutive frames: (part of) a clip, or a scene.

    Attributes:
      inputs: ``(N, H, W, 3)`` uint8 RGB, or what an encoder made of it, ``(N, …)`` float16.
      targets: ``(N,)`` int64 classes, or ``(N, labels)`` float32: 0 and 1, or values.
      weights: ``(N,)`` float32; 0 where the answer cannot be known yet.
      joined: goes on with the state that the item before it left, as on a live camera.
    """

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    weights: npt.NDArray[np.float32]
    joined: bool = False


@dataclass(frozen=True)
class SequenceBatch:
    """``T`` consecutive frames of ``B`` streams; row ``b`` goes on in row ``b`` of the next batch.

    Attributes:
      inputs, targets, weights: as an ``Item``'s, ``(B, T, …)``.
      resets: ``(B, T)`` bool; the state is reset before this frame.
      cursor: where each row stands after this batch: item number and frames of it that are used.
    """

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    weights: npt.NDArray[np.float32]
    resets: npt.NDArray[np.bool_]
    cursor: Cursor


#: ``(B, 2)`` int64, see ``SequenceBatch``.
Cursor = npt.NDArray[np.int64]

_ALL = slice(None)

#: The item of a number in a row, drawn with a generator that belongs to this number and row alone.
Draw = Callable[[int, np.random.Generator], Item]


class TrainingData(Protocol):
    """Material for one training.

    Attributes:
      name: as given by the user.
      task: classification, multilabel or regression.
      labels: the classes, in the order of the logits, or the names of the values.
      background: the label that is no event, if there is one.
      validation: recordings apart from the training material; may be iterated again and again.
      test: recordings apart from both; may be empty.
    """

    name: str
    task: str
    labels: tuple[str, ...]
    background: str | None

    @property
    def validation(self) -> Recordings: ...

    @property
    def test(self) -> Recordings: ...

    def draw(self, number: int, rng: np.random.Generator) -> Item:
        """A fresh item of images; the same number and generator give the same item."""
        ...

    def pool(self) -> Sequence[PoolEntry]:
        """A finite selection of items, for training on features that are computed once."""
        ...

    def value_statistics(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
        """Mean and deviation of each value over the training material; ``None`` for classes."""
        ...

    def summary(self) -> dict[str, Any]:
        """What the material is, for the run's record."""
        ...


class Recordings(Protocol):
    """Recordings that are read when they are asked for, so that any number fits into memory."""

    def __iter__(self) -> Iterator[Recording]: ...

    def __len__(self) -> int: ...

    def keys(self) -> Sequence[str]:
        """What the frames of each recording are, see ``PoolEntry``."""
        ...

    def first(self, count: int) -> Recordings:
        """At most this many of them, evenly chosen."""
        ...


@dataclass(frozen=True)
class Origin:
    """The frames that an item was made of, before any augmentation, at twice the model's rate.

    Attributes:
      key: says what they are, see ``PoolEntry``.
      images: reads them, ``(M, H, W, 3)``.
      follow: from places in them, ``(M, 3)``: x, y and weight, to those in the item, ``(N, 3)``.
    """

    key: str
    images: Callable[[], npt.NDArray[np.uint8]]
    follow: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


class PoolEntry(Protocol):
    """An item that can be rendered at any time."""

    @property
    def key(self) -> str:
        """Says what the frames are: content, size, rate, augmentation. Equal keys, equal frames."""
        ...

    @property
    def stratum(self) -> int:
        """Items are drawn equally often from each stratum: 0, 1, …"""
        ...

    def images(self) -> npt.NDArray[np.uint8]:
        """The item's frames, ``(N, H, W, 3)``; this takes time."""
        ...

    def truth(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        """The item's targets and weights; this takes none."""
        ...

    def origin(self) -> Origin:
        """What the item was made of."""
        ...


def batches(
    draw: Draw,
    *,
    batch: int,
    length: int,
    seed: int,
    whole: bool = False,
    start: Cursor | None = None,
    rows: slice = _ALL,
) -> Iterator[SequenceBatch]:
    """Endless batches, read ahead in a thread.

    Args:
      draw: the material.
      batch: rows B. length: frames T a batch.
      seed: the same seed gives the same batches.
      whole: items are not cut at the ends of batches: each row of each batch begins with an item,
        and what is left where the next one does not fit has no weight. Only an item that is longer
        than a row loses its end.
      start: goes on behind the batch that had this cursor, of all rows.
      rows: which of the rows to make, the same ones as if all were made.
    """
    cursor = np.zeros((batch, 2), np.int64) if start is None else start
    made = [
        _Row(draw, seed, row, *cursor[row].tolist(), fresh=start is None or whole, whole=whole)
        for row in range(batch)[rows]
    ]
    return prefetch(_assemble(made, length))


class _Row:
    """One endless stream of items."""

    def __init__(
        self,
        draw: Draw,
        seed: int,
        row: int,
        number: int,
        used: int,
        *,
        fresh: bool,
        whole: bool,
    ) -> None:
        self._draw, self._seed, self._row, self._whole = draw, seed, row, whole
        self._number, self._used, self._fresh = number, used, fresh
        self._item: Item | None = None

    @property
    def cursor(self) -> tuple[int, int]:
        return self._number, self._used

    def take(self, length: int) -> tuple[list[npt.NDArray[Any]], ...]:
        """The next frames: parts of inputs, targets, weights and resets."""
        parts: tuple[list[npt.NDArray[Any]], ...] = ([], [], [], [])
        while length:
            if self._item is None:
                rng = np.random.default_rng([self._seed, self._row, self._number])
                self._item = self._draw(self._number, rng)
            item, used = self._item, self._used
            if self._whole and parts[0] and len(item.weights) > length:
                _pad(parts, length)
                break
            stop = min(used + length, len(item.weights))
            resets = np.zeros(stop - used, np.bool_)
            if used == 0 and stop:
                resets[0] = self._fresh or not item.joined
            for part, array in zip(parts, (item.inputs, item.targets, item.weights), strict=False):
                part.append(array[used:stop])
            parts[3].append(resets)
            length -= stop - used
            self._used, self._fresh = stop, False
            if stop == len(item.weights) or self._whole:
                self._number, self._used, self._item = self._number + 1, 0, None
        if self._whole:
            self._fresh = True
        return parts


def _pad(parts: tuple[list[npt.NDArray[Any]], ...], count: int) -> None:
    """Adds the last frame again and again, without weight."""
    inputs, targets, weights, resets = parts
    inputs.append(np.repeat(inputs[-1][-1:], count, axis=0))
    targets.append(np.repeat(targets[-1][-1:], count, axis=0))
    weights.append(np.zeros(count, np.float32))
    resets.append(np.zeros(count, np.bool_))


def _assemble(rows: list[_Row], length: int) -> Iterator[SequenceBatch]:
    while True:
        taken = [row.take(length) for row in rows]
        inputs, targets, weights, resets = (
            np.stack([np.concatenate(row[field]) for row in taken]) for field in range(4)
        )
        cursor = np.array([row.cursor for row in rows], np.int64)
        yield SequenceBatch(inputs, targets, weights, resets, cursor)


_T = TypeVar("_T")


def prefetch(items: Iterator[_T], ahead: int = 4) -> Iterator[_T]:
    """Reads an endless iterator ahead in a daemon thread; its exception reaches the reader.

    The thread ends when the reader lets go of the iterator.
    """
    full: queue.Queue[_T | BaseException] = queue.Queue(ahead)
    stop = threading.Event()

    def fill() -> None:
        try:
            for item in items:
                while not stop.is_set():
                    try:
                        full.put(item, timeout=0.2)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
        except BaseException as error:  # handed to the reader
            full.put(error)

    def read() -> Iterator[_T]:
        threading.Thread(target=fill, daemon=True, name="prefetch").start()
        try:
            while True:
                item = full.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()

    return read()


@dataclass(frozen=True)
class FrameFormat:
    """Size, resize rule and rate of the frames that a network is trained on."""

    input: InputSpec
    rate_hz: float

    @property
    def height(self) -> int:
        return self.input.height

    @property
    def width(self) -> int:
        return self.input.width
