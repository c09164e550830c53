"""Recorded outputs: taken at conversion, repeated by ``edgecap verify`` on any machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ModelFileError
from edgecap.quantization import dequantize
from edgecap.spec import ModelSpec
from edgecap.streaming import StreamingModel


@dataclass(frozen=True)
class GoldenCheck:
    """How a machine repeats the recorded outputs.

    Attributes:
      kernels: those that ran here, if recorded, else the ones compared with.
      largest: largest difference of an output, in steps (see :func:`steps_apart`).
      tolerance: the spec's.
      same_answers: frames with the same most probable label (classification), with the same
        labels above one half (multi-label), or within the tolerance (regression).
      frames: how many were compared, over all rounds.
    """

    kernels: str
    largest: float
    tolerance: int
    same_answers: int
    frames: int

    @property
    def passed(self) -> bool:
        """Within the tolerance at every frame."""
        return self.largest <= self.tolerance


def replay(
    model: StreamingModel, frames: npt.NDArray[np.uint8], *, rounds: int = 1
) -> npt.NDArray[Any]:
    """Streams frames from a reset state, ``rounds`` times over with the state carried on.

    Args:
      frames: ``(N, H, W, 3)`` uint8.

    Returns:
      Outputs ``(rounds · N, labels)`` in their own dtype.
    """
    states = model.initial_states()
    rows = []
    for _ in range(rounds):
        for frame in frames:
            outputs, states = model.infer(frame, states)
            rows.append(outputs)
    return np.stack(rows)


def steps_apart(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """How far outputs are apart, in steps of their grid.

    Floats have none; theirs is the one that 8 bits would have: 1/128 of the largest magnitude that
    was recorded of each value.

    Args:
      found, expected: ``(N, labels)`` of the same dtype.

    Returns:
      ``(N, labels)`` absolute differences.
    """
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    if np.issubdtype(expected.dtype, np.integer):
        return difference
    largest = np.abs(expected.astype(np.float64)).max(axis=0)
    # A value that is always 0 has no magnitude; then any difference is one too many.
    steps: npt.NDArray[np.float64] = difference / np.maximum(
        largest / 128, np.finfo(np.float32).tiny
    )
    return steps


def check_golden(model: StreamingModel) -> GoldenCheck:
    """Repeats the recorded frames and compares.

    Raises:
      ModelFileError: the file holds no recorded outputs.
    """
    golden = model.bundle.golden
    if not golden.outputs or not len(golden.frames):
        raise ModelFileError("the model holds no golden frames to compare with")
    kernels = model.backend.kernels
    if kernels not in golden.outputs:
        kernels = next(iter(golden.outputs))
    expected = golden.outputs[kernels]
    found = replay(model, golden.frames, rounds=model.spec.golden.rounds)
    steps = steps_apart(found, expected)
    tolerance = model.spec.golden.tolerance
    if model.spec.task == "regression":
        same = (steps <= tolerance).all(axis=1)
    elif model.spec.task == "multilabel":
        same = (_above_half(found, model.spec) == _above_half(expected, model.spec)).all(axis=1)
    else:
        same = found.argmax(axis=1) == expected.argmax(axis=1)
    return GoldenCheck(
        kernels=kernels,
        largest=float(steps.max()),
        tolerance=tolerance,
        same_answers=int(same.sum()),
        frames=len(found),
    )


def _above_half(outputs: npt.NDArray[Any], spec: ModelSpec) -> npt.NDArray[np.bool_]:
    above: npt.NDArray[np.bool_] = dequantize(outputs, spec.output.tensor) > 0
    return above
