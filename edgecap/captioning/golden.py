"""Recorded outputs of a captioning model: pictures, and the logits along one sentence about each.

The words of that sentence are those that the outputs recorded first find most probable, so that
other kernels are asked about the same words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgecap.captioning.model import CaptionModel
from edgecap.errors import ModelFileError
from edgecap.golden import GoldenCheck, steps_apart

if TYPE_CHECKING:
    import numpy.typing as npt


def replay(
    model: CaptionModel,
    pictures: npt.NDArray[np.uint8],
    *,
    rounds: int,
    along: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Writes ``rounds`` words about each picture.

    Args:
      pictures: ``(N, H, W, 3)`` uint8.
      along: what another call returned, whose most probable words are written instead of this
        model's own.

    Returns:
      Logits ``(N · rounds, words)`` in their own dtype.
    """
    caption = model.spec.caption
    assert caption is not None
    rows: list[npt.NDArray[Any]] = []
    for picture in pictures:
        scene = model.encode(picture)
        states, word = scene.states, caption.start
        for _ in range(rounds):
            taken = model.step(word, scene, states)
            states = taken.states
            told = taken.logits if along is None else along[len(rows)]
            rows.append(taken.logits)
            word = int(told.argmax())
    return np.stack(rows)


def check_golden(model: CaptionModel) -> GoldenCheck:
    """Repeats the recorded pictures and compares.

    Raises:
      ModelFileError: the file holds no recorded outputs.
    """
    golden = model.bundle.golden
    if not golden.outputs or not len(golden.frames):
        raise ModelFileError("the model holds no golden pictures to compare with")
    first = next(iter(golden.outputs))
    kernels = model.backend.kernels if model.backend.kernels in golden.outputs else first
    expected = golden.outputs[kernels]
    found = replay(
        model,
        golden.frames,
        rounds=model.spec.golden.rounds,
        along=golden.outputs[first],
    )
    return GoldenCheck(
        kernels=kernels,
        largest=float(steps_apart(found, expected).max()),
        tolerance=model.spec.golden.tolerance,
        same_answers=int((found.argmax(axis=1) == expected.argmax(axis=1)).sum()),
        frames=len(found),
    )
