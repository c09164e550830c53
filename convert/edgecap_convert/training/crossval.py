"""Cross-validation: each fold trained, converted, and its int8 model streamed over its test clips.

OUT/fold-0/            a run, with model.tflite
OUT/fold-1/ …
OUT/report.html        all folds
OUT/crossval.json      the figures; written last
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgecap
from edgecap.dataset import open_dataset
from edgecap.documents import read_json
from edgecap.durable import check_writable, write_atomically
from edgecap.errors import ConfigError, DataError
from edgecap.evaluation import evaluate, model_predictor
from edgecap.extras import require_convert
from edgecap.recordings import SYNTHETIC
from edgecap_convert.data.clips import check_classes
from edgecap_convert.data.splits import cross_validation
from edgecap_convert.training import runs
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.material import Fold, open_material
from edgecap_convert.training.train import report_data, train

if TYPE_CHECKING:
    from edgecap_convert.report import ReportData

CROSSVAL_FILE = "crossval.json"
MODEL_FILE = "model.tflite"
_INT8 = "test, int8 streamed"


@dataclass(frozen=True)
class FoldResult:
    """One fold: its figures, and what the report shows of it."""

    figures: dict[str, Any]
    report: ReportData


def cross_validate(
    data: str,
    out: Path,
    config: TrainConfig,
    *,
    folds: int | None,
    column: str | None,
    seed: int,
    only: int | None = None,
    strict: bool = False,
    resume: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Trains, converts and measures every fold.

    Args:
      data: a dataset of clips.
      out: the folder for all runs; new or empty, unless resumed.
      config: the settings.
      folds: how many, by group and stratified; or else ``column``: of the manifest, names them.
      seed: of folds, splits, weights and batches.
      only: the number of the one fold to do, without a summary.
      strict, resume: as for :func:`edgecap_convert.training.train.train`.
      command: how this was called, for the record.

    Returns:
      What ``crossval.json`` holds: per fold and over all folds, the figures of the float network
      and of the int8 model on the test clips.

    Raises:
      DataError: unusable data. ConfigError: wrong settings, or the folder is not empty.
    """
    if data.startswith(SYNTHETIC):
        raise DataError(f"{data}: scenes are endless; there are no folds to cross-validate on")
    dataset = open_dataset(data, task=config.task)
    check_classes(dataset)
    count = len(
        cross_validation(
            dataset.clips,
            folds=folds,
            column=column,
            validation=config.split.validation,
            seed=seed,
        )
    )
    if only is not None and not 0 <= only < count:
        raise ConfigError(f"--fold: expected 0 to {count - 1}; got {only}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = any(out.iterdir())
    except OSError as error:
        raise ConfigError(f"{out}: no place for the folds: {error.strerror}") from error
    if taken and not resume:
        raise ConfigError(f"{out} is not empty; choose another folder with --out, or --resume")
    check_writable(out / CROSSVAL_FILE)
    began = time.monotonic()
    numbers = range(count) if only is None else [only]
    results = [
        _fold(
            data,
            out / f"fold-{number}",
            config,
            fold=Fold(number, folds, column),
            seed=seed,
            strict=strict,
            resume=resume,
            command=command,
        )
        for number in numbers
    ]
    reports = require_convert("edgecap_convert.report", "to train")
    summary = {
        "command": command,
        "data": data,
        "seed": seed,
        "protocol": _protocol(folds, column, count),
        "seconds": round(time.monotonic() - began, 1),
        "float": reports.pool([result.figures["float"] for result in results]),
        "int8": reports.pool([result.figures["int8"] for result in results]),
        "folds": [result.figures for result in results],
        "config": config.to_dict(),
        "versions": runs.versions(),
    }
    if only is None:
        reports.write_crossval_report(
            out / runs.REPORT_FILE,
            reports.CrossvalData(
                title=Path(data).name or data,
                folds=[result.report for result in results],
                fold_names=[str(number) for number in numbers],
                protocol=summary["protocol"],
                settings=config.to_dict(),
                provenance={"command": command, "seed": seed, "versions": runs.versions()},
                seconds=summary["seconds"],
            ),
        )
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        write_atomically(out / CROSSVAL_FILE, text.encode())
    return summary


def _protocol(folds: int | None, column: str | None, count: int) -> str:
    if column is not None:
        return f"{count} folds given by the column {column!r}; a model is tested on its own fold"
    return f"{folds} folds by group, stratified by label; a model is tested on its own fold"


def _fold(
    data: str,
    path: Path,
    config: TrainConfig,
    *,
    fold: Fold,
    seed: int,
    strict: bool,
    resume: bool,
    command: str,
) -> FoldResult:
    metrics = train(
        data,
        path,
        config,
        seed=seed,
        fold=fold,
        strict=strict,
        resume=resume,
        command=command,
    )
    model_path = path / MODEL_FILE
    export = require_convert("edgecap_convert.export.convert", "to convert")
    began = time.monotonic()
    if not (resume and model_path.is_file()):
        export.convert(path, model_path, resume=resume, command=command)
    convert_s = time.monotonic() - began
    run = runs.open_run(path)
    material = open_material(data, config, seed=seed, fold=fold)
    reports = require_convert("edgecap_convert.report", "to train")
    album = reports.Album(run.task, run.labels)
    result = evaluate(
        album.predictor(model_predictor(edgecap.load(model_path))),
        album.follow(material.test),
        labels=run.labels,
        decision=run.decision,
        task=run.task,
    )
    int8 = result.to_dict()
    parity = read_json(path / runs.PARITY_FILE)
    figures = {
        "fold": fold.number,
        "train_seconds": metrics["seconds"],
        "convert_seconds": round(convert_s, 1),
        "stages": metrics["stages"],
        "stage_seconds": metrics["stage_seconds"],
        "float": metrics["test"],
        "fake_quant": parity["accuracy"]["fake_quant"],
        "int8": int8,
        "bytes": model_path.stat().st_size,
    }
    report = report_data(
        run,
        material,
        metrics,
        runs.read_histories(run),
        album.digest,
        more={_INT8: int8},
    )
    return FoldResult(figures, report)
