"""Recorded outputs: taken at conversion, repeated by ``edgecap verify`` on any machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ModelFileError
from edgecap.streaming import StreamingModel


@dataclass(frozen=True)
class GoldenCheck:
    """How a machine repeats the recorded outputs.

    Attributes:
      kernels: those that ran here, if recorded, else the ones compared with.
      largest: largest difference of a logit, in steps of its grid (float outputs: of 1/256).
      tolerance: the spec's. same_answers: frames with the same most probable label.
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
      Logits ``(rounds · N, labels)`` in the output's own dtype.
    """
    states = model.initial_states()
    rows = []
    for _ in range(rounds):
        for frame in frames:
            logits, states = model.infer(frame, states)
            rows.append(logits)
    return np.stack(rows)


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
    unit = 1.0 if np.issubdtype(found.dtype, np.integer) else 1 / 256
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64)) / unit
    return GoldenCheck(
        kernels=kernels,
        largest=float(difference.max()),
        tolerance=model.spec.golden.tolerance,
        same_answers=int((found.argmax(axis=1) == expected.argmax(axis=1)).sum()),
        frames=len(found),
    )
