"""The closed loop with one thread, two, three …, in turns."""

from __future__ import annotations

import itertools
import os
import statistics
from array import array
from collections.abc import Callable, Sequence
from time import perf_counter

from edgecap.benchmark.closed import take_steps
from edgecap.benchmark.report import ThreadRow
from edgecap.bundle import Bundle
from edgecap.interpreter import DEFAULT_KERNELS
from edgecap.preprocess import Image
from edgecap.streaming import StreamingModel

#: More are tried where they are asked for; networks of this size gain nothing.
MOST_BY_DEFAULT = 4
_STRETCH_S = 0.08
_LEAST_STEPS, _LEAST_TURNS = 8, 3
# Where the threads of the interpreter before still look for work, and this one's are asleep.
_NOT_COUNTED = 3


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measure_threads(
    bundle: Bundle,
    frames: Sequence[Image],
    *,
    up_to: int | None = None,
    seconds: float,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[ThreadRow, ...]:
    """Streams the model with 1…n threads in short turns, so that all meet the same machine.

    Args:
      up_to: n; by default as many as there are cores, and 4 at most.
      seconds: about how long, for all together.

    Returns:
      One row per number of threads, the first of which is one thread.

    Raises:
      BackendError: the runtime refuses the model.
    """
    up_to = min(usable_cores(), MOST_BY_DEFAULT) if up_to is None else up_to
    numbers = range(1, up_to + 1)
    streams = {
        n: StreamingModel(bundle, threads=n, kernels=kernels, backend=backend).stream()
        for n in numbers
    }
    images = itertools.cycle(frames)
    taken: dict[int, array[float]] = {n: array("d") for n in numbers}
    speeds: dict[int, list[float]] = {n: [] for n in numbers}
    end_s = perf_counter() + seconds
    turns = 0
    while turns < _LEAST_TURNS or perf_counter() < end_s:
        progress(f"threads: 1 to {up_to}, turn {turns + 1}")
        medians: dict[int, float] = {}
        # There and back, so that what grows with time is nobody's.
        for n in numbers if turns % 2 == 0 else reversed(numbers):
            stretch: array[float] = array("d")
            until_s = perf_counter() + _STRETCH_S
            while len(stretch) < _LEAST_STEPS + _NOT_COUNTED or perf_counter() < until_s:
                take_steps(streams[n], images, 1, stretch)
            del stretch[:_NOT_COUNTED]
            medians[n] = statistics.median(stretch)
            taken[n].extend(stretch)
        for n in numbers:
            speeds[n].append(medians[1] / medians[n])
        turns += 1
    return tuple(
        ThreadRow(
            threads=n,
            p50_us=round(statistics.median(taken[n]), 3),
            speed=round(statistics.median(speeds[n]), 4),
        )
        for n in numbers
    )
