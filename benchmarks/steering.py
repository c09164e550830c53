"""The steering example on real runs of a model car, beside what it has to beat.

    python benchmarks/steering.py FOLDER [--weights FILE] [--json FILE]

FOLDER has runNN.mp4 and runNN.csv (frame, angle). Runs 22 to 26 are the test part. Measured at the
model's rate, every frame of the test runs: the mean angle of the training runs; ridge regression on
the frozen encoder's features of the single frame, with the penalty chosen by grouped
cross-validation over the training runs; the same network without its LSTM, trained alike; and the
network, as float and as int8 model streamed frame by frame. Several seeds, since a seed moves the
error by as much as some of the differences.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import record
from cross_validation import settings
from record import edgecap
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

_FIRST_TEST_RUN = 22
_PENALTIES = [10.0**power for power in range(0, 7)]


def write_manifest(folder: Path, path: Path) -> None:
    """path,table,group,part: runs from 22 on test."""
    rows = ["path,table,group,part"]
    for video in sorted(folder.glob("run*.mp4")):
        found = re.search(r"\d+", video.stem)
        number = int(found.group()) if found else 0
        part = "test" if number >= _FIRST_TEST_RUN else "train"
        rows.append(f"{video.resolve()},{video.resolve().with_suffix('.csv')},{video.stem},{part}")
    path.write_text("\n".join(rows) + "\n", "utf-8")


def baselines(manifest: Path, config: Path) -> dict[str, float]:
    """MSE of the mean and of ridge regression on the frozen encoder's single-frame features."""
    from edgecap_convert.training.config import load_config
    from edgecap_convert.training.material import open_material
    from edgecap_convert.training.predict import NetworkPredictor
    from edgecap_convert.training.stages import build_network

    chosen = load_config(config)
    material = open_material(str(manifest), chosen, seed=0)
    encode = NetworkPredictor(build_network(chosen, 1, seed=0), "regression").encode
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"train": [], "test": []}
    for part, recordings in (
        ("train", material.training_recordings),
        ("train", material.validation),
        ("test", material.test),
    ):
        for recording in recordings:
            assert recording.targets is not None
            grids = encode(recording.images)
            parts[part].append((grids.reshape(len(grids), -1), recording.targets[:, 0]))
    features, angles = (np.concatenate(each) for each in zip(*parts["train"], strict=True))
    groups = np.concatenate([np.full(len(y), i) for i, (_, y) in enumerate(parts["train"])])
    test_features, test_angles = (np.concatenate(each) for each in zip(*parts["test"], strict=True))
    spread = features.std(axis=0) + 1e-6
    search = GridSearchCV(
        Ridge(),
        {"alpha": _PENALTIES},
        scoring="neg_mean_squared_error",
        cv=GroupKFold(5),
    )
    search.fit(features / spread, angles, groups=groups)
    answers = search.predict(test_features / spread)
    return {
        "mean": float(np.mean((test_angles - angles.mean()) ** 2)),
        "ridge_on_single_frames": float(np.mean((test_angles - answers) ** 2)),
        "ridge_penalty": search.best_params_["alpha"],
        "test_frames": len(test_angles),
    }


def measure(folder: Path, data: Path, weights: str | None, seeds: int) -> dict[str, Any]:
    """Trains both networks from every seed, and fits the baselines."""
    manifest = folder / "steering.csv"
    write_manifest(data, manifest)
    text = settings("steering", weights)
    configs = {"lstm": folder / "lstm.toml", "without_lstm": folder / "without.toml"}
    configs["lstm"].write_text(text, "utf-8")
    configs["without_lstm"].write_text(text.replace("[lstm]\n", "[lstm]\nlayers = 0\n"), "utf-8")
    result: dict[str, Any] = {"baselines": baselines(manifest, configs["lstm"])}
    for name, config in configs.items():
        runs = []
        for seed in range(seeds):
            run, model = folder / f"{name}-{seed}", folder / f"{name}-{seed}.tflite"
            train = ("train", str(manifest), "--config", str(config), "--out", str(run))
            metrics, _ = edgecap(*train, "--seed", str(seed))
            parity, _ = edgecap("convert", str(run), "--out", str(model))
            runs.append(
                {
                    "seed": seed,
                    "float": metrics["test"]["mse"],
                    "int8": parity["accuracy"]["int8"]["mse"],
                    "seconds": metrics["seconds"],
                    "bytes": model.stat().st_size,
                }
            )
        result[name] = {
            "mean_mse_float": float(np.mean([run["float"] for run in runs])),
            "mean_mse_int8": float(np.mean([run["int8"] for run in runs])),
            "runs": runs,
        }
    return result | {"config": text if weights is None else settings("steering", "FILE")}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record.publish(
            measure(Path(folder), arguments.data, arguments.weights, arguments.seeds), arguments
        )


if __name__ == "__main__":
    main()
