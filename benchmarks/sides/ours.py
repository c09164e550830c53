"""edgecap's file: by edgecap, and by the interpreter that comes with TensorFlow."""

from __future__ import annotations

import importlib.util

import numpy as np

import edgecap
from edgecap.bundle import Bundle, read_bundle
from edgecap.preprocess import resize
from sides.side import Facts, Frame, Given, MissingError, Side, count_macs, cross_validated
from sides.tensors import Carried


class Edgecap(Side):
    """``stream.step(frame)``, with checks, smoothing and events."""

    def prepare(self, given: Given, threads: int | None) -> Facts:
        model = edgecap.load(given.model, threads=threads or 1)
        self._step = model.stream().step
        self._numbers = {label: number for number, label in enumerate(model.labels)}
        return facts(model.bundle, given)

    def step(self, frame: Frame) -> int:
        return self._numbers[self._step(frame).label]


class TensorFlowInterpreter(Side):
    """``tf.lite.Interpreter`` on the same file, by indices."""

    def prepare(self, given: Given, threads: int | None) -> Facts:
        if importlib.util.find_spec("tensorflow") is None:
            raise MissingError("TensorFlow: pip install tensorflow")
        import tensorflow as tf

        bundle = read_bundle(given.model)
        self._spec = bundle.spec.input
        if self._spec.tensor.dtype != "int8":
            raise MissingError(f"{given.model.name}: its input is not int8")
        interpreter = tf.lite.Interpreter(model_content=bundle.model, num_threads=threads)
        interpreter.allocate_tensors()
        self._carried = Carried(interpreter)
        return facts(bundle, given)

    def step(self, frame: Frame) -> int:
        image = resize(frame, self._spec) ^ 0x80
        return self._carried(image.view(np.int8)[None])


def facts(bundle: Bundle, given: Given) -> Facts:
    """Of edgecap's file, whoever runs it."""
    spec = bundle.spec
    if spec.task != "classification":
        raise MissingError(f"{given.model.name}: expected a classifier; got {spec.task}")
    accuracy, source = cross_validated(given, "int8")
    macs, uncounted = count_macs(bundle.model)
    return Facts(
        task=f"{spec.name}: {len(spec.labels)} labels",
        bytes=given.model.stat().st_size,
        macs=macs,
        uncounted=uncounted,
        accuracy=accuracy,
        accuracy_source=source,
    )
