"""The points of a curve in turns: what a step takes at each, beside the first point."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: Prepares a block, which is not timed; what it returns runs the block and tells how many steps
#: that were.
Side = Callable[[], Callable[[], int]]
#: Rounds that warm up and are not counted.
WARM_UP = 3


@dataclass(frozen=True)
class Turns:
    """Times of one side, µs a step, ``(rounds,)``: on the clock, and of the processor."""

    wall_us: npt.NDArray[np.float64]
    cpu_us: npt.NDArray[np.float64]


def in_turns(
    sides: Mapping[str, Side], *, rounds: int, warm_up: int = WARM_UP, seed: int = 0
) -> dict[str, Turns]:
    """Runs a block of each side once a round, each round in another order.

    So a machine that becomes slower or faster meets all sides alike, and none always follows the
    same other one. ``warm_up`` rounds come before those that count.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    order, rng = list(sides), random.Random(seed)
    for number in range(-warm_up, rounds):
        rng.shuffle(order)
        for name in order:
            block = sides[name]()
            began, began_cpu = time.perf_counter(), time.process_time()
            steps = block()
            cpu, wall = time.process_time() - began_cpu, time.perf_counter() - began
            if number >= 0:
                times[name].append((wall / steps * 1e6, cpu / steps * 1e6))
    return {name: Turns(*np.array(listed).T) for name, listed in times.items()}


def beside(side: Turns, first: Turns) -> dict[str, Any]:
    """Medians of a side, and of its rounds' ratios to those of the first point."""
    wall, cpu = side.wall_us / first.wall_us, side.cpu_us / first.cpu_us
    return {
        "us": _rounded(np.median(side.wall_us)),
        "cpu_us": _rounded(np.median(side.cpu_us)),
        "ratio": _rounded(np.median(wall)),
        "ratio_95": [_rounded(value) for value in interval(wall)],
        "cpu_ratio": _rounded(np.median(cpu)),
        "cpu_ratio_95": [_rounded(value) for value in interval(cpu)],
    }


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Where the median lies, 95 of 100 times: order statistics, by the binomial distribution.

    The normal approximation of Conover, Practical Nonparametric Statistics (1999), 3.2.
    """
    ordered, count = np.sort(values), len(values)
    rank = max(0, math.floor(count / 2 - 1.96 * math.sqrt(count) / 2) - 1)
    return float(ordered[rank]), float(ordered[count - 1 - rank])


def _rounded(value: Any) -> float:
    return round(float(value), 4)
