"""int8 against the fake-quantised network: the recurrent step alone, and the whole graph.

    python benchmarks/parity.py RUN [--frames 10000] [--json FILE]

RUN is a folder of ``edgecap train`` or a fold of ``edgecap crossval``, already converted; its int8
file is made anew of the fake-quantised weights. Teacher-forced: every step starts from the
fake-quantised network's state. Free-running: each side carries its own over so many frames of the
run's own held-out recordings, joined in random order with noise between them.

``simulation`` tells what computing as the kernels do is worth, against fake quantisation alone: the
share of the encoder's values that are those of the file, and of the free-running frames with the
same answer.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import record
from edgecap_convert.export.assemble import (
    Converted,
    convert_made,
    describe,
    measured_part,
    open_model,
)
from edgecap_convert.export.graph import Int8Encoder
from edgecap_convert.models.network import Network
from edgecap_convert.parity.drift import AUDIT_FRAMES, audit_drift
from edgecap_convert.parity.record import first_frames
from edgecap_convert.parity.steps import each_step, free_running, teacher_forced
from edgecap_convert.parity.trace import NetworkTracer, Tracers
from edgecap_convert.quantization.recipes import recipe_named
from edgecap_convert.training.material import open_material
from edgecap_convert.training.runs import open_run

from edgecap.streaming import StreamingModel

_FORCED = 1000
# The encoder's values are many: so few frames tell.
_GRID_FRAMES = 32
_KERNELS = ("xnnpack", "builtin", "reference")


def measure(path: Path, frames: int) -> dict[str, Any]:
    """One run, on every kind of kernels; the long stream on XNNPACK's."""
    run = open_run(path)
    network, quantized = run.network(), run.quantized_network()
    recipe = recipe_named(run.converted_recipe())
    made = Converted(network, quantized)
    began = time.monotonic()
    model = convert_made(made, recipe)
    seconds = time.monotonic() - began
    spec = describe(run, model, made, path.name, recipe)
    material = open_material(run.data, run.config, seed=run.seed, fold=run.fold)
    part, recordings = measured_part(material)
    tracers = Tracers(NetworkTracer(network), NetworkTracer(quantized))
    assert tracers.quantized is not None
    images = first_frames(recordings, _FORCED)
    features = tracers.quantized.features(tracers.quantized.encode(images))
    drift = audit_drift(tracers, open_model(model, spec), recordings, frames=frames)
    return {
        "recipe": recipe.name,
        "data": f"{part} part of {Path(run.data).parent.name or run.data}",
        "encoder": f"{run.config.encoder.name} {run.config.encoder.alpha}",
        "convert_seconds": round(seconds, 1),
        "recurrent_step": {
            kernels: teacher_forced(quantized, features, kernels=kernels).to_dict()
            for kernels in _KERNELS
        },
        "whole_step": each_step(tracers.quantized, open_model(model, spec), images).to_dict(),
        "simulation": simulation(quantized, open_model(model, spec), images),
        "units": {
            name: {what: told["mean"] for what, told in units.items() if what != "units"}
            for name, units in drift["units"].items()
        },
        "free_running": {
            name: drift[name]
            for name in (
                "frames",
                "same_answers",
                "tensors",
                "blocks",
                "trend",
                "reset_every_s",
                "verdict",
            )
        },
    }


def simulation(network: Network, model: StreamingModel, images: np.ndarray) -> dict[str, Any]:
    """The network as the kernels compute it, and as fake quantisation alone does."""
    few = images[:_GRID_FRAMES]
    file = Int8Encoder(network)(few)
    step = np.diff(np.unique(file)).min()

    def held_against_it() -> dict[str, float]:
        # Traced here: what is traced keeps its arithmetic.
        tracer = NetworkTracer(network)
        equal = np.abs(tracer.encode(few) - file) < 0.5 * step
        ran = free_running(tracer, model, images)
        same = {} if ran.same is None else {"same_answers": round(float(ran.same.mean()), 5)}
        return {"encoder_values_equal": round(float(equal.mean()), 5)} | same

    told: dict[str, Any] = {"frames": len(images), "as_the_kernels": held_against_it()}
    if network.cell == "float32":
        # As the converter sees it; with an integer cell, it would see another cell too.
        with network.converting():
            told["fake_quantisation_alone"] = held_against_it()
    return told


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("run", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=AUDIT_FRAMES)
    arguments = parser.parse_args()
    record.publish([measure(run, arguments.frames) for run in arguments.run], arguments)


if __name__ == "__main__":
    main()
