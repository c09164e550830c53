"""The activations of MobileNetV3, as layers that can be quantised in full.

Both are built from an addition, a limit and products, each rounded in the fake-quantised form. The
converter would fuse an unrounded hard-swish into HARD_SWISH, but XNNPACK has no int8 kernel for
that: the graph then falls apart at every activation, and ran nine times slower where it was
measured, while rounding inside costs no accuracy that could be measured.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras


class HardSigmoid(keras.layers.Layer):
    """relu6(x + 3) / 6.

    Args:
      quantized: rounds on fixed 8-bit grids over [0, 6] and [0, 1].
    """

    def __init__(self, *, quantized: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.quantized = quantized

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return hard_sigmoid(inputs, quantized=self.quantized)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"quantized": self.quantized}


class HardSwish(keras.layers.Layer):
    """x · relu6(x + 3) / 6.

    Args:
      quantized: rounds the factor on x; the product is left to who wraps this layer.
    """

    def __init__(self, *, quantized: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.quantized = quantized

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * hard_sigmoid(inputs, quantized=self.quantized)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"quantized": self.quantized}


def hard_sigmoid(x: tf.Tensor, *, quantized: bool) -> tf.Tensor:
    """relu6(x + 3) / 6, rounded where the int8 kernels round."""
    x = tf.nn.relu6(x + 3.0)
    if not quantized:
        return x * (1 / 6)
    # The same 256 steps twice, so the second rounding changes nothing.
    x = tf.quantization.fake_quant_with_min_max_args(x, 0.0, 6.0)
    return tf.quantization.fake_quant_with_min_max_args(x * (1 / 6), 0.0, 1.0)
