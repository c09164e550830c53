"""Runs a model's step on an interpreter."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from edgecap.bundle import Bundle
from edgecap.contract import bind
from edgecap.errors import BackendError, SpecError
from edgecap.flatbuffer import Graph
from edgecap.interpreter import DEFAULT_KERNELS, Backend, Interpreter, open_interpreter

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = tuple[Array, ...]


class Step(Protocol):
    """One step of the graph; not safe for two threads at once."""

    def step(self, image: Array, states: Arrays) -> tuple[Array, Arrays]:
        """Image tensor and states → outputs ``(1, labels)`` and the next states, fresh arrays."""
        ...


class WholeStep:
    """The step as it stands in the file, on one interpreter.

    Attributes:
      interpreter: what computes; another that hands everything on to it may stand in its place.

    Raises:
      SpecError: the spec does not fit the graph.
      BackendError: no TFLite runtime is installed, it refuses the model, or is known to compute it
        wrongly.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 1,
        kernels: str = DEFAULT_KERNELS,
        backend: str | None = None,
    ) -> None:
        self.tensors = bind(bundle.graph, bundle.spec)
        self.interpreter: Interpreter
        self.interpreter, self.backend = open_interpreter(
            bundle.model, threads=threads, kernels=kernels, backend=backend
        )
        check_kernels(bundle.graph, self.backend)
        _check_outputs(self.interpreter, bundle.graph)

    def step(self, image: Array, states: Arrays) -> tuple[Array, Arrays]:
        interpreter, tensors = self.interpreter, self.tensors
        interpreter.set_tensor(tensors.image, image)
        for index, state in zip(tensors.states_in, states, strict=True):
            interpreter.set_tensor(index, state)
        try:
            interpreter.invoke()
        except RuntimeError as error:
            raise BackendError(f"{self.backend.name} cannot run this model: {error}") from error
        outputs = interpreter.get_tensor(tensors.output)
        return outputs, tuple([interpreter.get_tensor(index) for index in tensors.states_out])


def _check_outputs(interpreter: Interpreter, graph: Graph) -> None:
    """Raises ``SpecError`` where the operators give another shape than stands in the table."""
    for found in interpreter.get_output_details():
        tensor = graph.tensors[found["index"]]
        shape = tuple(found["shape"].tolist())
        if shape != tensor.shape:
            raise SpecError(
                f"output tensor {tensor.index}: the file says {tensor.shape}, its operators give "
                f"{shape}. Use a file made by 'edgecap convert'"
            )


def check_kernels(graph: Graph, backend: Backend) -> None:
    """Refuses kernels that are known to compute a graph wrongly.

    The XNNPACK in TensorFlow 2.21 multiplies int8 matrices that are both computed (attention) up to
    150 steps wrongly; that in LiteRT 2.3 does not, nor do TensorFlow's own kernels.

    Raises:
      BackendError: says which kernels to take.
    """
    if (backend.name, backend.kernels) != ("tensorflow", "xnnpack"):
        return
    for operator in graph.operators:
        if operator.name == "BATCH_MATMUL" and graph.tensors[operator.outputs[0]].dtype == "int8":
            raise BackendError(
                f"tensorflow {backend.version} computes this model's attention wrongly with "
                "xnnpack kernels: take kernels 'builtin', or install ai-edge-litert"
            )
