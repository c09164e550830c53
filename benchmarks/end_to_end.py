"""From nothing to an int8 model: train, convert and evaluate on synthetic scenes, timed.

    python benchmarks/end_to_end.py [--seed N] [--json FILE]

The bars: under 12 minutes on 2 cores, at least 95 % int8 on fresh scenes, int8 within 1 point of
float.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import record
from record import edgecap

_FRESH = "synthetic:seed=17,gestures=1500"


def measure(folder: Path, seed: int) -> dict[str, Any]:
    """Runs all three verbs."""
    run, model = str(folder / "run"), str(folder / "model.tflite")
    _, train_s = edgecap("train", "synthetic:", "--out", run, "--seed", str(seed))
    parity, convert_s = edgecap("convert", run, "--out", model)
    int8, evaluate_s = edgecap("evaluate", model, _FRESH)
    floating, _ = edgecap("evaluate", run, _FRESH)
    fake_quant, _ = edgecap("evaluate", run, _FRESH, "--network", "fake-quant")
    return {
        "seconds": {
            "train": round(train_s, 1),
            "convert": round(convert_s, 1),
            "evaluate": round(evaluate_s, 1),
            "total": round(train_s + convert_s + evaluate_s, 1),
        },
        "fresh_scenes": {
            mode: {name: result[name] for name in ("accuracy", "frame_accuracy", "events")}
            for mode, result in (("float", floating), ("fake_quant", fake_quant), ("int8", int8))
        },
        "validation": {
            mode: {name: result[name] for name in ("accuracy", "frame_accuracy", "events")}
            for mode, result in parity["accuracy"].items()
        },
        "same_answers_int8_and_fake_quant": parity["same_answers"],
        "bytes": Path(model).stat().st_size,
    }


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record.publish(measure(Path(folder), arguments.seed), arguments)


if __name__ == "__main__":
    main()
