"""Causal attention over the last steps, which are carried as state.

Dot-product attention (Luong et al. 2015) of the present hidden state over the window of the last
``K`` hidden states, itself included; before the first frame, the window holds zeros, which attract
attention like anything else but add nothing::

    s_k = h_t W · h_k        a = softmax(s)        context = Σ_k a_k h_k

Every value lies on the grid of a TFLite kernel: hidden states and context on that of the hidden
state, the weights a on SOFTMAX's, so that carrying the window is a copy.
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.models.recurrent import stacked
from edgecap_convert.quantization import grids
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule
from edgecap_convert.quantization.softmax import fake_quant_softmax


class CausalAttention(keras.layers.Layer):
    """``(N, K, U)`` windows of hidden states, the present one last → ``(N, 2·U)``.

    Args:
      members: whose hidden states lie side by side; each attends to its own, and its two halves of
        the result lie together.
      schedule: if given, everything is fake-quantised.
    """

    def __init__(
        self, *, members: int = 1, schedule: RangeSchedule | None = None, name: str = "attention"
    ) -> None:
        super().__init__(name=name)
        self._members, self._schedule = members, schedule
        #: Whether the converter looks: see ``Network.converting``.
        self.converting = False
        self._ranges: tuple[LearnedRange, LearnedRange] | None = None

    def build(self, input_shape: tf.TensorShape) -> None:
        width = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(width, width // self._members),
            initializer=stacked("glorot_uniform", self._members),
        )
        if self._schedule is not None:
            self._ranges = (
                LearnedRange.create(self.add_weight, "query", self._schedule),
                LearnedRange.create(self.add_weight, "scores", self._schedule, narrowest=0.1),
            )
        super().build(input_shape)

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self._ranges is not None:
            windows = grids.HIDDEN.fake_quant(windows)
        own = tf.split(windows, self._members, axis=-1)
        kernels = tf.split(self.kernel, self._members)
        attended = [self._attend(w, k, training) for w, k in zip(own, kernels, strict=True)]
        return attended[0] if len(attended) == 1 else tf.concat(attended, axis=-1)

    def _attend(self, windows: tf.Tensor, kernel: tf.Tensor, training: bool) -> tf.Tensor:
        quantized = self._ranges is not None
        present = windows[:, -1]
        query = tf.matmul(present, grids.fake_quant_weights(kernel) if quantized else kernel)
        if self._ranges is not None:
            query = self._ranges[0].fake_quant(query, training=training)
        scores = tf.matmul(windows, query[:, :, None])
        if self._ranges is not None:
            scores = self._ranges[1].fake_quant(scores, training=training)
        attention = fake_quant_softmax(
            scores[:, :, 0],
            self._ranges[1] if self._ranges is not None else None,
            as_kernels=not (training or self.converting),
        )
        context = tf.matmul(attention[:, None, :], windows)[:, 0]
        if quantized:
            context = grids.HIDDEN.fake_quant(context)
        return tf.concat([present, context], axis=-1)
