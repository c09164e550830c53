"""A model's step beside its two parts, for tests of any model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgecap.bundle import Bundle
from edgecap.cut_step import CutStep
from edgecap.preprocess import Preprocessor
from edgecap.quantization import reset_value
from edgecap.steps import WholeStep


def differing_frames(
    bundle: Bundle, frames: npt.NDArray[np.uint8], *, kernels: str = "xnnpack"
) -> list[int]:
    """The frames after which the two parts gave another byte than the whole; state is carried."""
    whole = WholeStep(bundle, kernels=kernels)
    parts = CutStep(bundle, whole.backend)
    prepare = Preprocessor(bundle.spec.input)
    one = other = tuple(np.full(s.shape, reset_value(s), s.dtype) for s in bundle.spec.states)
    wrong = []
    for number, frame in enumerate(frames):
        image = prepare(frame)
        outputs, one = whole.step(image, one)
        found, other = parts.step(image, other)
        pairs = zip((outputs, *one), (found, *other), strict=True)
        if any(a.tobytes() != b.tobytes() for a, b in pairs):
            wrong.append(number)
    return wrong
