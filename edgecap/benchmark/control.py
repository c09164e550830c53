"""Work that never changes and that a busy machine slows as much as it slows a model.

The reference graph (``edgecap.benchmark.reference``) shows what a core reaches at its best; it is a
few large multiplications, and hardly feels a neighbour. A recogniser's step is many small operators
and some Python, and does: where another guest took the other half of the same core, the reference
ran 1.1 times as long, and the packaged model's step 1.5 times. So what two runs are compared by is
this: the packaged model's graph, and a little of NumPy from Python.
"""

from __future__ import annotations

import hashlib
import time

import numpy as np

from edgecap.assets import resolve_model
from edgecap.bundle import read_bundle
from edgecap.contract import bind
from edgecap.interpreter import DEFAULT_KERNELS, open_interpreter

# Small calls of NumPy after the graph: 11 µs where the graph takes 97, about as much as the
# packaged model's step has around its own. They are what a neighbour slows most. (A loop of Python
# of that length seemed to have a luck of its own: one process of some fifty took 6 µs more.)
_CALLS = 20
_SMALL = 16


class Control:
    """The packaged model's graph on an interpreter of its own, and some small calls of NumPy.

    Nothing of the streaming code is in it, so that what makes that slower or faster is seen.

    Attributes:
      digest: of what is run, 12 hexadecimal digits; times of different ones cannot be compared.

    Raises:
      BackendError: no TFLite runtime is installed, or it refuses.
    """

    def __init__(
        self, *, threads: int = 1, kernels: str = DEFAULT_KERNELS, backend: str | None = None
    ) -> None:
        bundle = read_bundle(resolve_model("demo"))
        tensors = bind(bundle.graph, bundle.spec)
        self._interpreter, _ = open_interpreter(
            bundle.model, threads=threads, kernels=kernels, backend=backend
        )
        given = bundle.spec.input.tensor
        image = np.random.default_rng(0).integers(0, 256, given.shape, np.uint8)
        # Of whatever integer type the input is: noise in it, as bytes.
        self._interpreter.set_tensor(tensors.image, image.view(given.dtype))
        self._small = np.zeros(_SMALL, np.uint8)
        self.digest = hashlib.sha256(bundle.model + b"numpy" + str(_CALLS).encode()).hexdigest()[
            :12
        ]

    def run_us(self) -> float:
        """Runs it once; microseconds."""
        began = time.perf_counter()
        self._interpreter.invoke()
        small = self._small
        for _ in range(_CALLS):
            np.add(small, 1, out=small)
        return (time.perf_counter() - began) * 1e6
