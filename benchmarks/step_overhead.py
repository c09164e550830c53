"""What ``Stream.step`` costs beyond the interpreter: measured side by side in one loop.

Bare: set_tensor for image and states, invoke, get_tensor for output and states, on the bytes that
``Stream.step`` would give to the interpreter. Both sides alternate in blocks on interpreters of
their own, so that a change of the machine's speed meets both.

    python benchmarks/step_overhead.py [MODEL] [--json FILE]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import record

import edgecap
from edgecap.assets import resolve_model
from edgecap.bundle import read_bundle
from edgecap.contract import bind
from edgecap.interpreter import open_interpreter
from edgecap.preprocess import Preprocessor
from edgecap.synthetic import Scene

_FRAMES = 64
_BLOCKS = 60


def bare_step(path: Path) -> Callable[[np.ndarray], None]:
    """The least that a program can do for one frame."""
    bundle = read_bundle(path)
    tensors = bind(bundle.graph, bundle.spec)
    interpreter, _ = open_interpreter(bundle.model)
    states = [np.zeros(spec.shape, spec.dtype) for spec in bundle.spec.states]

    def step(image: np.ndarray) -> None:
        interpreter.set_tensor(tensors.image, image)
        for number, index in enumerate(tensors.states_in):
            interpreter.set_tensor(index, states[number])
        interpreter.invoke()
        interpreter.get_tensor(tensors.output)
        for number, index in enumerate(tensors.states_out):
            states[number] = interpreter.get_tensor(index)

    return step


def measure(path: Path) -> dict[str, float]:
    """Medians over blocks of the mean time of a step, in microseconds."""
    model = edgecap.load(path)
    stream = model.stream()
    spec = model.spec
    scene = Scene(seed=1, height=spec.input.height, width=spec.input.width, gestures=4)
    images = [frame.image for frame in scene][:_FRAMES]
    prepare = Preprocessor(spec.input)
    prepared = [prepare(image).copy() for image in images]
    bare = bare_step(path)
    sides: dict[str, list[float]] = {"bare_us": [], "stream_us": []}
    for block in range(_BLOCKS + 1):
        for name, step, frames in (
            ("bare_us", bare, prepared),
            ("stream_us", stream.step, images),
        ):
            started = time.perf_counter()
            for frame in frames:
                step(frame)
            seconds = time.perf_counter() - started
            if block:  # the first one warms up
                sides[name].append(seconds / len(frames) * 1e6)
    extra = np.array(sides["stream_us"]) - np.array(sides["bare_us"])
    result = {name: float(np.median(times)) for name, times in sides.items()}
    result["extra_us"] = float(np.median(extra))
    result["allowed_us"] = 0.05 * result["bare_us"] + 15.0
    return {name: round(value, 2) for name, value in result.items()}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("model", nargs="?", default="demo")
    arguments = parser.parse_args()
    record.publish(measure(resolve_model(arguments.model)), arguments)


if __name__ == "__main__":
    main()
