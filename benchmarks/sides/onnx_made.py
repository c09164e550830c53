"""The step of a run's network as ONNX files, float and int8; made before the measurement.

By way of the float32 .tflite: tf2onnx 1.17 does not convert the traced step itself (captured
constants become inputs, or its search for LSTMs fails).
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.contract import SIGNATURE
from edgecap.flatbuffer import read_graph
from edgecap.preprocess import resize
from sides.keras_loops import check, opened, run_folder, step_function, tensorflow
from sides.side import Frame, Given, MissingError
from sides.tensors import IMAGE, LOGITS

FLOAT_FILE, INT8_FILE, NOTES_FILE = "step.onnx", "step-int8.onnx", "notes.json"
_OPSET = 17
_CALIBRATION_FRAMES = 64


@dataclass(frozen=True)
class Notes:
    """What the files' tensors are called, and what was found when they were checked.

    Attributes:
      inputs, outputs: name in the step's signature → name in the ONNX file.
      checked: file → what was held against what.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]
    checked: dict[str, str]


class Session:
    """A file with its state; not safe for two threads.

    Args:
      threads: ``None`` leaves them as they are by default.
    """

    def __init__(self, path: Path, notes: Notes, threads: int | None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = options.inter_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        shapes = {each.name: each.shape for each in self._session.get_inputs()}
        self._image = notes.inputs[IMAGE]
        states = [name for name in notes.inputs if name != IMAGE]
        self._before = [notes.inputs[name] for name in states]
        self._wanted = [notes.outputs[LOGITS], *(notes.outputs[name] for name in states)]
        self.fed: dict[str, npt.NDArray[np.float32]] = {
            name: np.zeros(shapes[name], np.float32) for name in self._before
        }

    def step(self, image: Frame) -> npt.NDArray[np.float32]:
        """``(H, W, 3)`` uint8 → logits ``(labels,)``."""
        values = np.subtract(image, np.float32(128), dtype=np.float32)
        values *= np.float32(1 / 127.5)
        self.fed[self._image] = values[None]
        logits, *following = self._session.run(self._wanted, self.fed)
        self.fed = dict(zip(self._before, following, strict=True))
        found: npt.NDArray[np.float32] = logits[0]
        return found


def make(given: Given, clip: Frame) -> None:
    """Writes both files, and notes, to ``given.made``.

    Args:
      clip: frames to check and to calibrate with.

    Raises:
      MissingError: a package is not installed.
      ArithmeticError: ONNX Runtime does not compute what the network computes.
    """
    run_folder(given)
    for package in ("onnxruntime", "onnx", "tf2onnx"):
        if importlib.util.find_spec(package) is None:
            raise MissingError(f"{package}: pip install onnxruntime onnx tf2onnx")
    tensorflow(None)
    assert given.made is not None
    run, network, _ = opened(given)
    images = np.stack([resize(frame, run.input) for frame in clip[:_CALIBRATION_FRAMES]])
    whole, quantised = given.made / FLOAT_FILE, given.made / INT8_FILE
    notes = _convert(network, whole)
    state, step = network.initial_state(1), step_function(network)
    session, fed, logits = Session(whole, notes, None), [], []
    for image in images:
        expected, state = step(image[None], state)
        fed.append(_values(session, notes, image))
        logits.append(session.step(image))
    notes.checked[FLOAT_FILE] = check(expected.numpy(), logits[-1])
    _quantise(whole, quantised, fed)
    session = Session(quantised, notes, None)
    others = np.stack([session.step(image) for image in images])
    same = float((np.argmax(logits, 1) == others.argmax(1)).mean())
    notes.checked[INT8_FILE] = (
        f"static QDQ, calibrated on {len(images)} steps of the clip itself; {same:.0%} of its "
        f"answers are the float file's, logits at most {np.abs(logits - others).max():.2g} apart"
    )
    (given.made / NOTES_FILE).write_text(json.dumps(asdict(notes)), "utf-8")


def read_notes(folder: Path) -> Notes:
    """What :func:`make` wrote."""
    return Notes(**json.loads((folder / NOTES_FILE).read_text("utf-8")))


def _values(session: Session, notes: Notes, image: Frame) -> dict[str, npt.NDArray[np.float32]]:
    """What the session is about to be given."""
    values = (image[None].astype(np.float32) - 128) * np.float32(1 / 127.5)
    return {**session.fed, notes.inputs[IMAGE]: values}


def _convert(network: Any, path: Path) -> Notes:
    import tf2onnx
    from edgecap_convert.export.graph import convert_float

    model = convert_float(network, "float32")
    file = path.with_suffix(".tflite")
    file.write_bytes(model)
    tf2onnx.convert.from_tflite(str(file), opset=_OPSET, output_path=str(path))
    graph = read_graph(model)
    inputs, outputs = (
        {name: graph.tensors[index].name for name, index in side.items()}
        for side in graph.signatures[SIGNATURE]
    )
    return Notes(inputs, outputs, {})


def _quantise(path: Path, out: Path, fed: list[dict[str, Any]]) -> None:
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Steps(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(fed)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._left, None)

    prepared = path.with_name("prepared.onnx")
    # Every shape is known; only the search by symbols would need sympy.
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(out),
        Steps(),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
    )
