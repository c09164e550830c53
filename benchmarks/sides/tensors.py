"""A stateful .tflite in the fewest calls: tensors by index, resolved once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

IMAGE, LOGITS = "image", "logits"


class Carried:
    """An interpreter whose outputs go back into the inputs of the same names.

    Args:
      interpreter: allocated; its signature has ``image``, ``logits`` and states, which have the
        same name on both ends.
    """

    def __init__(self, interpreter: Any) -> None:
        runner = interpreter.get_signature_runner()
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        self._interpreter = interpreter
        self.image = inputs.pop(IMAGE)
        self._logits = interpreter.tensor(outputs.pop(LOGITS)["index"])
        self._states = [
            (given["index"], interpreter.tensor(outputs[name]["index"]))
            for name, given in inputs.items()
        ]
        for given in inputs.values():
            interpreter.set_tensor(given["index"], reset(given))

    def __call__(self, image: npt.NDArray[Any]) -> int:
        """The image tensor → the number of the largest logit."""
        interpreter = self._interpreter
        interpreter.set_tensor(self.image["index"], image)
        interpreter.invoke()
        # Views, not copies; none is alive at the next invoke.
        for index, following in self._states:
            interpreter.set_tensor(index, following())
        return int(self._logits().argmax())


def reset(details: dict[str, Any]) -> npt.NDArray[Any]:
    """A state that means 0, on its grid."""
    return np.full(details["shape"], details["quantization"][1], details["dtype"])
