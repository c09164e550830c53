"""MoViNet-A0 stream: the video classifier of the TFLite samples, 600 classes of Kinetics."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sides.side import Facts, Frame, Given, Side, count_macs, peer_file
from sides.tensors import IMAGE, LOGITS, Carried, reset

SIZE = 172
_TOP_1 = 0.7205
_SOURCE = (
    "Kinetics-600 top-1 of the float checkpoint, tensorflow/models "
    "official/projects/movinet/README.md; that of the quantised files is not given there"
)


class Movinet(Side):
    """The least that a program can do: indices resolved once, states set from views.

    Args:
      name: of the file.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def prepare(self, given: Given, threads: int | None) -> Facts:
        interpreter, facts = opened(given, self._name, threads)
        interpreter.allocate_tensors()
        self._carried = Carried(interpreter)
        return facts

    def step(self, frame: Frame) -> int:
        return self._carried(image(frame))


class MovinetRunner(Movinet):
    """With the signature runner and a dictionary of states, as the model's page shows."""

    def prepare(self, given: Given, threads: int | None) -> Facts:
        interpreter, facts = opened(given, self._name, threads)
        self._runner = interpreter.get_signature_runner()
        inputs = self._runner.get_input_details()
        self._states = {name: reset(each) for name, each in inputs.items() if name != IMAGE}
        return facts

    def step(self, frame: Frame) -> int:
        outputs = self._runner(**self._states, **{IMAGE: image(frame)})
        logits = outputs.pop(LOGITS)
        self._states = outputs
        return int(logits.argmax())


def image(frame: Frame) -> npt.NDArray[np.float32]:
    """``(h, w, 3)`` uint8 RGB → ``(1, 1, 172, 172, 3)`` float32 from 0 to 1."""
    small = cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return np.multiply(small, np.float32(1 / 255), dtype=np.float32)[None, None]


def opened(given: Given, name: str, threads: int | None) -> tuple[Any, Facts]:
    """An interpreter, and what is known of the file."""
    from ai_edge_litert.interpreter import Interpreter

    path = peer_file(given, name)
    model = path.read_bytes()
    macs, uncounted = count_macs(model)
    facts = Facts(
        task="actions (Kinetics-600): 600 labels",
        bytes=len(model),
        macs=macs,
        uncounted=uncounted,
        accuracy=_TOP_1,
        accuracy_source=_SOURCE,
    )
    return Interpreter(model_content=model, num_threads=threads), facts
