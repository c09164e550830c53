"""What a gate saves on a still scene, and what it costs in accuracy on clips where things happen.

    python benchmarks/gate.py --still CLIP … [--gestures FOLDS DATA] [--fights FOLDS DATA]
        [--threshold X …] [--json FILE]

FOLDS is a folder that ``edgecap crossval --out FOLDS`` has left, DATA the manifest it was given:
each fold's int8 model is streamed over the clips that it has not seen, without a gate and with one.
The clips are short and nearly always move, so the same is done with three still seconds in front of
each: its first frame, with a sensor's noise.

Each CLIP, of a camera before which hardly anything happens, becomes two endless still scenes: it is
played to and fro, and its first frame is held with a sensor's noise. The packaged model and those
of the first folds are streamed over them. Blocks of both ways take turns; processor time, gate and
decisions included.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import record

import edgecap
from edgecap.assets import resolve_model
from edgecap.cut_step import cut_step
from edgecap.dataset import Clip, open_dataset
from edgecap.evaluation import Recording, evaluate, gated_predictor, ungated_predictor
from edgecap.evaluation.scoring import Activations, Predictor
from edgecap.gate import DEFAULT_THRESHOLD, SceneGate, Seen
from edgecap.preprocess import Preprocessor
from edgecap.recordings import recording_of
from edgecap.spec import InputSpec
from edgecap.steps import WholeStep
from edgecap.streaming import StreamingModel

Frames = npt.NDArray[np.uint8]
_LEAD_S = 3.0
# Of a small camera indoors; in grey levels, shared by the channels and each channel's own.
_NOISE, _CHANNEL_NOISE = 2.0, 1.0
_BLOCKS, _BLOCK = 9, 100


def noisy(picture: npt.NDArray[np.uint8], count: int, seed: int) -> Frames:
    """A still picture ``(H, W, 3)`` as a sensor gives it, ``(count, H, W, 3)``."""
    rng = np.random.default_rng(seed)
    shape = (count, *picture.shape)
    noise = rng.normal(0, _NOISE, (*shape[:3], 1)) + rng.normal(0, _CHANNEL_NOISE, shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def clips(folds: Path, data: str, fold: int, model: StreamingModel) -> Iterator[Recording]:
    """Those that the fold's model has not seen."""
    test = set(json.loads((folds / f"fold-{fold}" / "split.json").read_text())["test"])
    dataset = open_dataset(data, task=model.spec.task)
    for clip in dataset.clips:
        if clip.name in test:
            frames = clip.read(model.spec.input, model.spec.rate_hz)
            yield recording_of(
                clip,
                dataset,
                images=frames.images,
                timestamps_s=frames.timestamps_s,
                values=frames.values,
            )


def led_in(predict: Predictor, model: StreamingModel) -> Predictor:
    """The predictor on recordings that begin with a still scene, which is not scored."""
    count = round(_LEAD_S * model.spec.rate_hz)

    def led(images: Frames) -> Activations:
        lead = noisy(images[0], count, seed=len(images))
        return predict(np.concatenate([lead, images]))[count:]

    return led


def accuracy(folds: Path, data: str, thresholds: list[float]) -> dict[str, Any]:
    """Right answers of all folds together, and the share of frames encoded."""
    count = len(list(folds.glob("fold-*/model.tflite")))
    rows: dict[tuple[str, float | None], dict[str, float]] = {}
    for fold in range(count):
        model = edgecap.load(folds / f"fold-{fold}" / "model.tflite")
        recordings = list(clips(folds, data, fold, model))
        chosen: list[tuple[str, float | None]] = [("clips", None)]
        chosen += [("clips", threshold) for threshold in thresholds]
        chosen += [("still_lead_in", None), ("still_lead_in", DEFAULT_THRESHOLD)]
        for material, threshold in chosen:
            measured = (
                ungated_predictor(model)
                if threshold is None
                else gated_predictor(model, SceneGate(threshold))
            )
            predict = measured if material == "clips" else led_in(measured, model)
            result = evaluate(
                predict, recordings, labels=model.labels, decision=model.spec.decision
            )
            row = rows.setdefault(
                (material, threshold),
                {"clips": 0, "right": 0, "frames": 0, "encoded": 0, "frames_right": 0.0},
            )
            scored = sum(len(recording.images) for recording in recordings)
            row["clips"] += result.segments
            row["right"] += sum(answer.right for answer in result.answers)
            row["frames"] += measured.usage.frames
            row["encoded"] += measured.usage.encoded
            row["frames_right"] += result.frame_accuracy * scored
            row["scored"] = row.get("scored", 0) + scored
    return {"folds": count, "of": [_told(*key, row, rows) for key, row in rows.items()]}


def _told(
    material: str,
    threshold: float | None,
    row: dict[str, float],
    rows: dict[tuple[str, float | None], dict[str, float]],
) -> dict[str, Any]:
    lost = (rows[material, None]["right"] - row["right"]) / row["clips"] * 100
    return {
        "material": material,
        "threshold": threshold,
        "accuracy": round(row["right"] / row["clips"], 5),
        "points_lost": round(lost, 3),
        "frame_accuracy": round(row["frames_right"] / row["scored"], 5),
        "clips": row["clips"],
        "encoded_share": round(row["encoded"] / row["frames"], 4),
    }


def still_scenes(
    paths: list[Path], spec: InputSpec, rate_hz: float
) -> Iterator[tuple[str, Frames]]:
    """Name and frames ``(N, H, W, 3)`` of each scene; its end goes over into its beginning."""
    for number, path in enumerate(paths):
        images = Clip(path, (), "", root=path.parent).read(spec, rate_hz).images
        there_and_back = np.concatenate([images, images[-2:0:-1]])
        times = -(-_BLOCK // len(there_and_back))
        yield f"{path.name}, to and fro", np.tile(there_and_back, (times, 1, 1, 1))
        yield f"first frame of {path.name}, with noise", noisy(images[0], _BLOCK, number)


def savings(path: Path, frames: Frames) -> dict[str, Any]:
    """Processor time of ``Stream.step`` with a gate and without, on one endless scene."""
    # A model each: a gated one runs in two parts.
    whole = edgecap.load(path).stream()
    gated = edgecap.load(path).stream(gate=SceneGate())
    times: dict[str, list[float]] = {"without": [], "with": []}
    for block in range(_BLOCKS + 1):
        for name, stream in (("without", whole), ("with", gated)):
            began = time.process_time()
            for frame in frames:
                stream.step(frame)
            seconds = time.process_time() - began
            if block:  # the first one warms up
                times[name].append(seconds / len(frames) * 1e6)
    without, on = (np.array(times[name]) for name in ("without", "with"))
    return {
        "without_us": round(float(np.median(without)), 1),
        "with_us": round(float(np.median(on)), 1),
        "times_less": round(float(np.median(without / on)), 2),
        "encoded_share": round(gated.encoded / gated.frames, 4),
    }


def still(path: Path, clips: list[Path]) -> dict[str, Any]:
    """What the gate saves with one model on all scenes."""
    model = edgecap.load(path)
    size = model.spec.input
    return {
        "input": f"{size.width}×{size.height} at {model.spec.rate_hz:g} frames/s",
        "scenes": {
            name: savings(path, frames)
            for name, frames in still_scenes(clips, size, model.spec.rate_hz)
        },
        "parts_us": parts(model),
    }


def parts(model: StreamingModel) -> dict[str, float]:
    """Medians of what a gated step is made of."""
    gate = SceneGate()
    step = cut_step(model.bundle, WholeStep(model.bundle))
    size = model.spec.input
    picture = noisy(np.full((size.height, size.width, 3), 128, np.uint8), 1, 0)[0]
    image = Preprocessor(size)(picture)
    states = model.initial_states()
    seen = Seen(gate.blocks(picture), step.encode(image), 0.0)
    sides: dict[str, Callable[[], object]] = {
        "gate": lambda: gate.opens(seen, gate.blocks(picture), 0.1),
        "encode": lambda: step.encode(image),
        "advance": lambda: step.advance(seen.features, states),
    }
    told = {}
    for name, side in sides.items():
        times = []
        for _ in range(30):
            began = time.perf_counter()
            for _ in range(10):
                side()
            times.append((time.perf_counter() - began) / 10 * 1e6)
        told[name] = round(float(np.median(times)), 1)
    return told


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--still", nargs="+", type=Path, required=True, metavar="CLIP")
    parser.add_argument("--gestures", nargs=2, metavar=("FOLDS", "DATA"))
    parser.add_argument("--fights", nargs=2, metavar=("FOLDS", "DATA"))
    parser.add_argument("--threshold", nargs="*", type=float, default=[DEFAULT_THRESHOLD])
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "gate": dataclasses.asdict(SceneGate()),
        "noise": {"all_channels": _NOISE, "each_channel": _CHANNEL_NOISE},
        "still": {"demo": still(resolve_model("demo"), arguments.still)},
        "accuracy": {},
    }
    for name in ("gestures", "fights"):
        given = getattr(arguments, name)
        if given is not None:
            folds, data = Path(given[0]), given[1]
            model = folds / "fold-0" / "model.tflite"
            result["still"][name] = still(model, arguments.still)
            result["accuracy"][name] = accuracy(folds, data, arguments.threshold)
    record.publish(result, arguments)


if __name__ == "__main__":
    main()
