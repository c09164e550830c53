"""Steps and known work in turns: the steady state, in short blocks.

A shared or throttled machine changes its speed from one second to the next, and from one run to
the next. The control, run right after each block of steps, meets the same mood: step over control
is what two runs are compared by (``edgecap.benchmark.compare``).
"""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Callable
from time import perf_counter

from edgecap.benchmark.control import Control
from edgecap.benchmark.reference import Reference
from edgecap.benchmark.report import Block

# A block: long enough for a median and for warm caches, short beside the machine's moods.
_STEPS_S, _CONTROL_S, _REFERENCE_S = 0.045, 0.012, 0.006
_BLOCK_S = _STEPS_S + _CONTROL_S + _REFERENCE_S
# A long run has longer blocks and not more of them: the document stays readable.
_MOST_BLOCKS = 1000
# However slow the model: so many make a median that may be told.
_LEAST_STEPS, _LEAST_RUNS, _LEAST_BLOCKS = 8, 5, 16


def measure_blocks(
    step: Callable[[], object],
    reference: Reference,
    control: Control,
    *,
    seconds: float,
    between: Callable[[], object] | None = None,
    progress: Callable[[float, float], object] | None = None,
) -> tuple[array[float], tuple[Block, ...]]:
    """Runs ``step`` for so long, in blocks, each with control and reference after it.

    Warm the step up before: nothing is left out here.

    Args:
      step: one step, whole. It is timed from outside.
      reference, control: with the threads and kernels of the model.
      seconds: how long, everything included; 16 blocks are run at least, since fewer
        tell little of how they scatter.
      between: called after each block, outside of what is timed.
      progress: told after each block the seconds since begin, and the block's median step in µs.

    Returns:
      The time of each step in µs, in the order they were run, and the blocks.

    Raises:
      ValueError: ``seconds`` is not above zero.
    """
    if not seconds > 0:
        raise ValueError(f"expected seconds above 0; got {seconds}")
    longer = max(1.0, seconds / (_MOST_BLOCKS * _BLOCK_S))
    samples_us = array("d")
    blocks: list[Block] = []
    began_s = perf_counter()
    while (at_s := perf_counter() - began_s) < seconds or len(blocks) < _LEAST_BLOCKS:
        first = len(samples_us)
        _repeat(_timed(step), longer * _STEPS_S, _LEAST_STEPS, samples_us)
        # The first run finds the caches full of other things.
        control.run_us()
        controls_us = _repeat(control.run_us, longer * _CONTROL_S, _LEAST_RUNS)
        reference.run_us()
        references_us = _repeat(reference.run_us, longer * _REFERENCE_S, _LEAST_RUNS)
        blocks.append(
            Block(
                at_s=round(at_s, 3),
                steps=len(samples_us) - first,
                step_us=round(statistics.median(samples_us[first:]), 3),
                reference_us=round(statistics.median(references_us), 3),
                control_us=round(statistics.median(controls_us), 3),
            )
        )
        if between is not None:
            between()
        if progress is not None:
            progress(at_s, blocks[-1].step_us)
    return samples_us, tuple(blocks)


def _timed(step: Callable[[], object]) -> Callable[[], float]:
    def run_us() -> float:
        began_s = perf_counter()
        step()
        return (perf_counter() - began_s) * 1e6

    return run_us


def _repeat(
    run_us: Callable[[], float],
    seconds: float,
    least: int,
    into: array[float] | None = None,
) -> array[float]:
    """Runs it for so long, and so often at least; appends each time, in µs."""
    taken_us = array("d") if into is None else into
    wanted = len(taken_us) + least
    end_s = perf_counter() + seconds
    while perf_counter() < end_s or len(taken_us) < wanted:
        taken_us.append(run_us())
    return taken_us
