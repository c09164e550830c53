"""A step taken apart while it is taken: when it reaches the interpreter, and when it leaves it."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy.typing as npt

from edgecap.interpreter import Interpreter
from edgecap.preprocess import Image
from edgecap.steps import WholeStep
from edgecap.streaming import Stream, StreamingModel

STAGES = ("preprocess", "set", "invoke", "get", "post")


class StagedModel(StreamingModel):
    """A model as :func:`edgecap.load` gives it, whose interpreter can be looked at while it works.

    Until it is taken apart, its streams run the very same code.
    """

    @contextlib.contextmanager
    def taken_apart(self) -> Iterator[Marks]:
        """Inside, the steps of all its streams leave marks."""
        step = self._step
        assert isinstance(step, WholeStep), "a gated stream has no stages that are always there"
        inner = step.interpreter
        marks = Marks(inner)
        step.interpreter = marks
        try:
            yield marks
        finally:
            step.interpreter = inner


class Marks:
    """An interpreter that notes when it is called; about a microsecond a step dearer.

    Attributes:
      set_s, invoke_s, invoked_s, got_s: when the first tensor was set, when the graph was started
        and when it was done, and when the last tensor was there; 0 where that has not happened.
    """

    __slots__ = ("_get", "_inner", "_invoke", "_set", "got_s", "invoke_s", "invoked_s", "set_s")

    def __init__(self, inner: Interpreter) -> None:
        self._inner = inner
        self._set, self._invoke, self._get = inner.set_tensor, inner.invoke, inner.get_tensor
        self.clear()

    def clear(self) -> None:
        """Before each step."""
        self.set_s = self.invoke_s = self.invoked_s = self.got_s = 0.0

    def set_tensor(self, index: int, value: npt.NDArray[Any]) -> None:
        if not self.set_s:
            self.set_s = perf_counter()
        self._set(index, value)

    def invoke(self) -> None:
        self.invoke_s = perf_counter()
        self._invoke()
        self.invoked_s = perf_counter()

    def get_tensor(self, index: int) -> npt.NDArray[Any]:
        found = self._get(index)
        self.got_s = perf_counter()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Stages:
    """The times of each stage, µs, in the order they were taken; nothing of a step is left out.

    ``preprocess``: from the frame to the image tensor. ``set``: tensors into the graph. ``invoke``:
    the graph. ``get``: tensors out of it. ``post``: activation, smoothing, events, the answer.
    """

    def __init__(self) -> None:
        self.taken_us = {name: array("d") for name in STAGES}

    def __len__(self) -> int:
        return len(self.taken_us["invoke"])

    def take(self, stream: Stream[Any], image: Image, marks: Marks) -> None:
        """One step of a stream of a model that is taken apart."""
        marks.clear()
        began_s = perf_counter()
        stream.step(image)
        ended_s = perf_counter()
        instants = (began_s, marks.set_s, marks.invoke_s, marks.invoked_s, marks.got_s, ended_s)
        if 0.0 in instants:
            raise RuntimeError("a step no longer sets, invokes and gets through its interpreter")
        for place, name in enumerate(STAGES):
            self.taken_us[name].append((instants[place + 1] - instants[place]) * 1e6)
