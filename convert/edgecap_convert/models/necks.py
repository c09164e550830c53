"""The neck: from the encoder's grid of features to one vector, in two parts.

``build_neck`` maps the grid to fewer channels; this map is what a network with ``difference``
carries to the next frame. ``build_collector`` makes the vector of the map and its predecessor; for
``attend``, :mod:`edgecap_convert.models.look` does.
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.models.config import NeckConfig
from edgecap_convert.models.encoders import BATCH_NORM_MOMENTUM

Shape = tuple[int, int, int]


class Increase(keras.layers.Layer):
    """relu(a − b): by how much the first input exceeds the second."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        return tf.nn.relu(inputs[0] - inputs[1])


def build_neck(grid: Shape, config: NeckConfig) -> keras.Model:
    """One convolution: ``(B, H', W', C)`` float32 → ``(B, H', W', channels)`` in [0, 6].

    With ``channels`` 0, the map is the grid itself.
    """
    inputs = keras.Input(grid, name="neck_input")
    if not config.channels:
        return keras.Model(inputs, inputs, name="neck")
    x = keras.layers.Conv2D(
        config.channels, config.kernel, padding="same", use_bias=False, name="neck_conv"
    )(inputs)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name="neck_norm")(x)
    x = keras.layers.ReLU(6.0, name="neck_relu")(x)
    return keras.Model(inputs, x, name="neck")


def build_collector(grid: Shape, config: NeckConfig) -> keras.Model:
    """The map, and with ``difference`` the one before it and ``(B, 1, 1, 1)``, 0 if there was none.

    Gives ``(B, F)`` float32.
    """
    shape = (*grid[:2], config.channels or grid[2])
    now = keras.Input(shape, name="collect_now")
    inputs, x = [now], now
    if config.difference:
        before = keras.Input(shape, name="collect_before")
        running = keras.Input((1, 1, 1), name="collect_running")
        inputs += [before, running]
        rise = Increase(name="collect_rise")([now, before])
        fall = Increase(name="collect_fall")([before, now])
        # Of the first frame, nothing is known to have changed.
        rise = keras.layers.Multiply(name="collect_risen")([rise, running])
        fall = keras.layers.Multiply(name="collect_fallen")([fall, running])
        x = keras.layers.Concatenate(name="collect_all")([now, rise, fall])
    if config.pool == "flatten":
        x = keras.layers.Flatten(name="collect_flatten")(x)
    elif config.pool == "mean":
        x = keras.layers.GlobalAveragePooling2D(name="collect_mean")(x)
    else:
        x = keras.layers.GlobalMaxPooling2D(name="collect_max")(x)
    if config.features:
        x = keras.layers.Dense(config.features, name="collect_dense")(x)
    return keras.Model(inputs, x, name="collector")
