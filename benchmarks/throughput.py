"""How fast training and conversion are: frames a second in each stage, seconds for each recipe.

    python benchmarks/throughput.py [--data DATA] [--config FILE] [--recipes int8,…] [--json FILE]

The training runs twice, with few and with more steps a stage: what a stage takes once (the graph
traced, the encoder's features computed, the validations) is in both, so the difference is that of
the steps alone. A frame counts as often as a step looks at it. Without ``--data`` and ``--config``
the material is made by the synthetic generator, for the network of ``examples/demo.toml``. Then the
run is quantised by each recipe without training (the ranges are calibrated) and converted; ``qat``
is the speed of training with fake quantisation, likewise from the difference of two.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import record
from edgecap_convert.quantization.recipes import RECIPES, recipe_named
from edgecap_convert.training.config import StageConfig, TrainConfig, load_config
from edgecap_convert.training.material import open_material
from edgecap_convert.training.runs import Run, open_run
from edgecap_convert.training.train import train

#: Steps of the two trainings by stage: so many that the difference takes seconds.
STEPS = {"pretrain": (10, 40), "look": (10, 40), "recurrent": (20, 120), "joint": (5, 20)}
_QAT_STEPS = (5, 20)
_SCENES, _VALIDATED = 60, 20
_SEED = 0


def stages_of(config: TrainConfig) -> dict[str, StageConfig]:
    """The stages that this training has, and what a step of each looks at."""
    found = {
        "pretrain": config.pretrain,
        "look": config.look.stage,
        "recurrent": config.recurrent,
        "joint": config.joint,
    }
    return {name: stage for name, stage in found.items() if stage.steps}


def shortened(config: TrainConfig, which: int) -> TrainConfig:
    """With few steps (0) or more (1), one validation, and on synthetic data, few scenes."""
    changed: dict[str, Any] = {}
    for name in stages_of(config):
        steps = STEPS[name][which]
        part = dataclasses.replace(getattr(config, name), steps=steps)
        if isinstance(part, StageConfig):
            part = dataclasses.replace(part, validate_every=steps, patience=0)
        changed[name] = part
    return dataclasses.replace(
        config,
        scenes=min(config.scenes, _SCENES),
        validation_limit=min(config.validation_limit, _VALIDATED),
        audit_frames=0,
        **changed,
    )


def speeds(
    stages: dict[str, StageConfig],
    steps: dict[str, tuple[int, int]],
    seconds: tuple[dict[str, float], dict[str, float]],
) -> dict[str, Any]:
    """Of each stage, what its steps do a second, from two runs' seconds.

    Raises:
      ValueError: the longer run of a stage did not take longer: the machine was disturbed.
    """
    found = {}
    for name, stage in stages.items():
        (few, more), (short_s, long_s) = steps[name], (each[name] for each in seconds)
        if long_s <= short_s:
            raise ValueError(
                f"{name}: {more} steps took {long_s:.2f} s and {few} steps {short_s:.2f} s; "
                "something else had the machine. Run it again"
            )
        rate = (more - few) / (long_s - short_s)
        found[name] = {
            "batch": stage.batch,
            "frames_a_clip": stage.length,
            "steps_per_second": round(rate, 3),
            "clips_per_second": round(rate * stage.batch, 1),
            "frames_per_second": round(rate * stage.batch * stage.length, 1),
            "once_seconds": round(short_s - few / rate, 2),
        }
    return found


def training(data: str, config: TrainConfig, folder: Path) -> tuple[dict[str, Any], Run]:
    """Both trainings; the run that is converted is the longer one."""
    seconds, totals = [], []
    for which, name in enumerate(("short", "long")):
        began = time.monotonic()
        metrics = train(data, folder / name, shortened(config, which), seed=_SEED)
        totals.append(round(time.monotonic() - began, 1))
        seconds.append(metrics["stage_seconds"])
    told = {
        "stages": speeds(stages_of(config), STEPS, (seconds[0], seconds[1])),
        "seconds_of_both_trainings": totals,
    }
    return told, open_run(folder / "long")


def conversion(run: Run, recipes: list[str]) -> dict[str, Any]:
    """Every recipe without training, and the speed of training with fake quantisation."""
    # Not above: they load TensorFlow.
    from edgecap_convert.export.assemble import Converted, convert_made
    from edgecap_convert.export.convert import quantise

    material = open_material(run.data, run.config, seed=run.seed)
    network = run.network()
    rows: dict[str, Any] = {}
    for recipe in map(recipe_named, recipes):
        began = time.monotonic()
        made = Converted(network)
        if recipe.integer:
            made = quantise(run, network, material, recipe, qat=False)
        calibrated = time.monotonic()
        model = convert_made(made, recipe)
        ended = time.monotonic()
        rows[recipe.name] = {
            "calibrate_seconds": round(calibrated - began, 1) if recipe.integer else None,
            "convert_seconds": round(ended - calibrated, 1),
            "kb": round(len(model) / 1e3, 1),
        }
    seconds = []
    for steps in _QAT_STEPS:
        qat = dataclasses.replace(run.config.qat, steps=steps, validate_every=steps, patience=0)
        config = dataclasses.replace(run.config, qat=qat)
        made = quantise(
            dataclasses.replace(run, config=config),
            network,
            material,
            recipe_named("int8"),
            qat=True,
        )
        seconds.append({"qat": made.history.seconds})
    told = speeds({"qat": run.config.qat}, {"qat": _QAT_STEPS}, (seconds[0], seconds[1]))
    return {"recipes": rows, "qat": told["qat"]}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--data", default="synthetic:")
    parser.add_argument("--config", type=Path, help="settings of the training, TOML")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    arguments = parser.parse_args()
    config = load_config(arguments.config) if arguments.config else TrainConfig()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        # Nothing that an earlier training has kept.
        os.environ["EDGECAP_CACHE"] = str(Path(name) / "cache")
        trained, run = training(arguments.data, config, Path(name))
        encoder = config.encoder
        result: dict[str, Any] = {
            "data": Path(arguments.data).name or arguments.data,
            "network": f"{encoder.name} α {encoder.alpha:g}, {encoder.width}×{encoder.height}, "
            f"LSTM {config.lstm.units}",
            "training": trained,
            "conversion": conversion(run, arguments.recipes.split(",")),
        }
    result["seconds"] = round(time.monotonic() - began, 1)
    record.publish(result, arguments)


if __name__ == "__main__":
    main()
