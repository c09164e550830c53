"""What the doctor is called with: a run folder, or a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import edgecap
from edgecap.assets import resolve_model
from edgecap.errors import ConfigError
from edgecap_convert.export.assemble import (
    Converted,
    convert_made,
    describe,
    measured_part,
    open_model,
)
from edgecap_convert.parity.doctor import EXAMINED_FRAMES, examine
from edgecap_convert.parity.record import first_frames
from edgecap_convert.quantization.recipes import recipe_named
from edgecap_convert.training.material import open_material
from edgecap_convert.training.runs import QUANTIZED_FILE, open_run


def examine_run(path: str | Path, *, frames: int = EXAMINED_FRAMES) -> dict[str, Any]:
    """Examines what a run was last converted to, on the recordings that it was measured on.

    Returns:
      As ``doctor.examine``, with ``model``, ``recipe`` and ``reference``.

    Raises:
      DataError: no run, or its material is gone.
      ConfigError: it was not converted yet, or not to integers.
    """
    run = open_run(path)
    if not (run.path / QUANTIZED_FILE).is_file():
        raise ConfigError(
            f"{run.path} has no int8 network yet; make one with edgecap convert {run.path} --out "
            "model.tflite"
        )
    quantized, recipe = run.quantized_network(), recipe_named(run.converted_recipe())
    network = run.network()
    made = Converted(network, quantized)
    data = convert_made(made, recipe)
    model = open_model(data, describe(run, data, made, run.path.name, recipe))
    material = open_material(run.data, run.config, seed=run.seed, fold=run.fold)
    images = first_frames(measured_part(material)[1], frames)
    found = examine(model, images, network=network)
    return {"model": run.path.name, "recipe": recipe.name, "reference": "the float network"} | found


def examine_model(
    path: str | Path, source: str | None = None, *, frames: int = EXAMINED_FRAMES
) -> dict[str, Any]:
    """Examines a model file on its golden frames, or on those of a source.

    Args:
      path: of the file, or ``demo``. source: a video or a folder of images.
      frames: at most so many.

    Raises:
      ModelFileError, SpecError: the file cannot be used.
      SourceError: the source cannot be read.
      ConfigError: the file is not of integers, or there is nothing to look at.
    """
    model = edgecap.load(resolve_model(str(path)))
    spec = model.spec
    if source is None:
        golden = model.bundle.golden.frames
        if not len(golden):
            raise ConfigError(f"{path} holds no golden frames; give some with --data")
        images = np.concatenate([golden] * -(-frames // len(golden)))[:frames]
    else:
        from edgecap.preprocess import resize

        seen = []
        with edgecap.open_source(source) as opened:
            for frame in opened:
                seen.append(resize(frame.image, spec.input))
                if len(seen) == frames:
                    break
        if len(seen) < 2:
            raise ConfigError(f"{source}: expected two frames or more; got {len(seen)}")
        images = np.stack(seen)
    found = examine(model, images)
    return {"model": spec.name, "recipe": spec.recipe, "reference": "the float twin"} | found
