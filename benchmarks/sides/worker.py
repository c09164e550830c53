"""A process that holds the sides of one runtime, and sleeps until it is asked for a block."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from sides.blocks import Block
from sides.entries import Entry
from sides.side import Facts, Frame, Given, MissingError, Side

# What libraries read when they are loaded. OpenCV is told by a call.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


class WorkerError(Exception):
    """A side failed in its process."""


class Worker:
    """The other end of such a process.

    Args:
      threads: 1, or ``None`` for what the libraries take by default.
    """

    def __init__(self, name: str, threads: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._name = name
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        with _environment(_QUIET | (_ONE_THREAD if threads == 1 else {})):
            self._process.start()
        theirs.close()

    def prepare(self, entry: Entry, given: Given, clip: Path) -> Facts:
        """Raises: MissingError: it cannot be measured here."""
        facts: Facts = self._ask("prepare", entry, given, clip)
        return facts

    def answers(self, key: str, count: int) -> list[int]:
        """Labels of the clip's first frames."""
        found: list[int] = self._ask("answers", key, count)
        return found

    def block(self, key: str, steps: int, warm_up: int) -> Block:
        """So many steps, after some that do not count."""
        found: Block = self._ask("block", key, steps, warm_up)
        return found

    def make(self, given: Given, clip: Path) -> None:
        """Makes the ONNX files. Raises: MissingError: it cannot."""
        self._ask("make", given, clip)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()

    def _ask(self, *question: Any) -> Any:
        try:
            self._pipe.send(question)
            kind, answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(10)
            raise WorkerError(
                f"the process of {self._name} ended with {self._process.exitcode} at {question[0]}"
            ) from error
        if kind == "missing":
            raise MissingError(answer)
        if kind == "failed":
            raise WorkerError(f"{self._name}: {answer}")
        return answer


class _Sides:
    """What the process does."""

    def __init__(self) -> None:
        self._sides: dict[str, tuple[Side, Frame]] = {}
        self._next: dict[str, int] = {}
        self._rested_s = time.process_time()

    def prepare(self, entry: Entry, given: Given, clip: Path) -> Facts:
        side = entry.make()
        facts = side.prepare(given, entry.threads)
        self._sides[entry.key] = side, side.clip(_frames(clip))
        self._next[entry.key] = 0
        return facts

    def answers(self, key: str, count: int) -> list[int]:
        return [self._step(key) for _ in range(count)]

    def block(self, key: str, steps: int, warm_up: int) -> Block:
        idle_s = time.process_time() - self._rested_s
        for _ in range(warm_up):
            self._step(key)
        times_us = []
        process_s, began_s = time.process_time(), time.perf_counter()
        for _ in range(steps):
            step_s = time.perf_counter()
            self._step(key)
            times_us.append((time.perf_counter() - step_s) * 1e6)
        whole_s, used_s = time.perf_counter() - began_s, time.process_time() - process_s
        self._rested_s = time.process_time()
        return Block(
            key,
            step_us=float(np.median(times_us)),
            processor_us=used_s / steps * 1e6,
            cores=used_s / whole_s,
            idle_us=idle_s * 1e6,
        )

    def make(self, given: Given, clip: Path) -> None:
        from sides.onnx_made import make

        make(given, _frames(clip))

    def _step(self, key: str) -> int:
        side, frames = self._sides[key]
        number = self._next[key]
        self._next[key] = (number + 1) % len(frames)
        return side.step(frames[number])


def _frames(clip: Path) -> Frame:
    """One copy for all processes: the file's pages."""
    return np.asarray(np.load(clip, mmap_mode="r"))


def _serve(pipe: Connection, threads: int | None) -> None:
    if threads == 1:
        import cv2

        cv2.setNumThreads(1)
    sides = _Sides()
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        if question is None:
            return
        name, *arguments = question
        try:
            pipe.send(("done", getattr(sides, name)(*arguments)))
        except MissingError as missing:
            pipe.send(("missing", str(missing)))
        except Exception:
            pipe.send(("failed", traceback.format_exc()))


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
