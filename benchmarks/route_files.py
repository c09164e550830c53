"""What a file of one of the routes holds and computes, for ``routes.py``."""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import numpy as np
from route_ranges import Learnt, activations, limits

from edgecap.bundle import Bundle, Golden
from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.errors import EdgecapError
from edgecap.flatbuffer import Graph, read_graph
from edgecap.interpreter import open_interpreter
from edgecap.quantization import dequantize, quantize, reset_value
from edgecap.spec import ACTIVATIONS, GoldenSpec, ModelSpec, OutputSpec
from edgecap.streaming import StreamingModel

IMAGE, LOGITS = "image", "logits"


class Runner:
    """Streams a file whatever its types: equal states are copied, others brought over."""

    def __init__(self, model: bytes) -> None:
        graph = read_graph(model)
        self._inputs, self._outputs = graph.signatures[SIGNATURE]
        self._given = {k: tensor_spec(k, graph.tensors[i]) for k, i in self._inputs.items()}
        self._made = {k: tensor_spec(k, graph.tensors[i]) for k, i in self._outputs.items()}
        self._interpreter, _ = open_interpreter(model)
        self.seconds: list[float] = []
        self.reset()

    def reset(self) -> None:
        """Every state means 0."""
        self._states = {
            name: np.full(spec.shape, reset_value(spec), spec.dtype)
            for name, spec in self._given.items()
            if name != IMAGE
        }

    def given(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs of the next step."""
        real = (image[None].astype(np.float32) - 128.0) / 127.5
        return {IMAGE: quantize(real, self._given[IMAGE]), **self._states}

    def step(self, image: np.ndarray) -> np.ndarray:
        """Logits, real values."""
        for name, value in self.given(image).items():
            self._interpreter.set_tensor(self._inputs[name], value)
        began = time.perf_counter()
        self._interpreter.invoke()
        self.seconds.append(time.perf_counter() - began)
        for name in self._states:
            value, spec = self._interpreter.get_tensor(self._outputs[name]), self._made[name]
            if spec != self._given[name]:
                value = quantize(dequantize(value, spec), self._given[name])
            self._states[name] = value
        logits = self._interpreter.get_tensor(self._outputs[LOGITS])
        return dequantize(logits, self._made[LOGITS])[0]


def stream(model: bytes, clips: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Logits of all frames, and the median of an invocation's microseconds."""
    runner = Runner(model)
    rows = []
    for clip in clips:
        runner.reset()
        rows += [runner.step(image) for image in clip]
    return np.stack(rows), statistics.median(runner.seconds) * 1e6


def network_logits(network: Any, clips: list[np.ndarray]) -> np.ndarray:
    """Logits of all frames, each clip from a reset."""
    import tensorflow as tf
    from edgecap_convert.models.network import normalize

    step = tf.function(lambda image, state: network.step(normalize(image), state))
    rows = []
    for clip in clips:
        state = network.initial_state(1)
        for image in clip:
            logits, state = step(tf.constant(image[None]), state)
            rows.append(logits.numpy()[0])
    return np.stack(rows)


def same(logits: np.ndarray, others: np.ndarray) -> float:
    """Share of the frames with the same largest logit."""
    return round(float((logits.argmax(axis=1) == others.argmax(axis=1)).mean()), 5)


def decibels(logits: np.ndarray, reference: np.ndarray) -> float:
    """Signal to noise."""
    noise = np.square(logits.astype(np.float64) - reference).sum()
    return round(float(10 * np.log10(np.square(reference.astype(np.float64)).sum() / noise)), 2)


def contract(model: bytes, run: Any) -> bool | str:
    """Whether edgecap takes the graph, or else why not."""
    graph = read_graph(model)
    inputs, outputs = graph.signatures[SIGNATURE]
    empty = Golden(np.zeros((0, *run.input.tensor.shape[1:]), np.uint8), {})
    try:
        spec = ModelSpec(
            name="route",
            task=run.task,
            rate_hz=run.rate_hz,
            labels=run.labels,
            input=run.input,
            states=tuple(
                tensor_spec(name, graph.tensors[index])
                for name, index in inputs.items()
                if name != IMAGE
            ),
            output=OutputSpec(
                tensor_spec(LOGITS, graph.tensors[outputs[LOGITS]]),
                activation=ACTIVATIONS[run.task],
            ),
            decision=run.decision,
            golden=GoldenSpec(0, "not measured", 1),
            recipe="int8",
        )
        StreamingModel(Bundle(model, graph, spec, empty, ""))
    except EdgecapError as error:
        return str(error)
    return True


def inspect(model: bytes, trained: bytes) -> dict[str, Any]:
    """What is in a file."""
    graph, reference = read_graph(model), read_graph(trained)
    operators: dict[str, int] = {}
    for operator in graph.operators:
        if graph.tensors[operator.outputs[0]].dtype == "float32":
            operators[operator.name] = operators.get(operator.name, 0) + 1
    used = {i for o in graph.operators for i in (*o.inputs, *o.outputs) if i >= 0}
    states = [name for name in graph.signatures[SIGNATURE][0] if name != IMAGE]
    kinds = carried(graph, states)
    return {
        "bytes": len(model),
        "operators": len(graph.operators),
        "float_tensors": sum(graph.tensors[i].dtype == "float32" for i in used),
        "float_operators": operators,
        "states": kinds,
        "gates": gates(graph),
        "grids_as_learnt": learnt_grids(graph, reference),
    }


def carried(graph: Graph, names: Any) -> dict[str, str]:
    """How each state is carried: its type, or both where they differ."""
    inputs, outputs = graph.signatures[SIGNATURE]
    kinds = {}
    for name in names:
        first, second = (tensor_spec(name, graph.tensors[side[name]]) for side in (inputs, outputs))
        equal = (
            first.dtype == second.dtype
            and first.zero_point == second.zero_point
            and math.isclose(first.scale, second.scale, rel_tol=1e-6)
        )
        shown = [f"{s.dtype} {s.scale:.6g} {s.zero_point:+d}" for s in (first, second)]
        kinds[name] = shown[0] if equal else " ≠ ".join(shown)
    return kinds


def gates(graph: Graph) -> dict[str, str]:
    """How many int8 LOGISTIC and TANH there are, by the grids of input and output."""
    found: dict[str, str] = {}
    for name in ("LOGISTIC", "TANH"):
        grids: dict[str, int] = {}
        for operator in (o for o in graph.operators if o.name == name):
            reads, gives = (graph.tensors[i] for i in (operator.inputs[0], operator.outputs[0]))
            if gives.dtype != "int8":
                continue
            shown = " → ".join(f"{t.scales[0]:.6g} {t.zero_points[0]:+d}" for t in (reads, gives))
            grids[shown] = grids.get(shown, 0) + 1
        found[name] = ", ".join(f"{count}: {shown}" for shown, count in grids.items())
    return found


def learnt_grids(graph: Graph, reference: Graph) -> str:
    """How many of the computed int8 tensors stand on the learnt grid of the same name."""
    known = Learnt(reference, graph)
    equal = total = 0
    for index in activations(graph):
        tensor = graph.tensors[index]
        if tensor.dtype != "int8" or tensor.name not in known.ranges:
            continue
        total += 1
        given = known.ranges[tensor.name]
        expected = given["min"].item(), given["max"].item()
        equal += np.allclose(limits(tensor), expected, rtol=0, atol=1e-2 * tensor.scales[0])
    return f"{equal} of {total}"
