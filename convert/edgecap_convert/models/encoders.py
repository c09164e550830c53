"""The frame encoder: MobileNetV2, cut where position can still be read."""

from __future__ import annotations

import tf_keras as keras

from edgecap.errors import ConfigError
from edgecap_convert.models.config import EncoderConfig

#: Stride at the cut → the last layer kept (names of Keras Applications).
_CUTS = {8: "block_5_add", 16: "block_12_add", 32: "block_16_project_BN"}

# Keras Applications sets 0.999, which follows the weights only over thousands of steps: too slow
# for a network that is trained from scratch in a few hundred.
BATCH_NORM_MOMENTUM = 0.97


def build_encoder(config: EncoderConfig) -> keras.Model:
    """Builds the encoder: ``(B, H, W, 3)`` float32 in [−1, 1] → ``(B, H/stride, W/stride, C)``."""
    full = keras.applications.MobileNetV2(
        input_shape=(config.height, config.width, 3),
        alpha=config.alpha,
        include_top=False,
        weights=None,
    )
    _load_weights(full, config)
    cut = keras.Model(full.input, full.get_layer(_CUTS[config.stride]).output, name="encoder")
    for layer in cut.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and config.weights is None:
            layer.momentum = BATCH_NORM_MOMENTUM
    return cut


def _load_weights(full: keras.Model, config: EncoderConfig) -> None:
    if config.weights is None:
        return
    try:
        if config.weights == "imagenet":
            # The kernels do not depend on the input size; the download exists for 224 only here.
            source = keras.applications.MobileNetV2(
                input_shape=(224, 224, 3),
                alpha=config.alpha,
                include_top=False,
                weights="imagenet",
            )
            full.set_weights(source.get_weights())
        else:
            full.load_weights(config.weights)
    except Exception as error:
        raise ConfigError(
            f"encoder.weights: expected 'imagenet' (needs the network), or a file with MobileNetV2 "
            f"α={config.alpha} weights without top; could not load {config.weights!r}: {error}"
        ) from error
