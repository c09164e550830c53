"""The integer grids of the recurrent step: those that the int8 kernels use.

TFLite fixes the output grid of LOGISTIC (1/256, zero-point −128) and TANH (1/128, zero-point 0).
Placing the same grids in training makes the fake-quantised graph and the kernels compute the same
numbers, and makes the hidden state's input and output grids equal, so that carrying the state
from step to step is a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Grid:
    """A grid ``real = scale · (q − zero_point)``, q in −128…127, or of more bits."""

    scale: float
    zero_point: int
    bits: int = 8

    @property
    def minimum(self) -> float:
        return self.scale * (-(2 ** (self.bits - 1)) - self.zero_point)

    @property
    def maximum(self) -> float:
        return self.scale * (2 ** (self.bits - 1) - 1 - self.zero_point)

    def fake_quant(self, x: tf.Tensor) -> tf.Tensor:
        """Rounds and saturates to the grid; the gradient passes where nothing saturates."""
        return tf.quantization.fake_quant_with_min_max_args(
            x, self.minimum, self.maximum, num_bits=self.bits
        )


#: The camera's bytes: real = (u8 − 128) / 127.5, so int8 = u8 − 128 exactly.
IMAGE = Grid(1 / 127.5, 0)
#: Gate pre-activations, −8 … 7.9375: σ and tanh are flat beyond.
PREACTIVATION = Grid(1 / 16, 0)
#: Output of LOGISTIC, 0 … 255/256.
SIGMOID = Grid(1 / 256, -128)
#: Output of TANH, −1 … 127/128.
TANH = Grid(1 / 128, 0)

# The product of two values on grids of powers of two is often an exact half of a third such grid's
# step, and halves go to the even neighbour on x86-64, up on Arm (XNNPACK's qs8-vmul), and away from
# zero in the builtin kernels. Below the power of two by this much there are none: what was a half
# is a little more, so that all of them round it away from zero.
_BESIDE = 1 - 2**-19

#: The hidden state, −1 … 127/128: a product, o · tanh(c).
HIDDEN = Grid(_BESIDE / 128, 0)
#: The cell state where it is an integer, ±4.
CELLS = {"int16": Grid(1 / 8192, 0, bits=16), "int8": Grid(1 / 32, 0)}
#: Its two summands: what is left of it, f · c, and what is added, i · g.
FADED = {"int16": CELLS["int16"], "int8": Grid(_BESIDE / 32, 0)}
PRODUCTS = {"int16": CELLS["int16"], "int8": Grid(_BESIDE / 128, 0)}


# No scale is finer than this limit / 127. A dead channel, whose weights folding has made almost
# nothing, would otherwise get so fine a scale that its bias leaves int32.
_LEAST_LIMIT = 1e-3


def weight_limits(weights: tf.Tensor, *, channel_axes: int = 0) -> tf.Tensor:
    """Where weights end on both sides: one for all, or ``(channels,)``, one for each of the last
    ``channel_axes`` axes' channels."""
    magnitude = tf.abs(weights)
    if channel_axes:
        kept = len(weights.shape) - channel_axes
        magnitude = tf.reshape(tf.reduce_max(magnitude, axis=list(range(kept))), [-1])
        return tf.maximum(magnitude, _LEAST_LIMIT)
    return tf.maximum(tf.reduce_max(magnitude), _LEAST_LIMIT)


def fake_quant_weights(weights: tf.Tensor, limit: tf.Tensor | None = None) -> tf.Tensor:
    """Symmetric, narrow range (−127…127), one scale for the tensor, from its present values.

    Args:
      weights: what is rounded.
      limit: that of the whole of which it is a part; by default its own, see ``weight_limits``.
    """
    if limit is None:
        limit = weight_limits(weights)
    return tf.quantization.fake_quant_with_min_max_vars(
        weights, -limit, limit, num_bits=8, narrow_range=True
    )


def fake_quant_weights_per_channel(weights: tf.Tensor, *, channel_axes: int) -> tf.Tensor:
    """Symmetric, narrow range, one scale for each output channel.

    Args:
      weights: a kernel whose last ``channel_axes`` axes number the output channels: 1 for
        ``(kh, kw, in, out)``, 2 for depthwise ``(kh, kw, in, multiplier)``.
      channel_axes: see above.
    """
    shape = weights.shape.as_list()
    flat = tf.reshape(weights, [*shape[:-channel_axes], -1]) if channel_axes > 1 else weights
    limit = weight_limits(weights, channel_axes=channel_axes)
    flat = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, -limit, limit, num_bits=8, narrow_range=True
    )
    return tf.reshape(flat, shape) if channel_axes > 1 else flat
