"""What ``instructions.py`` counts: this runs under callgrind, which dumps its counts at each mark.

    python benchmarks/instructions_counted.py ORDER.json

Every thing is repeated over the same frames, in blocks of N and of 2N frames. What 2N frames cost
beyond N is N frames, without the start of Python, the mark and the loop around them. ORDER.json
says which block came when, and of what environment the counts are.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import math
import os
import platform
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from step_overhead import bare_step

import edgecap
from edgecap.assets import resolve_model
from edgecap.predictions import decider
from edgecap.preprocess import Preprocessor
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene

#: Frames of a block: N.
FRAMES = 6
_CAMERA = (640, 480)
# Python specialises what it has seen some dozen times: until then it costs more.
_WARM_UP_BLOCKS = 6
# The first still has some of that; the median is of these.
_ROUNDS = 3


def mark() -> None:
    """The call before which callgrind dumps: ``--dump-before=getppid``. Nothing else makes it."""
    os.getppid()


@dataclass(frozen=True)
class _Answer:
    timestamp_s: float
    label: str
    score: float
    values: np.ndarray


class Yardstick:
    """Fixed work in Python and NumPy, of the kinds that a frame needs but none of its code.

    Another Python or NumPy makes it cheaper or dearer, about as it does the code under test: so a
    count in yardsticks can be held where instructions cannot. Two parts NumPy's small calls, one
    part plain Python: of such mixtures that which follows ``Stream.step`` best from Python 3.10 to
    3.13. Never change it without renewing every figure.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._picture = np.zeros((16, 16, 3), np.uint8)
        self._signed = np.empty_like(self._picture)
        self._logits = np.linspace(-2.0, 2.0, 11, dtype=np.float32)
        self._known: dict[int, tuple[str, float]] = {}
        self._highest = 0

    def __call__(self, _: object) -> None:
        self._arrays()
        self._arrays()
        self._objects()

    def _arrays(self) -> tuple[int, float]:
        with self._lock:
            np.bitwise_xor(self._picture, 0x80, out=self._signed)
        powers = np.exp(self._logits - self._logits.max())
        shares = powers / powers.sum()
        best = int(shares.argmax())
        return best, float(shares[best])

    def _objects(self) -> None:
        for number in range(4):
            answer = _Answer(float(number), "label", 0.5, self._logits)
            weight = 1.0 - math.exp(-number / 3.0)
            if answer.score < weight:
                self._highest += 1
            self._known[number] = (answer.label, weight)
            self._highest = self._higher(number, weight)

    def _higher(self, number: int, weight: float) -> int:
        return max(number, int(self._known.get(number, ("", 0.0))[1] > weight))


@dataclass(frozen=True)
class Counted:
    """What is counted.

    Attributes:
      call: takes in one frame (or what was computed of one). given: these, N of them.
      begin: called at the beginning of each block, so that all of them do the same.
    """

    call: Callable[[Any], Any]
    given: Sequence[Any]
    begin: Callable[[], Any] = lambda: None

    def repeat(self, times: int) -> None:
        self.begin()
        for _ in range(times):
            for one in self.given:
                self.call(one)


def streamed(model: StreamingModel, frames: Sequence[np.ndarray]) -> Counted:
    """A stream that is past the settling after a reset, and sees the same in every block.

    If it went on and on, what it remembers of answers seen before would grow, now and then, at the
    cost of one frame.
    """
    stream = model.stream()
    for _ in range(3):
        for frame in frames:
            stream.step(frame)
    settled = stream.snapshot()
    return Counted(stream.step, frames, lambda: stream.restore(settled))


def counted(path: Path) -> dict[str, Counted]:
    """What is counted, by name."""
    cv2.setNumThreads(1)
    model = edgecap.load(path)
    spec = model.spec
    size = (spec.input.width, spec.input.height)
    scene = Scene(seed=1, height=size[1], width=size[0], rate_hz=spec.rate_hz, gestures=1)
    images = [frame.image for frame, _ in zip(scene, range(FRAMES), strict=False)]
    pictures = [cv2.resize(image, _CAMERA) for image in images]
    prepare = Preprocessor(spec.input)
    prepared = [prepare(image).copy() for image in images]
    method = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}[spec.input.resize]
    outputs, states = [], model.initial_states()
    for image in images:
        output, states = model.infer(image, states)
        outputs.append(output)
    decide, clock = decider(spec.task, spec.labels, spec.decision), [0.0]

    def decided(output: np.ndarray) -> None:
        clock[0] += 1.0 / spec.rate_hz
        decide.predict(model.activate(output), clock[0])

    return {
        "yardstick": Counted(Yardstick(), images),
        "bare_step": Counted(bare_step(path), prepared),
        "step": streamed(model, images),
        "camera_step": streamed(model, pictures),
        "resize": Counted(
            lambda picture: cv2.resize(picture, size, interpolation=method), pictures
        ),
        "prepare": Counted(prepare, images),
        "camera_prepare": Counted(prepare, pictures),
        "decide": Counted(decided, outputs),
    }


def environment(path: Path) -> dict[str, str]:
    """Everything that the counts of the same code depend on."""
    flags = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    return {
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "build": " ".join(platform.python_build()),
        "libc": "-".join(platform.libc_ver()),
        **{name: importlib.metadata.version(name) for name in ("numpy", "ai-edge-litert")},
        "opencv": cv2.__version__,
        "machine": platform.machine(),
        # callgrind passes AVX2 on where it is there, and no AVX-512.
        "avx2": str("avx2" in flags.split()).lower(),
        "model": edgecap.load(path).digest[:12],
    }


def main() -> None:
    path = resolve_model("demo")
    things = counted(path)
    # Whether the collector runs within a block or not would decide over its count.
    gc.collect()
    gc.disable()
    for thing in things.values():
        for _ in range(_WARM_UP_BLOCKS // 2):
            thing.repeat(2)
    blocks = [(name, times) for _ in range(_ROUNDS) for name in things for times in (1, 2)]
    for name, times in blocks:
        mark()
        things[name].repeat(times)
    mark()
    told = {"blocks": blocks, "frames": FRAMES, "environment": environment(path)}
    Path(sys.argv[1]).write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    main()
