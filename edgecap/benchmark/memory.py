"""What a program holds that does nothing but stream a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from edgecap.benchmark.children import run_python
from edgecap.benchmark.report import Memory
from edgecap.interpreter import DEFAULT_KERNELS

# In a process of its own: this one has drawn scenes and holds samples, plots and OpenCV. Frames are
# of the model's size, as `edgecap run` takes them from a camera's process.
#
# VmHWM is of this program alone. ru_maxrss is only for systems without /proc: on Linux it is handed
# down by the process that started this one. Its unit is 1 KiB, on macOS the byte.
_SCRIPT = """
import time
def status(key):
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(key):
                    return int(line.split()[1]) * 1024 / 1e6
    except (OSError, ValueError, IndexError):
        pass
    return None
def peak():
    found = status("VmHWM:")
    if found is None:
        try:
            import resource
        except ImportError:
            return None
        unit = 1 if sys.platform == "darwin" else 1024
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return found
import edgecap
from edgecap.interpreter import import_backend
load = edgecap.load
path, threads, kernels, backend, seconds = sys.argv[2:]
import_backend(backend or None)
import numpy
found = [status("VmRSS:")]
model = load(path, threads=int(threads), kernels=kernels, backend=backend or None)
found.append(status("VmRSS:"))
size = model.spec.input
frames = numpy.random.default_rng(0).integers(
    0, 256, (8, size.height, size.width, 3), dtype=numpy.uint8
)
stream = model.stream()
end = time.monotonic() + float(seconds)
while stream.frames < 50 or time.monotonic() < end:
    stream.step(frames[stream.frames % 8])
found += [status("VmRSS:"), peak()]
import json
print(json.dumps([mb if mb is None else round(mb, 2) for mb in found]))
"""


def measure_memory(
    path: Path,
    *,
    seconds: float = 2.0,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Memory:
    """Streams a model for so long in a new process that has the runtime and nothing else.

    Raises:
      BackendError: the process failed; says why.
    """
    progress("memory: a process that does nothing else")
    (line,), _ = run_python(
        _SCRIPT, str(path.resolve()), str(threads), kernels, backend or "", str(seconds)
    )
    return Memory(*json.loads(line))
