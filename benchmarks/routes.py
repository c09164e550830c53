"""From the trained network to the int8 file: TF's converter, or AI Edge Quantizer (AEQ).

    pip install ai-edge-quantizer==0.10.0
    python benchmarks/routes.py RUN [RUN …] [--json FILE]

RUN is a folder of ``edgecap train`` that ``edgecap convert`` has quantised. Both routes begin at
the same fake-quantised network, with the same weights and learnt ranges.

``converter`` is the project's: TF's converter reads the fake quantisation. The others convert the
network without its rounding to a float .tflite, which AEQ quantises, with one scale a channel for
convolutions and one a tensor for dense layers:

* ``aeq``: ranges as AEQ's own calibration finds them, over ordered sequences of training frames
  with carried state; nothing else is said.
* ``aeq_fixed``: so too, but what stands on a fixed grid (image, gates, hidden state) is given, and
  the cell stays float.
* ``aeq_extremes``: so too, but the calibration takes the least and the largest value of all frames;
  AEQ's own is a moving average of each frame's.
* ``aeq_learnt``: all learnt ranges are given, and the cell stays float.

AEQ gives all inputs of a graph one type, and all outputs: where the cell stays float, its state is
carried as int8 all the same (``aeq_learnt_as_made``). Two operators are then cut out of the
flatbuffer, so that it is carried as float. With float inputs and outputs instead
(``float_edges``), what is an output and is read inside too comes out wrong.

The learnt ranges are read from the file that ``converter`` has made, by the names of its tensors;
that, and the cutting, is not timed. Seconds are medians of three; AEQ's hold the conversion to
float, the calibration if there is one, and the quantisation. All frames of the run's held-out part
are streamed, each file carrying its own state.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import record

from edgecap.bundle import Bundle, Golden
from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.errors import EdgecapError
from edgecap.flatbuffer import IDENTIFIER, Graph, Operator, Tensor, read_graph
from edgecap.interpreter import open_interpreter
from edgecap.quantization import dequantize, quantize, reset_value
from edgecap.spec import ACTIVATIONS, GoldenSpec, ModelSpec, OutputSpec
from edgecap.streaming import StreamingModel

_ROUNDS = 3
_CALIBRATION_FRAMES = 240
_NEEDED = "routes.py needs AI Edge Quantizer: pip install ai-edge-quantizer==0.10.0"
_IMAGE, _LOGITS = "image", "logits"
# Fake quantisation, as the network's layers call it.
_ROUNDING = (
    "fake_quant_with_min_max_args",
    "fake_quant_with_min_max_vars",
    "fake_quant_with_min_max_vars_per_channel",
)

Ranges = dict[str, dict[str, np.ndarray]]


def measure(path: Path) -> dict[str, Any]:
    """Converts one run by all routes, and holds the files against its networks."""
    from edgecap_convert.export.convert import measured_part
    from edgecap_convert.export.graph import convert_float, convert_step
    from edgecap_convert.training.material import open_material
    from edgecap_convert.training.runs import open_run

    run = open_run(path)
    material = open_material(run.data, run.config, seed=run.seed, fold=run.fold)
    part, recordings = measured_part(material)
    clips = [recording.images for recording in recordings]
    network, quantized = run.network(), run.quantized_network()

    ours, seconds = timed(lambda: convert_step(quantized))
    with without_rounding():
        plain, convert_seconds = timed(lambda: convert_float(quantized, "float32"))
    learnt = Learnt(read_graph(ours), read_graph(plain))
    frames = training_frames(material)
    seen, calibrate_seconds = timed(lambda: calibrate(plain, frames))
    most, extremes_seconds = timed(lambda: calibrate(plain, frames, extremes=True))

    float_logits = network_logits(network, clips)
    fake_logits = network_logits(quantized, clips)
    routes: dict[str, Any] = {}

    def told(name: str, model: bytes, **extra: Any) -> None:
        logits, microseconds = stream(model, clips)
        routes[name] = {
            **extra,
            **inspect(model, ours),
            "edgecap_streams_it": contract(model, run),
            "same_answers_as_fake_quant": same(logits, fake_logits),
            "logits_db_against_fake_quant": decibels(logits, fake_logits),
            "logits_db_against_float": decibels(logits, float_logits),
            "invoke_us": round(microseconds, 1),
        }

    told("converter", ours, seconds=round(seconds, 2))
    for name, ranges, calibrating, keep in (
        ("aeq", seen, calibrate_seconds, False),
        ("aeq_fixed", seen | learnt.fixed(), calibrate_seconds, True),
        ("aeq_extremes", most | learnt.fixed(), extremes_seconds, True),
        ("aeq_learnt", learnt.ranges, 0.0, True),
    ):
        made, quantize_seconds = timed(lambda r=ranges, k=keep: aeq(plain, r, float_cell=k))
        parts = {
            "to_float": convert_seconds,
            "calibrate": calibrating,
            "quantise": quantize_seconds,
        }
        extra: dict[str, Any] = {
            "seconds": round(sum(parts.values()), 2),
            "seconds_of": {what: round(value, 2) for what, value in parts.items()},
        }
        if keep:
            if name == "aeq_learnt":
                told(f"{name}_as_made", made)
            made = carry_float(made, list(cells(read_graph(plain))))
        told(name, made, **extra)
    encoder = run.config.encoder
    return {
        "encoder": f"{encoder.name} {encoder.alpha} at {encoder.height}×{encoder.width}",
        "data": part,
        "clips": len(clips),
        "frames": sum(map(len, clips)),
        "calibration_frames": sum(map(len, frames)),
        "fake_quant": {
            "same_answers_as_float": same(fake_logits, float_logits),
            "logits_db_against_float": decibels(fake_logits, float_logits),
        },
        "ranges_without_learnt_one": learnt.missing,
        "routes": routes,
        "float_edges": float_edges(plain, learnt.ranges),
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the median of its seconds."""
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return result, statistics.median(seconds)


@contextlib.contextmanager
def without_rounding() -> Iterator[None]:
    """Inside, a fake-quantised network computes in float, with its own weights."""
    import tensorflow as tf

    with contextlib.ExitStack() as stack:
        for name in _ROUNDING:
            unrounded = mock.patch.object(tf.quantization, name, lambda x, *_, **__: x)
            stack.enter_context(unrounded)
        yield


class Learnt:
    """The ranges of a trained file, under the names of the float one.

    Attributes:
      ranges: tensor → minimum and maximum. missing: tensors that the trained file does not name.
    """

    def __init__(self, trained: Graph, plain: Graph) -> None:
        self._known: dict[str, Tensor] = {}
        for operator in trained.operators:
            for index in operator.outputs:
                tensor = trained.tensors[index]
                if tensor.dtype == "int8":
                    self._known.setdefault(tensor.name.partition(";")[0], tensor)
        sides = list(zip(plain.signatures[SIGNATURE], trained.signatures[SIGNATURE], strict=True))
        roles = {here[k]: trained.tensors[there[k]] for here, there in sides for k in here}
        inside = {o.outputs[0] for island in cells(plain).values() for o in island}
        self.ranges: Ranges = {}
        self.missing: list[str] = []
        self._fixed: set[str] = set()
        fixed = _fixed_grids()
        for index in activations(plain):
            tensor = plain.tensors[index]
            found = roles.get(index) or self._find(tensor)
            if found is not None and found.dtype == "int8":
                low, high = limits(found)
                grid = (found.scales[0], found.zero_points[0])
                if any(math.isclose(grid[0], s, rel_tol=1e-6) and grid[1] == z for s, z in fixed):
                    self._fixed.add(tensor.name)
            elif index in inside or index in roles:
                low, high = (-1.0, 127 / 128) if "Tanh" in tensor.name else (-4.0, 4.0)
                self._fixed.add(tensor.name)
            else:
                self.missing.append(tensor.name)
                continue
            axes = (1,) * len(tensor.shape)
            self.ranges[tensor.name] = {
                "min": np.full(axes, low, np.float32),
                "max": np.full(axes, high, np.float32),
            }

    def _find(self, tensor: Tensor) -> Tensor | None:
        # The converter joins the names of what it fuses, and numbers those that come twice.
        name = tensor.name.partition(";")[0]
        for guess in (name, name.removesuffix("1")):
            found = self._known.get(guess)
            if found is not None and math.prod(found.shape) == math.prod(tensor.shape):
                return found
        return None

    def fixed(self) -> Ranges:
        """Those that are not learnt but stand by construction, and those of the float cell."""
        return {name: self.ranges[name] for name in self._fixed}


def _fixed_grids() -> list[tuple[float, int]]:
    from edgecap_convert.models.view import PLACE
    from edgecap_convert.quantization import grids

    fixed = (grids.IMAGE, grids.PREACTIVATION, grids.SIGMOID, grids.TANH, PLACE)
    return [(grid.scale, grid.zero_point) for grid in fixed]


def limits(tensor: Tensor) -> tuple[float, float]:
    """The real values at both ends of an int8 grid."""
    scale, zero_point = tensor.scales[0], tensor.zero_points[0]
    return scale * (-128 - zero_point), scale * (127 - zero_point)


def activations(graph: Graph) -> list[int]:
    """Inputs of the step, and what its operators compute."""
    inputs = graph.signatures[SIGNATURE][0].values()
    return sorted({*inputs, *(i for operator in graph.operators for i in operator.outputs)})


def cells(graph: Graph) -> dict[str, list[Operator]]:
    """The operators of each cell state: from the gates to c', and the tanh that reads it."""
    makers = {i: operator for operator in graph.operators for i in operator.outputs}
    found = {}
    for name, index in graph.signatures[SIGNATURE][1].items():
        if re.fullmatch(r"c\d*", name) is None:
            continue
        island: list[Operator] = []
        waiting = [index]
        while waiting:
            operator = makers.get(waiting.pop())
            if operator is None or operator in island or operator.name in ("LOGISTIC", "TANH"):
                continue
            island.append(operator)
            waiting += operator.inputs
        island += [o for o in graph.operators if o.name == "TANH" and index in o.inputs]
        found[name] = island
    return found


def training_frames(material: Any) -> list[np.ndarray]:
    """Ordered sequences of the training's pool."""
    entries = material.pool()
    order = np.random.default_rng(0).permutation(len(entries))
    frames: list[np.ndarray] = []
    for number in order:
        left = _CALIBRATION_FRAMES - sum(map(len, frames))
        if left <= 0:
            break
        frames.append(entries[int(number)].images()[:left])
    return frames


def calibrate(plain: bytes, clips: list[np.ndarray], *, extremes: bool = False) -> Ranges:
    """AEQ's calibration of the float graph, with the states that the graph itself carries.

    Args:
      plain: the float graph. clips: to stream.
      extremes: the least and the largest value ever; else the moving average over frames.
    """
    from ai_edge_quantizer import calibrator, quantizer, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    # Not a generator: AEQ runs through them first, to count.
    samples = []
    runner = Runner(plain)
    for clip in clips:
        runner.reset()
        for image in clip:
            samples.append(runner.given(image))
            runner.step(image)
    given, threads = {SIGNATURE: samples}, os.cpu_count() or 1
    with quiet():
        if not extremes:
            return recipe(quantizer.Quantizer(plain)).calibrate(given, num_threads=threads)
        made = calibrator.Calibrator(
            plain, num_threads=threads, qsv_update_func=qsv_utils.min_max_update
        )
        made.calibrate(given, recipe(recipe_manager.RecipeManager()))
        return made.get_model_qsvs()


def recipe(made: Any) -> Any:
    """int8 everywhere, one scale a channel for convolutions."""
    from ai_edge_quantizer import qtyping

    operators = qtyping.TFLOperationName
    whole = qtyping.QuantGranularity.TENSORWISE
    made.add_static_config(".*", operators.ALL_SUPPORTED, 8, 8)
    made.add_static_config(".*", operators.FULLY_CONNECTED, 8, 8, weight_granularity=whole)
    return made


def aeq(plain: bytes, ranges: Ranges, *, float_cell: bool, float_ends: bool = False) -> bytes:
    """Quantises a float graph.

    Args:
      plain: the float graph. ranges: of its activations.
      float_cell: leave the operators of the cell state float.
      float_ends: leave the inputs and outputs float.
    """
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    made, graph = recipe(quantizer.Quantizer(plain)), read_graph(plain)
    operators, none = qtyping.TFLOperationName, algorithm_manager.AlgorithmName.NO_QUANTIZE
    if float_ends:
        for end in (operators.INPUT, operators.OUTPUT):
            made.update_quantization_recipe(".*", end, algorithm_key=none)
    for operator in (o for island in cells(graph).values() if float_cell for o in island):
        name = re.escape(graph.tensors[operator.outputs[0]].name)
        made.update_quantization_recipe(f"^{name};$", operators.ALL_SUPPORTED, algorithm_key=none)
    with quiet():
        return bytes(made.quantize(ranges, enable_progress_report=False).quantized_model)


def carry_float(model: bytes, names: list[str]) -> bytes:
    """Cuts out what brings a state to int8 for carrying, and back."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    graph = read_graph(model)
    inputs, outputs = graph.signatures[SIGNATURE]
    same: dict[int, int] = {}
    cut = []
    for number, operator in enumerate(graph.operators):
        source, target = operator.inputs[0], operator.outputs[0]
        if operator.name == "DEQUANTIZE" and source in [inputs[name] for name in names]:
            same[source] = target
            cut.append(number)
        if operator.name == "QUANTIZE" and target in [outputs[name] for name in names]:
            same[target] = source
            cut.append(number)
    made = schema.ModelT.InitFromPackedBuf(model, 0)
    for buffer in made.buffers:
        # AEQ puts the weights of larger models behind the flatbuffer; they come back into it.
        if buffer.offset > 1:
            data = model[buffer.offset : buffer.offset + buffer.size]
            buffer.data, buffer.offset, buffer.size = np.frombuffer(data, np.uint8), 0, 0
    main = made.subgraphs[0]
    main.operators = [o for number, o in enumerate(main.operators) if number not in cut]
    main.inputs = [same.get(int(i), int(i)) for i in main.inputs]
    main.outputs = [same.get(int(i), int(i)) for i in main.outputs]
    for signature in made.signatureDefs:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = same.get(int(entry.tensorIndex), int(entry.tensorIndex))
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(made.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def float_edges(plain: bytes, ranges: Ranges) -> dict[str, Any]:
    """What AEQ makes where inputs and outputs are left float: operators whose types do not fit."""
    model = aeq(plain, ranges, float_cell=True, float_ends=True)
    graph = read_graph(model)
    mixed = []
    for operator in graph.operators:
        reads, gives = (graph.tensors[i].dtype for i in (operator.inputs[0], operator.outputs[0]))
        converts = operator.name in ("QUANTIZE", "DEQUANTIZE") or "int32" in (reads, gives)
        if reads != gives and not converts:
            mixed.append(f"{operator.name}: {reads} in, {gives} out")
    try:
        open_interpreter(model)
    except EdgecapError as error:
        return {"mixed_operators": mixed, "loads": str(error).strip().splitlines()[0]}
    return {"mixed_operators": mixed, "loads": True}


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
            if name != _IMAGE
        }

    def given(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs of the next step."""
        real = (image[None].astype(np.float32) - 128.0) / 127.5
        return {_IMAGE: quantize(real, self._given[_IMAGE]), **self._states}

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
        logits = self._interpreter.get_tensor(self._outputs[_LOGITS])
        return dequantize(logits, self._made[_LOGITS])[0]


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
                if name != _IMAGE
            ),
            output=OutputSpec(
                tensor_spec(_LOGITS, graph.tensors[outputs[_LOGITS]]),
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
    states = [name for name in graph.signatures[SIGNATURE][0] if name != _IMAGE]
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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """AEQ's progress bars are not the result."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    arguments = parser.parse_args()
    try:
        import ai_edge_quantizer  # noqa: F401
    except ImportError:
        sys.exit(_NEEDED)
    record.publish({run.name: measure(run) for run in arguments.runs}, arguments)


if __name__ == "__main__":
    main()
