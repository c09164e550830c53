"""A neck that looks at one place: where it is, and what is there.

A heat map over the grid's cells, as a softmax, says where to look (spatial soft-argmax, Levine et
al. 2016; attention pooling)::

    a = softmax(map · k)          over the cells
    place = Σ a_i (x_i, y_i)      in −2 … 2, left to right and top to bottom
    peak = max a                  how sure that is
    seen = Σ a_i map_i            what is there

and from these, with how the place has moved since the frame before, the features::

    features = relu6(W_g [place, moved, peak] + Σ W_s seen + b)

A handful of numbers instead of a whole map: that is what can be learnt from few clips.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgecap_convert.models.config import NeckConfig
from edgecap_convert.quantization import grids
from edgecap_convert.quantization.grids import Grid
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule
from edgecap_convert.quantization.softmax import fake_quant_softmax

#: The place, ±2 in steps of 1/64: a 256th of the frame.
PLACE = Grid(1 / 64, 0)
#: Numbers that say where: x, y and the peak.
GEOMETRY = 3
# A movement is a small difference of two places; its weights start larger by this.
_MOVED_GAIN = 4.0


class Look(keras.layers.Layer):
    """Maps ``(N, H', W', C)`` → ``[place (N, 2), peak (N, 1), seen (N, C), …]``.

    With ``difference``, what has risen and what has fallen since the frame before is looked at
    too, at the same place: two more ``(N, C)``. The inputs are then the maps, those before them,
    and ``(N, 1, 1, 1)``: 1, or 0 if there was no frame before.

    Args:
      config: the neck's.
      schedule: if given, everything is fake-quantised.
    """

    def __init__(
        self, config: NeckConfig, *, schedule: RangeSchedule | None = None, name: str = "look"
    ) -> None:
        super().__init__(name=name)
        #: Whether the converter looks: see ``Network.converting``.
        self.converting = False
        self._difference = config.difference
        self._schedule = schedule
        self._ranges: dict[str, LearnedRange] = {}

    @property
    def parts(self) -> int:
        """How many ``(N, C)`` there are."""
        return 3 if self._difference else 1

    def build(self, input_shape: Any) -> None:
        height, width, channels = input_shape[0][1:]
        self.channels = channels
        self.kernel = self.add_weight(
            name="kernel", shape=(self.parts * channels, 1), initializer="glorot_uniform"
        )
        x = 4 * (np.arange(width) + 0.5) / width - 2
        y = 4 * (np.arange(height) + 0.5) / height - 2
        cells = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        self._cells = tf.constant(cells, tf.float32)
        if self._schedule is not None:
            for what in ("heat", *(f"part{i}" for i in range(self.parts))):
                self._ranges[what] = LearnedRange.create(self.add_weight, what, self._schedule)
            if self._difference:
                for what in ("rise", "fall"):
                    self._ranges[what] = LearnedRange.create(self.add_weight, what, self._schedule)
        super().build(input_shape)

    def watch_motion(self, mean_change: float) -> None:
        """Sets the heat to where it moves: twice a cell's mean change over the usual one.

        Args:
          mean_change: mean of |map − map before| over frames, cells and channels.
        """
        kernel = np.zeros(self.kernel.shape, np.float32)
        kernel[self.channels :] = 2.0 / max(mean_change, 1e-6) / self.channels
        self.kernel.assign(kernel)

    def heat(self, inputs: list[tf.Tensor], training: bool = False) -> tf.Tensor:
        """Logits of the cells, ``(N, H'·W')``."""
        return self._heat(self._flat(inputs, training), training)

    def call(self, inputs: list[tf.Tensor], training: bool = False) -> list[tf.Tensor]:
        quantized = self._schedule is not None
        flat = self._flat(inputs, training)
        attention = self._softmax(self._heat(flat, training), training)
        cells = self._cells
        if quantized:
            cells = grids.fake_quant_weights(cells)
        place = tf.matmul(attention, cells)
        if quantized:
            place = PLACE.fake_quant(place)
        peak = tf.reduce_max(attention, axis=1, keepdims=True)
        seen = [
            self._rounded(f"part{i}", tf.matmul(attention[:, None], part)[:, 0], training)
            for i, part in enumerate(flat)
        ]
        return [place, peak, *seen]

    def _softmax(self, heat: tf.Tensor, training: bool) -> tf.Tensor:
        found = self._ranges.get("heat")
        return fake_quant_softmax(heat, found, as_kernels=not (training or self.converting))

    def _flat(self, inputs: list[tf.Tensor], training: bool) -> list[tf.Tensor]:
        """What is looked at, each ``(N, H'·W', C)``."""
        maps = [inputs[0]]
        if self._difference:
            now, before, running = inputs
            for what, change in (("rise", now - before), ("fall", before - now)):
                amount = self._rounded(what, tf.nn.relu(change), training)
                # Of the first frame, nothing is known to have changed.
                maps.append(self._rounded(what, amount * running, training))
        cells = self._cells.shape[0]
        return [tf.reshape(each, (-1, cells, self.channels)) for each in maps]

    def _heat(self, flat: list[tf.Tensor], training: bool) -> tf.Tensor:
        quantized = self._schedule is not None
        # As (1, C), which is how the file has weights: turned there, they would be no constants.
        kernels = tf.split(tf.transpose(self.kernel), self.parts, axis=1)
        if quantized:
            limit = grids.weight_limits(self.kernel)
            kernels = [grids.fake_quant_weights(kernel, limit) for kernel in kernels]
        total = None
        # Part by part, since each has a range of its own.
        for part, kernel in zip(flat, kernels, strict=True):
            rows = tf.reshape(part, (-1, self.channels))
            product = tf.matmul(rows, kernel, transpose_b=True)
            product = self._rounded("heat", product, training)
            total = product if total is None else self._rounded("heat", total + product, training)
        return tf.reshape(total, (-1, self._cells.shape[0]))

    def _rounded(self, what: str, x: tf.Tensor, training: bool) -> tf.Tensor:
        if self._schedule is None:
            return x
        return self._ranges[what].fake_quant(x, training=training)


class Collect(keras.layers.Layer):
    """What was looked at, and the place before → features ``(N, F)``.

    The inputs are brought to deviation 1 by constants from the data (:meth:`settle`), which become
    part of the weights in the file.

    Args:
      config: the neck's.
      channels: of each seen part. parts: how many.
      schedule: if given, everything is fake-quantised.
      features_range: of another member, whose features lie beside these on one grid.
    """

    def __init__(
        self,
        config: NeckConfig,
        *,
        channels: int,
        parts: int,
        schedule: RangeSchedule | None = None,
        features_range: LearnedRange | None = None,
        name: str = "collect",
    ) -> None:
        super().__init__(name=name)
        self._features, self._channels, self._parts = config.features, channels, parts
        self._schedule = schedule
        self._ranges: dict[str, LearnedRange] = {}
        if features_range is not None:
            self._ranges["features"] = features_range

    def build(self, input_shape: Any) -> None:
        def kernel(name: str, rows: int) -> tf.Variable:
            return self.add_weight(
                name=name, shape=(rows, self._features), initializer="glorot_uniform"
            )

        self.geometry = kernel("geometry", GEOMETRY + 2)
        self.seen = [kernel(f"seen{i}", self._channels) for i in range(self._parts)]
        self.bias = self.add_weight(name="bias", shape=(self._features,), initializer="zeros")
        gain = np.array([1.0, 1.0, _MOVED_GAIN, _MOVED_GAIN, 1.0], np.float32)
        self.geometry_scale = self._constant("geometry_scale", gain)
        width = self._parts * self._channels
        self.mean = self._constant("mean", np.zeros(width, np.float32))
        self.scale = self._constant("scale", np.ones(width, np.float32))
        if self._schedule is not None:
            for what in ("where", "features", *(f"what{i}" for i in range(self._parts))):
                if what not in self._ranges:
                    self._ranges[what] = LearnedRange.create(self.add_weight, what, self._schedule)
        super().build(input_shape)

    def _constant(self, name: str, value: npt.NDArray[np.float32]) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=value.shape,
            initializer=keras.initializers.Constant(value),
            trainable=False,
        )

    @property
    def width(self) -> int:
        return self._features

    @property
    def output_range(self) -> LearnedRange:
        return self._ranges["features"]

    def settle(self, seen: npt.NDArray[np.float32], *, weight: float = 1.0) -> None:
        """Sets the constants by what was seen of some frames.

        Args:
          seen: ``(N, parts · C)``.
          weight: the deviation that each of them gets; that of the places is about 1.
        """
        deviation = seen.std(axis=0)
        # What hardly varies is not blown up: it would be noise, and its weights would not fit.
        least = max(float(deviation.max()) * 0.02, 1e-6)
        self.mean.assign(seen.mean(axis=0))
        self.scale.assign(weight / np.maximum(deviation, least))

    def call(self, inputs: list[tf.Tensor], training: bool = False) -> tf.Tensor:
        """``[place, peak, place before, running, seen, …]`` → features in [0, 6].

        ``running`` is ``(N, 1)``: 1, or 0 if there was no frame before.
        """
        quantized = self._schedule is not None
        place, peak, before, running, *seen = inputs
        moved = place - before
        if quantized:
            moved = PLACE.fake_quant(moved)
        geometry = tf.concat([place, moved * running, peak], axis=-1)
        if quantized:
            geometry = PLACE.fake_quant(geometry)
        kernels = [self.geometry * self.geometry_scale[:, None]]
        scales = tf.split(self.scale, self._parts)
        kernels += [k * s[:, None] for k, s in zip(self.seen, scales, strict=True)]
        bias = self.bias
        for k, mean in zip(kernels[1:], tf.split(self.mean, self._parts), strict=True):
            bias = bias - tf.linalg.matvec(k, mean, transpose_a=True)
        if quantized:
            kernels = [grids.fake_quant_weights(k) for k in kernels]
        total = tf.matmul(geometry, kernels[0]) + bias
        total = self._rounded("where", total, training)
        for i, (part, k) in enumerate(zip(seen, kernels[1:], strict=True)):
            product = self._rounded(f"what{i}", tf.matmul(part, k), training)
            total = total + product
            if i < len(seen) - 1:
                total = self._rounded("where", total, training)
        return self._rounded("features", tf.nn.relu6(total), training)

    def _rounded(self, what: str, x: tf.Tensor, training: bool) -> tf.Tensor:
        if self._schedule is None:
            return x
        return self._ranges[what].fake_quant(x, training=training)
