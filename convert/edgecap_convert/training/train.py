"""One training from settings to run folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from edgecap.evaluation import evaluate
from edgecap_convert.data import open_training_data
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.predict import network_predictor
from edgecap_convert.training.runs import Run, check_vacant, create_run, discard_run, save_results
from edgecap_convert.training.stages import train_network


def train(
    data: str, out: Path, config: TrainConfig, *, seed: int, command: str = ""
) -> dict[str, Any]:
    """Trains and writes the run folder; nothing is written before the data has been read.

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
    check_vacant(out)
    material = open_training_data(data, config.frames, seed=seed)
    run = Run(out, config, data, seed, material.labels, material.background)
    create_run(out, run)
    began = time.monotonic()
    try:
        network, histories = train_network(config, material, seed=seed)
    except BaseException:
        # Also Ctrl-C: without weights the folder is of no use, and in the way of the next try.
        discard_run(out)
        raise
    trained = time.monotonic()
    result = evaluate(
        network_predictor(network),
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
