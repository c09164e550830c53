"""Curves of ``scaling``: by the length of a stream, the number of streams, and threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scaling_turns import WARM_UP, Side, Turns, beside, in_turns
from streams import memory

import edgecap
from edgecap.benchmark.reference import Reference
from edgecap.streaming import Stream, StreamingModel
from edgecap.synthetic import Scene

Images = list[npt.NDArray[np.uint8]]

#: Frames of a block.
BLOCK = 100
LENGTHS = (100, 1_000, 10_000, 100_000, 1_000_000)
STREAMS = (1, 2, 4, 8, 16, 32)
#: A point is flat where its median is this near to the first.
FLAT = 0.02
_FRESH, _APART = "fresh", "apart"
# With those that warm up, a number that tenths of all lengths divide: no stream is run in vain.
_LENGTH_ROUNDS = 200 - WARM_UP
_STREAM_ROUNDS, _THREAD_ROUNDS = 120, 120
_REFERENCE_RUNS = 20


def images_for(model: StreamingModel, count: int = BLOCK, seed: int = 3) -> Images:
    """Frames of a scene in the model's size."""
    size = model.spec.input
    scene = Scene(seed=seed, height=size.height, width=size.width)
    return [frame.image for frame in itertools.islice(scene, count)]


def reference_side() -> Side:
    """The graph of known work: how fast the machine is, while a curve is measured."""
    reference = Reference()

    def block() -> int:
        for _ in range(_REFERENCE_RUNS):
            reference.run_us()
        return _REFERENCE_RUNS

    return lambda: block


def stepping(stream: Stream[Any], images: Images) -> Callable[[], int]:
    """A block of one stream."""

    def block() -> int:
        for image in images:
            stream.step(image)
        return len(images)

    return block


def length(
    path: Path, *, lengths: tuple[int, ...] = LENGTHS, rounds: int = _LENGTH_ROUNDS
) -> dict[str, Any]:
    """Streams that have come to each length, beside new ones.

    Before anything is timed, streams are run until a tenth of their length (at least one block) is
    left; then blocks of all lengths and of new streams alternate. Where that tenth is shorter than
    the rounds, several streams of the length share them. All ends where the longest is as long as
    its name says.
    """
    model = edgecap.load(path)
    images = images_for(model)

    def aged(frames: int) -> Iterator[Stream[Any]]:
        """A stream for each round, that has as many frames as its length less what follows."""
        blocks = min(max(1, frames // 10 // BLOCK), rounds + WARM_UP)
        streams = [model.stream() for _ in range(-(-(rounds + WARM_UP) // blocks))]
        for stream in streams:
            for _ in range(frames // BLOCK - blocks):
                for image in images:
                    stream.step(image)
        return itertools.chain.from_iterable(itertools.repeat(s, blocks) for s in streams)

    def side(streams: Iterator[Stream[Any]]) -> Side:
        return lambda: stepping(next(streams), images)

    made = {frames: aged(frames) for frames in lengths}
    sides: dict[str, Side] = {str(frames): side(streams) for frames, streams in made.items()}
    sides[_FRESH] = side(model.stream() for _ in itertools.count())
    sides["reference"] = reference_side()
    turns = in_turns(sides, rounds=rounds)
    points = [{"frames": n} | beside(turns[str(n)], turns[_FRESH]) for n in lengths]
    return {
        "what": "one stream, by its length: a block of 100 frames beside one of a new stream",
        "model": model.spec.name,
        "rounds": rounds,
        "fresh_us": beside(turns[_FRESH], turns[_FRESH])["us"],
        **reference(turns),
        "bar": f"each ratio within {FLAT * 100:g} % of 1, on the clock and in processor time",
        "holds": all(flat(point) for point in points),
        "points": points,
    }


def flat(point: Mapping[str, Any]) -> bool:
    return all(abs(point[name] - 1) <= FLAT for name in ("ratio", "cpu_ratio"))


def reference(turns: Mapping[str, Turns]) -> dict[str, float]:
    return {"reference_us": round(float(np.median(turns["reference"].wall_us)), 2)}


def streams(
    path: Path,
    *,
    counts: tuple[int, ...] = STREAMS,
    rounds: int = _STREAM_ROUNDS,
    with_memory: bool = True,
) -> dict[str, Any]:
    """Equally many steps of one model, dealt out to more and more streams in turn.

    Beside the most streams on one model: as many models with a stream each (``ratio``: how many
    times a step costs there).
    """
    model = edgecap.load(path)
    images = images_for(model, 3 * max(counts))

    def side(own: list[Stream[Any]]) -> Side:
        # Each stream sees a stretch of the scene from frame to frame, as a camera's does.
        each = len(images) // len(own)
        dealt = [
            (stream, images[number * each + at])
            for at in range(each)
            for number, stream in enumerate(own)
        ]

        def block() -> int:
            for stream, image in dealt:
                stream.step(image)
            return len(dealt)

        return lambda: block

    sides = {str(count): side([model.stream() for _ in range(count)]) for count in counts}
    # What a program without this would do: a model for each camera.
    sides[_APART] = side([edgecap.load(path).stream() for _ in range(counts[-1])])
    sides["reference"] = reference_side()
    turns = in_turns(sides, rounds=rounds)
    points = []
    for count in counts:
        found = beside(turns[str(count)], turns[str(counts[0])])
        points.append({"streams": count, "times_one": round(count * found["ratio"], 3)} | found)
    most = points[-1]
    return {
        "what": "streams on one model that take their steps in turn: a step beside that of one",
        "model": model.spec.name,
        "rounds": rounds,
        **reference(turns),
        "bar": f"{counts[-1]} streams cost at most {counts[-1]} × one: the ratio's interval "
        "reaches down to 1 or below",
        "holds": most["ratio_95"][0] <= 1.0 and most["cpu_ratio_95"][0] <= 1.0,
        "memory": memory(path, None) if with_memory else None,
        "points": points,
        "models_of_their_own": {"streams": counts[-1]}
        | beside(turns[_APART], turns[str(counts[-1])]),
    }


def threads(
    models: Mapping[str, Path | bytes],
    opened: Callable[[Path | bytes, int], StreamingModel],
    *,
    most: int | None = None,
    rounds: int = _THREAD_ROUNDS,
) -> dict[str, Any]:
    """A step with 1, 2, 4, … threads, up to as many as there are cores, of each model.

    Args:
      models: by name. opened: opens one with so many threads.
    """
    cores = most or os.cpu_count() or 1
    counts = [n for n in (1, 2, 4, 8, 16) if n <= cores]
    points: list[dict[str, Any]] = []
    for name, given in models.items():
        sides: dict[str, Side] = {}
        for count in counts:
            model = opened(given, count)
            block = stepping(model.stream(), images_for(model, 10))
            # The loop's variable would be the last one.
            sides[str(count)] = lambda block=block: block
        turns = in_turns(sides, rounds=rounds)
        points += [
            {"model": name, "threads": n} | beside(turns[str(n)], turns["1"]) for n in counts
        ]
    return {
        "what": "a step with more threads beside one with one",
        "rounds": rounds,
        "points": points,
    }
