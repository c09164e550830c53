"""What a family of encoders has to say of itself, and how published weights get into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tf_keras as keras

from edgecap.errors import ConfigError
from edgecap_convert.models.config import EncoderConfig

Shape = tuple[int, int, int]

# Keras Applications sets 0.99 or 0.999, which follow the weights only over hundreds or thousands
# of steps: too slow for a network that is trained from scratch in a few hundred.
BATCH_NORM_MOMENTUM = 0.97


def _as_it_is(model: keras.Model, published: bool) -> keras.Model:
    del published
    return model


@dataclass(frozen=True)
class Family:
    """One kind of encoder.

    Attributes:
      build: input shape and alpha → the network without top, with random weights, whose weights
        lie in the order of Keras Applications.
      published: input shape and alpha → the network of Keras Applications with ImageNet weights.
      cuts: stride → the last layer kept.
      last: the last layer of all, where ``last_conv`` asks for it.
      finish: network, whether it holds published weights → the network as it is used; changes
        those weights to read our image values, (u8 − 128) / 127.5.
    """

    build: Callable[[Shape, float], keras.Model]
    published: Callable[[Shape, float], keras.Model]
    cuts: Mapping[int, str]
    finish: Callable[[keras.Model, bool], keras.Model] = _as_it_is
    last: str = ""

    def encoder(self, config: EncoderConfig) -> keras.Model:
        """The encoder, cut at the stride: see :func:`edgecap_convert.models.encoders`."""
        full = self.build((config.height, config.width, 3), config.alpha)
        self._load_weights(full, config)
        full = self.finish(full, config.weights is not None)
        end = self.last if config.last_conv else self.cuts[config.stride]
        cut = keras.Model(full.input, full.get_layer(end).output, name="encoder")
        for layer in cut.layers:
            if isinstance(layer, keras.layers.BatchNormalization) and config.weights is None:
                layer.momentum = BATCH_NORM_MOMENTUM
        return cut

    def _load_weights(self, full: keras.Model, config: EncoderConfig) -> None:
        if config.weights is None:
            return
        try:
            if config.weights == "imagenet":
                # The kernels do not depend on the input size; some downloads exist for 224 only.
                source = self.published((224, 224, 3), config.alpha)
                full.set_weights(source.get_weights())
            else:
                full.load_weights(config.weights)
        except Exception as error:
            raise ConfigError(
                f"encoder.weights: expected 'imagenet' (downloaded: needs the network the first "
                f"time), or a file with weights of {config.name} α={config.alpha:g} without top, "
                f"as Keras Applications saves them; could not load {config.weights!r}: {error}"
            ) from error
