"""What each way to resize costs, and what it does to the answers of a model trained with another.

    python benchmarks/resize.py FOLDS DATA [--json FILE]

FOLDS is a folder that ``edgecap crossval --out FOLDS`` has left, DATA the manifest it was given.
Each fold's int8 model is streamed over the clips that it has not seen, their frames resized in each
of OpenCV's ways. Cost: a frame of 640×480 to the model's size, one thread, the ways in turns.
``linear_rows`` is what edgecap does where a whole odd number of rows falls on one: INTER_LINEAR on
only those rows, which gives the same bytes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import record

import edgecap
from edgecap.dataset import open_dataset
from edgecap.evaluation import Recording, evaluate, model_predictor
from edgecap.preprocess import resize
from edgecap.quantization import image_tensor
from edgecap.recordings import recording_of
from edgecap.spec import InputSpec
from edgecap.streaming import StreamingModel

Image = npt.NDArray[np.uint8]
_METHODS = {
    "linear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "area": cv2.INTER_AREA,
    "linear_exact": cv2.INTER_LINEAR_EXACT,
}
_CAMERA = (480, 640)
_ROUNDS, _TIMES = 41, 25


def native_size(path: Path) -> tuple[int, int]:
    """Height and width of a video."""
    capture = cv2.VideoCapture(str(path))
    size = capture.get(cv2.CAP_PROP_FRAME_HEIGHT), capture.get(cv2.CAP_PROP_FRAME_WIDTH)
    capture.release()
    return round(size[0]), round(size[1])


def clips(
    folds: Path, data: str, fold: int, model: StreamingModel
) -> Iterator[dict[str, Recording]]:
    """Each clip that the fold's model has not seen, by the way its frames are resized."""
    test = set(json.loads((folds / f"fold-{fold}" / "split.json").read_text())["test"])
    dataset = open_dataset(data, task=model.spec.task)
    size = (model.spec.input.width, model.spec.input.height)
    for clip in dataset.clips:
        if clip.name not in test:
            continue
        whole = InputSpec(image_tensor(*native_size(clip.path)))
        frames = clip.read(whole, model.spec.rate_hz)
        yield {
            name: recording_of(
                clip,
                dataset,
                images=np.stack(
                    [cv2.resize(image, size, interpolation=method) for image in frames.images]
                ),
                timestamps_s=frames.timestamps_s,
                values=frames.values,
            )
            for name, method in _METHODS.items()
        }


def answers(folds: Path, data: str) -> dict[str, Any]:
    """Clips answered rightly over all folds, by the way of resizing."""
    right = dict.fromkeys(_METHODS, 0)
    count = 0
    for fold in range(len(list(folds.glob("fold-*/model.tflite")))):
        model = edgecap.load(folds / f"fold-{fold}" / "model.tflite")
        recordings = list(clips(folds, data, fold, model))
        count += len(recordings)
        for name in _METHODS:
            result = evaluate(
                model_predictor(model),
                [recording[name] for recording in recordings],
                labels=model.labels,
                decision=model.spec.decision,
            )
            right[name] += sum(answer.right for answer in result.answers)
    return {name: {"right": n, "accuracy": round(n / count, 4)} for name, n in right.items()} | {
        "clips": count
    }


def costs(spec: InputSpec) -> dict[str, float]:
    """µs a frame, medians over rounds in which each way takes its turn."""
    rng = np.random.default_rng(0)
    image: Image = rng.integers(0, 256, (*_CAMERA, 3), dtype=np.uint8)
    size = (spec.width, spec.height)

    def plain(method: int) -> Callable[[], object]:
        return lambda: cv2.resize(image, size, interpolation=method)

    ways: dict[str, Callable[[], object]] = {name: plain(m) for name, m in _METHODS.items()}
    ways["linear_rows"] = lambda: resize(image, spec)
    times: dict[str, list[float]] = {name: [] for name in ways}
    cv2.setNumThreads(1)
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            began = time.perf_counter()
            for _ in range(_TIMES):
                way()
            times[name].append((time.perf_counter() - began) / _TIMES * 1e6)
    return {name: round(float(np.median(found)), 2) for name, found in times.items()}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("folds", type=Path)
    parser.add_argument("data")
    arguments = parser.parse_args()
    spec = edgecap.load(arguments.folds / "fold-0" / "model.tflite").spec.input
    result = {
        "from": f"{_CAMERA[1]}x{_CAMERA[0]}",
        "cost_us": {
            f"{side}x{side}": costs(InputSpec(image_tensor(side, side)))
            for side in sorted({96, spec.width, 224})
        },
        "trained_with": spec.resize,
        "answers": answers(arguments.folds, arguments.data),
    }
    record.publish(result, arguments)


if __name__ == "__main__":
    main()
