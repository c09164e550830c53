"""The head: from what is remembered to the answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgecap_convert.quantization.grids import fake_quant_weights
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule

# Logits closer together than this say nothing; see LearnedRange.
_NARROWEST_LOGITS = 1.0


class Head(keras.layers.Layer):
    """A dense layer to logits or values; softmax and sigmoid are left to the runtime.

    The network learns answers of mean 0 and deviation 1; ``scale`` and ``offset`` bring them to
    the units of the truth and become part of the weights in the file. They are 1 and 0 unless
    :meth:`set_units` was called.

    Args:
      outputs: number of logits or values.
      schedule: if given, weights and outputs are fake-quantised.
    """

    def __init__(
        self, outputs: int, *, schedule: RangeSchedule | None = None, name: str = "head"
    ) -> None:
        super().__init__(name=name)
        self.outputs = outputs
        self._schedule = schedule
        self._range: LearnedRange | None = None

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (self.outputs,)
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], *shape), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=shape, initializer="zeros")
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones", trainable=False)
        self.offset = self.add_weight(
            name="offset", shape=shape, initializer="zeros", trainable=False
        )
        if self._schedule is not None:
            self._range = LearnedRange.create(
                self.add_weight, "logits", self._schedule, narrowest=_NARROWEST_LOGITS
            )
        super().build(input_shape)

    def set_units(self, mean: npt.NDArray[np.float32], deviation: npt.NDArray[np.float32]) -> None:
        """Mean and deviation of the values to learn, ``(outputs,)`` each."""
        self.offset.assign(mean)
        self.scale.assign(deviation)

    def call(self, hidden: tf.Tensor, training: bool = False) -> tf.Tensor:
        """``(…, units)`` → ``(…, outputs)``."""
        kernel = self.kernel * self.scale
        if self._range is not None:
            kernel = fake_quant_weights(kernel)
        # One matrix product whatever the leading axes: TFLite knows no other.
        flat = tf.matmul(tf.reshape(hidden, (-1, hidden.shape[-1])), kernel)
        flat = flat + (self.bias * self.scale + self.offset)
        if len(hidden.shape) > 2:
            flat = tf.reshape(flat, (-1, tf.shape(hidden)[1], self.outputs))
        if self._range is not None:
            flat = self._range.fake_quant(flat, training=training)
        return flat
