"""One LSTM step from plain operations, with its state outside.

Equations (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000)::

    z = W x + U h + b        i, f, g, o = split(z)
    c' = clip(σ(f) · c + σ(i) · tanh(g), ±4)
    h' = σ(o) · tanh(c')

The fake-quantised form rounds exactly where the int8 graph does: both products to the
pre-activation grid, their sum (exact, all three share one grid), each gate, tanh(c') and h'. The
cell state and the tanh that reads it stay float32: an 8-bit cell stalls, and fake quantisation of
what TANH reads makes the converter round the carried c' itself to that grid, silently.
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.quantization import grids

#: Beyond this the cell state says nothing more (tanh(4) = 0.9993), but takes the longer to forget,
#: and a forget gate that is rounded otherwise is worth |c| times as much.
CELL_CLIP = 4.0


class LSTMStep(keras.layers.Layer):
    """``project`` once per feature vector, then ``advance`` once per frame.

    Args:
      units: width of both states.
      quantized: rounds on the grids of the int8 kernels.
    """

    def __init__(self, units: int, *, quantized: bool = False, name: str = "lstm") -> None:
        super().__init__(name=name)
        self.units = units
        self.quantized = quantized

    def build(self, input_shape: tf.TensorShape) -> None:
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], 4 * self.units), initializer="glorot_uniform"
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, 4 * self.units),
            initializer=_orthogonal_gates(self.units),
        )
        # The forget gate starts open (Jozefowicz et al. 2015).
        self.bias = self.add_weight(
            name="bias",
            shape=(4 * self.units,),
            initializer=lambda shape, dtype=None: tf.repeat(
                tf.constant([0.0, 1.0, 0.0, 0.0], dtype), self.units
            ),
        )
        super().build(input_shape)

    def project(self, features: tf.Tensor) -> tf.Tensor:
        """``W x + b`` for any number of frames: ``(…, F)`` → ``(…, 4·units)``."""
        return self._matmul(features, self.kernel, self.bias)

    def advance(
        self, projected: tf.Tensor, h: tf.Tensor, c: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One step: ``(B, 4·units)``, ``(B, units)``, ``(B, units)`` → ``h'``, ``c'``."""
        if self.quantized:
            h = grids.TANH.fake_quant(h)
        z = projected + self._matmul(h, self.recurrent_kernel)
        z = self._on(grids.PREACTIVATION, z)
        i, f, g, o = tf.split(z, 4, axis=-1)
        i, f, o = (self._on(grids.SIGMOID, tf.sigmoid(gate)) for gate in (i, f, o))
        g = self._on(grids.TANH, tf.tanh(g))
        c = tf.clip_by_value(f * c + i * g, -CELL_CLIP, CELL_CLIP)
        squashed = self._on(grids.TANH, tf.tanh(c))
        return self._on(grids.TANH, o * squashed), c

    def call(self, features: tf.Tensor, h: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One whole step: ``(B, F)``, ``(B, units)``, ``(B, units)`` → ``h'``, ``c'``."""
        return self.advance(self.project(features), h, c)

    def _matmul(
        self, x: tf.Tensor, kernel: tf.Variable, bias: tf.Variable | None = None
    ) -> tf.Tensor:
        weights = grids.fake_quant_weights(kernel) if self.quantized else kernel
        # One matrix product whatever the leading axes.
        product = tf.tensordot(x, weights, 1) if len(x.shape) > 2 else tf.matmul(x, weights)
        if bias is not None:
            product = product + bias
        return self._on(grids.PREACTIVATION, product)

    def _on(self, grid: grids.Grid, x: tf.Tensor) -> tf.Tensor:
        return grid.fake_quant(x) if self.quantized else x


class FrameStep(keras.layers.Layer):
    """What stands in the LSTM's place in a network without memory: tanh(W x + b).

    Args:
      units: width of the hidden vector.
      quantized: rounds on the grids of the int8 kernels.
    """

    def __init__(self, units: int, *, quantized: bool = False, name: str = "frame") -> None:
        super().__init__(name=name)
        self.units = units
        self.quantized = quantized

    def build(self, input_shape: tf.TensorShape) -> None:
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        super().build(input_shape)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """``(…, F)`` → ``(…, units)``."""
        kernel = grids.fake_quant_weights(self.kernel) if self.quantized else self.kernel
        x = tf.tensordot(features, kernel, 1) if len(features.shape) > 2 else features @ kernel
        x = x + self.bias
        if not self.quantized:
            return tf.tanh(x)
        return grids.TANH.fake_quant(tf.tanh(grids.PREACTIVATION.fake_quant(x)))


def _orthogonal_gates(units: int) -> keras.initializers.Initializer:
    """One orthogonal matrix per gate."""
    return lambda shape, dtype=None: tf.concat(
        [keras.initializers.Orthogonal()((units, units), dtype) for _ in range(4)], axis=1
    )
