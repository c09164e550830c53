"""Blocks in turns, and what their ratios say; no measuring here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Shares of the blocks below the ends of the interval that is told.
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True)
class Block:
    """Some steps of one side, one after the other.

    Attributes:
      key: whose.
      step_us: median time of a step.
      processor_us: mean processor time of a step, of all threads.
      cores: processor time of the process over time.
      idle_us: processor time that the process took since its last block, while others ran.
    """

    key: str
    step_us: float
    processor_us: float
    cores: float
    idle_us: float


def turns(keys: Sequence[str], ours: str, rounds: int) -> Iterator[str]:
    """Whose block is next: ours before and after each other's.

    The others are shifted by one each round, so that nobody always follows the same.
    """
    yield ours
    for number in range(rounds):
        shift = number % len(keys) if keys else 0
        for key in (*keys[shift:], *keys[:shift]):
            yield key
            yield ours


@dataclass(frozen=True)
class Ratio:
    """A block of another's over the mean of the two of ours beside it.

    Attributes:
      time: of step by step. processor: of processor time, which other programs disturb less.
    """

    time: float
    processor: float


def ratios(blocks: Sequence[Block], ours: str) -> dict[str, list[Ratio]]:
    """Those of each other side, by key."""
    found: dict[str, list[Ratio]] = {}
    for before, block, after in zip(blocks, blocks[1:], blocks[2:], strict=False):
        if block.key != ours:
            time = 2 * block.step_us / (before.step_us + after.step_us)
            processor = 2 * block.processor_us / (before.processor_us + after.processor_us)
            found.setdefault(block.key, []).append(Ratio(time, processor))
    return found


def told(blocks: Sequence[Block], key: str, beside: Sequence[Ratio]) -> dict[str, Any]:
    """A side's figures.

    Args:
      beside: of :func:`ratios`; none for the side that the others are held against.
    """
    own = [block for block in blocks if block.key == key]
    figures: dict[str, Any] = {
        "blocks": len(own),
        "step_us": round(float(np.median([block.step_us for block in own])), 1),
        "cores": round(float(np.median([block.cores for block in own])), 2),
        "idle_us": round(float(np.median([block.idle_us for block in own]))),
    }
    if beside:
        low, middle, high = np.quantile([each.time for each in beside], (LOW, 0.5, HIGH))
        figures["times_edgecap"] = round(float(middle), 2)
        figures["times_edgecap_interval"] = [round(float(low), 2), round(float(high), 2)]
        processor = float(np.median([each.processor for each in beside]))
        figures["times_edgecap_processor"] = round(processor, 2)
    return figures
