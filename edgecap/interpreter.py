"""LiteRT, tflite-runtime or TensorFlow behind one small face."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgecap.errors import BackendError
from edgecap.native import native_stderr_to_log

if TYPE_CHECKING:
    import numpy.typing as npt

#: Backend → module with ``Interpreter``. The first that imports is taken.
_BACKENDS = {
    "litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
BACKENDS = tuple(_BACKENDS)

#: Kernels → name in ``OpResolverType``: XNNPACK where it can, the plain optimised ones, or the
#: slow reference ones.
_KERNELS = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
KERNELS = tuple(_KERNELS)
DEFAULT_KERNELS = "xnnpack"


@dataclass(frozen=True)
class Backend:
    """Which runtime computes, and how."""

    name: str
    version: str
    kernels: str
    threads: int

    def __str__(self) -> str:
        return f"{self.name} {self.version}, {self.kernels} kernels, {self.threads} thread(s)"


class Interpreter(Protocol):
    """What edgecap uses of a TFLite interpreter; tensors by index."""

    def allocate_tensors(self) -> None: ...
    def set_tensor(self, index: int, value: npt.NDArray[Any]) -> None: ...
    def invoke(self) -> None: ...
    def get_tensor(self, index: int) -> npt.NDArray[Any]: ...
    def get_input_details(self) -> list[dict[str, Any]]: ...
    def get_output_details(self) -> list[dict[str, Any]]: ...
    def get_tensor_details(self) -> list[dict[str, Any]]: ...


def open_interpreter(
    model: bytes,
    *,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
    keep_all: bool = False,
) -> tuple[Interpreter, Backend]:
    """Opens a verified model.

    Args:
      model: the bytes of the flatbuffer, already checked.
      threads: for kernels that can use more than one.
      kernels: one of ``KERNELS``.
      backend: one of ``BACKENDS``; by default the first that is installed.
      keep_all: every tensor can be read after a step, not the outputs only; XNNPACK keeps its own
        to itself, so not with its kernels.

    Raises:
      BackendError: no runtime is installed, the arguments are wrong, or the runtime refuses.
    """
    if kernels not in _KERNELS:
        raise BackendError(f"kernels: expected one of {', '.join(KERNELS)}; got {kernels!r}")
    if threads < 1:
        raise BackendError(f"threads: expected 1 or more; got {threads}")
    module, name = import_backend(backend)
    # tflite-runtime keeps the enumeration beside the interpreter, TensorFlow in the same module.
    resolver = getattr(module.OpResolverType, _KERNELS[kernels])
    with native_stderr_to_log():
        try:
            interpreter = module.Interpreter(
                model_content=model,
                num_threads=threads,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=keep_all,
            )
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"{name} cannot run this model: {error}") from error
    return interpreter, Backend(name, version(name), kernels, threads)


def available_backends() -> list[str]:
    """The backends that are installed, in order of preference."""
    return [name for name in _BACKENDS if _find(name)]


def import_backend(name: str | None) -> tuple[Any, str]:
    """The module with ``Interpreter``, and the backend's name; ``None``: the first installed.

    Raises:
      BackendError: unknown, not installed, or it does not import.
    """
    if name is not None and name not in _BACKENDS:
        raise BackendError(f"backend: expected one of {', '.join(BACKENDS)}; got {name!r}")
    candidates = [name] if name else available_backends()
    if not candidates or not _find(candidates[0]):
        wanted = name or "a TFLite runtime"
        raise BackendError(
            f"{wanted} is not installed. Install ai-edge-litert, or on 32-bit Arm (Python ≤ 3.11) "
            "tflite-runtime"
        )
    try:
        return importlib.import_module(_BACKENDS[candidates[0]]), candidates[0]
    except (ImportError, AttributeError) as error:
        # tflite-runtime fails to import under NumPy 2 with either.
        raise BackendError(
            f"{candidates[0]} is installed but does not import: {error}"
            + (" (it needs numpy<2)" if candidates[0] == "tflite-runtime" else "")
        ) from error


def _find(name: str) -> bool:
    return importlib.util.find_spec(_BACKENDS[name].partition(".")[0]) is not None


def version(name: str) -> str:
    """Of a backend that :func:`import_backend` has imported."""
    # Not by importlib.metadata, which takes a tenth of the time in which all else is imported.
    package = sys.modules[_BACKENDS[name].partition(".")[0]]
    return str(getattr(package, "__version__", "(version unknown)"))
