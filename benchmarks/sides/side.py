"""What every side is: frame in, label out; and what is known of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]

#: Height and width of the frames that every side is given.
FRAME = (480, 640)


class MissingError(Exception):
    """A side cannot be measured here; says why, and how to get what it needs."""


@dataclass(frozen=True)
class Given:
    """What the sides are made of; plain, so that it can be sent to another process.

    Attributes:
      model: edgecap's file. run: the training that it was made of, for the sides that compute the
        same network otherwise.
      peers: folder of other projects' files.
      made: folder of the ONNX files, made of the run for this measurement; not_made: why there is
        none.
      accuracy: a result of ``benchmarks/cross_validation.py`` for the model, if there is one.
    """

    model: Path
    run: Path | None = None
    peers: Path | None = None
    made: Path | None = None
    not_made: str = ""
    accuracy: Path | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a side before it is timed.

    Attributes:
      task: what its answers are about; accuracies of different tasks do not compare.
      bytes: of the file or weights.
      macs: multiplications and additions for a frame, in pairs; ``None`` where not known.
      uncounted: operators that ``macs`` leaves out, and so is a lower bound.
      accuracy: a share of 1, or ``None``; accuracy_source: who says so, or why it is not known.
      checked: what was held against what before the timing.
    """

    task: str
    bytes: int
    macs: int | None = None
    uncounted: tuple[str, ...] = ()
    accuracy: float | None = None
    accuracy_source: str = ""
    checked: str = ""


class Side:
    """A loop from a decoded frame to a label."""

    def prepare(self, given: Given, threads: int | None) -> Facts:
        """Loads what it needs; the state is that before the first frame.

        Args:
          given: files.
          threads: how many the computation may use; ``None`` leaves it as it is by default.

        Raises:
          MissingError: a file or package is not there.
        """
        raise NotImplementedError

    def clip(self, frames: Frame) -> Frame:
        """The frames ``(N, 480, 640, 3)`` RGB as this side's camera would give them; not timed."""
        return frames

    def step(self, frame: Frame) -> int:
        """One frame ``(480, 640, 3)`` → the number of the most probable label."""
        raise NotImplementedError


def peer_file(given: Given, name: str) -> Path:
    """A file of another project."""
    if given.peers is None:
        raise MissingError(f"{name}: give the folder that it is in with --peers")
    if not (given.peers / name).is_file():
        raise MissingError(f"{name}: not in the folder of --peers")
    return given.peers / name


def count_macs(model: bytes) -> tuple[int, tuple[str, ...]]:
    """Multiply-adds of one run of a .tflite, and the operators that are left out."""
    from edgecap.benchmark.macs import count_macs as count
    from edgecap.flatbuffer import read_graph

    counted = count(read_graph(model))
    return counted.at_least, counted.uncounted


def cross_validated(given: Given, form: str) -> tuple[float | None, str]:
    """Accuracy of the network over all folds, of ``int8`` or ``float``; and where it stands."""
    if given.accuracy is None:
        return None, "not given (--accuracy)"
    result: dict[str, Any] = json.loads(given.accuracy.read_text("utf-8"))["result"]
    accuracy = result[form]["mean"]["accuracy"]
    return accuracy, f"{given.accuracy.name}, {form}: {result['protocol']}"
