"""Batch normalisation folded into the convolutions before it.

A network is folded once, between float training and quantisation-aware training. From then on
each convolution is what the int8 kernel computes (weights, bias, activation), so the weights that
are fake-quantised in training are, value for value, those in the file, and every output channel
of every kernel, depthwise ones included, can have a range of its own.
"""

from __future__ import annotations

import numpy as np
import tf_keras as keras

from edgecap.errors import ConfigError

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Returns an equal network without batch normalisation, with activations fused.

    Args:
      model: a functional model of convolutions, batch normalisations, ReLUs and any layers that
        have no weights or are dense; each layer used once.

    Returns:
      A new functional model with the same input, outputs (to float rounding) and layer names.

    Raises:
      ConfigError: a batch normalisation does not follow a convolution, or a layer is used twice.
    """
    members = {id(layer) for layer in model.layers}
    tensors: dict[int, keras.KerasTensor] = {}
    folded: set[int] = set()
    inputs = keras.Input(model.input_shape[1:], name=model.layers[0].name)
    for layer in model.layers:
        if id(layer) in folded:
            continue
        if isinstance(layer, keras.layers.InputLayer):
            tensors[id(layer.output)] = inputs
            continue
        if isinstance(layer, keras.layers.BatchNormalization):
            raise ConfigError(
                f"cannot fold {layer.name}: expected batch normalisation right after a convolution"
            )
        given = layer.input
        arguments = (
            [tensors[id(tensor)] for tensor in given]
            if isinstance(given, list)
            else tensors[id(given)]
        )
        if not isinstance(layer, _CONVOLUTIONS):
            copy = layer.__class__.from_config(layer.get_config())
            tensors[id(layer.output)] = copy(arguments)
            copy.set_weights(layer.get_weights())
            continue
        normalisation = _follower(layer, keras.layers.BatchNormalization, members)
        relu = _follower(normalisation or layer, keras.layers.ReLU, members)
        copy = layer.__class__.from_config(
            layer.get_config()
            | {"use_bias": True, "activation": _activation(relu) or layer.activation}
        )
        output = copy(arguments)
        copy.set_weights(_folded_weights(layer, normalisation))
        folded.update(id(part) for part in (normalisation, relu) if part is not None)
        tensors[id((relu or normalisation or layer).output)] = output
    return keras.Model(inputs, tensors[id(model.output)], name=model.name)


def _follower(
    layer: keras.layers.Layer, kind: type, members: set[int]
) -> keras.layers.Layer | None:
    """The one layer of the model that consumes ``layer``'s output, if it is of this kind."""
    nodes = [node for node in layer.outbound_nodes if id(node.layer) in members]
    if len(nodes) == 1 and isinstance(nodes[0].layer, kind):
        return nodes[0].layer
    return None


def _activation(relu: keras.layers.ReLU | None) -> str | None:
    if relu is None:
        return None
    if relu.negative_slope or relu.threshold:
        raise ConfigError(f"cannot fuse {relu.name}: expected a plain ReLU or ReLU6")
    limits = {None: "relu", 6.0: "relu6"}
    limit = None if relu.max_value is None else float(relu.max_value)
    if limit not in limits:
        raise ConfigError(f"cannot fuse {relu.name}: expected a limit of 6 or none; got {limit}")
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
