"""The neck: from the encoder's grid of features to one vector that still knows where."""

from __future__ import annotations

import tf_keras as keras

from edgecap_convert.models.config import EncoderConfig, NeckConfig
from edgecap_convert.models.encoders import BATCH_NORM_MOMENTUM, build_encoder


def build_frame_network(encoder: EncoderConfig, neck: NeckConfig) -> keras.Model:
    """Encoder and neck: ``(B, H, W, 3)`` float32 in [−1, 1] → ``(B, features)`` float32."""
    trunk = build_encoder(encoder)
    x = keras.layers.Conv2D(neck.channels, 1, use_bias=False, name="neck_conv")(trunk.output)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name="neck_norm")(x)
    x = keras.layers.ReLU(6.0, name="neck_relu")(x)
    x = keras.layers.Flatten(name="neck_flatten")(x)
    x = keras.layers.Dense(neck.features, name="neck_dense")(x)
    return keras.Model(trunk.input, x, name="frame_network")


def neck_layers(frame_network: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a frame network that belong to its neck."""
    return [layer for layer in frame_network.layers if layer.name.startswith("neck_")]
