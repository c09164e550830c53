"""From the start of Python to the first answer."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from edgecap.benchmark.children import empty_python_ms, run_python
from edgecap.benchmark.report import ColdStart
from edgecap.interpreter import DEFAULT_KERNELS

DEFAULT_RUNS = 5

# A frame of the model's own size, so that nothing but the runtime is needed. The backend is
# imported by itself, so that loading is what a second model would cost too.
_SCRIPT = """
from time import perf_counter
began = perf_counter()
import edgecap
from edgecap.interpreter import import_backend
load = edgecap.load
path, threads, kernels, backend = sys.argv[2:]
import_backend(backend or None)
imported = perf_counter()
model = load(path, threads=int(threads), kernels=kernels, backend=backend or None)
loaded = perf_counter()
import numpy
size = model.spec.input
model.stream().step(numpy.full((size.height, size.width, 3), 128, "uint8"))
answered = perf_counter()
print(imported - began, loaded - imported, answered - loaded)
"""


def measure_cold(
    path: Path,
    *,
    runs: int = DEFAULT_RUNS,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ColdStart:
    """Starts Python so many times, in turns with one that does nothing; medians.

    The files are in the system's cache, as those of a device that starts its program again.

    Raises:
      BackendError: a process failed; says why.
    """
    alone: list[float] = []
    totals: list[float] = []
    parts: list[list[float]] = []
    for number in range(runs):
        progress(f"cold start: {number} of {runs}")
        alone.append(empty_python_ms())
        (line,), lived_ms = run_python(
            _SCRIPT, str(path.resolve()), str(threads), kernels, backend or ""
        )
        totals.append(lived_ms)
        parts.append([float(seconds) * 1e3 for seconds in line.split()])
    imports, loads, firsts = (
        round(statistics.median(part), 2) for part in zip(*parts, strict=True)
    )
    return ColdStart(
        runs=runs,
        python_ms=round(statistics.median(alone), 2),
        import_ms=imports,
        load_ms=loads,
        first_ms=firsts,
        total_ms=round(statistics.median(totals), 2),
    )
