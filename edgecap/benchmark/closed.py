"""One frame after the other, as fast as it goes; whole steps, and steps taken apart, in turns."""

from __future__ import annotations

import itertools
import statistics
from array import array
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from edgecap.benchmark.blocks import measure_blocks
from edgecap.benchmark.control import Control
from edgecap.benchmark.frames import size_name
from edgecap.benchmark.reference import Reference
from edgecap.benchmark.report import ClosedLoop, Steady
from edgecap.benchmark.stages import StagedModel, Stages
from edgecap.benchmark.times import times
from edgecap.preprocess import Image
from edgecap.streaming import Stream

# After each block of whole steps, so that both meet the same mood of the machine. From so many
# seconds on a run has longer blocks and not more of them, and so it is with this.
_STAGES_S, _LONG_S = 0.020, 80.0
# However slow the model: so many make a median that may be told.
_LEAST_STEPS = 8
# Caches, clock and branch predictors before the first time is taken; a share of the run at most.
_WARM_UP_S, _WARM_UP_SHARE = 0.5, 0.1
# The two ends of a run that are held against each other.
_WINDOW_S = 30.0
_TELL_S = 0.5


def measure_closed(
    model: StagedModel,
    frames: Sequence[Image],
    *,
    seconds: float,
    reference: Reference,
    control: Control,
    progress: Callable[[str], None] = lambda _: None,
) -> ClosedLoop:
    """Streams frames for so long, or until there are enough steps to tell of.

    Args:
      frames: ``(h, w, 3)`` uint8 RGB, of one size. A block's steps get one, the next the next.
      seconds: how long; warming up comes before it.
      reference, control: on the same kernels and threads.
      progress: told now and then how far it is.
    """
    stream, stages = model.stream(), Stages()
    images = itertools.cycle(frames)
    # As a camera writes its frames: into memory that is in the cache when the model is given it.
    # Frames in turns are read from wherever other processes leave them: up to 20 % of a step, and
    # other in each process, where two cores are busy.
    frame = frames[0].copy()
    step = stream.step
    _warm_up(stream, itertools.repeat(frame), min(_WARM_UP_S, _WARM_UP_SHARE * seconds))
    stages_s = _STAGES_S * max(1.0, seconds / _LONG_S)
    next_told_s = 0.0

    def take_apart() -> None:
        wanted, end_s = len(stages) + _LEAST_STEPS, perf_counter() + stages_s
        with model.taken_apart() as marks:
            while len(stages) < wanted or perf_counter() < end_s:
                stages.take(stream, frame, marks)
        np.copyto(frame, next(images))

    def tell(at_s: float, step_us: float) -> None:
        nonlocal next_told_s
        if at_s >= next_told_s:
            next_told_s = at_s + _TELL_S
            progress(f"closed loop: {at_s:.0f} of {seconds:.0f} s, {step_us:.0f} µs a step")

    began_s = perf_counter()
    whole_us, blocks = measure_blocks(
        lambda: step(frame),
        reference,
        control,
        seconds=seconds,
        between=take_apart,
        progress=tell,
    )
    return ClosedLoop(
        frame=size_name(frames[0].shape),
        seconds=round(perf_counter() - began_s, 3),
        fps=round(1e6 / statistics.fmean(whole_us), 2),
        whole=times(whole_us),
        stages={name: times(taken) for name, taken in stages.taken_us.items()},
        blocks=blocks,
        control=control.digest,
    )


def steady(closed: ClosedLoop) -> Steady:
    """The last 30 s of a closed loop against its first; of one shorter than 60 s, the thirds."""
    seconds, blocks = closed.seconds, closed.blocks
    window_s = _WINDOW_S if seconds >= 2 * _WINDOW_S else seconds / 3
    first = [block.step_us for block in blocks if block.at_s < window_s]
    last = [block.step_us for block in blocks if block.at_s >= seconds - window_s]
    # Of a model so slow that a block fills more than a window, the block that it is.
    first_us = statistics.median(first or [blocks[0].step_us])
    last_us = statistics.median(last or [blocks[-1].step_us])
    return Steady(
        window_s=round(window_s, 3),
        first_us=round(first_us, 3),
        last_us=round(last_us, 3),
        ratio=round(last_us / first_us, 4),
    )


def take_steps(
    stream: Stream[Any], images: Iterator[Image], count: int, taken_us: array[float]
) -> None:
    """Steps a stream so many times and appends how long each took."""
    step, note = stream.step, taken_us.append
    for image in itertools.islice(images, count):
        began_s = perf_counter()
        step(image)
        note((perf_counter() - began_s) * 1e6)


def _warm_up(stream: Stream[Any], images: Iterator[Image], seconds: float) -> None:
    taken_us: array[float] = array("d")
    end_s = perf_counter() + seconds
    while len(taken_us) < _LEAST_STEPS or perf_counter() < end_s:
        take_steps(stream, images, 1, taken_us)
