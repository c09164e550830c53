"""One conversion of a captioning run: quantise, convert, measure, judge, and only then write."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

import edgecap
from edgecap.bundle import Bundle, Golden, write_bundle
from edgecap.captioning.contract import ENCODE_SUBGRAPH
from edgecap.captioning.golden import replay
from edgecap.captioning.model import CaptionModel
from edgecap.durable import check_writable
from edgecap.errors import DataError
from edgecap.extras import require_caption_scores
from edgecap.flatbuffer import read_graph
from edgecap.golden import steps_apart
from edgecap.spec import GoldenSpec, ModelSpec
from edgecap_convert.captions.card import caption_card
from edgecap_convert.captions.export import convert_captions, describe
from edgecap_convert.captions.grids import picture
from edgecap_convert.captions.material import CaptionMaterial, open_captions
from edgecap_convert.captions.network import CaptionNetwork
from edgecap_convert.captions.page import write_parity_page
from edgecap_convert.captions.parity import (
    captions_of_model,
    captions_of_network,
    judge,
    measure_steps,
    scores_and_agreement,
)
from edgecap_convert.captions.quantize import quantize_captions
from edgecap_convert.captions.runs import GRIDS, CaptionRun, open_caption_run
from edgecap_convert.parity.gates import require, to_dicts
from edgecap_convert.parity.record import leave_record
from edgecap_convert.quantization.recipes import CAPTION_RECIPE, caption_recipe_named
from edgecap_convert.training import runs

_KERNELS = ("xnnpack", "builtin")
_GOLDEN_PICTURES, _GOLDEN_WORDS = 2, 12
# Of float logits, which take four times as much of the file.
_GOLDEN_FLOAT_WORDS = 6
# As for streams: room above what the two kinds of kernels differ by here.
_TOLERANCE_FLOOR, _TOLERANCE_FACTOR, _MOST = 4, 2, 255


def convert_caption_run(
    run_path: str | Path,
    out: Path,
    *,
    recipe: str = CAPTION_RECIPE.name,
    qat: bool = True,
    name: str | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Quantises a run and writes the model file, last of all.

    Args:
      run_path: a folder made by training.
      out: the model file. recipe: see ``edgecap_convert.quantization.recipes``.
      qat: train on with fake quantisation; else the ranges are only learnt.
      name: for people; by default the file's name. command: how this was called, for the record.

    Returns:
      The parity record; also written to the run as ``parity.json`` and, for people, as
      ``parity.html``, with the fake-quantised network, if there is one, as ``quantized.npz``.

    Raises:
      DataError: no run, or its pictures are gone or changed. ConfigError: no such recipe.
      ParityError: the file does not compute what it was made of.
      ModelFileError: the file cannot be written.
    """
    plan = caption_recipe_named(recipe)
    require_caption_scores("to convert captions")
    run = open_caption_run(run_path)
    for path in (out, run.path / runs.PARITY_FILE, run.path / runs.PARITY_PAGE):
        check_writable(path)
    material = open_captions(run.data, share=run.config.validation, seed=run.seed)
    if material.summary() != runs.read_metrics(run.path)["data"]:
        raise DataError(
            f"{run.data} is not what it was when {run.path} was trained (pictures or sentences "
            "came, went or changed): some would train and measure alike. Train again"
        )
    network = run.network()
    began = time.monotonic()
    quantized, loss = None, []
    if plan.integer:
        made = quantize_captions(run, network, material, plan, qat=qat, folder=run.path / GRIDS)
        quantized, loss = made.network, made.loss
    quantized_s = time.monotonic() - began
    began = time.monotonic()
    origin = network if quantized is None else quantized
    model = convert_captions(origin, plan)
    converted_s = time.monotonic() - began
    spec = describe(run, model, origin, name or out.stem, plan)
    golden, tolerance = _record_golden(run, model, spec, material)
    spec = dataclasses.replace(spec, golden=tolerance)
    loaded = _open(model, spec)
    record = _measure(run, network, quantized, loaded, material) | {
        "bytes": len(model),
        "runtime": str(loaded.backend),
        "qat_loss": loss,
        "quantize_seconds": round(quantized_s, 1),
        "convert_seconds": round(converted_s, 1),
    }
    spec = dataclasses.replace(spec, provenance=_provenance(run, record, command))
    leave_record(
        run.path,
        record,
        quantized,
        lambda path, record: write_parity_page(path, record, spec.name),
    )
    write_bundle(out, model=model, spec=spec, golden=golden, card=caption_card(spec, record))
    runs.discard_tree(run.path / GRIDS)
    return record


def _measure(
    run: CaptionRun,
    network: CaptionNetwork,
    quantized: CaptionNetwork | None,
    model: CaptionModel,
    material: CaptionMaterial,
) -> dict[str, Any]:
    """The parity record, once the gates are passed.

    Raises:
      ParityError: one is not.
    """
    began = time.monotonic()
    images = material.test
    record: dict[str, Any] = {}
    if quantized is not None:
        record["steps"] = measure_steps(run, quantized, model, images)
        record["gates"] = to_dicts(judge(record["steps"]))
        require(record["gates"])
    file = "int8" if quantized is not None else model.spec.recipe
    forms = {"float": captions_of_network(run, network, images)}
    if quantized is not None:
        forms["fake_quant"] = captions_of_network(run, quantized, images)
    own, took = captions_of_model(run, model, images)
    forms[file] = own
    record |= scores_and_agreement(
        forms, images, origin="fake_quant" if quantized is not None else "float", file=file
    )
    operators = model.bundle.graph.operator_counts()
    encode = read_graph(model.bundle.model, ENCODE_SUBGRAPH).operator_counts()
    return record | {
        "data": f"test part of {run.data}",
        "task": model.spec.task,
        "recipe": model.spec.recipe,
        "recordings": len(images),
        "operators": {"encode": encode, "step": operators},
        "caption_ms": round(float(np.median(took)), 3),
        "beam": run.config.beam,
        "parity_seconds": round(time.monotonic() - began, 1),
    }


def _record_golden(
    run: CaptionRun, model: bytes, spec: ModelSpec, material: CaptionMaterial
) -> tuple[Golden, GoldenSpec]:
    images = material.test[:_GOLDEN_PICTURES]
    pictures = np.stack([picture(image, run.input) for image in images])
    floats = spec.output.tensor.dtype == "float32"
    words = min(_GOLDEN_FLOAT_WORDS if floats else _GOLDEN_WORDS, run.config.longest)
    outputs: dict[str, Any] = {}
    for kernels in _KERNELS:
        along = next(iter(outputs.values()), None)
        opened = _open(model, spec, kernels=kernels)
        outputs[kernels] = replay(opened, pictures, rounds=words, along=along)
    first, second = outputs.values()
    apart = math.ceil(steps_apart(first, second).max())
    tolerance = min(max(_TOLERANCE_FLOOR, _TOLERANCE_FACTOR * apart), _MOST)
    reason = (
        f"{' and '.join(_KERNELS)} kernels are {apart} steps apart over {len(first)} words; "
        f"{_TOLERANCE_FACTOR} times that, at least {_TOLERANCE_FLOOR}"
    )
    return Golden(pictures, outputs), GoldenSpec(tolerance, reason, words)


def _open(model: bytes, spec: ModelSpec, **runtime: Any) -> CaptionModel:
    """The model as a device would load it, before it is in a file."""
    empty = Golden(np.zeros((0, *spec.input.tensor.shape[1:]), np.uint8), {})
    return CaptionModel(Bundle(model, read_graph(model), spec, empty, ""), **runtime)


def _provenance(run: CaptionRun, record: dict[str, Any], command: str) -> dict[str, Any]:
    training = runs.read_metrics(run.path)
    return {
        "made by": f"edgecap {edgecap.__version__}",
        "commands": [*filter(None, [training.get("command", ""), command])],
        "data": run.data,
        "seed": run.seed,
        "config": run.config.to_dict(),
        "metrics": record["accuracy"]
        | {name: record[name] for name in ("same_sentences", "same_as_float")},
        "versions": runs.versions(),
    }
