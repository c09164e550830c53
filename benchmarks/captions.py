"""Captions: float beside int8, by recipe, calibrated and trained, and what a sentence costs.

    python benchmarks/captions.py RUN [--json FILE]

RUN is a folder of ``edgecap train`` of a captioning network. It is converted with ranges that are
only learnt and with quantisation-aware training, and by the recipe of integers throughout; all
files tell the pictures that the run was measured on. Then the parts of a caption are timed on one
thread, file by file and beam by beam in turns.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import record
from edgecap_convert.captions.convert import convert_caption_run
from edgecap_convert.captions.grids import picture
from edgecap_convert.captions.material import open_captions
from edgecap_convert.captions.runs import CaptionRun, open_caption_run
from edgecap_convert.quantization.recipes import CAPTION_RECIPE
from edgecap_convert.training.runs import read_histories, read_metrics

import edgecap
from edgecap.captioning.model import CaptionModel

# Name of a result → recipe, and whether it is trained on.
_WAYS = {
    "calibrated": (CAPTION_RECIPE.name, False),
    "trained": (CAPTION_RECIPE.name, True),
    "integers": ("int8", True),
}
_TIMED = ("trained", "integers")
_BEAMS = (1, 3, 5, 10)
_PICTURES = 150
_KEPT = (
    "accuracy",
    "recipe",
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
    for way, (recipe, qat) in _WAYS.items():
        out = path / f"{way}.tflite"
        found = convert_caption_run(path, out, recipe=recipe, qat=qat)
        result[way] = {name: found[name] for name in _KEPT} | {"file_bytes": out.stat().st_size}
    images = open_captions(run.data, share=run.config.validation, seed=run.seed).test[:_PICTURES]
    timed = [Timed(edgecap.load_captioner(path / f"{way}.tflite")) for way in _TIMED]
    for image in images:
        for each in timed:
            each.tell(picture(image, run.input))
    result["times"] = {way: each.summary() for way, each in zip(_TIMED, timed, strict=True)}
    return result


class Timed:
    """What a file takes on one thread: encoder, step, and whole captions by beam."""

    def __init__(self, model: CaptionModel) -> None:
        self._model = model
        self._took: dict[str, list[float]] = {}
        self._words: list[int] = []

    def tell(self, seen: npt.NDArray[np.uint8]) -> None:
        """Tells a picture in its own size once with each beam."""
        model = self._model
        scene = self._timed("encode", lambda: model.encode(seen))
        start = model.search_settings.start
        self._timed("step", lambda: model.step(start, scene, scene.states))
        for beam in _BEAMS:
            before = model.encoded
            caption = self._timed(f"beam {beam}", lambda beam=beam: model.caption(seen, beam=beam))
            assert model.encoded == before + 1
        self._words.append(len(caption.words))

    def _timed(self, name: str, act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = act()
        self._took.setdefault(name, []).append((time.perf_counter() - began) * 1e3)
        return found

    def summary(self) -> dict[str, Any]:
        took = self._took.items()
        return {
            "pictures": len(self._words),
            "runtime": str(self._model.backend),
            "words_mean": round(float(np.mean(self._words)), 2),
            "median_ms": {name: round(float(np.median(ms)), 3) for name, ms in took},
            "p95_ms": {name: round(float(np.percentile(ms, 95)), 3) for name, ms in took},
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
