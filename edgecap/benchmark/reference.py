"""A graph of known work: what the machine can do at its best, and how fast it is right now."""

from __future__ import annotations

import time
from importlib import resources

import numpy as np

from edgecap.interpreter import DEFAULT_KERNELS, open_interpreter

#: Multiply-adds of a run: four 1×1 convolutions of 16×16 pixels, 128 channels to 128.
MACS = 4 * 16 * 16 * 128 * 128


class Reference:
    """The packaged int8 graph, made by ``benchmarks/make_reference.py``, on an interpreter.

    Raises:
      BackendError: no TFLite runtime is installed, or it refuses.
    """

    def __init__(
        self, *, threads: int = 1, kernels: str = DEFAULT_KERNELS, backend: str | None = None
    ) -> None:
        file = resources.files("edgecap.assets") / "reference-int8.tflite"
        self._interpreter, _ = open_interpreter(
            file.read_bytes(), threads=threads, kernels=kernels, backend=backend
        )
        (given,) = self._interpreter.get_input_details()
        rng = np.random.default_rng(0)
        values = rng.integers(-128, 128, given["shape"], dtype=np.int8)
        self._interpreter.set_tensor(given["index"], values)

    def run_us(self) -> float:
        """Runs it once; microseconds."""
        began = time.perf_counter()
        self._interpreter.invoke()
        return (time.perf_counter() - began) * 1e6
