"""Differences in steps of a tensor's grid (LSB): the file against what it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.flatbuffer import read_graph
from edgecap.interpreter import open_interpreter
from edgecap.quantization import dequantize, quantize
from edgecap.spec import TensorSpec
from edgecap.streaming import StreamingModel
from edgecap_convert.export.graph import FEATURES, LOGITS, convert_recurrent
from edgecap_convert.models.along import NECK_STATES
from edgecap_convert.models.network import Network
from edgecap_convert.parity.trace import NetworkTracer, trace_model
from edgecap_convert.tracing import traced

# A tensor of float or 16 bits is measured in steps of the hidden state, which reads it.
_CELL_STEP = 1 / 128
#: "Within 1 step", with room for the rounding of the figures.
WITHIN_ONE = 1.0 + 1e-3
#: Upper ends of the histogram's bars, in steps; the last bar has none.
HISTOGRAM = (0, 1, 2, 4, 8, 16)


def step_of(spec: TensorSpec) -> float:
    """What one step of a tensor is worth."""
    return spec.scale if spec.dtype in ("int8", "uint8") else _CELL_STEP


@dataclass(frozen=True)
class Difference:
    """Differences at each frame, in steps of each tensor's grid (a cell state's: 1/128).

    Attributes:
      errors: tensor → ``(frames, width)`` float64 absolute differences.
    """

    errors: dict[str, npt.NDArray[np.float64]]

    @property
    def equal(self) -> float:
        """Share of the integer values that do not differ at all."""
        values = [error.ravel() for name, error in self.errors.items() if not name.startswith("c")]
        return float((np.concatenate(values) < 0.5).mean())

    @property
    def within_one(self) -> float:
        """Share of all values that differ by at most 1 step."""
        values = np.concatenate([error.ravel() for error in self.errors.values()])
        return float((values <= WITHIN_ONE).mean())

    @property
    def largest(self) -> float:
        return max(float(error.max()) for error in self.errors.values())

    def to_dict(self) -> dict[str, Any]:
        """``within_one``, ``equal``, ``largest``, and the same of each tensor."""
        return {
            "frames": len(next(iter(self.errors.values()))),
            "within_one": round(self.within_one, 6),
            "equal": round(self.equal, 6),
            "largest": round(self.largest, 3),
            "tensors": {name: summary(error) for name, error in self.errors.items()},
        }


def summary(error: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Mean, largest, share within 1 step, and how many values lie in each bar of HISTOGRAM."""
    counts = np.searchsorted(np.array(HISTOGRAM) + 0.5, error.ravel())
    return {
        "mean": round(float(error.mean()), 5),
        "largest": round(float(error.max()), 3),
        "within_one": round(float((error <= WITHIN_ONE).mean()), 6),
        "histogram": np.bincount(counts, minlength=len(HISTOGRAM) + 1).tolist(),
    }


@dataclass(frozen=True)
class FreeRunning:
    """Both ran over the same frames, each carrying its own state.

    Attributes:
      difference: of logits and states at every frame.
      same: ``(N,)``, whether the answers are the same; ``None`` of a regression.
      off_share: rms of the logits' difference, as a share of their deviation.
    """

    difference: Difference
    same: npt.NDArray[np.bool_] | None
    off_share: float

    def to_dict(self) -> dict[str, Any]:
        told = self.difference.to_dict() | {"off_share": round(self.off_share, 5)}
        if self.same is not None:
            told["same_answers"] = round(float(self.same.mean()), 5)
        return told


def free_running(
    tracer: NetworkTracer, model: StreamingModel, images: npt.NDArray[np.uint8]
) -> FreeRunning:
    """Streams the same frames through both, each carrying its own state.

    Args:
      tracer: of the fake-quantised network. model: its file.
    """
    expected, _ = tracer.run(tracer.encode(images), tracer.reset())
    found, _ = trace_model(model, images, model.initial_states())
    steps = {spec.name: step_of(spec) for spec in (model.spec.output.tensor, *model.spec.states)}
    errors = {
        name: np.abs(values.astype(np.float64) - expected.tensors[name]) / steps[name]
        for name, values in found.tensors.items()
    }
    off = float(np.sqrt(((found.logits - expected.logits) ** 2).mean()))
    # What hardly varies is not held against itself: one step is its least.
    signal = max(float(expected.logits.std()), 4 * step_of(model.spec.output.tensor))
    task = model.spec.task
    same = None if task == "regression" else same_answers(found.logits, expected.logits, task)
    return FreeRunning(Difference(errors), same, off / signal)


def same_answers(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], task: str
) -> npt.NDArray[np.bool_]:
    """``(N,)``: whether logits ``(N, labels)`` answer the same; values (regression) always do."""
    if task == "regression":
        return np.ones(len(one), bool)
    if task == "multilabel":
        alike: npt.NDArray[np.bool_] = ((one >= 0) == (other >= 0)).all(axis=1)
        return alike
    best: npt.NDArray[np.bool_] = one.argmax(axis=1) == other.argmax(axis=1)
    return best


def each_step(
    tracer: NetworkTracer, model: StreamingModel, images: npt.NDArray[np.uint8]
) -> Difference:
    """The whole file, teacher-forced: each step starts from the fake-quantised network's state."""
    trace, _ = tracer.run(tracer.encode(images), tracer.reset())
    specs = {spec.name: spec for spec in (model.spec.output.tensor, *model.spec.states)}
    errors: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in specs}
    states = model.initial_states()
    for t, image in enumerate(images):
        outputs, following = model.infer(image, states)
        for spec, value in zip(specs.values(), (outputs, *following), strict=True):
            real = dequantize(value, spec).ravel().astype(np.float64)
            errors[spec.name].append(np.abs(real - trace.tensors[spec.name][t]) / step_of(spec))
        states = tuple(
            quantize(trace.tensors[spec.name][t].reshape(spec.shape), spec)
            for spec in model.spec.states
        )
    return Difference({name: np.stack(rows) for name, rows in errors.items()})


def teacher_forced(
    quantized: Network, features: npt.NDArray[np.float32], *, kernels: str
) -> Difference:
    """The recurrent step alone: each step starts from the fake-quantised network's own state.

    Args:
      quantized: the reference.
      features: ``(N, F)`` float32 of consecutive frames.
      kernels: those that the int8 step runs on.
    """
    model = convert_recurrent(quantized)
    graph = read_graph(model)
    inputs, outputs = graph.signatures[SIGNATURE]
    specs = {name: tensor_spec(name, graph.tensors[i]) for name, i in (outputs | inputs).items()}
    interpreter, _ = open_interpreter(model, kernels=kernels)
    reference = traced(
        lambda row, state: quantized.step_features(quantized.requantize_features(row), state)
    )
    state = {n: v for n, v in quantized.initial_state(1).items() if n not in NECK_STATES}
    errors: dict[str, list[npt.NDArray[np.float64]]] = {}
    for row in features:
        given = {FEATURES: row[None], **{name: value.numpy() for name, value in state.items()}}
        for name, index in inputs.items():
            interpreter.set_tensor(index, quantize(given[name], specs[name]))
        interpreter.invoke()
        logits, state = reference(tf.constant(row[None]), state)
        for name, expected in {LOGITS: logits, **state}.items():
            found = dequantize(interpreter.get_tensor(outputs[name]), specs[name])
            apart = np.abs(found.astype(np.float64) - np.asarray(expected)).ravel()
            errors.setdefault(name, []).append(apart / step_of(specs[name]))
    return Difference({name: np.stack(rows) for name, rows in errors.items()})
