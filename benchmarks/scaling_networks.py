"""Cost by the shape of the network: untrained ones, converted to int8 by the project's own route.

What a step costs depends on the graph and not on what its weights are; so nothing is trained. The
ranges are learnt from a few frames, as a conversion must have some.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scaling_streams import images_for, reference, reference_side, stepping
from scaling_turns import Side, Turns, beside, in_turns

from edgecap.benchmark.macs import count_macs
from edgecap.bundle import Bundle, Golden
from edgecap.contract import SIGNATURE, bind, tensor_spec
from edgecap.flatbuffer import read_graph
from edgecap.interpreter import open_interpreter
from edgecap.preprocess import Preprocessor
from edgecap.spec import DecisionSpec, GoldenSpec, InputSpec, ModelSpec, OutputSpec
from edgecap.streaming import StreamingModel

IMAGE, LOGITS = "image", "logits"
_LABELS = 10
_ROUNDS, _STEPS = 100, 10


@dataclasses.dataclass(frozen=True)
class Shape:
    """One network: everything else is as a training without settings has it."""

    size: int = 96
    alpha: float = 0.35
    units: int = 64
    attention: int = 0

    def __str__(self) -> str:
        attended = f", attention {self.attention}" if self.attention else ""
        return f"{self.size}×{self.size}, α {self.alpha:g}, {self.units} units{attended}"


#: Curve → (what changes, its values).
CURVES: dict[str, tuple[str, tuple[float, ...]]] = {
    "size": ("size", (64, 96, 128, 160, 224)),
    "alpha": ("alpha", (0.35, 0.5, 0.75, 1.0)),
    "units": ("units", (32, 64, 128, 256, 512)),
    "attention": ("attention", (0, 8, 16, 32, 64)),
}
_TOLD = {
    "size": "input size, pixels a side",
    "alpha": "width of the encoder, MobileNetV2's α",
    "units": "width of the LSTM",
    "attention": "frames that attention looks back on",
}


def shapes_of(curves: Iterable[str]) -> list[Shape]:
    """Every network that the curves need, once."""
    found = {
        dataclasses.replace(Shape(), **{CURVES[curve][0]: value}): None
        for curve in curves
        for value in CURVES[curve][1]
    }
    return list(found)


def made(shapes: list[Shape]) -> dict[Shape, bytes]:
    """Flatbuffers of untrained networks; TensorFlow stays in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return dict(zip(shapes, pool.imap(convert, shapes), strict=True))


def convert(shape: Shape) -> bytes:
    """Built, its ranges learnt of a few frames, and converted."""
    import tensorflow as tf
    import tf_keras as keras
    from edgecap_convert.export.graph import convert_step
    from edgecap_convert.models.config import EncoderConfig, LSTMConfig, NetworkConfig
    from edgecap_convert.models.network import Network, normalize

    keras.utils.set_random_seed(1)
    network = Network(
        NetworkConfig(
            _LABELS,
            encoder=EncoderConfig(alpha=shape.alpha, height=shape.size, width=shape.size),
            lstm=LSTMConfig(shape.units, attention=shape.attention),
        )
    )
    noise = np.random.default_rng(1).integers(0, 256, (1, 4, shape.size, shape.size, 3))
    clip = normalize(tf.constant(noise.astype(np.uint8)))
    # Batch norms of random weights must know some frames, or everything fades away behind them.
    for layer in network.encoder.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    network.encoder(clip[0], training=True)
    quantized = network.quantized()
    assert quantized.schedule is not None
    for _ in range(2):
        quantized.clip(clip, training=True)
    quantized.schedule.freeze()
    return convert_step(quantized)


def opened(flatbuffer: bytes, threads: int = 1) -> StreamingModel:
    """As a device would load it: with a spec that is read off the graph."""
    graph = read_graph(flatbuffer)
    inputs, outputs = graph.signatures[SIGNATURE]
    logits = tensor_spec(LOGITS, graph.tensors[outputs[LOGITS]])
    image = InputSpec(tensor_spec(IMAGE, graph.tensors[inputs[IMAGE]]))
    spec = ModelSpec(
        name="untrained",
        task="classification",
        rate_hz=12.0,
        labels=tuple(f"label {i}" for i in range(logits.shape[-1])),
        input=image,
        states=tuple(
            tensor_spec(name, graph.tensors[index])
            for name, index in inputs.items()
            if name != IMAGE
        ),
        output=OutputSpec(logits, activation="softmax"),
        decision=DecisionSpec(),
        golden=GoldenSpec(0, "untrained", 1),
        recipe="int8",
    )
    none: npt.NDArray[np.uint8] = np.zeros((0, image.height, image.width, 3), np.uint8)
    bundle = Bundle(flatbuffer, graph, spec, Golden(none, {}), "")
    return StreamingModel(bundle, threads=threads)


def invoking(model: StreamingModel) -> Side:
    """The graph alone, on an interpreter of its own and with one image."""
    bundle = model.bundle
    interpreter, _ = open_interpreter(bundle.model)
    image = Preprocessor(bundle.spec.input)(images_for(model, 1)[0])
    interpreter.set_tensor(bind(bundle.graph, bundle.spec).image, image)

    def block() -> int:
        for _ in range(_STEPS):
            interpreter.invoke()
        return _STEPS

    return lambda: block


def measure(curve: str, files: dict[Shape, bytes], *, rounds: int = _ROUNDS) -> dict[str, Any]:
    """One curve: all of its points in turns, each beside the first; graph and whole step."""
    name, values = CURVES[curve]
    shapes = {value: dataclasses.replace(Shape(), **{name: value}) for value in values}
    models = {value: opened(files[shape]) for value, shape in shapes.items()}
    sides: dict[str, Side] = {"reference": reference_side()}
    for value, model in models.items():
        block = stepping(model.stream(), images_for(model, _STEPS))
        sides[f"step {value}"] = lambda block=block: block
        sides[f"invoke {value}"] = invoking(model)
    turns = in_turns(sides, rounds=rounds)
    points = [_point(name, value, model, turns, first=values[0]) for value, model in models.items()]
    return {
        "what": _TOLD[curve],
        "others": str(Shape()),
        "rounds": rounds,
        **reference(turns),
        "points": points,
    }


def _point(
    name: str, value: float, model: StreamingModel, turns: dict[str, Turns], *, first: float
) -> dict[str, Any]:
    whole = beside(turns[f"step {value}"], turns[f"step {first}"])
    alone = beside(turns[f"invoke {value}"], turns[f"invoke {first}"])
    return {
        name: value,
        "kb": round(len(model.bundle.model) / 1e3, 1),
        "state_kb": round(sum(s.nbytes for s in model.initial_states()) / 1e3, 2),
        "macs": count_macs(model.bundle.graph).macs,
        "invoke": alone,
    } | whole
