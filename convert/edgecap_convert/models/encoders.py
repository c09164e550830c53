"""The frame encoder: MobileNetV2, cut where position can still be read."""

from __future__ import annotations

from dataclasses import dataclass

import tf_keras as keras

from edgecap.errors import ConfigError

#: Stride at the cut → the last layer kept (names of Keras Applications).
_CUTS = {8: "block_5_add", 16: "block_12_add", 32: "block_16_project_BN"}
STRIDES = tuple(_CUTS)
MIN_SIZE = 32

# Keras Applications sets 0.999, which follows the weights only over thousands of steps: too slow
# for a network that is trained from scratch in a few hundred.
_BATCH_NORM_MOMENTUM = 0.97


@dataclass(frozen=True)
class EncoderConfig:
    """A MobileNetV2 encoder.

    Attributes:
      alpha: width multiplier, above 0.
      height, width: input size in pixels, multiples of ``stride``, at least 32.
      stride: input pixels per cell of the output grid where the network is cut: 8, 16 or 32.
        16 keeps motion readable; 32 loses most of it.
      weights: ``"imagenet"`` (downloaded by tf-keras), a path to weights in the layout of Keras
        Applications without top, or ``None`` for random ones.
    """

    alpha: float = 0.35
    height: int = 96
    width: int = 96
    stride: int = 16
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.stride not in _CUTS:
            raise ConfigError(
                f"encoder.stride: expected one of {', '.join(map(str, _CUTS))}; got {self.stride}"
            )
        if self.alpha <= 0:
            raise ConfigError(f"encoder.alpha: expected a number above 0; got {self.alpha}")
        for name in ("height", "width"):
            size = getattr(self, name)
            if size < MIN_SIZE or size % self.stride:
                raise ConfigError(
                    f"encoder.{name}: expected a multiple of {self.stride}, at least {MIN_SIZE}; "
                    f"got {size}"
                )


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
            layer.momentum = _BATCH_NORM_MOMENTUM
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
