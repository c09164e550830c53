"""TFLite's 16-bit SOFTMAX in TensorFlow: what an attending network's file computes, to the byte.

After ``tensorflow/lite/kernels/internal/reference/softmax.h`` (``SoftmaxInt16``) and ``common.h``
(``LUTPopulate``, ``LUTLookup``): exponentials and the reciprocal of their sum are looked up in
tables of 513 values with linear interpolation between them; everything else is integers. Scores
come as int8 and weights go back to it, see :mod:`edgecap_convert.export.integer_softmax`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap_convert.quantization.grids import SIGMOID
from edgecap_convert.quantization.kernels import Scale
from edgecap_convert.quantization.ranges import LearnedRange

_STEPS = 512
_LOW, _HIGH = -32768, 32767
_RANGE = 65535
# exp is looked up from −10 to 0.
_DEEPEST = 10.0
_INT8 = 256


def fake_quant_softmax(
    scores: tf.Tensor, learnt: LearnedRange | None, *, as_kernels: bool
) -> tf.Tensor:
    """softmax over the last axis, on the grid of SIGMOID where the scores are on one.

    Args:
      scores: ``(…, cells)`` float32. learnt: their range; ``None`` of a float network.
      as_kernels: to the byte what the file computes, but without a gradient.
    """
    if learnt is None:
        return tf.nn.softmax(scores)
    if as_kernels:
        return attention_weights(scores, Scale.of_range(learnt.minimum, learnt.maximum).stored)
    return SIGMOID.fake_quant(tf.nn.softmax(scores))


def attention_weights(scores: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """softmax over the last axis.

    Args:
      scores: ``(…, cells)`` float32, on a grid. scale: of that grid, a scalar; it may be learnt.

    Returns:
      The same shape, on the grid of SIGMOID.
    """
    steps = tf.cast(tf.round(scores / tf.cast(scale, tf.float32)), tf.int64)
    below = tf.reduce_max(steps, axis=-1, keepdims=True) - steps
    exps = tf.gather(_exponentials(tf.cast(scale, tf.float64)), tf.minimum(below, _INT8 - 1))
    total = tf.reduce_sum(exps, axis=-1, keepdims=True)
    # Leading zeros of 32 bits, plus 1: the bits up to the highest that is set are 31 or fewer.
    powers = tf.constant([1 << k for k in range(31)], tf.int64)
    bits = tf.reduce_sum(tf.cast(total >= powers, tf.int64), axis=-1, keepdims=True)
    one = tf.constant(1, tf.int64)
    shifted = tf.bitwise.right_shift(tf.bitwise.left_shift(total, 31 - bits) + (1 << 13), 14 * one)
    x = tf.clip_by_value(shifted - ((1 << 15) + (1 << 16)), _LOW, _HIGH)
    reciprocal = _looked_up(tf.constant(_RECIPROCALS), x)
    right = bits - 1
    half = tf.bitwise.left_shift(one, right - 1)
    wide = tf.clip_by_value(tf.bitwise.right_shift(exps * reciprocal + half, right), 0, _HIGH)
    # QUANTIZE: from steps of 1/32768 to 1/256, by half and then by 64, each time half up.
    narrow = tf.bitwise.right_shift(tf.bitwise.right_shift(wide + 1, one) + 32, 6 * one)
    return tf.cast(tf.minimum(narrow, _INT8 - 1), tf.float32) / _INT8


def _exponentials(scale: tf.Tensor) -> tf.Tensor:
    """``(256,)`` int64: exp(−scale · n), for n steps of the scores below the largest."""
    # QuantizeMultiplier: a mantissa of 31 bits.
    rescale = scale / (_DEEPEST / _RANGE)
    exponent = tf.floor(tf.math.log(rescale) / math.log(2.0)) + 1.0
    # What the logarithm has rounded to the wrong side of a power of two.
    exponent += tf.cast(rescale >= 2.0**exponent, tf.float64)
    exponent -= tf.cast(rescale < 2.0 ** (exponent - 1.0), tf.float64)
    multiplier = tf.cast(tf.round(rescale / 2.0**exponent * 2.0**31), tf.int64)
    shift = tf.cast(exponent, tf.int64)
    left, right = tf.maximum(shift, 0), tf.maximum(-shift, 0)
    below = -tf.range(_INT8, dtype=tf.int64)
    doubled = below * tf.bitwise.left_shift(tf.constant(1, tf.int64), left) * multiplier
    # SaturatingRoundingDoublingHighMul of what is not positive: truncated after the nudge.
    high = -tf.bitwise.right_shift(-(doubled + (1 - (1 << 30))), tf.constant(31, tf.int64))
    # RoundingDivideByPOT: halves away from zero.
    half = tf.bitwise.right_shift(tf.bitwise.left_shift(tf.constant(1, tf.int64), right), 1)
    scaled = -tf.bitwise.right_shift(-high + half, right)
    return _looked_up(tf.constant(_EXPONENTIALS), tf.clip_by_value(scaled + _HIGH, _LOW, _HIGH))


def _looked_up(table: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    seven = tf.constant(7, tf.int64)
    index = 256 + tf.bitwise.right_shift(x, seven)
    base, following = tf.gather(table, index), tf.gather(table, index + 1)
    offset = tf.bitwise.bitwise_and(x, tf.constant(0x7F, tf.int64))
    return base + tf.bitwise.right_shift((following - base) * offset + 64, seven)


def _table(
    step: float, zero_point: int, function: Callable[[float], float]
) -> npt.NDArray[np.int64]:
    """513 values over the whole of int16, in float32 as the kernel makes them.

    Args:
      step, zero_point: of what is looked up; results are in steps of 2/65535.
    """
    f = np.float32
    low, high = f(step * (_LOW - zero_point)), f(step * (_HIGH - zero_point))
    out_low, out_high = f(2.0 / _RANGE * _LOW), f(2.0 / _RANGE * _HIGH)
    width = f((high - low) / f(_STEPS))
    inverse = f(f(_RANGE + 1) / f(out_high - out_low))

    def steps(x: np.float32) -> np.float32:
        return f(function(float(x))) * inverse

    values = []
    for i in range(_STEPS):
        at = f(low + f(f(i) * width))
        value = _round(steps(at))
        following = steps(f(low + f(f(i + 1) * width)))
        middle = _round(steps(f(at + f(width / f(2)))))
        between = _round(f(f(following + value) / f(2)))
        bias = _round(f(f(between - middle) / f(2)))
        values.append(min(max(value - bias, _LOW), _HIGH))
    values.append(min(max(_round(steps(high)), _LOW), _HIGH))
    return np.array(values, np.int64)


def _round(x: np.float32) -> np.float32:
    """Halves away from zero, as ``TfLiteRound``."""
    return np.float32(math.copysign(math.floor(abs(float(x)) + 0.5), float(x)))


_EXPONENTIALS = _table(_DEEPEST / _RANGE, _HIGH, math.exp)
_RECIPROCALS = _table(1.0 / _RANGE, _LOW, lambda x: 1.0 / (1.0 + x))
