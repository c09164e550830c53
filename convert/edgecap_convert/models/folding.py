"""Batch normalisation folded into the convolutions before it.

A network is folded once, between float training and quantisation-aware training. From then on
each convolution is what the int8 kernel computes (weights, bias, activation), so the weights that
are fake-quantised in training are, value for value, those in the file, and every output channel
of every kernel, depthwise ones included, can have a range of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from edgecap.errors import ConfigError

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
#: A layer to stand for another, and the weights to give it once it has been called.
Replacement = tuple[keras.layers.Layer, "list[np.ndarray] | None"]


def rebuild(
    model: keras.Model, replace: Callable[[keras.layers.Layer], Replacement | None]
) -> keras.Model:
    """Builds a functional model anew, layer by layer.

    Args:
      model: each of its layers used once.
      replace: called with every layer in the order of the computation, inputs aside, gives what
        takes its place; ``None`` leaves it out.

    Raises:
      ConfigError: a layer is used more than once, or is a model itself.
    """
    tensors: dict[int, keras.KerasTensor] = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model) or len(layer.inbound_nodes) > 1:
            raise ConfigError(f"{layer.name}: expected a plain layer that is used once")
        if isinstance(layer, keras.layers.InputLayer):
            tensors[id(layer.output)] = keras.Input(layer.output.shape[1:], name=layer.name)
            continue
        arguments = tf.nest.map_structure(lambda t: tensors[id(t)], layer.input)
        replacement = replace(layer)
        if replacement is None:
            tensors[id(layer.output)] = arguments
            continue
        substitute, weights = replacement
        tensors[id(layer.output)] = substitute(arguments)
        if weights is not None:
            substitute.set_weights(weights)
    inputs, outputs = (
        tf.nest.map_structure(lambda t: tensors[id(t)], ends)
        for ends in (model.input, model.output)
    )
    return keras.Model(inputs, outputs, name=model.name)


def followers(model: keras.Model) -> dict[str, list[keras.layers.Layer]]:
    """Layer name → the layers of a functional model that read its output."""
    found: dict[str, list[keras.layers.Layer]] = {layer.name: [] for layer in model.layers}
    for name, before in sources(model).items():
        for layer in before:
            found[layer.name].append(model.get_layer(name))
    return found


def sources(model: keras.Model) -> dict[str, list[keras.layers.Layer]]:
    """Layer name → the layers of a functional model whose outputs it reads."""
    makers = {id(layer.output): layer for layer in model.layers}
    return {
        layer.name: [makers[id(tensor)] for tensor in tf.nest.flatten(layer.input)]
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Returns an equal network without batch normalisation, with activations fused.

    Args:
      model: a functional model of convolutions, batch normalisations, and any layers that have no
        weights or are dense; each layer used once.

    Returns:
      A new functional model with the same input, outputs (to float rounding) and layer names.
      ReLUs that follow a convolution have become its activation.

    Raises:
      ConfigError: a batch normalisation does not follow a convolution, or a layer is used twice.
    """
    following = followers(model)
    folded: set[str] = set()

    def only_follower(layer: keras.layers.Layer, kinds: tuple[type, ...]) -> Any:
        after = following[layer.name]
        return after[0] if len(after) == 1 and isinstance(after[0], kinds) else None

    def replace(layer: keras.layers.Layer) -> Replacement | None:
        if layer.name in folded:
            return None
        if isinstance(layer, keras.layers.BatchNormalization):
            raise ConfigError(
                f"cannot fold {layer.name}: expected batch normalisation right after a convolution"
            )
        if not isinstance(layer, _CONVOLUTIONS):
            return layer.__class__.from_config(layer.get_config()), layer.get_weights()
        normalisation = only_follower(layer, (keras.layers.BatchNormalization,))
        last = normalisation or layer
        relu = only_follower(last, (keras.layers.ReLU, keras.layers.Activation))
        activation = fusible_activation(relu)
        folded.update(part.name for part in (normalisation, relu if activation else None) if part)
        copy = layer.__class__.from_config(
            layer.get_config() | {"use_bias": True, "activation": activation or layer.activation}
        )
        return copy, _folded_weights(layer, normalisation)

    return rebuild(model, replace)


def fusible_activation(layer: keras.layers.Layer | None) -> str | None:
    """The name of the activation, if a convolution can take it over."""
    if isinstance(layer, keras.layers.Activation):
        name = layer.get_config()["activation"]
        return name if name in ("relu", "relu6") else None
    if layer is None:
        return None
    if layer.negative_slope or layer.threshold:
        raise ConfigError(f"cannot fuse {layer.name}: expected a plain ReLU or ReLU6")
    limits = {None: "relu", 6.0: "relu6"}
    limit = None if layer.max_value is None else float(layer.max_value)
    if limit not in limits:
        raise ConfigError(f"cannot fuse {layer.name}: expected a limit of 6 or none; got {limit}")
    return limits[limit]


def _folded_weights(
    layer: keras.layers.Layer, normalisation: keras.layers.Layer | None
) -> list[np.ndarray]:
    kernel = layer.get_weights()[0]
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    channels = kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[3]
    bias = layer.get_weights()[1] if layer.use_bias else np.zeros(channels, np.float32)
    if normalisation is None:
        return [kernel, bias]
    values = dict(
        zip(
            (weight.name.split("/")[-1].split(":")[0] for weight in normalisation.weights),
            (weight.astype(np.float64) for weight in normalisation.get_weights()),
            strict=True,
        )
    )
    deviation = np.sqrt(values["moving_variance"] + normalisation.epsilon)
    factor = values.get("gamma", 1.0) / deviation
    shift = values.get("beta", 0.0) + (bias - values["moving_mean"]) * factor
    shaped = factor.reshape(kernel.shape[2:]) if depthwise else factor
    return [(kernel * shaped).astype(np.float32), shift.astype(np.float32)]
