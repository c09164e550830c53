"""Makes the graph of known work that ``edgecap bench`` measures the machine with.

    python benchmarks/make_reference.py edgecap/assets/reference-int8.tflite

Four 1×1 int8 convolutions over 16×16 pixels, 128 channels to 128: shapes that every kernel library
is good at. Nothing is trained.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

_SIDE, _CHANNELS, _LAYERS = 16, 128, 4
# So many different rows of weights: the file packs well, and the arithmetic is the same.
_ROWS = 8


def made() -> bytes:
    rng = np.random.default_rng(0)
    shape = (1, _SIDE, _SIDE, _CHANNELS)
    weights = [
        np.resize(
            rng.normal(0, 0.15, (_ROWS, _CHANNELS)).astype(np.float32),
            (1, 1, _CHANNELS, _CHANNELS),
        )
        for _ in range(_LAYERS)
    ]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def graph(values: tf.Tensor) -> tf.Tensor:
        for kernel in weights:
            values = tf.nn.relu6(tf.nn.conv2d(values, kernel, 1, "SAME"))
        return values

    def samples() -> Iterator[list[np.ndarray]]:
        for _ in range(8):
            yield [rng.uniform(0, 6, shape).astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converted: bytes = converter.convert()
    return converted


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(made())
