"""Eight streams on one model beside one stream alone: time, memory, answers; and batching.

    python benchmarks/streams.py [MODEL …] [--json FILE]

Time: blocks of equally many steps of one stream and of eight in turns; medians over blocks, and the
median of the blocks' ratios. Memory: growth of the resident set over 400 further streams that have
each taken frames, in a fresh process (gated ones begin in what the uncut step's interpreter has
freed). Batching: the encoder on one image eight times and on eight images at once; where it forbids
another batch size, its operators up to the first one that is more than a convolution or a sum.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import record

import edgecap
from edgecap.assets import resolve_model
from edgecap.contract import bind
from edgecap.cut import extract, find_cut
from edgecap.gate import SceneGate
from edgecap.interpreter import open_interpreter
from edgecap.streaming import Stream, StreamingModel
from edgecap.synthetic import Scene

_STREAMS = 8
_FRAMES = 24
_BLOCKS = 31
_FURTHER = 400
# Operators that work on any number of images; the first other one ends what can be batched.
_BATCHABLE = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "PAD", "RELU", "RELU6", "HARD_SWISH")
Frames = npt.NDArray[np.uint8]


def material(model: StreamingModel) -> list[Frames]:
    """Frames for each stream, of a scene of its own."""
    size = model.spec.input
    found = []
    for seed in range(_STREAMS):
        scene = Scene(seed=seed, height=size.height, width=size.width, gestures=4)
        found.append(np.stack([frame.image for frame in scene][:_FRAMES]))
    return found


def in_turns(**sides: Callable[[], int]) -> dict[str, npt.NDArray[np.float64]]:
    """Runs each side once a block, so that the machine's mood meets all; µs a step per block."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for block in range(_BLOCKS + 1):
        for name, side in sides.items():
            began = time.process_time()
            steps = side()
            seconds = time.process_time() - began
            if block:  # the first one warms up
                times[name].append(seconds / steps * 1e6)
    return {name: np.array(listed) for name, listed in times.items()}


def cost(model: StreamingModel, frames: list[Frames]) -> dict[str, Any]:
    """Processor time of a step with one stream and with eight, each on frames of its own."""

    def alone() -> int:
        stream = model.stream()
        for own in frames:
            for frame in own:
                stream.step(frame)
        return _STREAMS * _FRAMES

    def together() -> int:
        streams = [model.stream() for _ in frames]
        for number in range(_FRAMES):
            for stream, own in zip(streams, frames, strict=True):
                stream.step(own[number])
        return _STREAMS * _FRAMES

    times = in_turns(alone=alone, together=together)
    return {
        "one_stream_us": round(float(np.median(times["alone"])), 2),
        "eight_streams_us": round(float(np.median(times["together"])), 2),
        "ratio": round(float(np.median(times["together"] / times["alone"])), 4),
        "ratio_of_the_least": round(float(times["together"].min() / times["alone"].min()), 4),
    }


def memory(path: Path, gate: SceneGate | None) -> dict[str, float]:
    """Resident bytes that each further stream takes once it runs, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(grown, (path, gate))


def grown(path: Path, gate: SceneGate | None) -> dict[str, float]:
    model = edgecap.load(path)
    size = model.spec.input
    image = np.zeros((size.height, size.width, 3), np.uint8)

    def made(count: int) -> list[Stream[Any]]:
        streams = [model.stream(gate=gate) for _ in range(count)]
        for stream in streams:
            for _ in range(2):
                stream.step(image)
        return streams

    kept = made(50)
    before = resident()
    kept += made(_FURTHER)
    return {
        "kb_per_further_stream": round((resident() - before) / _FURTHER / 1000, 2),
        "kb_of_states": round(sum(s.nbytes for s in kept[0].snapshot().states) / 1000, 2),
    }


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def same_answers(path: Path, frames: list[Frames], gate: SceneGate | None) -> bool:
    """Whether eight interleaved streams give the bytes of eight runs on models of their own."""
    model = edgecap.load(path)
    streams = [model.stream(gate=gate) for _ in frames]
    together: list[list[bytes]] = [[] for _ in frames]
    for number in range(_FRAMES):
        for stream, own, found in zip(streams, frames, together, strict=True):
            stream.step(own[number])
            found.append(b"".join(s.tobytes() for s in stream.snapshot().states))
    for own, found in zip(frames, together, strict=True):
        stream = edgecap.load(path).stream(gate=gate)
        for frame, expected in zip(own, found, strict=True):
            stream.step(frame)
            if b"".join(s.tobytes() for s in stream.snapshot().states) != expected:
                return False
    return True


def batching(model: StreamingModel) -> dict[str, Any]:
    """What encoding eight images at once would save."""
    bundle = model.bundle
    graph = bundle.graph
    image = bind(graph, bundle.spec).image
    cut = find_cut(graph, bind(graph, bundle.spec))
    shape = bundle.spec.input.tensor.shape[1:]
    images = np.random.default_rng(0).integers(-128, 128, (_STREAMS, *shape)).astype(np.int8)
    operators, outputs = cut.encode, cut.encode_outputs
    part = extract(bundle.model, operators=operators, inputs=[image], outputs=outputs)
    told: dict[str, Any] = {"operators_of_encoder": len(operators)}
    try:
        batched(part, image, images.shape).invoke()
    except (RuntimeError, ValueError) as error:
        told["whole_encoder_refused"] = " ".join(str(error).split())[:160]
        operators = tuple(
            itertools.takewhile(lambda n: graph.operators[n].name in _BATCHABLE, operators)
        )
        outputs = graph.operators[operators[-1]].outputs
        part = extract(bundle.model, operators=operators, inputs=[image], outputs=outputs)
    one = batched(part, image, (1, *shape))
    eight = batched(part, image, images.shape)

    def encode(interpreter: Any, batch: int) -> list[bytes]:
        found = []
        for first in range(0, _STREAMS, batch):
            interpreter.set_tensor(image, images[first : first + batch])
            interpreter.invoke()
            found.append([interpreter.get_tensor(index) for index in outputs])
        return [np.concatenate(each).tobytes() for each in zip(*found, strict=True)]

    def repeated(interpreter: Any, batch: int) -> Callable[[], int]:
        def run() -> int:
            for _ in range(3):
                encode(interpreter, batch)
            return 3 * _STREAMS

        return run

    same = encode(one, 1) == encode(eight, _STREAMS)
    times = in_turns(one=repeated(one, 1), eight=repeated(eight, _STREAMS))
    return told | {
        "operators_batched": len(operators),
        "same_bytes": same,
        "one_at_a_time_us_per_image": round(float(np.median(times["one"])), 2),
        "eight_at_once_us_per_image": round(float(np.median(times["eight"])), 2),
        "ratio": round(float(np.median(times["eight"] / times["one"])), 4),
    }


def batched(part: bytes, image: int, shape: tuple[int, ...]) -> Any:
    """An interpreter for images of this shape."""
    interpreter: Any = open_interpreter(part)[0]
    if shape[0] > 1:
        interpreter.resize_tensor_input(image, list(shape))
        interpreter.allocate_tensors()
    return interpreter


def measure(path: Path) -> dict[str, Any]:
    model = edgecap.load(path)
    frames = material(model)
    return {
        "model": path.stem,
        "input": f"{model.spec.input.width}×{model.spec.input.height}",
        "cost": cost(model, frames),
        "memory": memory(path, None),
        "memory_gated": memory(path, SceneGate()),
        "equal_to_separate_runs": same_answers(path, frames, None),
        "equal_to_separate_runs_gated": same_answers(path, frames, SceneGate()),
        "batching": batching(model),
    }


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("models", nargs="*", default=["demo"])
    arguments = parser.parse_args()
    record.publish([measure(resolve_model(name)) for name in arguments.models], arguments)


if __name__ == "__main__":
    main()
