"""The neck: from the encoder's grid of features to one vector, in two parts.

``build_neck`` maps the grid to fewer channels; this map is what a network with ``difference``
carries to the next frame. ``build_collector`` makes the vector of the map and its predecessor; for
``attend``, :mod:`edgecap_convert.models.look` does.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.models.config import NeckConfig
from edgecap_convert.models.encoders import BATCH_NORM_MOMENTUM

Shape = tuple[int, int, int]


class Part(keras.layers.Layer):
    """Some of the channels.

    Args:
      start, stop: which ones.
    """

    def __init__(self, start: int, stop: int, **options: Any) -> None:
        super().__init__(**options)
        self._start, self._stop = start, stop

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs[..., self._start : self._stop]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"start": self._start, "stop": self._stop}


class Increase(keras.layers.Layer):
    """relu(a − b): by how much the first input exceeds the second."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        return tf.nn.relu(inputs[0] - inputs[1])


def build_neck(grid: Shape, config: NeckConfig, members: int = 1) -> keras.Model:
    """One convolution: ``(B, H', W', C)`` float32 → ``(B, H', W', members · channels)`` in [0, 6].

    With ``channels`` 0, the map is the grid itself, for all members.
    """
    inputs = keras.Input(grid, name="neck_input")
    if not config.channels:
        return keras.Model(inputs, inputs, name="neck")
    channels = members * config.channels
    x = keras.layers.Conv2D(
        channels, config.kernel, padding="same", use_bias=False, name="neck_conv"
    )(inputs)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name="neck_norm")(x)
    x = keras.layers.ReLU(6.0, name="neck_relu")(x)
    return keras.Model(inputs, x, name="neck")


def build_collector(grid: Shape, config: NeckConfig, members: int = 1) -> keras.Model:
    """The map, and with ``difference`` the one before it and ``(B, 1, 1, 1)``, 0 if there was none.

    Gives ``(B, F)`` float32, the features of all members side by side.
    """
    shape = (*grid[:2], members * config.channels or grid[2])
    now = keras.Input(shape, name="collect_now")
    inputs, maps = [now], [now]
    if config.difference:
        before = keras.Input(shape, name="collect_before")
        running = keras.Input((1, 1, 1), name="collect_running")
        inputs += [before, running]
        rise = Increase(name="collect_rise")([now, before])
        fall = Increase(name="collect_fall")([before, now])
        # Of the first frame, nothing is known to have changed.
        rise = keras.layers.Multiply(name="collect_risen")([rise, running])
        fall = keras.layers.Multiply(name="collect_fallen")([fall, running])
        maps += [rise, fall]
    collected = [_collect(maps, config, number, members) for number in range(1, members + 1)]
    if members == 1:
        return keras.Model(inputs, collected[0], name="collector")
    joined = keras.layers.Concatenate(name="collect_members")(collected)
    return keras.Model(inputs, joined, name="collector")


def _collect(maps: list[tf.Tensor], config: NeckConfig, number: int, members: int) -> tf.Tensor:
    """One member's features."""
    suffix = str(number) if number > 1 else ""
    if members > 1 and config.channels:
        start = (number - 1) * config.channels
        maps = [
            Part(start, start + config.channels, name=f"collect_part{suffix}_{i}")(x)
            for i, x in enumerate(maps)
        ]
    x = maps[0]
    if config.difference:
        x = keras.layers.Concatenate(name=f"collect_all{suffix}")(maps)
    if config.pool == "flatten":
        x = keras.layers.Flatten(name=f"collect_flatten{suffix}")(x)
    elif config.pool == "mean":
        x = keras.layers.GlobalAveragePooling2D(name=f"collect_mean{suffix}")(x)
    else:
        x = keras.layers.GlobalMaxPooling2D(name=f"collect_max{suffix}")(x)
    if config.features:
        x = keras.layers.Dense(config.features, name=f"collect_dense{suffix}")(x)
    return x
