"""Ranges of activations, learnt while the network runs along ordered sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf
import tf_keras as keras


class RangeSchedule(tf.Module):
    """How fast all learnt ranges of one network follow the data.

    One shared variable, so that a compiled training step need not be traced again:
    ``calibrate`` (fast), ``follow`` (slow), ``freeze`` (not at all: the range in the file).
    """

    _CALIBRATE, _FOLLOW, _FREEZE = 0.9, 0.995, 1.0

    def __init__(self) -> None:
        super().__init__(name="range_schedule")
        self.momentum = tf.Variable(
            self._CALIBRATE, trainable=False, dtype=tf.float32, name="range_momentum"
        )

    def calibrate(self) -> None:
        self.momentum.assign(self._CALIBRATE)

    def follow(self) -> None:
        self.momentum.assign(self._FOLLOW)

    def freeze(self) -> None:
        self.momentum.assign(self._FREEZE)


# No range is narrower: a dead layer's would be empty, and XNNPACK refuses a product that has to be
# scaled up 256 times or more to fill its output's grid.
_NARROWEST = 1e-3


@dataclass(frozen=True)
class LearnedRange:
    """The minimum and maximum of one tensor, as a moving average over batches; holds 0.

    Attributes:
      narrowest: the maximum is at least this.
    """

    minimum: tf.Variable
    maximum: tf.Variable
    schedule: RangeSchedule
    narrowest: float

    @classmethod
    def create(
        cls,
        add_weight: Callable[..., tf.Variable],
        name: str,
        schedule: RangeSchedule,
        *,
        narrowest: float = _NARROWEST,
    ) -> LearnedRange:
        zero = keras.initializers.Zeros()
        return cls(
            add_weight(name=f"{name}_min", shape=(), initializer=zero, trainable=False),
            add_weight(name=f"{name}_max", shape=(), initializer=zero, trainable=False),
            schedule,
            narrowest,
        )

    def fake_quant(self, x: tf.Tensor, *, training: bool) -> tf.Tensor:
        """Rounds and saturates to the range; in training, moves the range first."""
        if training:
            low = self._moved(self.minimum, tf.minimum(tf.reduce_min(x), 0.0))
            high = self._moved(self.maximum, tf.maximum(tf.reduce_max(x), self.narrowest))
        else:
            # Of a range that was never learnt, any will do: nothing is kept on it.
            low, high = self.minimum, tf.maximum(self.maximum, self.narrowest)
        return tf.quantization.fake_quant_with_min_max_vars(x, low, high, num_bits=8)

    def _moved(self, variable: tf.Variable, seen: tf.Tensor) -> tf.Tensor:
        momentum = self.schedule.momentum
        # 0 means that nothing was seen yet: take the first batch as it is. Frozen stays frozen.
        first = tf.logical_and(tf.equal(variable, 0.0), momentum < 1.0)
        value = tf.where(first, seen, momentum * variable + (1.0 - momentum) * seen)
        return variable.assign(value)
