"""Captions: float beside int8, calibrated and trained, and what a sentence costs.

    python benchmarks/captions.py RUN [--json FILE]

RUN is a folder of ``edgecap train`` of a captioning network. It is converted twice, with ranges
that are only learnt and with quantisation-aware training; both files tell the pictures that the run
was measured on. Then the parts of a caption are timed on one thread, beam by beam in turns.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import record
from edgecap_convert.captions.convert import convert_caption_run
from edgecap_convert.captions.grids import picture
from edgecap_convert.captions.material import open_captions
from edgecap_convert.captions.runs import CaptionRun, open_caption_run
from edgecap_convert.training.runs import read_histories, read_metrics

import edgecap

_WAYS = {"calibrated": False, "trained": True}
_BEAMS = (1, 3, 5, 10)
_PICTURES = 150
_KEPT = (
    "accuracy",
    "same_sentences",
    "same_as_float",
    "steps",
    "bytes",
    "quantize_seconds",
    "convert_seconds",
    "parity_seconds",
    "qat_loss",
    "caption_ms",
)


def measure(path: Path) -> dict[str, Any]:
    """Everything; ``path`` may be written to."""
    run = open_caption_run(path)
    metrics = read_metrics(path)
    result: dict[str, Any] = {
        "training": {k: metrics[k] for k in ("data", "words", "seconds", "stage_seconds", "test")}
        | {"validated": [each["cider_d"] for each in read_histories(run)[0]["validated"]]},
        "seed": run.seed,
        "config": run.config.to_dict() | {"encoder": _without_place(run)},
    }
    for way, qat in _WAYS.items():
        out = path / f"{way}.tflite"
        found = convert_caption_run(path, out, qat=qat)
        result[way] = {name: found[name] for name in _KEPT} | {"file_bytes": out.stat().st_size}
    result["times"] = times(run, path / "trained.tflite")
    return result


def times(run: CaptionRun, path: Path) -> dict[str, Any]:
    """Medians in ms on one thread: encoder, step, and whole captions by beam."""
    model = edgecap.load_captioner(path)
    images = open_captions(run.data, share=run.config.validation, seed=run.seed).test[:_PICTURES]
    took: dict[str, list[float]] = {
        name: [] for name in ("encode", "step", *(f"beam {beam}" for beam in _BEAMS))
    }

    def timed(name: str, act: Any) -> Any:
        began = time.perf_counter()
        found = act()
        took[name].append((time.perf_counter() - began) * 1e3)
        return found

    words, start = [], model.search_settings.start
    for image in images:
        seen = picture(image, run.input)
        scene = timed("encode", lambda seen=seen: model.encode(seen))
        timed("step", lambda scene=scene: model.step(start, scene, scene.states))
        for beam in _BEAMS:
            before = model.encoded
            caption = timed(
                f"beam {beam}", lambda seen=seen, beam=beam: model.caption(seen, beam=beam)
            )
            assert model.encoded == before + 1
        words.append(len(caption.words))
    return {
        "pictures": len(images),
        "runtime": str(model.backend),
        "words_mean": round(float(np.mean(words)), 2),
        "median_ms": {name: round(float(np.median(ms)), 3) for name, ms in took.items()},
        "p95_ms": {name: round(float(np.percentile(ms, 95)), 3) for name, ms in took.items()},
    }


def _without_place(run: CaptionRun) -> dict[str, Any]:
    """The encoder, its weights by their file's name alone."""
    encoder = run.config.to_dict()["encoder"]
    return encoder | {"weights": Path(encoder["weights"]).name if encoder["weights"] else None}


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
