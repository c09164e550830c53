"""What training reads: endless batches of sequences whose rows go on from batch to batch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from edgecap.evaluation import Recording
from edgecap.spec import InputSpec


@dataclass(frozen=True)
class SequenceBatch:
    """``T`` consecutive frames of ``B`` streams; row ``b`` goes on in row ``b`` of the next batch.

    Attributes:
      images: ``(B, T, H, W, 3)`` uint8 RGB.
      labels: ``(B, T)`` int64.
      weights: ``(B, T)`` float32; 0 where the answer cannot be known yet.
      resets: ``(B, T)`` bool; the state is reset before this frame.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    resets: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledFrame:
    """One frame of a training stream; the fields are those of ``SequenceBatch``, singly."""

    image: npt.NDArray[np.uint8]
    label: int
    weight: float
    reset: bool


class TrainingData(Protocol):
    """Material for one training.

    Attributes:
      name: as given by the user.
      labels: the classes, in the order of the logits.
      background: the label that is no event, if there is one.
      validation: recordings apart from the training material.
    """

    name: str
    labels: tuple[str, ...]
    background: str | None
    validation: tuple[Recording, ...]

    def stream(self, rng: np.random.Generator) -> Iterator[LabelledFrame]:
        """An endless stream of training frames."""
        ...

    def summary(self) -> dict[str, Any]:
        """What the material is, for the run's record."""
        ...


def batches(data: TrainingData, *, batch: int, length: int, seed: int) -> Iterator[SequenceBatch]:
    """Endless batches, read ahead in a thread.

    Args:
      data: the material. batch: rows B. length: frames T a batch.
      seed: the same seed gives the same batches.
    """
    rows = [data.stream(np.random.default_rng([seed, row])) for row in range(batch)]
    return prefetch(_assemble(rows, length))


def _assemble(rows: list[Iterator[LabelledFrame]], length: int) -> Iterator[SequenceBatch]:
    while True:
        frames = [[next(row) for _ in range(length)] for row in rows]
        yield SequenceBatch(
            images=np.stack([np.stack([f.image for f in row]) for row in frames]),
            labels=np.array([[f.label for f in row] for row in frames], np.int64),
            weights=np.array([[f.weight for f in row] for row in frames], np.float32),
            resets=np.array([[f.reset for f in row] for row in frames], np.bool_),
        )


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
