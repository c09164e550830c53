"""Where quantisation-aware training learns: the whole network, or behind the int8 encoder.

    python benchmarks/int8_features.py RUN [--json FILE]

RUN is a folder of ``edgecap train``. Its network is quantised three times: with calibrated ranges
alone; trained on as a whole with fake quantisation; and with encoder and neck left as they are,
what remembers trained on the features that the int8 encoder itself computes (``freeze_encoder``).
Each is converted, and its file streamed over the run's held-out recordings.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import record
from edgecap_convert.export.assemble import convert_made, describe, measured_part, open_model
from edgecap_convert.export.card import headline
from edgecap_convert.export.convert import quantise
from edgecap_convert.parity.accuracy import compare_clips
from edgecap_convert.quantization.recipes import DEFAULT_RECIPE, recipe_named
from edgecap_convert.training.material import open_material
from edgecap_convert.training.predict import network_predictor
from edgecap_convert.training.runs import open_run

from edgecap.evaluation import Evaluation, Predictor, evaluate, model_predictor

#: Name → whether it is trained, and whether the encoder is left as it is.
_WAYS = {
    "calibrated": (False, False),
    "trained as a whole": (True, False),
    "trained on int8 features": (True, True),
}


def measure(path: Path) -> dict[str, Any]:
    """All ways, one after the other; ``path`` may be written to."""
    run = open_run(path)
    material = open_material(run.data, run.config, seed=run.seed, fold=run.fold)
    part, recordings = measured_part(material)
    network, recipe = run.network(), recipe_named(DEFAULT_RECIPE)

    def measured(predict: Predictor) -> Evaluation:
        return evaluate(predict, recordings, labels=run.labels, decision=run.decision)

    whole = measured(network_predictor(network, run.task))
    result: dict[str, Any] = {"float": headline(whole.to_dict()), "measured on": part}
    for name, (qat, freeze) in _WAYS.items():
        config = dataclasses.replace(run.config, freeze_encoder=freeze)
        changed = dataclasses.replace(run, config=config)
        began = time.monotonic()
        made = quantise(changed, network, material, recipe, qat=qat)
        seconds = time.monotonic() - began
        model = convert_made(made, recipe)
        file = open_model(model, describe(run, model, made, recipe.name, recipe))
        streamed = measured(model_predictor(file))
        clips = compare_clips(whole, streamed)
        result[name] = {
            "int8": headline(streamed.to_dict()),
            "frame_accuracy": round(streamed.frame_accuracy, 5),
            "same_clips_as_float": round(clips["same"] / whole.segments, 5),
            "right_in_float_only": clips["float_only"],
            "right_in_file_only": clips["file_only"],
            "seconds": round(seconds, 1),
        }
    result["float_frame_accuracy"] = round(whole.frame_accuracy, 5)
    result["clips"] = whole.segments
    return result


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("run", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        shutil.copytree(arguments.run, copy)
        record.publish(measure(copy), arguments)


if __name__ == "__main__":
    main()
