"""float, calibrated and trained, for every recipe: what int8 costs over all folds of a training.

    python benchmarks/recipes.py RUNS [--recipes int8,…] [--keep FOLDER] [--again] [--json FILE]

RUNS holds the folds of ``edgecap crossval`` (``fold-0``, ``fold-1``, …). Each is quantised by each
recipe, with ranges only calibrated (PTQ) and trained on with fake quantisation (QAT), converted,
and the file streamed frame by frame over the fold's own clips. ``--keep`` leaves each result there,
and goes on with what is there. ``--again`` only converts anew what each fold's last conversion has
learnt: what a change of the converter does to the files.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import record
from edgecap_convert.export.assemble import (
    Converted,
    convert_made,
    describe,
    measured_part,
    open_model,
)
from edgecap_convert.export.convert import quantise
from edgecap_convert.parity.accuracy import compare_clips
from edgecap_convert.quantization.recipes import RECIPES, recipe_named
from edgecap_convert.report import wilson_interval
from edgecap_convert.training.material import open_material
from edgecap_convert.training.predict import network_predictor
from edgecap_convert.training.runs import open_run

from edgecap.evaluation import Evaluation, Predictor, evaluate, model_predictor

_COUNTS = ("both", "float_only", "file_only", "neither", "same")


def measure_fold(path: Path, recipes: list[str], keep: Path, *, again: bool) -> dict[str, Any]:
    """All recipes on one fold; ``path`` is a copy that may be written to."""
    run = open_run(path)
    material = open_material(run.data, run.config, seed=run.seed, fold=run.fold)
    _, recordings = measured_part(material)
    network = run.network()

    def measured(predict: Predictor) -> Evaluation:
        return evaluate(predict, recordings, labels=run.labels, decision=run.decision)

    whole = measured(network_predictor(network, run.task))
    rows: dict[str, Any] = {"float": {"right": _right(whole), "clips": whole.segments}}
    learnt = run.quantized_network() if again else None
    for recipe in map(recipe_named, [run.converted_recipe()] if again else recipes):
        for qat in (True,) if again else (False, True) if recipe.integer else (False,):
            how = recipe.name if not recipe.integer else f"{recipe.name} {'QAT' if qat else 'PTQ'}"
            done = keep / f"{path.name} {how}.json"
            if not done.is_file():
                began = time.monotonic()
                if learnt is not None:
                    made = Converted(network, learnt)
                elif recipe.integer:
                    made = quantise(run, network, material, recipe, qat=qat)
                else:
                    made = Converted(network)
                model = convert_made(made, recipe)
                file = open_model(model, describe(run, model, made, recipe.name, recipe))
                streamed = measured(model_predictor(file))
                row = {"right": _right(streamed), "bytes": len(model)}
                row |= compare_clips(whole, streamed)
                row["seconds"] = round(time.monotonic() - began, 1)
                done.write_text(json.dumps(row))
            rows[how] = json.loads(done.read_text())
            print(path.name, how, rows[how], flush=True)
    return rows


def _right(result: Evaluation) -> int:
    return sum(answer.right for answer in result.answers)


def pooled(folds: list[dict[str, Any]]) -> dict[str, Any]:
    """All folds together, by form."""
    clips = sum(fold["float"]["clips"] for fold in folds)
    result: dict[str, Any] = {}
    for how in folds[0]:
        rows = [fold[how] for fold in folds]
        right = sum(row["right"] for row in rows)
        low, high = wilson_interval(right, clips)
        result[how] = {
            "accuracy": round(right / clips, 5),
            "interval": [round(low, 4), round(high, 4)],
            "by_fold": [
                round(row["right"] / f["float"]["clips"], 4)
                for row, f in zip(rows, folds, strict=True)
            ],
        }
        if how == "float":
            continue
        counts = {name: sum(row[name] for row in rows) for name in _COUNTS}
        result[how] |= {
            "loss_points": round((result["float"]["accuracy"] - right / clips) * 100, 2),
            "right_in_float_only": counts["float_only"],
            "right_in_file_only": counts["file_only"],
            "same_answer_as_float": round(counts["same"] / clips, 5),
            "kB": round(sum(row["bytes"] for row in rows) / len(rows) / 1000),
            "seconds": round(sum(row["seconds"] for row in rows) / len(rows), 1),
        }
    return {"clips": clips, "forms": result}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.runs.iterdir() if path.name.startswith("fold-"))
    with tempfile.TemporaryDirectory() as folder:
        keep = arguments.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        folds = []
        for path in paths:
            copy = Path(folder) / path.name
            shutil.copytree(path, copy)
            recipes = arguments.recipes.split(",")
            folds.append(measure_fold(copy, recipes, keep, again=arguments.again))
            shutil.rmtree(copy)
        run = open_run(paths[0])
        result = {"data": Path(run.data).parent.name, "seed": run.seed} | pooled(folds)
        record.publish(result, arguments)


if __name__ == "__main__":
    main()
