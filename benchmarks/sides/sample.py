"""A plain loop, in the manner of the public sample for a Raspberry Pi.

tensorflow/examples, lite/examples/video_classification/raspberry_pi: OpenCV's BGR frame is turned
to RGB at full size, resized, divided to float; a signature runner is called with a dictionary of
states; softmax; all labels sorted in Python, filtered by score, the best three named. Its mirroring
and drawing are left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edgecap.bundle import read_bundle
from sides.movinet import opened
from sides.ours import facts
from sides.side import Facts, Frame, Given, Side
from sides.tensors import IMAGE, LOGITS

_SHOWN = 3
_LEAST_SCORE = 0.0


class Category(NamedTuple):
    """A label and its probability."""

    label: int
    score: float


class Sample(Side):
    """The loop on another project's file, or on edgecap's.

    Args:
      name: of the peer's file; edgecap's own without one.
    """

    def __init__(self, name: str | None = None) -> None:
        self._name = name

    def prepare(self, given: Given, threads: int | None) -> Facts:
        if self._name is not None:
            interpreter, known = opened(given, self._name, threads)
            self._mean, self._std = 0.0, 255.0
        else:
            from ai_edge_litert.interpreter import Interpreter

            bundle = read_bundle(given.model)
            interpreter = Interpreter(model_content=bundle.model, num_threads=threads)
            known = facts(bundle, given)
            self._mean, self._std = 128.0, 127.5
        self._runner = interpreter.get_signature_runner()
        inputs = self._runner.get_input_details()
        self._image = inputs.pop(IMAGE)
        self._logits = self._runner.get_output_details()[LOGITS]
        height, width = self._image["shape"][-3:-1]
        self._size = int(width), int(height)
        self._states = {name: np.zeros(i["shape"], i["dtype"]) for name, i in inputs.items()}
        return known

    def clip(self, frames: Frame) -> Frame:
        return np.ascontiguousarray(frames[..., ::-1])

    def step(self, frame: Frame) -> int:
        rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        outputs = self._runner(**self._states, image=self._preprocess(rgb))
        logits = outputs.pop(LOGITS)
        self._states = outputs
        return self._best(self._real(logits)[0])[0].label

    def _preprocess(self, rgb: Frame) -> npt.NDArray[Any]:
        values = np.float32(cv2.resize(rgb, self._size) - self._mean) / self._std
        scale, zero = self._image["quantization"]
        if scale:
            values = np.round(values / scale + zero)
        return values.reshape(self._image["shape"]).astype(self._image["dtype"])

    def _real(self, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        scale, zero = self._logits["quantization"]
        return (logits.astype(np.float32) - zero) * scale if scale else logits

    def _best(self, logits: npt.NDArray[Any]) -> list[Category]:
        exponentials = np.exp(logits)
        probabilities = exponentials / np.sum(exponentials)
        order = sorted(range(len(probabilities)), key=lambda n: probabilities[n], reverse=True)
        categories = [Category(number, probabilities[number]) for number in order]
        return [each for each in categories if each.score >= _LEAST_SCORE][:_SHOWN]
