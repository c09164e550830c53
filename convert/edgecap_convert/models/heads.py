"""The head: from what is remembered to the answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgecap_convert.models.recurrent import matmul_apart, stacked
from edgecap_convert.quantization.grids import fake_quant_weights
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule

# Logits closer together than this say nothing; see LearnedRange.
_NARROWEST_LOGITS = 1.0


class Head(keras.layers.Layer):
    """A dense layer to logits or values; softmax and sigmoid are left to the runtime.

    The network learns answers of mean 0 and deviation 1; ``scale`` and ``offset`` bring them to
    the units of the truth and become part of the weights in the file. They are 1 and 0 unless
    :meth:`set_units` was called.

    Of several members, whose hidden vectors lie side by side, the answer is the mean of theirs:
    still one dense layer.

    Args:
      outputs: number of logits or values.
      members: who answer.
      schedule: if given, weights and outputs are fake-quantised.
      kept: what a quantised head is kept in: ``int8``, or ``float32`` all the same.
    """

    def __init__(
        self,
        outputs: int,
        *,
        members: int = 1,
        schedule: RangeSchedule | None = None,
        kept: str = "int8",
        name: str = "head",
    ) -> None:
        super().__init__(name=name)
        self.outputs, self.members = outputs, members
        self.kept = kept
        self._schedule = schedule
        self._range: LearnedRange | None = None

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (self.outputs,)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], *shape),
            initializer=stacked("glorot_uniform", self.members),
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.members * self.outputs,), initializer="zeros"
        )
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
        """``(…, U)`` → ``(…, outputs)``."""
        learnt = self._range if self.kept == "int8" else None
        kernel = self.folded_kernel()
        if learnt is not None:
            kernel = fake_quant_weights(kernel)
        # One matrix product whatever the leading axes: TFLite knows no other.
        flat = tf.matmul(tf.reshape(hidden, (-1, hidden.shape[-1])), kernel)
        flat = flat + self.folded_bias()
        if len(hidden.shape) > 2:
            flat = tf.reshape(flat, (-1, tf.shape(hidden)[1], self.outputs))
        if learnt is not None:
            flat = learnt.fake_quant(flat, training=training)
        return flat

    def folded_kernel(self) -> tf.Tensor:
        """The weights of the one dense layer: ``(U, outputs)``."""
        return self.kernel * (self.scale / self.members)

    def folded_bias(self) -> tf.Tensor:
        """Its bias: ``(outputs,)``."""
        bias = tf.reduce_mean(tf.reshape(self.bias, (self.members, self.outputs)), axis=0)
        return bias * self.scale + self.offset

    def apart(self, hidden: tf.Tensor) -> tf.Tensor:
        """What each member answers, float: ``(…, U)`` → ``(…, members, outputs)``."""
        answers = matmul_apart(
            hidden, self.kernel, self.bias, members=self.members, quantized=False
        )
        shape = (*answers.shape[:-1], self.members, self.outputs)
        answers = tf.reshape(answers, [-1 if size is None else size for size in shape])
        return answers * self.scale + self.offset
