"""From networks to a model file: convert, measure, judge, and only then write."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import edgecap
from edgecap.bundle import Bundle, Golden, write_bundle
from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.errors import DataError
from edgecap.flatbuffer import read_graph
from edgecap.golden import replay, steps_apart
from edgecap.spec import ACTIVATIONS, GoldenSpec, ModelSpec, OutputSpec
from edgecap.streaming import StreamingModel
from edgecap_convert.data import Recordings, TrainingData
from edgecap_convert.export.card import headline, model_card
from edgecap_convert.export.graph import IMAGE, LOGITS, convert_float, convert_step
from edgecap_convert.models.network import Network
from edgecap_convert.parity import gates
from edgecap_convert.parity.record import leave_record, parity_record
from edgecap_convert.quantization.recipes import Recipe
from edgecap_convert.report import write_parity_report
from edgecap_convert.training.optimise import History
from edgecap_convert.training.runs import Run, read_metrics, versions

_KERNELS = ("xnnpack", "builtin")
_MEASURES = ("same_answers", "largest_difference", "mean_difference", "recordings", "frames")
_GOLDEN_FRAMES, _GOLDEN_ROUNDS = 4, 25
# Room above what the two kinds of kernels differ by here, for kernels that were not tried.
_TOLERANCE_FLOOR, _TOLERANCE_FACTOR = 4, 2


@dataclasses.dataclass(frozen=True)
class Converted:
    """What a file is made of.

    Attributes:
      network: float. quantized: fake-quantised, for integer recipes. history: of its training.
    """

    network: Network
    quantized: Network | None = None
    history: History = dataclasses.field(default_factory=lambda: History("qat"))


def convert_made(made: Converted, recipe: Recipe) -> bytes:
    """The flatbuffer."""
    if made.quantized is not None:
        return convert_step(made.quantized)
    return convert_float(made.network, recipe.encoder)


def finish(
    run: Run,
    made: Converted,
    material: TrainingData,
    out: Path,
    recipe: Recipe,
    *,
    name: str,
    command: str = "",
    audit_frames: int | None = None,
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Turns a network into a model file; the second half of a conversion.

    Args:
      run: the training. made: the network, and what quantisation made of it.
      material: the training's data.
      out, recipe, name, command, audit_frames: see ``convert``.
      more: goes into the record too.

    Raises:
      ParityError: the file is not what it has to be; nothing is written.
    """
    began = time.monotonic()
    model = convert_made(made, recipe)
    convert_s = time.monotonic() - began
    spec = describe(run, model, made, name, recipe)
    part, recordings = measured_part(material)
    golden, tolerance = _record_golden(model, spec, _golden_frames(recordings))
    spec = dataclasses.replace(spec, golden=tolerance)
    loaded = open_model(model, spec)
    parity = parity_record(
        made.network,
        made.quantized,
        loaded,
        recordings,
        data=f"{part} part of {run.data}",
        decision=run.decision,
        audit_frames=run.config.audit_frames if audit_frames is None else audit_frames,
    )
    parity |= {
        "bytes": len(model),
        "runtime": str(loaded.backend),
        "qat_steps": len(made.history.loss),
        "qat_validated": made.history.validated,
        "convert_seconds": round(convert_s, 1),
    } | (more or {})
    spec = dataclasses.replace(spec, provenance=_provenance(run, parity, command))
    leave_record(
        run.path,
        parity,
        made.quantized,
        lambda path, record: write_parity_report(path, record, spec.name),
    )
    write_bundle(out, model=model, spec=spec, golden=golden, card=model_card(spec, parity))
    return parity


def measured_part(material: TrainingData) -> tuple[str, Recordings]:
    """What a conversion is measured on: the test part, or else what there is.

    Raises:
      DataError: nothing is held out.
    """
    for part in ("test", "validation"):
        recordings: Recordings = getattr(material, part)
        if len(recordings):
            return part, recordings
    raise DataError(
        f"{material.name}: nothing is held out to measure the int8 model on; train with a "
        "validation or test part"
    )


def describe(run: Run, model: bytes, made: Converted, name: str, recipe: Recipe) -> ModelSpec:
    """Describes the graph as it came out of the converter, once it is what it has to be.

    Raises:
      ParityError: a state has no partner or another grid, or there is float where none may be.
    """
    graph = read_graph(model)
    gates.check_states(graph)
    gates.check_floats(graph, recipe)
    inputs, outputs = graph.signatures[SIGNATURE]
    image = tensor_spec(IMAGE, graph.tensors[inputs[IMAGE]])
    spec = ModelSpec(
        name=name,
        task=run.task,
        rate_hz=run.rate_hz,
        labels=run.labels,
        input=dataclasses.replace(run.input, tensor=image),
        states=tuple(
            tensor_spec(state, graph.tensors[inputs[state]])
            for state in made.network.state_shapes()
        ),
        output=OutputSpec(
            tensor_spec(LOGITS, graph.tensors[outputs[LOGITS]]), activation=ACTIVATIONS[run.task]
        ),
        decision=run.decision,
        golden=GoldenSpec(0, "not yet measured", _GOLDEN_ROUNDS),
        recipe=recipe.name,
    )
    if made.quantized is not None:
        gates.check_grids(spec, made.quantized.state_grids())
    return spec


def _golden_frames(recordings: Recordings) -> npt.NDArray[np.uint8]:
    """A few frames from the longest segment, far enough apart to show that something moves."""
    recording = next(iter(recordings))
    start, stop = 0, len(recording.images)
    if recording.segments:
        segment = max(recording.segments, key=lambda s: s.stop - s.start)
        start, stop = segment.start, segment.stop
    chosen = np.linspace(start, stop - 1, _GOLDEN_FRAMES).astype(int)
    return recording.images[chosen]


def _record_golden(
    model: bytes, spec: ModelSpec, frames: npt.NDArray[np.uint8]
) -> tuple[Golden, GoldenSpec]:
    outputs = {
        kernels: replay(open_model(model, spec, kernels=kernels), frames, rounds=_GOLDEN_ROUNDS)
        for kernels in _KERNELS
    }
    first, second = outputs.values()
    apart = math.ceil(steps_apart(first, second).max())
    tolerance = max(_TOLERANCE_FLOOR, _TOLERANCE_FACTOR * apart)
    reason = (
        f"{' and '.join(_KERNELS)} kernels are {apart} steps apart over {len(first)} frames; "
        f"{_TOLERANCE_FACTOR} times that, at least {_TOLERANCE_FLOOR}"
    )
    return Golden(frames, outputs), GoldenSpec(tolerance, reason, _GOLDEN_ROUNDS)


def open_model(model: bytes, spec: ModelSpec, **runtime: Any) -> StreamingModel:
    """The model as a device would load it, before it is in a file."""
    empty = Golden(np.zeros((0, *spec.input.tensor.shape[1:]), np.uint8), {})
    return StreamingModel(Bundle(model, read_graph(model), spec, empty, ""), **runtime)


def _provenance(run: Run, parity: dict[str, Any], command: str) -> dict[str, Any]:
    training = read_metrics(run.path)
    return {
        "made by": f"edgecap {edgecap.__version__}",
        "commands": [*filter(None, [training.get("command", ""), command])],
        "data": run.data,
        "seed": run.seed,
        "config": run.config.to_dict(),
        "metrics": {mode: headline(result) for mode, result in parity["accuracy"].items()}
        | {name: parity[name] for name in _MEASURES if name in parity},
        "versions": versions(),
    }
