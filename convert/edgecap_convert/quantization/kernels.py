"""The arithmetic of the int8 kernels, in TensorFlow: what the file will give, to the byte.

Fake quantisation rounds weights and activations where the kernels do, but computes with reals in
between: biases keep what the kernels round away, sums are off by a millionth, and ties fall
otherwise. Each flips a value here and there by one step; every layer spreads what it is given, and
after a dozen blocks two thirds of a MobileNet's grid differ. Here the same numbers are integers,
held in float32 (exact below 2^24, which no sum of these networks comes near), and brought to the
next grid as XNNPACK does:

* convolution, dense: float32(sum) · (scale_in · scale_weights / scale_out), ties to even
  (``qs8-qc8w-gemm`` and ``qs8-qc8w-dwconv``, variant *fp32*);
* addition: each side times a 21-bit integer, their sum shifted back, half up (``qs8-vadd``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.quantization.grids import Grid

_ADDITION_BITS = 20


@dataclass(frozen=True)
class Scale:
    """A grid ``real = scale · (q − zero_point)`` that may hang on variables.

    Attributes:
      exact: float64, as the converter has it. zero_point: float32, −128…127.
    """

    exact: tf.Tensor
    zero_point: tf.Tensor

    @classmethod
    def of_range(cls, minimum: Any, maximum: Any) -> Scale:
        """As ``fake_quant_with_min_max_vars`` nudges a range, and the converter after it."""
        low, high = (tf.cast(tf.cast(x, tf.float32), tf.float64) for x in (minimum, maximum))
        exact = (high - low) / 255.0
        zero_point = tf.clip_by_value(tf.round(-low / exact), 0.0, 255.0) - 128.0
        return cls(exact, tf.cast(zero_point, tf.float32))

    @classmethod
    def of_grid(cls, grid: Grid) -> Scale:
        return cls.of_range(grid.minimum, grid.maximum)

    @property
    def stored(self) -> tf.Tensor:
        """float32, as the file has it and the kernels read it."""
        return tf.cast(self.exact, tf.float32)

    def integers(self, x: tf.Tensor) -> tf.Tensor:
        """Values on the grid → ``q − zero_point``."""
        return tf.round(x / self.stored)

    def real(self, centred: tf.Tensor, *, relu: bool) -> tf.Tensor:
        """``q − zero_point``, saturated → values on the grid."""
        least = 0.0 if relu else -128.0 - self.zero_point
        return self.stored * tf.clip_by_value(centred, least, 127.0 - self.zero_point)


def product(
    layer: keras.layers.Layer,
    x: tf.Tensor,
    kernel: tf.Tensor,
    limits: tf.Tensor,
    given: Scale,
    wanted: Scale,
) -> tf.Tensor:
    """A convolution or dense layer.

    Args:
      layer: its bias, strides, padding and activation.
      x: values on the grid ``given``.
      kernel: its weights, fake-quantised. limits: their ranges, one or one per output channel.
      wanted: the grid of what is returned.
    """
    steps = tf.cast(limits, tf.float64) / 127.0
    stored = tf.cast(steps, tf.float32)
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    shape = kernel.shape[2:] if depthwise else limits.shape
    weights = tf.round(kernel / tf.reshape(stored, shape))
    total = _multiplied(layer, given.integers(x), weights)
    if layer.use_bias:
        bias = tf.cast(layer.bias, tf.float64) / (given.exact * steps)
        total += tf.cast(tf.round(bias), tf.float32)
    centred = tf.round(total * (given.stored * stored / wanted.stored))
    return wanted.real(centred, relu=_rectified(layer))


def addition(
    sides: list[tf.Tensor], grids: list[Scale], wanted: Scale, *, relu: bool = False
) -> tf.Tensor:
    """The sum of values on two grids, on a third."""
    factors = [grid.stored / wanted.stored for grid in grids]
    exponent = tf.floor(
        tf.math.log(tf.cast(tf.maximum(*factors), tf.float64))
        / tf.math.log(tf.constant(2.0, tf.float64))
    )
    shift = tf.cast(_ADDITION_BITS - exponent, tf.int64)
    one = tf.constant(1, tf.int64)
    power = tf.cast(tf.bitwise.left_shift(one, shift), tf.float32)
    total = tf.bitwise.left_shift(one, shift - 1)
    for x, grid, factor in zip(sides, grids, factors, strict=True):
        multiplier = tf.cast(tf.round(factor * power), tf.int64)
        total += tf.cast(grid.integers(x), tf.int64) * multiplier
    centred = tf.cast(tf.bitwise.right_shift(total, shift), tf.float32)
    return wanted.real(centred, relu=relu)


def _rectified(layer: keras.layers.Layer) -> bool:
    # What a ReLU6 cuts off above, the end of its range does.
    return getattr(layer.activation, "__name__", "linear") in ("relu", "relu6")


def _multiplied(layer: keras.layers.Layer, q: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    if isinstance(layer, keras.layers.Dense):
        return tf.matmul(q, weights)
    options = {"strides": [1, *layer.strides, 1], "padding": layer.padding.upper()}
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return tf.nn.depthwise_conv2d(q, weights, dilations=layer.dilation_rate, **options)
    return tf.nn.conv2d(q, weights, dilations=layer.dilation_rate, **options)
