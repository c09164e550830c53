"""Small untrained networks of every kind, as each recipe converts them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras as keras
from edgecap_convert.captions.config import CaptionNetworkConfig, DecoderConfig
from edgecap_convert.captions.export import convert_captions
from edgecap_convert.captions.network import CaptionNetwork
from edgecap_convert.captions.runs import as_recipe
from edgecap_convert.captions.updates import spoken
from edgecap_convert.export.graph import convert_float, convert_step
from edgecap_convert.models.config import ENCODERS, EncoderConfig, NetworkConfig
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.quantization.recipes import (
    CAPTION_RECIPE,
    RECIPES,
    caption_recipe_named,
    recipe_named,
)

from tests.convert.test_network import SHAPES

#: Every recipe, and one with a float head for each cell that is an integer or not.
EVERY_RECIPE = (*RECIPES, "int8+float-head", "int8-int16+float-head")
#: And that of captions alone.
CAPTION_RECIPES = (CAPTION_RECIPE.name, *EVERY_RECIPE)
_SCALED = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")


def _encoder(name: str) -> EncoderConfig:
    """Cut where each kind of layer of the family lies in front."""
    side = 80 if name == "inception_v3" else 32
    stride = 32 if name.startswith("mobilenet") else 8
    return EncoderConfig(name, 0.25 if name in _SCALED else 1.0, side, side, stride)


ENCODER_NETWORKS = {name: NetworkConfig(3, _encoder(name)) for name in ENCODERS}
#: Every neck and memory, and several members, behind the smallest encoder.
PART_NETWORKS = {
    f"{neck.pool}-{neck.channels}-{neck.difference}-{lstm.layers}-{lstm.attention}-{members}": (
        NetworkConfig(3, EncoderConfig("mobilenet_v1", 0.25, 32, 32, 8), neck, lstm, members)
    )
    for neck, lstm, members in SHAPES
}
CAPTIONS = CaptionNetworkConfig(
    11,
    EncoderConfig("mobilenet_v2", 0.35, 32, 32, 8),
    DecoderConfig(embedding=6, units=8, heads=2, key=4, value=6),
)


def convert_network(config: NetworkConfig, recipe: str) -> bytes:
    """The flatbuffer that a recipe makes of a network; ranges are those of a few random frames."""
    keras.utils.set_random_seed(0)
    plan, network = recipe_named(recipe), Network(config)
    size = (config.encoder.height, config.encoder.width, 3)
    frames = normalize(tf.constant(np.random.default_rng(0).integers(0, 256, (1, 4, *size))))
    for layer in network.encoder.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    network.encoder(frames[0], training=True)
    if not plan.integer:
        return convert_float(network, plan.encoder)
    quantized = network.quantized(cell=plan.cell, float_head=plan.head == "float32")
    quantized.clip(frames, training=True)
    quantized.schedule.freeze()
    return convert_step(quantized)


def convert_captioner(recipe: str) -> bytes:
    """The same of a network that tells pictures."""
    keras.utils.set_random_seed(0)
    plan, network = caption_recipe_named(recipe), CaptionNetwork(CAPTIONS)
    if not plan.integer:
        return convert_captions(network, plan)
    quantized = as_recipe(network, plan)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    grids = quantized.encode(normalize(tf.constant(images)), training=True)
    words = tf.constant([[[3, 4, 5]], [[4, 5, 6]]])
    spoken(
        quantized, tf.reshape(grids, (2, -1, grids.shape[-1])), words, words > 0, 1, training=True
    )
    quantized.schedule.freeze()
    return convert_captions(quantized, plan)
