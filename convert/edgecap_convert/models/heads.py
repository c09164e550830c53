"""Heads: from the hidden state to the answer."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.quantization.grids import fake_quant_weights
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule

# Logits closer together than this say nothing; see LearnedRange.
_NARROWEST_LOGITS = 1.0


class ClassificationHead(keras.layers.Layer):
    """A dense layer to logits; softmax is left to the runtime, where it is float.

    Args:
      classes: number of logits.
      schedule: if given, weights and logits are fake-quantised.
    """

    def __init__(
        self, classes: int, *, schedule: RangeSchedule | None = None, name: str = "head"
    ) -> None:
        super().__init__(name=name)
        self.classes = classes
        self._schedule = schedule
        self._range: LearnedRange | None = None

    def build(self, input_shape: tf.TensorShape) -> None:
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.classes), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(self.classes,), initializer="zeros")
        if self._schedule is not None:
            self._range = LearnedRange.create(
                self.add_weight, "logits", self._schedule, narrowest=_NARROWEST_LOGITS
            )
        super().build(input_shape)

    def call(self, h: tf.Tensor, training: bool = False) -> tf.Tensor:
        """``(…, units)`` → logits ``(…, classes)``."""
        kernel = self.kernel if self._range is None else fake_quant_weights(self.kernel)
        # One matrix product whatever the leading axes: TFLite knows no other.
        flat = tf.matmul(tf.reshape(h, (-1, h.shape[-1])), kernel) + self.bias
        logits = flat if len(h.shape) == 2 else tf.reshape(flat, (-1, h.shape[1], self.classes))
        if self._range is not None:
            logits = self._range.fake_quant(logits, training=training)
        return logits
