"""int8 against the fake-quantised network: the recurrent step alone, and the whole graph.

    python benchmarks/parity.py RUN [--json FILE]

RUN is a folder of ``edgecap train``; it is quantised and converted anew, as ``edgecap convert``
does. Teacher-forced: every step starts from the fake-quantised network's state. Free-running: each
side carries its own over 2,000 frames of a scene that no training has seen.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import record
from edgecap_convert.export.assemble import Converted, finish
from edgecap_convert.parity.steps import free_running, teacher_forced
from edgecap_convert.quantization.qat import train_quantized
from edgecap_convert.quantization.recipes import recipe_named
from edgecap_convert.training.material import open_material
from edgecap_convert.training.predict import NetworkPredictor
from edgecap_convert.training.runs import open_run

import edgecap
from edgecap.synthetic import Scene

_FRAMES = 2000
_KERNELS = ("xnnpack", "builtin", "reference")


def measure(run_path: Path, model_path: Path) -> dict[str, Any]:
    """Converts and compares on every kind of kernels."""
    run = open_run(run_path)
    data = open_material(run.data, run.config, seed=run.seed, fold=run.fold)
    trained = train_quantized(
        run.network(), run.config, data, seed=run.seed, folder=model_path.parent
    )
    made = Converted(trained.network, trained.quantized, trained.history)
    parity = finish(run, made, data, model_path, recipe_named("int8"), name=model_path.stem)
    spec = run.input
    scene = Scene(seed=1 << 52, height=spec.height, width=spec.width, rate_hz=run.rate_hz)
    images = np.stack([frame.image for frame, _ in zip(scene, range(_FRAMES), strict=False)])
    features = NetworkPredictor(trained.quantized, run.task).features(images)
    result: dict[str, Any] = {
        "accuracy": {mode: r["accuracy"] for mode, r in parity["accuracy"].items()}
    }
    for kernels in _KERNELS:
        forced = teacher_forced(trained.quantized, features, kernels=kernels)
        model = edgecap.load(model_path, kernels=kernels)
        free, same = free_running(trained.quantized, model, images)
        hidden = free.errors["h"].mean(axis=1)
        quarters = [round(float(part.mean()), 4) for part in np.array_split(hidden, 4)]
        result[kernels] = {
            "teacher_forced": {
                "frames": _FRAMES,
                "equal": round(forced.equal, 6),
                "within_1_step": round(forced.within_one, 6),
                "largest_steps": round(forced.largest, 3),
            },
            "free_running": {
                "frames": _FRAMES,
                "same_answers": round(float(same.mean()), 5),
                "mean_error_of_h_by_quarter_steps": quarters,
                "largest_error_of_h_steps": float(free.errors["h"].max()),
            },
        }
    return result


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("run", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record.publish(measure(arguments.run, Path(folder) / "model.tflite"), arguments)


if __name__ == "__main__":
    main()
