"""One LSTM step from plain operations, with its state outside.

Equations (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000)::

    z = W x + U h + b        i, f, g, o = split(z)
    c' = clip(σ(f) · c + σ(i) · tanh(g), ±4)
    h' = σ(o) · tanh(c')

The fake-quantised form rounds exactly where the int8 graph does: both products to the
pre-activation grid, their sum (exact, all three share one grid), each gate, tanh(c') and h'. The
cell state and the tanh that reads it stay float32: an 8-bit cell stalls, and fake quantisation of
what TANH reads makes the converter round the carried c' itself to that grid, silently.

Where the cell state is an integer, its grid is ±4, which saturates where the float one is clipped:
16 bits in steps of 1/8192, or 8 bits in steps of 1/32. Both products are rounded before their sum,
as the kernels do.

Several members of an ensemble are steps that know nothing of each other; only their matrix products
are apart, everything else is done for all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.quantization import grids

#: Beyond this the cell state says nothing more (tanh(4) = 0.9993), but takes the longer to forget,
#: and a forget gate that is rounded otherwise is worth |c| times as much.
CELL_CLIP = 4.0
#: i, f, g and o, as the file's tensors name them.
GATES = ("input", "forget", "candidate", "output")


class LSTMStep(keras.layers.Layer):
    """``project`` once per feature vector, then ``advance`` once per frame.

    Args:
      units: width of both states, of each member.
      members: whose features and states lie side by side; U is the width of all together.
      quantized: rounds on the grids of the int8 kernels.
      cell: what a quantised step keeps the cell state in: ``float32``, ``int16`` or ``int8``.
    """

    def __init__(
        self,
        units: int,
        *,
        members: int = 1,
        quantized: bool = False,
        cell: str = "float32",
        name: str = "lstm",
    ) -> None:
        super().__init__(name=name)
        self.units, self.members = units, members
        self.quantized, self.cell = quantized, cell

    def build(self, input_shape: tf.TensorShape) -> None:
        gates = 4 * self.units
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], gates),
            initializer=stacked("glorot_uniform", self.members),
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.members * self.units, gates),
            initializer=stacked(_orthogonal_gates, self.members),
        )
        # The forget gate starts open (Jozefowicz et al. 2015).
        self.bias = self.add_weight(
            name="bias",
            shape=(self.members * gates,),
            initializer=lambda shape, dtype=None: tf.tile(
                tf.repeat(tf.constant([0.0, 1.0, 0.0, 0.0], dtype), self.units), [self.members]
            ),
        )
        super().build(input_shape)

    def project(self, features: tf.Tensor) -> tf.Tensor:
        """``W x + b`` for any number of frames: ``(…, F)`` → ``(…, 4·U)``, member by member."""
        return self._matmul(features, self.kernel, self.bias)

    def advance(
        self, projected: tf.Tensor, h: tf.Tensor, c: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One step: ``(B, 4·U)``, ``(B, U)``, ``(B, U)`` → ``h'``, ``c'``."""
        # The scopes are in the names of the file's tensors: what tells the parts apart there.
        with tf.name_scope("gates"):
            i, f, g, o = self._gates(projected, h)
        with tf.name_scope("cell"):
            c = self._remember(i, f, g, c)
            squashed = self._on(grids.TANH, tf.tanh(c))
        return self._on(grids.HIDDEN, o * squashed), c

    def _gates(self, projected: tf.Tensor, h: tf.Tensor) -> list[tf.Tensor]:
        """i, f, g, o, each ``(B, U)``."""
        if self.quantized:
            h = grids.HIDDEN.fake_quant(h)
        z = self._on(grids.PREACTIVATION, projected + self._matmul(h, self.recurrent_kernel))
        opened = []
        for name, part in zip(GATES, self._parts(z), strict=True):
            with tf.name_scope(name):
                tanh = name == "candidate"
                gate = tf.tanh(part) if tanh else tf.sigmoid(part)
                opened.append(self._on(grids.TANH if tanh else grids.SIGMOID, gate))
        return opened

    def _remember(self, i: tf.Tensor, f: tf.Tensor, g: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        """The next cell state."""
        if not self.quantized or self.cell == "float32":
            return tf.clip_by_value(f * c + i * g, -CELL_CLIP, CELL_CLIP)
        kept = grids.CELLS[self.cell]
        faded = grids.FADED[self.cell].fake_quant(f * kept.fake_quant(c))
        return kept.fake_quant(faded + grids.PRODUCTS[self.cell].fake_quant(i * g))

    def call(self, features: tf.Tensor, h: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One whole step: ``(B, F)``, ``(B, U)``, ``(B, U)`` → ``h'``, ``c'``."""
        return self.advance(self.project(features), h, c)

    def _parts(self, z: tf.Tensor) -> list[tf.Tensor]:
        """``(B, 4·U)`` → what belongs to i, f, g and o, each ``(B, U)``."""
        if self.members == 1:
            return tf.split(z, 4, axis=-1)
        z = tf.reshape(z, (-1, self.members, 4 * self.units))
        width = self.members * self.units
        return [tf.reshape(gate, (-1, width)) for gate in tf.split(z, 4, axis=-1)]

    def _matmul(
        self, x: tf.Tensor, kernel: tf.Variable, bias: tf.Variable | None = None
    ) -> tf.Tensor:
        product = matmul_apart(x, kernel, bias, members=self.members, quantized=self.quantized)
        return self._on(grids.PREACTIVATION, product)

    def _on(self, grid: grids.Grid, x: tf.Tensor) -> tf.Tensor:
        return grid.fake_quant(x) if self.quantized else x


class FrameStep(keras.layers.Layer):
    """What stands in the LSTM's place in a network without memory: tanh(W x + b).

    Args:
      units: width of the hidden vector, of each member. members: side by side.
      quantized: rounds on the grids of the int8 kernels.
    """

    def __init__(
        self, units: int, *, members: int = 1, quantized: bool = False, name: str = "frame"
    ) -> None:
        super().__init__(name=name)
        self.units, self.members = units, members
        self.quantized = quantized

    def build(self, input_shape: tf.TensorShape) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=stacked("glorot_uniform", self.members),
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.members * self.units,), initializer="zeros"
        )
        super().build(input_shape)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """``(…, F)`` → ``(…, U)``."""
        x = matmul_apart(
            features, self.kernel, self.bias, members=self.members, quantized=self.quantized
        )
        if not self.quantized:
            return tf.tanh(x)
        return grids.TANH.fake_quant(tf.tanh(grids.PREACTIVATION.fake_quant(x)))


def matmul_apart(
    x: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor | None = None,
    *,
    members: int,
    quantized: bool,
) -> tf.Tensor:
    """A matrix product for each member, side by side.

    Args:
      x: ``(…, members · F)``. kernel: ``(members · F, G)``. bias: ``(members · G,)``.
      quantized: kernels are fake-quantised, each by its own values.

    Returns:
      ``(…, members · G)``.
    """
    products = []
    for part, own in zip(tf.split(x, members, -1), tf.split(kernel, members), strict=True):
        weights = grids.fake_quant_weights(own) if quantized else own
        # One matrix product whatever the leading axes.
        flat = tf.tensordot(part, weights, 1) if len(x.shape) > 2 else tf.matmul(part, weights)
        products.append(flat)
    if bias is not None:
        biases = tf.split(bias, members)
        products = [product + own for product, own in zip(products, biases, strict=True)]
    return products[0] if members == 1 else tf.concat(products, axis=-1)


def stacked(initializer: Any, members: int) -> Callable[..., tf.Tensor]:
    """The start of kernels that lie one upon the other, each as if it were alone."""

    def initialize(shape: Sequence[int], dtype: Any = None) -> tf.Tensor:
        one = (shape[0] // members, *shape[1:])
        # One by one: an initializer of its own for each, or all would start equal.
        return tf.concat(
            [keras.initializers.get(initializer)(one, dtype) for _ in range(members)], axis=0
        )

    return initialize


def _orthogonal_gates(shape: Sequence[int], dtype: Any = None) -> tf.Tensor:
    """One orthogonal matrix per gate: ``(units, 4·units)``."""
    return tf.concat(
        [keras.initializers.Orthogonal()((shape[0], shape[0]), dtype) for _ in range(4)], axis=1
    )
