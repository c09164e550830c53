"""Loads thousands of damaged and hostile versions of a model file, and counts what comes of them.

    python benchmarks/mutants.py [--count 10000] [--model FILE] [--without-table-checks]

Each is loaded by ``edgecap.load`` in a child process with limits of memory and time, and streams a
few frames if it is accepted, so that a signal or a hang is counted and not suffered. Classes
(:mod:`mutations`): damage and zip tricks, whose digests do not fit; and forged files with right
digests, which may compute something else, but must neither crash nor hang what loads them.

Exit status 1 if a child died of a signal, ran past its limit or raised what is no error of
edgecap's, or if a file without right digests was accepted and answered otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import mutations
import numpy as np
import record

import edgecap
from edgecap import bundle
from edgecap.assets import resolve_model
from edgecap.errors import EdgecapError
from edgecap.flatbuffer import read_graph

_CHILD = "--child"
_MEMORY = 3 << 30
_FRAMES = 3


def answers(path: Path, *, captions: bool) -> list[bytes]:
    """Outputs and states of a few frames, or words, byte by byte."""
    model = edgecap.load_captioner(path) if captions else edgecap.load(path)
    size = (model.spec.input.height, model.spec.input.width, 3)
    pictures = np.random.default_rng(0).integers(0, 256, (_FRAMES, *size), np.uint8)
    found = []
    if isinstance(model, edgecap.CaptionModel):
        assert model.spec.caption is not None
        scene = model.encode(pictures[0])
        step = model.step(model.spec.caption.start, scene, scene.states)
        for _ in pictures:
            found += [step.logits.tobytes(), *(state.tobytes() for state in step.states)]
            step = model.step(int(step.logits.argmax()), scene, step.states)
        return found
    states = model.initial_states()
    for picture in pictures:
        outputs, states = model.infer(picture, states)
        found += [outputs.tobytes(), *(state.tobytes() for state in states)]
    return found


def serve(source: Path, *, checked: bool) -> None:
    """In the child: makes and loads what is asked for, a line each."""
    captions = bundle.read_bundle(source).spec.caption is not None
    expected, data = answers(source, captions=captions), source.read_bytes()
    if not checked:
        bundle.check_tables = read_graph
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mutant.tflite")
        print("ready", flush=True)
        for line in sys.stdin:
            kind, seed = line.rstrip("\n").rsplit(" ", 1)
            path.write_bytes(mutations.mutate(data, kind, int(seed)))
            began = time.perf_counter()
            told = _outcome(path, expected, captions=captions)
            told["ms"] = (time.perf_counter() - began) * 1e3
            print(json.dumps(told), flush=True)


def _outcome(path: Path, expected: list[bytes], *, captions: bool) -> dict[str, Any]:
    try:
        found = answers(path, captions=captions)
    except EdgecapError as error:
        return {"outcome": f"refused: {type(error).__name__}"}
    # What else is raised is what this script looks for.
    except Exception as error:
        return {"outcome": f"escaped: {type(error).__name__}", "told": str(error)[:200]}
    return {"outcome": "equal" if found == expected else "different"}


class _Worker:
    """A child, which is started again when it dies."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._command = [sys.executable, __file__, _CHILD, str(arguments.model)]
        self._command += ["--without-table-checks"] * arguments.without_table_checks
        self.kind, self.seed = "", 0
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            sys.exit("mutants: the child process does not start")

    def ask(self, kind: str, seed: int) -> None:
        assert self.process.stdin is not None
        self.kind, self.seed = kind, seed
        self.asked_s = time.monotonic()
        self.process.stdin.write(f"{kind} {seed}\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What came of it; a dead child is replaced."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            told: dict[str, Any] = json.loads(line)
            return told
        return self._replaced(f"signal {-self.process.wait()}")

    def overdue(self) -> dict[str, Any]:
        self.process.kill()
        self.process.wait()
        return self._replaced("hang")

    def _replaced(self, outcome: str) -> dict[str, Any]:
        self._start()
        return {"outcome": outcome, "ms": (time.monotonic() - self.asked_s) * 1e3}

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def attack(arguments: argparse.Namespace) -> tuple[dict[str, Counter[str]], list[Any], list[Any]]:
    """Outcomes by class, the findings, and of each load the milliseconds, class and seed."""
    kinds = list(mutations.KINDS)
    # In turn, so that a run that is cut short has seen all classes alike.
    jobs = iter([(kinds[n % len(kinds)], n // len(kinds)) for n in range(arguments.count)])
    outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    findings, took = [], []
    with selectors.DefaultSelector() as selector:

        def next_job(worker: _Worker) -> None:
            job = next(jobs, None)
            if job is None:
                worker.close()
            else:
                worker.ask(*job)
                selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]

        for _ in range(arguments.workers):
            next_job(_Worker(arguments))
        while selector.get_map():
            ready = {key.data for key, _ in selector.select(1.0)}
            now = time.monotonic()
            for key in list(selector.get_map().values()):
                worker = key.data
                late = now - worker.asked_s > arguments.limit_s
                if worker not in ready and not late:
                    continue
                selector.unregister(key.fileobj)
                told = worker.answer() if worker in ready else worker.overdue()
                outcomes[worker.kind][told["outcome"]] += 1
                took.append((round(told["ms"], 1), worker.kind, worker.seed))
                if _is_bad(worker.kind, told["outcome"]):
                    findings.append([worker.kind, worker.seed, told["outcome"], told.get("told")])
                    print(*findings[-1], file=sys.stderr)
                next_job(worker)
    return outcomes, findings, took


def _is_bad(kind: str, outcome: str) -> bool:
    unlike = outcome == "different" and kind not in mutations.FORGED
    return unlike or outcome.startswith(("signal", "hang", "escaped"))


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--model", type=Path, default=resolve_model("demo"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit-s", type=float, default=20.0, help="for each, on the clock")
    parser.add_argument("--without-table-checks", action="store_true", help="to see what they do")
    parser.add_argument(_CHILD, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        serve(arguments.child, checked=not arguments.without_table_checks)
        return
    if arguments.count < 1 or arguments.workers < 1:
        parser.error("--count and --workers: expected 1 or more")
    began = time.perf_counter()
    outcomes, findings, took = attack(arguments)
    took.sort(reverse=True)
    total = sum(outcomes.values(), Counter())
    result = {
        "model": arguments.model.name,
        "mutants": total.total(),
        "limit_s": arguments.limit_s,
        "memory_bytes": _MEMORY,
        "outcomes": {name: total[name] for name in sorted(total)},
        "by_class": {kind: dict(sorted(found.items())) for kind, found in outcomes.items()},
        "forged_classes": mutations.FORGED,
        "load_ms": {
            "median": round(float(np.median([ms for ms, *_ in took])), 2),
            "largest": took[:5],
        },
        "seconds": round(time.perf_counter() - began, 1),
        "findings": findings[:100],
    }
    record.publish(result, arguments)
    if findings and not arguments.without_table_checks:
        sys.exit(1)


if __name__ == "__main__":
    main()
