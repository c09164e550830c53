"""Rounds the weights of a frame network so that their errors cancel instead of adding up.

Each weight rounded by itself to the nearest of 255 values is as near as can be, and yet the network
is far off: where one input of a filter has weights of 2 and another of 0.02, the latter keep one
digit. What counts is the sum. Layer by layer, on what the layers before it really give once they
are rounded, the weights of a filter are rounded one after the other, and each error is made up for
by those that are still to come, in proportion to how far their inputs move with its own (Optimal
Brain Surgeon, Hassibi and Stork 1992; as GPTQ, Frantar et al. 2023). What is left of the mean goes
into the bias (Nagel et al. 2019).

Nothing is trained: it takes pictures, not answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgecap_convert.models.folding import followers, sources
from edgecap_convert.quantization.encoder import fake_quantized_kernel, name_in_copy, weight_of

# Places of the grid that a filter's inputs are taken from, over all images: for each of its inputs,
# and at least.
_PLACES_AN_INPUT, _LEAST_PLACES = 30, 4000
# Inputs that never move say nothing of each other: so much of the mean is added to each one's own.
_DAMPING = 0.01
_STEPS = 127

_Array = npt.NDArray[np.float64]


def round_weights(
    network: keras.Model, quantized: keras.Model, images: Sequence[tf.Tensor], *, seed: int
) -> None:
    """Gives a fake-quantised frame network weights that round to themselves, and biases to match.

    The values of one layer, of all images, are in memory at a time, and those that layers further
    on will read.

    Args:
      network: folded, float, one input, one output.
      quantized: made of it by ``quantize_frame_network``, its ranges learnt.
      images: batches as both read them, on the grid of the image.
      seed: of the places that are looked at.
    """
    rng = np.random.default_rng(seed)
    before = sources(network)
    readers = {name: len(after) for name, after in followers(network).items()}
    wanted: dict[str, list[tf.Tensor]] = {name: list(images) for name in network.input_names}
    found: dict[str, list[tf.Tensor]] = dict(wanted)
    copies = {layer.name: layer for layer in quantized.layers}
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        names = [source.name for source in before[layer.name]]
        copy = copies.get(name_in_copy(layer.name)) or copies[layer.name]
        wanted[layer.name] = [layer(x) for x in _batches(wanted, names)]
        rounded = fake_quantized_kernel(copy)
        if rounded is not None:
            _settle(layer, copy, rounded[0], wanted[names[0]], found[names[0]], rng)
        found[layer.name] = [copy(x, training=False) for x in _batches(found, names)]
        for name in names:
            readers[name] -= 1
            if not readers[name]:
                del wanted[name], found[name]


def round_together(weights: _Array, moments: _Array, steps: _Array) -> _Array:
    """Rounds filters to a grid, each weight making up for those before it.

    Args:
      weights: ``(…, n, m)``, m filters of n inputs.
      moments: ``(…, n, n)``, covariance of the inputs.
      steps: ``(…, m)``, of each filter's grid; its largest weight is 127 of them.

    Returns:
      Multiples of the steps, −127…127; one of each filter is ±127 still, so that its grid is what
      its largest weight says.
    """
    count = weights.shape[-2]
    spread = np.diagonal(moments, axis1=-2, axis2=-1)
    # Those that move most first: their errors are the dearest, and most are left to make up for it.
    order = np.argsort(-spread, axis=-1)
    weights = np.take_along_axis(weights, order[..., None], -2).astype(np.float64)
    moments = np.take_along_axis(moments, order[..., None], -2)
    moments = np.take_along_axis(moments, order[..., None, :], -1)
    damping = _DAMPING * spread.mean(axis=-1) + np.finfo(np.float64).tiny
    moments = moments + damping[..., None, None] * np.eye(count)
    # Row i: how the later ones answer to an error of the i-th, those before it being settled.
    answers = np.swapaxes(np.linalg.cholesky(np.linalg.inv(moments)), -2, -1)
    largest = np.abs(weights).argmax(axis=-2)
    rounded = np.empty_like(weights)
    for at in range(count):
        now = weights[..., at, :]
        multiple = np.clip(np.round(now / steps), -_STEPS, _STEPS)
        multiple = np.where(largest == at, np.where(now < 0, -_STEPS, _STEPS), multiple)
        rounded[..., at, :] = multiple * steps
        error = (now - rounded[..., at, :]) / answers[..., at, at, None]
        weights[..., at + 1 :, :] -= answers[..., at, at + 1 :, None] * error[..., None, :]
    back = np.argsort(order, axis=-1)
    settled: _Array = np.take_along_axis(rounded, back[..., None], -2)
    return settled


def _settle(
    layer: keras.layers.Layer,
    copy: keras.layers.Layer,
    rounded: tf.Tensor,
    wanted: list[tf.Tensor],
    found: list[tf.Tensor],
    rng: np.random.Generator,
) -> None:
    """Sets kernel and bias of a layer's copy.

    Args:
      rounded: the copy's kernel, each weight by itself.
      wanted, found: what the layer and its copy read, batch by batch.
    """
    kernel, bias = (weights.astype(np.float64) for weights in layer.get_weights())
    asked, given = (np.concatenate(x) for x in zip(*_rows(layer, wanted, found, rng), strict=True))
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    # (…, places, n) and (…, n, m): of depthwise filters, each channel is a network of its own.
    if depthwise:
        asked, given = (np.moveaxis(each, -1, 0) for each in (asked, given))
        filters = np.moveaxis(kernel.reshape(-1, *kernel.shape[2:]), 1, 0)
    else:
        filters = kernel.reshape(-1, kernel.shape[-1])
    aims, means = (x.mean(axis=-2, keepdims=True, dtype=np.float64) for x in (asked, given))
    centred = given - means
    moments = np.swapaxes(centred, -2, -1) @ centred / centred.shape[-2]
    limits = np.maximum(np.abs(filters).max(axis=-2), np.finfo(np.float32).tiny)
    if not isinstance(layer, keras.layers.Dense):
        filters_now = round_together(filters, moments, limits / _STEPS)
    else:
        # One grid for all its filters.
        filters_now = np.asarray(rounded, np.float64)
    shift = aims @ filters - means @ filters_now
    if depthwise:
        filters_now = np.moveaxis(filters_now, 0, 1)
    weight_of(copy).assign(filters_now.reshape(kernel.shape))
    copy.layer.bias.assign(bias + shift.reshape(bias.shape))


def _rows(
    layer: keras.layers.Layer,
    wanted: list[tf.Tensor],
    found: list[tf.Tensor],
    rng: np.random.Generator,
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """What a filter reads at some places, the same of both: ``(places, n)`` twice, batch by batch;
    of depthwise layers ``(places, n, C)``."""
    images = sum(len(batch) for batch in found)
    for one, other in zip(wanted, found, strict=True):
        seen = [_seen(layer, x).numpy() for x in (one, other)]
        most = max(_LEAST_PLACES, _PLACES_AN_INPUT * seen[0].shape[1]) * len(one) // images
        count = len(seen[0])
        places = rng.choice(count, min(max(1, most), count), replace=False)
        yield seen[0][places], seen[1][places]


def _seen(layer: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
    """All that a filter reads, place by place, in the order of its kernel."""
    if isinstance(layer, keras.layers.Dense):
        return tf.reshape(x, (-1, x.shape[-1]))
    patches = tf.image.extract_patches(
        x,
        [1, *layer.kernel_size, 1],
        [1, *layer.strides, 1],
        [1, *layer.dilation_rate, 1],
        layer.padding.upper(),
    )
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return tf.reshape(patches, (-1, patches.shape[-1] // x.shape[-1], x.shape[-1]))
    return tf.reshape(patches, (-1, patches.shape[-1]))


def _batches(values: dict[str, list[tf.Tensor]], names: list[str]) -> Iterator[Any]:
    """What a layer reads of the layers of these names."""
    for parts in zip(*(values[name] for name in names), strict=True):
        yield parts[0] if len(parts) == 1 else list(parts)
