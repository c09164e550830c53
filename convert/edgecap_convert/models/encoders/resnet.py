"""ResNet50, its image preprocessing folded into the first convolution.

Keras Applications feeds it blue, green, red in 0…255 less the mean colour of ImageNet. All of that
is linear, so it goes into the first kernel and bias. Only the border needs care: there the
published network pads with the mean colour, not with grey. So does this one, to the nearest byte:
at 96 pixels and stride 8 the difference lay 42 dB below the features, and with grey 10 dB (random
weights, batch norms set on synthetic frames; at 224 pixels 45 and 12 dB).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from edgecap_convert.models.encoders.family import Family, Shape
from edgecap_convert.models.folding import rebuild

#: The mean colour that was taken off in training, red, green, blue, in 0…255.
_MEAN = np.array([123.68, 116.779, 103.939])


class ColourPadding2D(keras.layers.Layer):
    """Pads an image with one colour on all sides, on the grid of the image.

    Args:
      border: pixels on each side.
      colour: red, green, blue in 0…255.
    """

    def __init__(self, border: int, colour: tuple[int, int, int], **options: Any) -> None:
        super().__init__(**options)
        self.border, self.colour = border, tuple(colour)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # Joined, not padded: TFLite's padding has one value for all channels.
        for axis in (1, 2):
            shape = [tf.shape(inputs)[0], *inputs.shape[1:]]
            shape[axis] = self.border
            edge = tf.broadcast_to((tf.constant(self.colour, tf.float32) - 128.0) / 127.5, shape)
            inputs = tf.concat([edge, inputs, edge], axis)
        return inputs

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"border": self.border, "colour": self.colour}


def _resnet50(shape: Shape, alpha: float, weights: str | None = None) -> keras.Model:
    del alpha  # There is one width; EncoderConfig holds it.
    return keras.applications.ResNet50(input_shape=shape, include_top=False, weights=weights)


def _read_our_images(model: keras.Model, published: bool) -> keras.Model:
    red, green, blue = (int(value) for value in np.round(_MEAN))

    def replace(layer: keras.layers.Layer) -> tuple[keras.layers.Layer, list[np.ndarray]]:
        weights = layer.get_weights()
        if layer.name == "conv1_pad":
            return ColourPadding2D(3, (red, green, blue), name=layer.name), weights
        if layer.name == "conv1_conv" and published:
            kernel, bias = (weight.astype(np.float64) for weight in weights)
            kernel = kernel[:, :, ::-1]
            bias = bias + (kernel * (128.0 - _MEAN)[:, None]).sum(axis=(0, 1, 2))
            weights = [(kernel * 127.5).astype(np.float32), bias.astype(np.float32)]
        return layer.__class__.from_config(layer.get_config()), weights

    return rebuild(model, replace)


RESNET50 = Family(
    build=_resnet50,
    published=lambda shape, alpha: _resnet50(shape, alpha, "imagenet"),
    cuts={8: "conv3_block4_out", 16: "conv4_block6_out", 32: "conv5_block3_out"},
    finish=_read_our_images,
)
