"""One training from settings to run folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecap.evaluation import AnyEvaluation, Predictor, Recording, evaluate
from edgecap.extras import require_convert
from edgecap_convert.data import TrainingData
from edgecap_convert.data.clips import ClipData
from edgecap_convert.training import runs
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.distribute import ALONE, Workers, check_batches, connect, find_place
from edgecap_convert.training.material import Fold, open_material
from edgecap_convert.training.runs import Run

if TYPE_CHECKING:
    from edgecap_convert.report import Digest, PartSummary, ReportData


def train(
    data: str,
    out: Path,
    config: TrainConfig,
    *,
    seed: int,
    fold: Fold | None = None,
    strict: bool = False,
    resume: bool = False,
    command: str = "",
    workers: Workers = ALONE,
) -> dict[str, Any]:
    """Trains and writes the run folder.

    What is wrong with settings or data is told before anything is trained, and leaves nothing.
    A training that is stopped later, whatever way, leaves what ``resume`` goes on from.

    Args:
      data: ``synthetic:`` or a dataset of clips.
      out: the run folder; new or empty, unless resumed.
      config: the settings.
      seed: of split, weights and batches.
      fold: of a cross-validation: whose clips test.
      strict: refuse broken clips instead of leaving them out.
      resume: go on with the run that was begun there, if one was; a finished one is left as it is.
      command: how this was called, for the record.
      workers: who train together; this one is their chief. See :func:`train_distributed`.

    Returns:
      What ``metrics.json`` holds.

    Raises:
      DataError: unusable data, or other data than the run was begun with. ConfigError: wrong
        settings, the folder is not empty, or the run in it was begun with other settings.
    """
    resumed = resume and runs.is_begun(out)
    if resumed and runs.is_finished(out):
        finished = runs.open_run(out)
        runs.check_same(_run(out, config, data, seed, finished, fold), finished)
        workers.from_chief(_FINISHED)
        return runs.read_metrics(finished.path)
    made = not resumed and runs.claim_folder(out)
    try:
        material = open_material(data, config, seed=seed, strict=strict, fold=fold)
        run = _run(out, config, data, seed, material, fold)
        if resumed:
            runs.check_same(run, runs.open_run(out, finished=False))
        else:
            runs.write_settings(run)
        if isinstance(material, ClipData):
            fingerprint = material.summary()["fingerprint"]
            runs.settle_split(
                run.path, run.data, material.split.to_dict() | {"fingerprint": fingerprint}
            )
        # TensorFlow takes seconds to load: what is wrong with the data is told before.
        stages = require_convert("edgecap_convert.training.stages", "to train")
        workers.from_chief(_BEGUN)
        _check_alike(workers, run, material)
    except BaseException:
        if not resumed:
            runs.discard_folder(out, made=made)
        raise
    metrics = _train(run, material, stages, command=command, workers=workers)
    workers.wait()
    return metrics


def train_distributed(
    data: str,
    out: Path,
    config: TrainConfig,
    *,
    seed: int,
    strict: bool = False,
    resume: bool = False,
    command: str = "",
) -> dict[str, Any] | None:
    """Trains together with the other workers that ``TF_CONFIG`` names, all called alike.

    The chief alone writes the run folder, which nobody else needs to see: the state that a run is
    gone on from is that of the whole batch, and the chief hands it out. So a run that was begun
    by some workers may be gone on with by any number of them, or by one without this function.

    Args:
      data, out, config, seed, strict, resume, command: see :func:`train`.

    Returns:
      What ``metrics.json`` holds; ``None`` for a worker that is not the chief.

    Raises:
      DataError: see :func:`train`. ConfigError: see there; or no usable ``TF_CONFIG``, batches that
        cannot be shared out, or workers with other settings or data than the chief.
      WorkerError: another worker was lost.
    """
    place = find_place()
    stages = {"recurrent": config.recurrent, "joint": config.joint}
    check_batches({n: s.batch for n, s in stages.items() if s.steps}, place.count)
    workers = connect(place)
    options: dict[str, Any] = {"seed": seed, "strict": strict, "workers": workers}
    with workers.watch():
        if workers.chief:
            return train(data, out, config, resume=resume, command=command, **options)
        _follow(data, out, config, **options)
    return None


# What the chief tells the others before they begin.
_FINISHED, _BEGUN = np.int64(0), np.int64(1)


def _follow(
    data: str, out: Path, config: TrainConfig, *, seed: int, strict: bool, workers: Workers
) -> None:
    """What a worker does that is not the chief."""
    material = open_material(data, config, seed=seed, strict=strict)
    if workers.from_chief(_BEGUN) == _FINISHED:
        return
    _check_alike(workers, _run(out, config, data, seed, material, None), material)
    stages = require_convert("edgecap_convert.training.stages", "to train")
    training = stages.Training(config, material, seed=seed, folder=out, workers=workers)
    training.run()
    # The chief evaluates and writes; all come to their end when the run is whole.
    workers.wait()
    training.discard_checkpoints()
    with contextlib.suppress(OSError):
        # Empty where it is not the chief's, and was only made for features.
        out.rmdir()


def _check_alike(workers: Workers, run: Run, material: TrainingData) -> None:
    """Refuses workers with other settings or data; where the data lies may differ."""
    if workers.count > 1:
        workers.check_same("settings", runs.settings(run) | {"data": None})
        workers.check_same("data", material.summary())


def _run(
    out: Path,
    config: TrainConfig,
    data: str,
    seed: int,
    material: TrainingData | Run,
    fold: Fold | None,
) -> Run:
    return Run(
        path=out,
        config=config,
        data=data,
        seed=seed,
        task=material.task,
        labels=material.labels,
        background=material.background,
        fold=fold,
    )


def _train(
    run: Run, material: TrainingData, stages: Any, *, command: str, workers: Workers
) -> dict[str, Any]:
    predict = require_convert("edgecap_convert.training.predict", "to train")
    tensorboard = require_convert("edgecap_convert.training.tensorboard", "to train")
    reports = require_convert("edgecap_convert.report", "to train")
    began = time.monotonic()
    with tensorboard.TensorBoardLog(run.path / runs.TENSORBOARD) as log:
        training = stages.Training(
            run.config, material, seed=run.seed, folder=run.path, log=log, workers=workers
        )
        histories = training.run()
    seconds = time.monotonic() - began
    network = training.network
    predictor = predict.network_predictor(network, run.task)
    results: dict[str, AnyEvaluation] = {}
    digest = None
    for part in ("validation", "test"):
        recordings = getattr(material, part)
        if len(recordings):
            album = reports.Album(run.task, run.labels)
            results[part] = _evaluate(album.predictor(predictor), album.follow(recordings), run)
            digest = album.digest
    metrics: dict[str, Any] = {
        "command": command,
        "data": material.summary() | {"name": run.data},
        "task": run.task,
        "seed": run.seed,
        "seconds": round(seconds, 1),
        "stages": {
            history.stage: {"steps": len(history.loss), "validation": history.best}
            for history in histories
        },
        "stage_seconds": {history.stage: round(history.seconds, 1) for history in histories},
    } | {part: result.to_dict() for part, result in results.items()}
    if results:
        reports.write_report(
            run.path / runs.REPORT_FILE,
            report_data(run, material, metrics, [h.to_dict() for h in histories], digest),
        )
    runs.save_results(run, network, histories, metrics)
    training.discard_checkpoints()
    return metrics


def _evaluate(predictor: Predictor, recordings: Iterable[Recording], run: Run) -> AnyEvaluation:
    return evaluate(predictor, recordings, labels=run.labels, decision=run.decision, task=run.task)


def report_data(
    run: Run,
    material: TrainingData,
    metrics: dict[str, Any],
    histories: list[dict[str, Any]],
    digest: Digest | None,
    *,
    more: dict[str, Any] | None = None,
) -> ReportData:
    """What the report of a run is made of.

    Args:
      run, material: the training. metrics, histories: as in its files.
      digest: the clips of the last part that was evaluated.
      more: further parts for ``metrics``, such as the int8 file's; the last one has the headline.
    """
    reports = require_convert("edgecap_convert.report", "to train")
    parts = {part: metrics[part] for part in ("validation", "test") if part in metrics}
    split: dict[str, PartSummary] = {}
    if isinstance(material, ClipData):
        split = {
            part: reports.PartSummary.of(getattr(material.split, part))
            for part in ("training", "validation", "test")
        }
    return reports.ReportData(
        title=_title(run),
        task=run.task,
        labels=run.labels,
        metrics=parts | (more or {}),
        clips=digest if digest is not None else (),
        histories=histories,
        settings=run.config.to_dict(),
        provenance={
            "command": metrics["command"],
            "data": run.data,
            "seed": run.seed,
            "fold": run.fold.to_dict() if run.fold is not None else None,
            "fingerprint": metrics["data"].get("fingerprint"),
            "versions": runs.versions(),
        },
        split=split,
        skipped=material.broken if isinstance(material, ClipData) else (),
        seconds=metrics["seconds"],
        rate_hz=run.rate_hz,
        background=run.background,
        notes=material.split.notes if isinstance(material, ClipData) else (),
    )


def _title(run: Run) -> str:
    name = Path(run.data).name or run.data
    return f"{name}, fold {run.fold.number}" if run.fold is not None else name
