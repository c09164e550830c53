"""InceptionV3 from Keras Applications, under layer names that every build shares."""

from __future__ import annotations

from collections import Counter

import numpy as np
import tf_keras as keras

from edgecap_convert.models.encoders.family import Family, Shape
from edgecap_convert.models.folding import rebuild


def _inception_v3(shape: Shape, alpha: float, weights: str | None = None) -> keras.Model:
    del alpha  # There is one width; EncoderConfig holds it.
    return keras.applications.InceptionV3(input_shape=shape, include_top=False, weights=weights)


def _name_layers(model: keras.Model, published: bool) -> keras.Model:
    """Keras numbers unnamed layers through the process; this numbers them through the network."""
    del published
    seen: Counter[str] = Counter()

    def rename(layer: keras.layers.Layer) -> tuple[keras.layers.Layer, list[np.ndarray]]:
        name = layer.name
        if not name.startswith("mixed"):
            kind = type(layer).__name__
            name = f"{kind}_{seen[kind]}"
            seen[kind] += 1
        copy = layer.__class__.from_config(layer.get_config() | {"name": name})
        return copy, layer.get_weights()

    return rebuild(model, rename)


INCEPTION_V3 = Family(
    build=_inception_v3,
    published=lambda shape, alpha: _inception_v3(shape, alpha, "imagenet"),
    cuts={8: "mixed2", 16: "mixed7", 32: "mixed10"},
    finish=_name_layers,
)
