"""The examples on real clips, cross-validated: int8 models streamed over clips they have not seen.

    python benchmarks/cross_validation.py gestures MANIFEST [--weights FILE] [--json FILE]
    python benchmarks/cross_validation.py fights MANIFEST --column random_fold …

MANIFEST has the columns path, label, group and fold. The settings are those of
``examples/NAME.toml``; ``--weights`` takes the encoder's ImageNet weights from a file instead of
downloading them. Every fold is trained, converted, and its int8 model streamed frame by frame over
the fold's clips, preprocessing included.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import record

_EXAMPLES = Path(__file__).parents[1] / "examples"
_KEPT = (
    "accuracy",
    "end_accuracy",
    "frame_accuracy",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "roc_auc",
    "segments",
    "confusion",
)


def settings(name: str, weights: str | None) -> str:
    """The example's text, with the weights from a file if one is given."""
    text = (_EXAMPLES / f"{name}.toml").read_text("utf-8")
    return text if weights is None else text.replace('"imagenet"\n', json.dumps(weights) + "\n")


def measure(name: str, data: str, *, column: str, weights: str | None, seed: int, out: Path) -> Any:
    """Runs ``edgecap crossval``; what was begun in ``out`` is gone on with."""
    out.mkdir(parents=True, exist_ok=True)
    config = out / "config.toml"
    config.write_text(settings(name, weights), "utf-8")
    options = ["--column", column, "--config", str(config), "--seed", str(seed)]
    summary, _ = record.edgecap("crossval", data, *options, "--out", str(out / "folds"), "--resume")
    folds = [
        {
            "fold": fold["fold"],
            "seconds": round(fold["train_seconds"] + fold["convert_seconds"], 1),
            "stage_seconds": fold["stage_seconds"],
            "bytes": fold["bytes"],
        }
        | {
            mode: {figure: fold[mode][figure] for figure in _KEPT if figure in fold[mode]}
            for mode in ("float", "fake_quant", "int8")
        }
        for fold in summary["folds"]
    ]
    config_used = summary["config"]
    if weights is not None:
        config_used["encoder"]["weights"] = Path(weights).name
    return {
        "protocol": summary["protocol"],
        "int8": summary["int8"],
        "float": {name: summary["float"][name] for name in ("accuracy", "macro_f1", "mean", "sd")},
        "folds": folds,
        "seed": seed,
        "config": config_used,
        "versions": summary["versions"],
    }


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("name", choices=["gestures", "fights"])
    parser.add_argument("data")
    parser.add_argument("--column", default="fold")
    parser.add_argument("--weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the runs here, and go on with what is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(
            arguments.name,
            arguments.data,
            column=arguments.column,
            weights=arguments.weights,
            seed=arguments.seed,
            out=arguments.out or Path(folder),
        )
        record.publish(result, arguments)


if __name__ == "__main__":
    main()
