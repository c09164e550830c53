"""edgecap beside what a user would take instead: one machine, one run, one clip.

    python benchmarks/peers.py [MODEL] [--run FOLDER] [--peers FOLDER] [--clip FILE] …

Each side is the whole loop from a decoded frame (640×480 RGB uint8 in memory) to a label. Each
runtime has a process of its own; one computes at a time, the others sleep on a pipe (``idle_us``:
the processor time that they take meanwhile). A block of edgecap's stands before and after each
block of another's, and a ratio is between neighbours: what slows the machine meets both. One thread
each (``cores``: processor time over time; well below 1, others were computing too, and the ratio of
processor times is the fairer one), and some again with as many as they take by default,
which are held against edgecap's one.

Accuracies and MACs stand beside; those of different tasks do not compare. The Keras sides compute
the float network of the run that MODEL was made of (--run), and so do the ONNX sides; a sliding
window is as long as the rows that the run trained with. Those whose files or packages are not there
are left out, and why is said.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import record
from sides.blocks import Block, ratios, told, turns
from sides.entries import ENTRIES, OURS, Entry
from sides.side import FRAME, Facts, Frame, Given, MissingError
from sides.table import table
from sides.worker import Worker, WorkerError

from edgecap.assets import resolve_model

_FRAMES = 96
_COMPARED = 64
# Threads that are left to a library may wait for work awake: those of ONNX Runtime for 26 ms here.
_SPIN_S = 0.1
# Our blocks are shorter: there are as many of them as of all others together.
_OUR_BLOCK_S, _BLOCK_S = 0.1, 0.25
_MOST_STEPS = 400


def read_clip(path: Path | None) -> Frame:
    """``(N, 480, 640, 3)`` RGB: the beginning of a video, or a scene without one."""
    height, width = FRAME
    if path is None:
        from edgecap.synthetic import Scene

        scene = Scene(seed=1, height=height, width=width, gestures=8)
        return np.stack([frame.image for frame, _ in zip(scene, range(_FRAMES), strict=False)])
    import cv2

    video = cv2.VideoCapture(str(path))
    frames = []
    while len(frames) < _FRAMES:
        found, image = video.read()
        if not found:
            break
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        frames.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    if not frames:
        sys.exit(f"{path}: expected a video; no frame could be read")
    return np.stack(frames)


class Bench:
    """The processes, and what is measured with them.

    Args:
      entries: whom; :data:`OURS` among them.
      clip: a ``.npy`` of the frames.
    """

    def __init__(self, entries: Sequence[Entry], given: Given, clip: Path) -> None:
        self._given, self._clip = given, clip
        self._workers: dict[str, Worker] = {}
        self.entries: dict[str, Entry] = {}
        self.facts: dict[str, Facts] = {}
        self.left_out: dict[str, str] = {}
        self._asked = entries

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.stop()

    def prepare(self) -> None:
        """Opens every side; notes why one is left out."""
        for entry in self._asked:
            _say(f"preparing: {entry.title}")
            if entry.process not in self._workers:
                self._workers[entry.process] = Worker(entry.process, entry.threads)
            worker = self._workers[entry.process]
            try:
                self.facts[entry.key] = worker.prepare(entry, self._given, self._clip)
                self.entries[entry.key] = entry
            except MissingError as missing:
                self.left_out[entry.title] = str(missing)
        if OURS not in self.facts:
            sys.exit(f"edgecap itself cannot be measured: {self.left_out}")

    def agreement(self, frames: int) -> dict[str, float]:
        """Share of the clip's frames that a side answers like edgecap, where it is the same
        network."""
        answers = {
            key: np.array(self._of(key).answers(key, frames))
            for key, entry in self.entries.items()
            if entry.same
        }
        return {key: round(float((own == answers[OURS]).mean()), 4) for key, own in answers.items()}

    def measure(self, rounds: int, block_s: float) -> list[Block]:
        """Blocks in turns; those of edgecap first, last and in between."""
        steps, warm_up = {}, {}
        for key in self.entries:
            wanted_s = min(block_s, _OUR_BLOCK_S) if key == OURS else block_s
            # The first steps trace and allocate.
            self._of(key).block(key, 1, 1)
            step_s = self._of(key).block(key, 2, 0).step_us / 1e6
            steps[key] = int(np.clip(wanted_s / step_s, 1, _MOST_STEPS))
            # Caches are another's at first: some steps are let go, but none that take long.
            warm_up[key] = 1 + steps[key] // 10 if steps[key] > 1 else 0
        blocks = []
        others = [key for key in self.entries if key != OURS]
        for key in turns(others, OURS, rounds):
            blocks.append(self._of(key).block(key, steps[key], warm_up[key]))
            if self.entries[key].threads is None:
                time.sleep(_SPIN_S)
            if len(blocks) % (2 * len(others) or 1) == 0:
                _say(f"round {len(blocks) // (2 * len(others) or 1)} of {rounds}")
        return blocks

    def _of(self, key: str) -> Worker:
        return self._workers[self.entries[key].process]


def with_onnx(given: Given, clip: Path) -> Given:
    """Makes the ONNX files in a process of its own, or notes why not."""
    _say("preparing: ONNX files")
    worker = Worker("the ONNX files", None)
    try:
        worker.make(given, clip)
    except MissingError as missing:
        return dataclasses.replace(given, made=None, not_made=str(missing))
    finally:
        worker.stop()
    return given


def result(bench: Bench, blocks: Sequence[Block], agrees: dict[str, float]) -> dict[str, Any]:
    """Everything that was found, as plain data."""
    beside = ratios(blocks, OURS)
    sides = {}
    for key, entry in bench.entries.items():
        sides[key] = {
            "title": entry.title,
            "threads": entry.threads or "default",
            **told(blocks, key, beside.get(key, ())),
            **dataclasses.asdict(bench.facts[key]),
        }
        if key in agrees:
            sides[key]["answers_as_edgecap"] = agrees[key]
    bars = [
        {
            "side": entry.title,
            "wanted": entry.bar,
            "times_edgecap": sides[key]["times_edgecap"],
            "interval": sides[key]["times_edgecap_interval"],
            "processor": sides[key]["times_edgecap_processor"],
            # On a busy machine long steps are interrupted and short ones are not: that is no merit.
            "met": min(sides[key]["times_edgecap"], sides[key]["times_edgecap_processor"])
            >= entry.bar,
        }
        for key, entry in bench.entries.items()
        if entry.bar is not None
    ]
    return {"sides": sides, "left_out": bench.left_out, "bars": bars}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    chosen = [e for e in ENTRIES if not arguments.only or e.key in (OURS, *arguments.only)]
    frames = read_clip(arguments.clip)
    with tempfile.TemporaryDirectory() as folder:
        clip, made = Path(folder) / "clip.npy", Path(folder) / "made"
        np.save(clip, frames)
        made.mkdir()
        given = Given(
            model=resolve_model(arguments.model),
            run=arguments.run,
            peers=arguments.peers,
            made=made,
            accuracy=arguments.accuracy,
        )
        if any(entry.made_by.startswith("sides.onnx_loops") for entry in chosen):
            given = with_onnx(given, clip)
        with Bench(chosen, given, clip) as bench:
            bench.prepare()
            agrees = bench.agreement(min(_COMPARED, len(frames)))
            blocks = bench.measure(arguments.rounds, arguments.block_s)
            return {
                "model": given.model.stem,
                "clip": f"{arguments.clip.name if arguments.clip else 'synthetic scene'}, "
                f"{len(frames)} frames of {FRAME[1]}×{FRAME[0]}",
                "rounds": arguments.rounds,
                **result(bench, blocks, agrees),
            }


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("model", nargs="?", default="demo")
    parser.add_argument("--run", type=Path, help="folder of the training that MODEL was made of")
    parser.add_argument("--peers", type=Path, help="folder of MoViNet's and LSTM-SSD's files")
    parser.add_argument("--clip", type=Path, help="a video; by default a synthetic scene")
    parser.add_argument("--accuracy", type=Path, help="a result of cross_validation.py for MODEL")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block-s", type=float, default=_BLOCK_S, help="seconds of a block")
    parser.add_argument(
        "--only", action="append", metavar="SIDE", choices=[e.key for e in ENTRIES if e.key != OURS]
    )
    arguments = parser.parse_args()
    try:
        found = measure(arguments)
    except WorkerError as error:
        sys.exit(str(error))
    _say(table(found))
    record.publish(found, arguments)


if __name__ == "__main__":
    main()
