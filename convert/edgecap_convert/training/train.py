"""One training from settings to run folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from edgecap.evaluation import evaluate
from edgecap.extras import require_convert
from edgecap_convert.data import open_training_data
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.runs import (
    Run,
    claim_folder,
    discard_folder,
    save_results,
    write_settings,
)


def train(
    data: str, out: Path, config: TrainConfig, *, seed: int, command: str = ""
) -> dict[str, Any]:
    """Trains and writes the run folder; if anything fails, nothing is left there.

    Args:
      data: ``synthetic:`` or a folder per class of clips.
      out: the run folder; new or empty.
      config: the settings.
      seed: of split, weights and batches.
      command: how this was called, for the record.

    Returns:
      What ``metrics.json`` holds.

    Raises:
      DataError: unusable data. ConfigError: wrong settings, or the folder is not empty.
    """
    made = claim_folder(out)
    try:
        return _train(data, out, config, seed=seed, command=command)
    except BaseException:
        # Also Ctrl-C: half a run is of no use, and in the way of the next try.
        discard_folder(out, made=made)
        raise


def _train(data: str, out: Path, config: TrainConfig, *, seed: int, command: str) -> dict[str, Any]:
    material = open_training_data(data, config.frames, seed=seed)
    run = Run(out, config, data, seed, material.labels, material.background)
    write_settings(run)

    # TensorFlow takes seconds to load: what is wrong with the data is told before.
    stages = require_convert("edgecap_convert.training.stages", "to train")
    predict = require_convert("edgecap_convert.training.predict", "to train")
    began = time.monotonic()
    network, histories = stages.train_network(config, material, seed=seed)
    trained = time.monotonic()
    result = evaluate(
        predict.network_predictor(network),
        material.validation,
        labels=run.labels,
        decision=run.decision,
    )
    metrics = {
        "command": command,
        "data": material.summary() | {"name": data},
        "seed": seed,
        "seconds": round(trained - began, 1),
        "stages": {
            history.stage: {"steps": len(history.loss), "validation": history.best}
            for history in histories
        },
        "validation": result.to_dict(),
    }
    save_results(run, network, histories, metrics)
    return metrics
