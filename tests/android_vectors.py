"""Writes the test vectors that hold the Android core to the Python runtime.

    python -m tests.android_vectors FOLDER

``vectors.json`` lists the cases of each kind; what is large stands in files beside it, as raw
little-endian arrays. ``android_demo/core/src/test`` reads them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np

import edgecap
from edgecap.assets import resolve_model
from edgecap.bundle import parse_bundle
from edgecap.predictions import decider
from edgecap.preprocess import Preprocessor
from edgecap.quantization import image_tensor
from edgecap.spec import InputSpec, TensorSpec
from edgecap.synthetic import Scene
from tests import handmade
from tests.android_decisions import Case, Writer, activations, decisions, lanes, stream_spec, told
from tests.android_frames import ROTATIONS, Layout, StoredFrame, filmed, random_frame
from tests.android_models import bad_files

PARITY_FRAMES = 200
_RESET_BEFORE = 130
_PADDED = Layout(padding=13)
_INTERLEAVED = Layout(padding=10, pixel_stride=2)


def write(folder: Path) -> None:
    """Writes every vector."""
    writer = Writer(folder)
    folder = writer.folder
    paths = {"demo": resolve_model("demo")}
    for task, dtype in (("multilabel", "int8"), ("regression", "float32")):
        paths[f"{task} {dtype}"] = folder / f"{task}.tflite"
        handmade.model(folder / f"{task}.tflite", task, dtype)
    (folder / "demo.tflite").write_bytes(paths["demo"].read_bytes())
    reference = resources.files("edgecap.assets") / "reference-int8.tflite"
    (folder / "reference.tflite").write_bytes(reference.read_bytes())
    small = folder / "classification.tflite"
    handmade.model(small, "classification", "int8")
    kinds = {
        "preprocess": preprocess(writer),
        "activation": activations(writer),
        "decisions": decisions(writer),
        "lanes": lanes(writer),
        "stream": iter([{"spec": stream_spec().to_json()}]),
        "models": models(writer, [small, *paths.values()]),
        "bad_models": (
            {"name": name, "file": writer.file(data), "says": says}
            for name, data, says in bad_files(small.read_bytes())
        ),
        "parity": (parity(writer, name, path) for name, path in paths.items()),
    }
    document = {kind: list(cases) for kind, cases in kinds.items()}
    (folder / "vectors.json").write_text(json.dumps(document, indent=1), "utf-8")


def preprocess(writer: Writer) -> Iterator[Case]:
    """Frames of all rotations, layouts and sizes: odd, enlarged, halved, of the input's size."""
    rng = np.random.default_rng(8)
    square = InputSpec(image_tensor(96, 96))
    for size in ((640, 480), (641, 479), (192, 192), (96, 96)):
        for rotation in ROTATIONS:
            layout = (_PADDED, _INTERLEAVED)[rotation // 90 % 2]
            yield _preprocessed(writer, square, size, rotation, layout, rng, group="one input")
    for fit in ("stretch", "crop"):
        for height, width in ((96, 96), (72, 120), (31, 17)):
            spec = InputSpec(image_tensor(height, width), fit=fit)
            for size in ((177, 143), (64, 200), (2 * width, 3 * height), (1, 1), (5, 2)):
                for rotation in ROTATIONS:
                    layout = (Layout(), _PADDED, _INTERLEAVED)[int(rng.integers(3))]
                    yield _preprocessed(writer, spec, size, rotation, layout, rng)
    for _ in range(60):
        height, width, *size = (int(side) for side in rng.integers(1, 120, 4))
        spec = InputSpec(image_tensor(height, width), fit=("stretch", "crop")[int(rng.integers(2))])
        rotation = ROTATIONS[int(rng.integers(4))]
        yield _preprocessed(writer, spec, (size[0], size[1]), rotation, _INTERLEAVED, rng)
    real = InputSpec(TensorSpec("image", (1, 40, 56, 3), "float32"))
    for rotation in ROTATIONS:
        yield _preprocessed(writer, real, (320, 240), rotation, _PADDED, rng)


def _preprocessed(
    writer: Writer,
    spec: InputSpec,
    size: tuple[int, int],
    rotation: int,
    layout: Layout,
    rng: np.random.Generator,
    group: str = "",
) -> Case:
    frame = random_frame(*size, rotation, layout, rng)
    planes = {name: writer.file(data) for name, data in frame.planes(rng).items()}
    name = f"{size[0]}×{size[1]} at {rotation}° to {spec.width}×{spec.height}, {spec.fit}, {layout}"
    plain = {
        "tensor": _plain(spec.tensor),
        "color": spec.color,
        "resize": spec.resize,
        "fit": spec.fit,
    }
    image = Preprocessor(spec)(frame.upright_rgb())
    return {
        "name": name,
        "group": group,
        "input": plain,
        "expected": writer.file(image),
        **planes,
        **frame.describe(),
    }


def models(writer: Writer, paths: list[Path]) -> Iterator[Case]:
    """Good files and what is in them."""
    for path in paths:
        data = path.read_bytes()
        bundle = parse_bundle(data)
        yield {
            "file": writer.file(data),
            "task": bundle.spec.task,
            "labels": list(bundle.spec.labels),
            "flatbuffer_bytes": len(bundle.model),
        }


def parity(writer: Writer, name: str, path: Path) -> Case:
    """Frames of a turned camera and all that Python's XNNPACK path makes of them, with a reset."""
    model = edgecap.load(path)
    frames = _filmed_scene()
    noise = np.random.default_rng(12)
    laid = [frame.planes(noise) for frame in frames]
    outputs, values, texts = [], [], []
    states: dict[str, list[np.ndarray]] = {state.name: [] for state in model.spec.states}
    carried = model.initial_states()
    deciding = decider(model.spec.task, model.labels, model.spec.decision)
    for index, frame in enumerate(frames):
        if index == _RESET_BEFORE:
            carried = model.initial_states()
            deciding.reset()
        output, carried = model.infer(frame.upright_rgb(), carried)
        prediction = deciding.predict(model.activate(output), index / model.spec.rate_hz)
        outputs.append(output)
        values.append(model.activate(output))
        texts.append(told(prediction.events))
        for state, array in zip(model.spec.states, carried, strict=True):
            states[state.name].append(array)
    return {
        "name": name,
        "file": writer.file(path.read_bytes()),
        "count": len(frames),
        "reset_before": _RESET_BEFORE,
        "frames": writer.file(b"".join(b"".join(planes.values()) for planes in laid)),
        "luma_bytes": len(laid[0]["y"]),
        "chroma_bytes": len(laid[0]["u"]),
        "outputs": writer.file(np.stack(outputs)),
        "different": len({output.tobytes() for output in outputs}),
        "values": writer.file(np.stack(values)),
        "exact": model.spec.task != "multilabel",
        "told": texts,
        "states": {state: writer.file(np.stack(arrays)) for state, arrays in states.items()},
        **frames[0].describe(),
    }


def _filmed_scene() -> list[StoredFrame]:
    scene = Scene(seed=11, height=160, width=120, gestures=12)
    images = [frame.image for frame in scene][:PARITY_FRAMES]
    return [filmed(image, 90, _INTERLEAVED) for image in images]


def _plain(tensor: TensorSpec) -> Case:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


if __name__ == "__main__":
    write(Path(sys.argv[1]))
