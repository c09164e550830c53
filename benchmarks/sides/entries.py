"""The sides that are measured, in the order of the table. Nothing heavy is imported here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sides.side import Side

#: The side that all others are held against.
OURS = "edgecap"

_INT8, _DYNAMIC = "movinet_a0_stream_int8.tflite", "movinet_a0_stream_dynamic.tflite"


@dataclass(frozen=True)
class Entry:
    """A side by name.

    Attributes:
      key: in the result. title: in the table. made_by: ``module:class`` and its arguments.
      process: sides of one name share a process; no two runtimes do.
      threads: ``None`` leaves them as they are by default.
      same: computes edgecap's network step by step, so its answers should be edgecap's.
      bar: how many times as fast edgecap should be.
    """

    key: str
    title: str
    made_by: str
    process: str
    arguments: dict[str, Any] = field(default_factory=dict)
    threads: int | None = 1
    same: bool = False
    bar: float | None = None

    def make(self) -> Side:
        module, _, name = self.made_by.partition(":")
        side: Side = getattr(importlib.import_module(module), name)(**self.arguments)
        return side


ENTRIES = (
    Entry(OURS, "edgecap, stream.step", "sides.ours:Edgecap", "edgecap", same=True),
    Entry(
        "movinet_int8",
        "MoViNet-A0 stream int8, by index",
        "sides.movinet:Movinet",
        "movinet",
        {"name": _INT8},
        bar=8,
    ),
    Entry(
        "movinet_dynamic",
        "MoViNet-A0 stream dynamic, by index",
        "sides.movinet:Movinet",
        "movinet",
        {"name": _DYNAMIC},
        bar=4,
    ),
    Entry(
        "movinet_int8_runner",
        "MoViNet-A0 stream int8, signature runner",
        "sides.movinet:MovinetRunner",
        "movinet",
        {"name": _INT8},
    ),
    Entry(
        "movinet_int8_sample",
        "MoViNet-A0 stream int8, as the public sample",
        "sides.sample:Sample",
        "movinet",
        {"name": _INT8},
    ),
    Entry("lstm_ssd", "LSTM-SSD uint8, by index", "sides.lstm_ssd:LstmSsd", "lstm_ssd"),
    Entry(
        "sample_ours",
        "edgecap's file, as the public sample",
        "sides.sample:Sample",
        "sample",
        same=True,
    ),
    Entry(
        "tensorflow",
        "edgecap's file, TensorFlow's interpreter",
        "sides.ours:TensorFlowInterpreter",
        "tensorflow",
        same=True,
    ),
    Entry(
        "onnx_float",
        "the network, ONNX Runtime float",
        "sides.onnx_loops:OnnxRuntime",
        "onnx",
        {"quantised": False},
        same=True,
    ),
    Entry(
        "onnx_int8",
        "the network, ONNX Runtime int8",
        "sides.onnx_loops:OnnxRuntime",
        "onnx",
        {"quantised": True},
        same=True,
    ),
    Entry(
        "keras_step",
        "the network, Keras step by step",
        "sides.keras_loops:KerasStep",
        "keras",
        same=True,
    ),
    Entry(
        "keras_kept",
        "sliding window, frames encoded once",
        "sides.keras_loops:KerasKeptWindow",
        "keras",
    ),
    Entry(
        "keras_short",
        "sliding window of 16, tf.function",
        "sides.keras_loops:KerasWindow",
        "keras",
        {"length": 16},
    ),
    Entry(
        "keras_window",
        "sliding window, tf.function",
        "sides.keras_loops:KerasWindow",
        "keras",
        bar=10,
    ),
    Entry(
        "keras_call",
        "sliding window, model(window)",
        "sides.keras_loops:KerasWindow",
        "keras",
        {"how": "call"},
    ),
    Entry(
        "keras_predict",
        "sliding window, model.predict",
        "sides.keras_loops:KerasWindow",
        "keras",
        {"how": "predict"},
    ),
    Entry(
        "onnx_float_default",
        "the network, ONNX Runtime float, default threads",
        "sides.onnx_loops:OnnxRuntime",
        "onnx, default threads",
        {"quantised": False},
        threads=None,
    ),
    Entry(
        "onnx_int8_default",
        "the network, ONNX Runtime int8, default threads",
        "sides.onnx_loops:OnnxRuntime",
        "onnx, default threads",
        {"quantised": True},
        threads=None,
    ),
    Entry(
        "keras_step_default",
        "the network, Keras step by step, default threads",
        "sides.keras_loops:KerasStep",
        "keras, default threads",
        threads=None,
    ),
    Entry(
        "keras_window_default",
        "sliding window, tf.function, default threads",
        "sides.keras_loops:KerasWindow",
        "keras, default threads",
        threads=None,
    ),
)
