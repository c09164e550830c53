"""Steps and the reference graph in turns: the steady state, in short stretches.

A shared or throttled machine changes its speed from one second to the next, and from one run to
the next. The reference graph, run right after each stretch, meets the same mood: step over
reference is what two runs can be compared by (``edgecap.benchmark.compare``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edgecap.benchmark.reference import Reference
from edgecap.benchmark.report import Block

#: How long a block is: long enough for a median, short beside the machine's moods.
BLOCK_S = 0.04
# Of a block's time, the reference's share; and the fewest runs that a median is taken of.
_REFERENCE_SHARE = 0.2
_FEWEST_STEPS = _FEWEST_RUNS = 5


def measure_blocks(
    step: Callable[[], object],
    reference: Reference,
    *,
    seconds: float,
    block_s: float = BLOCK_S,
    progress: Callable[[float], object] | None = None,
) -> tuple[list[float], tuple[Block, ...]]:
    """Runs ``step`` for so many seconds, in blocks with the reference graph after each.

    Warm both up before: nothing is left out here.

    Args:
      step: one step, whole. It is timed from outside.
      reference: the graph of known work, with the threads and kernels of the model.
      seconds: how long, the reference's share included; at least one block is run.
      block_s: how long a block is; at least five steps and five runs of the reference are in it,
        however long they take.
      progress: called after each block, outside of what is timed, with the seconds since begin.

    Returns:
      The time of each step in µs, in the order they were run, and the blocks.

    Raises:
      ValueError: ``seconds`` or ``block_s`` is not above zero.
    """
    if not (seconds > 0 and block_s > 0):
        raise ValueError(f"expected seconds and block_s above 0; got {seconds} and {block_s}")
    clock = time.perf_counter
    steps_s = block_s * (1 - _REFERENCE_SHARE)
    reference_s = block_s * _REFERENCE_SHARE
    samples: list[float] = []
    blocks: list[Block] = []
    began = clock()
    while True:
        first = len(samples)
        at = now = clock()
        until = at + steps_s
        while now < until or len(samples) < first + _FEWEST_STEPS:
            before = now
            step()
            now = clock()
            samples.append((now - before) * 1e6)
        runs: list[float] = []
        until = clock() + reference_s
        while clock() < until or len(runs) < _FEWEST_RUNS:
            runs.append(reference.run_us())
        blocks.append(
            Block(
                at_s=round(at - began, 4),
                steps=len(samples) - first,
                step_us=round(float(np.median(samples[first:])), 3),
                reference_us=round(float(np.median(runs)), 3),
            )
        )
        elapsed = clock() - began
        if progress is not None:
            progress(elapsed)
        if elapsed >= seconds:
            return samples, tuple(blocks)
