"""Causal attention over the last steps, which are carried as state.

Dot-product attention (Luong et al. 2015) of the present hidden state over the window of the last
``K`` hidden states, itself included; before the first frame, the window holds zeros, which attract
attention like anything else but add nothing::

    s_k = h_t W · h_k        a = softmax(s)        context = Σ_k a_k h_k

Every value lies on the grid of a TFLite kernel: hidden states and context on TANH's, the weights a
on SOFTMAX's, so that carrying the window is a copy.
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.quantization import grids
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule


class CausalAttention(keras.layers.Layer):
    """``(N, K, U)`` windows of hidden states, the present one last → ``(N, 2·U)``.

    Args:
      schedule: if given, everything is fake-quantised.
    """

    def __init__(self, *, schedule: RangeSchedule | None = None, name: str = "attention") -> None:
        super().__init__(name=name)
        self._schedule = schedule
        self._ranges: tuple[LearnedRange, LearnedRange] | None = None

    def build(self, input_shape: tf.TensorShape) -> None:
        units = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(units, units), initializer="glorot_uniform"
        )
        if self._schedule is not None:
            self._ranges = (
                LearnedRange.create(self.add_weight, "query", self._schedule),
                LearnedRange.create(self.add_weight, "scores", self._schedule, narrowest=0.1),
            )
        super().build(input_shape)

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        quantized = self._ranges is not None
        if quantized:
            windows = grids.TANH.fake_quant(windows)
        present = windows[:, -1]
        kernel = grids.fake_quant_weights(self.kernel) if quantized else self.kernel
        query = tf.matmul(present, kernel)
        if self._ranges is not None:
            query = self._ranges[0].fake_quant(query, training=training)
        scores = tf.matmul(windows, query[:, :, None])
        if self._ranges is not None:
            scores = self._ranges[1].fake_quant(scores, training=training)
        attention = tf.nn.softmax(scores[:, :, 0])
        if quantized:
            attention = grids.SIGMOID.fake_quant(attention)
        context = tf.matmul(attention[:, None, :], windows)[:, 0]
        if quantized:
            context = grids.TANH.fake_quant(context)
        return tf.concat([present, context], axis=-1)
