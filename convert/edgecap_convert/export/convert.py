"""One conversion from run folder to model file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgecap.durable import check_writable, write_atomically
from edgecap.errors import ConfigError, DataError
from edgecap_convert.data import TrainingData
from edgecap_convert.export.assemble import Converted, finish, measured_part
from edgecap_convert.export.ladder import climb
from edgecap_convert.models.network import Network
from edgecap_convert.quantization.qat import train_quantized
from edgecap_convert.quantization.recipes import DEFAULT_RECIPE, Recipe, recipe_named
from edgecap_convert.training.checkpoints import Checkpoints
from edgecap_convert.training.material import open_material
from edgecap_convert.training.runs import (
    CHECKPOINTS,
    FEATURES,
    PARITY_FILE,
    PARITY_PAGE,
    Run,
    discard_tree,
    open_run,
    read_metrics,
)

_BEGUN = "recipe.txt"


def convert(
    run_path: str | Path,
    out: Path,
    *,
    recipe: str = DEFAULT_RECIPE,
    qat: bool = True,
    max_loss: float | None = None,
    name: str | None = None,
    resume: bool = False,
    command: str = "",
    audit_frames: int | None = None,
) -> dict[str, Any]:
    """Quantises a run and writes the model file, last of all.

    Args:
      run_path: a folder made by training.
      out: the model file.
      recipe: what is quantised how, see ``edgecap_convert.quantization.recipes``.
      qat: train on with fake quantisation; else the ranges are only calibrated, along ordered
        sequences with carried state.
      max_loss: if given, recipes are tried from the cheapest on until the file loses no more than
        this against the float network; see ``edgecap_convert.export.ladder``.
      name: for people; by default the file's name.
      resume: go on with a conversion that was stopped, if there is one.
      command: how this was called, for the record.
      audit_frames: of the drift audit; by default the run's setting. 0 leaves it out.

    Returns:
      The parity record; also written to the run as ``parity.json`` and, for people, as
      ``parity.html``, with the fake-quantised network, if there is one, as ``quantized.npz``.

    Raises:
      DataError: no run, or its material is gone or changed.
      ConfigError: there is no such recipe, it does not go with the other arguments, the weights do
        not fit, or no recipe keeps within ``max_loss``.
      ParityError: the file does not compute what it was made of.
      ModelFileError: the file cannot be written.
    """
    plan = recipe_named(recipe)
    if max_loss is not None and not plan.integer:
        raise ConfigError(
            f"max_loss: expected an integer recipe to begin with; got {plan.name!r}, which has "
            "nothing to learn"
        )
    if max_loss is not None and not qat:
        raise ConfigError("max_loss: tries without and with training by itself; leave out no-qat")
    run = open_run(run_path)
    for path in (out, run.path / PARITY_FILE, run.path / PARITY_PAGE):
        check_writable(path)
    material = open_material(run.data, run.config, seed=run.seed, fold=run.fold)
    recorded = read_metrics(run.path)["data"]
    if material.summary() | {"name": run.data} != recorded:
        raise DataError(
            f"{run.data} is not what it was when {run.path} was trained (clips or classes came, "
            "went or were renamed): quantisation would train on what should validate. Train again"
        )
    # What is to be measured on is missed before the training, not after it.
    measured_part(material)
    network = run.network()

    def by_recipe(recipe: Recipe, *, qat: bool) -> Converted:
        return quantise(run, network, material, recipe, qat=qat, resume=resume)

    tried: list[dict[str, Any]] = []
    if max_loss is not None:
        plan, made, tried = climb(run, network, material, plan, by_recipe, max_loss=max_loss)
    elif plan.integer:
        made = by_recipe(plan, qat=qat)
    else:
        made = Converted(network)
    parity = finish(
        run,
        made,
        material,
        out,
        plan,
        name=name or out.stem,
        command=command,
        audit_frames=audit_frames,
        more={"ladder": tried} if tried else {},
    )
    _checkpoints(run).clear()
    discard_tree(run.path / FEATURES)
    return parity


def quantise(
    run: Run,
    network: Network,
    material: TrainingData,
    recipe: Recipe,
    *,
    qat: bool,
    resume: bool = False,
) -> Converted:
    """The fake-quantised network: the first half of a conversion.

    Args:
      run, network, material: the training. recipe: an integer one. qat, resume: see
        :func:`convert`.
    """
    config = run.config
    if not qat:
        config = dataclasses.replace(config, qat=dataclasses.replace(config.qat, steps=0))
    checkpoints = _checkpoints(run)
    # Of another recipe they are no beginning, and calibration alone has nothing to go on with.
    if not (resume and qat and _begun(run) == recipe.name):
        checkpoints.clear()
    _note_begun(run, recipe.name)
    trained = train_quantized(
        network,
        config,
        material,
        seed=run.seed,
        folder=run.path,
        recipe=recipe,
        checkpoints=checkpoints,
    )
    return Converted(network, trained.quantized, trained.history)


def _checkpoints(run: Run) -> Checkpoints:
    return Checkpoints(run.path / CHECKPOINTS, every_s=run.config.checkpoint_s)


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
