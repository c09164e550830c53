"""One conversion from run folder to model file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import edgecap
from edgecap.bundle import Bundle, Golden, check_writable, write_atomically, write_bundle
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
from edgecap_convert.parity.compare import accuracy_parity
from edgecap_convert.quantization.qat import STAGE, train_quantized
from edgecap_convert.quantization.recipes import DEFAULT_RECIPE, Recipe, recipe_named
from edgecap_convert.training.checkpoints import Checkpoints
from edgecap_convert.training.material import open_material
from edgecap_convert.training.optimise import History
from edgecap_convert.training.runs import (
    CHECKPOINTS,
    FEATURES,
    PARITY_FILE,
    QUANTIZED_FILE,
    Run,
    discard_tree,
    open_run,
    read_metrics,
    save_weights,
    versions,
)

_KERNELS = ("xnnpack", "builtin")
_MEASURES = ("same_answers", "largest_difference", "mean_difference", "recordings", "frames")
_BEGUN = "recipe.txt"
_GOLDEN_FRAMES, _GOLDEN_ROUNDS = 4, 25
# Room above what the two kinds of kernels differ by here, for kernels that were not tried.
_TOLERANCE_FLOOR, _TOLERANCE_FACTOR = 4, 2


def convert(
    run_path: str | Path,
    out: Path,
    *,
    recipe: str = DEFAULT_RECIPE,
    qat: bool = True,
    name: str | None = None,
    resume: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Quantises a run and writes the model file, last of all.

    Args:
      run_path: a folder made by training.
      out: the model file.
      recipe: what is quantised how, see ``edgecap_convert.quantization.recipes``.
      qat: train on with fake quantisation; else the ranges are only calibrated, along ordered
        sequences with carried state.
      name: for people; by default the file's name.
      resume: go on with a conversion that was stopped, if there is one.
      command: how this was called, for the record.

    Returns:
      The parity record; also written to the run as ``parity.json``, with the fake-quantised
      network, if there is one, as ``quantized.npz``.

    Raises:
      DataError: no run, or its material is gone or changed.
      ConfigError: there is no such recipe, or the weights do not fit.
      ModelFileError: the file cannot be written.
    """
    plan = recipe_named(recipe)
    run = open_run(run_path)
    for path in (out, run.path / PARITY_FILE):
        check_writable(path)
    material = open_material(run.data, run.config, seed=run.seed, fold=run.fold)
    recorded = read_metrics(run)["data"]
    if material.summary() | {"name": run.data} != recorded:
        raise DataError(
            f"{run.data} is not what it was when {run.path} was trained (clips or classes came, "
            "went or were renamed): quantisation would train on what should validate. Train again"
        )
    # What is to be measured on is missed before the training, not after it.
    measured_part(material)
    network, label = run.network(), name or out.stem
    if not plan.integer:
        return finish(run, Converted(network), material, out, plan, name=label, command=command)
    config = run.config
    if not qat:
        config = dataclasses.replace(config, qat=dataclasses.replace(config.qat, steps=0))
    checkpoints = Checkpoints(run.path / CHECKPOINTS, every_s=config.checkpoint_s)
    # Of another recipe, they are no beginning.
    if not resume or _begun(run) != plan.name:
        checkpoints.clear()
    _note_begun(run, plan.name)
    trained = train_quantized(
        network,
        config,
        material,
        seed=run.seed,
        folder=run.path,
        cell=plan.cell,
        checkpoints=checkpoints,
    )
    made = Converted(network, trained.quantized, trained.history)
    parity = finish(run, made, material, out, plan, name=label, command=command)
    checkpoints.clear()
    discard_tree(run.path / FEATURES)
    return parity


@dataclasses.dataclass(frozen=True)
class Converted:
    """What a file is made of.

    Attributes:
      network: float. quantized: fake-quantised, for integer recipes. history: of its training.
    """

    network: Network
    quantized: Network | None = None
    history: History = dataclasses.field(default_factory=lambda: History(STAGE))


def finish(
    run: Run,
    made: Converted,
    material: TrainingData,
    out: Path,
    recipe: Recipe,
    *,
    name: str,
    command: str = "",
) -> dict[str, Any]:
    """Turns a network into a model file; the second half of :func:`convert`.

    Args:
      run: the training. made: the network, and what quantisation made of it.
      material: the training's data.
      out, recipe, name, command: see :func:`convert`.
    """
    if made.quantized is not None:
        model = convert_step(made.quantized)
    else:
        model = convert_float(made.network, recipe.encoder)
    spec = _spec(run, model, made.network.state_shapes(), name, recipe)
    part, recordings = measured_part(material)
    golden, tolerance = _record_golden(model, spec, _golden_frames(recordings))
    spec = dataclasses.replace(spec, golden=tolerance)
    loaded = _open(model, spec)
    parity = accuracy_parity(
        made.network,
        made.quantized,
        loaded,
        recordings,
        data=f"{part} part of {run.data}",
        decision=run.decision,
    )
    parity |= {
        "bytes": len(model),
        "runtime": str(loaded.backend),
        "qat_steps": len(made.history.loss),
        "qat_validated": made.history.validated,
    }
    spec = dataclasses.replace(spec, provenance=_provenance(run, parity, command))
    text = json.dumps(parity, indent=2, ensure_ascii=False) + "\n"
    write_atomically(run.path / PARITY_FILE, text.encode())
    if made.quantized is not None:
        save_weights(run.path / QUANTIZED_FILE, made.quantized)
    else:
        # That of another conversion is not what the record speaks of.
        (run.path / QUANTIZED_FILE).unlink(missing_ok=True)
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


def _spec(run: Run, model: bytes, states: Iterable[str], name: str, recipe: Recipe) -> ModelSpec:
    """Describes the graph as it came out of the converter."""
    graph = read_graph(model)
    inputs, outputs = graph.signatures[SIGNATURE]
    image = tensor_spec(IMAGE, graph.tensors[inputs[IMAGE]])
    return ModelSpec(
        name=name,
        task=run.task,
        rate_hz=run.rate_hz,
        labels=run.labels,
        input=dataclasses.replace(run.input, tensor=image),
        states=tuple(tensor_spec(state, graph.tensors[inputs[state]]) for state in states),
        output=OutputSpec(
            tensor_spec(LOGITS, graph.tensors[outputs[LOGITS]]), activation=ACTIVATIONS[run.task]
        ),
        decision=run.decision,
        golden=GoldenSpec(0, "not yet measured", _GOLDEN_ROUNDS),
        recipe=recipe.name,
    )


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
        kernels: replay(_open(model, spec, kernels=kernels), frames, rounds=_GOLDEN_ROUNDS)
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


def _open(model: bytes, spec: ModelSpec, **runtime: Any) -> StreamingModel:
    """The model as a device would load it, before it is in a file."""
    empty = Golden(np.zeros((0, *spec.input.tensor.shape[1:]), np.uint8), {})
    return StreamingModel(Bundle(model, read_graph(model), spec, empty, ""), **runtime)


def _begun(run: Run) -> str:
    """The recipe of the conversion that was stopped, if there was one."""
    try:
        return (run.path / CHECKPOINTS / _BEGUN).read_text("utf-8")
    except OSError:
        return ""


def _note_begun(run: Run, recipe: str) -> None:
    path = run.path / CHECKPOINTS / _BEGUN
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, recipe.encode())


def _provenance(run: Run, parity: dict[str, Any], command: str) -> dict[str, Any]:
    training = read_metrics(run)
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
