"""Image sequences: generated scan-like volumes in which only the course over the slices tells.

    python benchmarks/slices.py [--seed N] [--json FILE]

Trains by ``examples/slices.toml`` on the volumes of ``examples/make_slices.py``, converts, and
streams volumes of other patients through float network and int8 file. The controls see the same
slices without their order, and should be left with chance: the same training without memory, its
answers averaged over the second half of the slices (as everywhere) or over all of them; and
logistic regression on mean and deviation, over all slices, of what the trained network's memory
reads.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import record
from edgecap_convert.training.predict import NetworkPredictor
from edgecap_convert.training.runs import Run, open_run
from record import edgecap
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edgecap.evaluation import Recording
from edgecap.recordings import open_recordings

_EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
_PATIENTS, _NEW_PATIENTS = 60, 50
_NO_MEMORY = "\n[lstm]\nlayers = 0\n"


def volumes(folder: Path, patients: int, seed: int) -> str:
    """Draws them; returns their manifest."""
    script = str(_EXAMPLES / "make_slices.py")
    arguments = ["--patients", str(patients), "--seed", str(seed)]
    subprocess.run([sys.executable, script, str(folder), *arguments], check=True, stdout=sys.stderr)
    return str(folder / "manifest.csv")


def measure(folder: Path, seed: int) -> dict[str, Any]:
    """Trains with memory and without."""
    known = volumes(folder / "known", _PATIENTS, 2 * seed)
    new = volumes(folder / "new", _NEW_PATIENTS, 2 * seed + 1)
    run, blind, model = (str(folder / name) for name in ("run", "blind", "model.tflite"))
    config = _EXAMPLES / "slices.toml"
    alone = folder / "alone.toml"
    alone.write_text(config.read_text() + _NO_MEMORY)
    settings = ("--config", str(config), "--seed", str(seed))
    _, train_s = edgecap("train", known, "--out", run, *settings)
    _, convert_s = edgecap("convert", run, "--out", model)
    int8, evaluate_s = edgecap("evaluate", model, new)
    floating, _ = edgecap("evaluate", run, new)
    edgecap("train", known, "--out", blind, "--config", str(alone), "--seed", str(seed))
    without, _ = edgecap("evaluate", blind, new)
    return {
        "patients": {"known": _PATIENTS, "new": _NEW_PATIENTS},
        "chance": 1 / len(int8["labels"]),
        "seconds": {
            "train": round(train_s, 1),
            "convert": round(convert_s, 1),
            "evaluate": round(evaluate_s, 1),
            "total": round(train_s + convert_s + evaluate_s, 1),
        },
        "new_patients": {
            "volumes": int8["segments"],
            "float": _figures(floating),
            "int8": _figures(int8),
        },
        "controls_on_new_patients": {
            "no_memory": _figures(without),
            "no_memory_mean_of_all_slices": _mean_of_all(open_run(blind), new),
            "bag_of_slices_regression": _bag(open_run(run), known, new),
        },
        "bytes": Path(model).stat().st_size,
    }


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("accuracy", "end_accuracy", "macro_f1", "confusion")}


def _recordings(run: Run, data: str) -> Iterator[Recording]:
    return open_recordings(
        data, spec=run.input, rate_hz=run.rate_hz, labels=run.labels, task=run.task
    )


def _pooled(
    run: Run, data: str, pool: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.str_]]:
    """A vector and the truth of each volume."""
    pairs = [(pool(r.images), r.segments[0].label) for r in _recordings(run, data)]
    vectors, truth = zip(*pairs, strict=True)
    return np.stack(vectors), np.array(truth)


def _mean_of_all(run: Run, data: str) -> dict[str, float]:
    predict = NetworkPredictor(run.network(), run.task)
    scores, truth = _pooled(run, data, lambda images: predict(images).mean(axis=0))
    return {"accuracy": float((np.array(run.labels)[scores.argmax(axis=1)] == truth).mean())}


def _bag(run: Run, known: str, new: str) -> dict[str, float]:
    features = NetworkPredictor(run.network(), run.task).features

    def pool(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        values = features(images)
        return np.concatenate([values.mean(axis=0), values.std(axis=0)])

    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    regression.fit(*_pooled(run, known, pool))
    return {"accuracy": float(regression.score(*_pooled(run, new, pool)))}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record.publish(measure(Path(folder), arguments.seed), arguments)


if __name__ == "__main__":
    main()
