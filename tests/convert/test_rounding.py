"""Weights rounded together: nearer as a whole, though none of them is nearer by itself."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'convert'")

import tensorflow as tf
import tf_keras as keras
from edgecap_convert.quantization import grids
from edgecap_convert.quantization.encoder import (
    fake_quantized_kernel,
    quantize_frame_network,
    weight_of,
)
from edgecap_convert.quantization.ranges import RangeSchedule
from edgecap_convert.quantization.rounding import round_together, round_weights


def filters(rng: np.random.Generator, *batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Filters with a large weight each, inputs that move together, and the grid's steps."""
    weights = rng.normal(size=(*batch, 24, 5)) * rng.lognormal(0, 1.5, (*batch, 24, 1))
    inputs = rng.normal(size=(*batch, 500, 6)) @ rng.normal(size=(*batch, 6, 24))
    inputs += 0.1 * rng.normal(size=inputs.shape)
    return weights, inputs, np.abs(weights).max(axis=-2) / 127


def error(inputs: np.ndarray, weights: np.ndarray, rounded: np.ndarray) -> float:
    return float(((inputs @ (rounded - weights)) ** 2).mean())


@pytest.mark.parametrize("batch", [(), (3,)])
def test_errors_of_a_filter_cancel(batch: tuple[int, ...]) -> None:
    weights, inputs, steps = filters(np.random.default_rng(0), *batch)
    kept = weights.copy()
    moments = np.swapaxes(inputs, -2, -1) @ inputs / inputs.shape[-2]
    rounded = round_together(weights, moments, steps)
    assert np.array_equal(weights, kept)
    multiples = rounded / steps[..., None, :]
    np.testing.assert_allclose(multiples, np.round(multiples), atol=1e-9)
    # The grid is still what the largest weight says, and that is where it was.
    assert (np.abs(np.round(multiples)).max(axis=-2) == 127).all()
    assert np.array_equal(np.abs(weights).argmax(axis=-2), np.abs(rounded).argmax(axis=-2))
    nearest = np.round(weights / steps[..., None, :]) * steps[..., None, :]
    assert error(inputs, weights, rounded) < 0.3 * error(inputs, weights, nearest)


def test_inputs_that_say_nothing_of_each_other_are_rounded_to_the_nearest() -> None:
    weights, _, steps = filters(np.random.default_rng(1))
    rounded = round_together(weights, np.eye(24), steps)
    np.testing.assert_allclose(rounded, np.round(weights / steps) * steps, atol=1e-12)
    # Nothing moves at all: any rounding will do, and there is one.
    assert np.isfinite(round_together(weights, np.zeros((24, 24)), steps)).all()


@pytest.fixture(scope="module")
def images() -> list[tf.Tensor]:
    """Two batches with coarse and fine structure."""
    rng = np.random.default_rng(2)
    coarse = tf.image.resize(rng.uniform(-1, 1, (24, 6, 6, 3)).astype(np.float32), (32, 32))
    fine = rng.normal(0, 0.1, coarse.shape).astype(np.float32)
    whole = grids.IMAGE.fake_quant(tf.clip_by_value(coarse + fine, -1, 1))
    return [whole[:16], whole[16:]]


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """One of each kind of layer; what the wide ones read are mixtures of three colours."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    x = given = keras.Input((32, 32, 3))
    x = layers.Conv2D(48, 3, strides=2, padding="same", activation="relu6", name="first")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6", name="depthwise")(x)
    x = kept = layers.Conv2D(24, 1, name="project")(x)
    x = layers.Conv2D(48, 1, activation="relu6", name="expand")(x)
    x = layers.Conv2D(24, 1, name="again")(x)
    made = keras.Model(given, layers.Add(name="sum")([x, kept]))
    rng = np.random.default_rng(4)
    for name in ("project", "again"):
        # Some inputs count a hundred times as much as others, as in trained networks.
        kernel = made.get_layer(name).kernel
        kernel.assign(kernel * rng.lognormal(0, 1.5, (kernel.shape[2], 1)))
    return made


def test_a_network_comes_nearer_to_float(network: keras.Model, images: list[tf.Tensor]) -> None:
    schedule = RangeSchedule()
    quantized = quantize_frame_network(network, schedule)
    schedule.calibrate()
    for batch in images:
        quantized(batch, training=True)
    schedule.freeze()
    others = grids.IMAGE.fake_quant(images[0][:, ::-1] * 0.9)

    def off() -> float:
        wanted = network(others)
        return float(tf.reduce_mean((quantized(others) - wanted) ** 2) / tf.reduce_mean(wanted**2))

    plain = off()
    kept = [weight.numpy() for weight in network.weights]
    round_weights(network, quantized, images, seed=0)
    # What activations are rounded to stays as coarse as it was.
    assert off() < 0.9 * plain
    assert all(np.array_equal(w, before) for w, before in zip(network.weights, kept, strict=True))
    for layer in quantized.layers:
        rounded = fake_quantized_kernel(layer)
        if rounded is not None:
            # What was rounded together is not rounded otherwise afterwards.
            weight = weight_of(layer).numpy()
            np.testing.assert_allclose(rounded[0], weight, atol=1e-4 * np.abs(weight).max())


def test_the_mean_goes_into_the_bias(network: keras.Model, images: list[tf.Tensor]) -> None:
    """Of a network whose weights are off all the same way: what is left is no shift."""
    schedule = RangeSchedule()
    quantized = quantize_frame_network(network, schedule)
    schedule.calibrate()
    for batch in images:
        quantized(batch, training=True)
    schedule.freeze()
    for layer in quantized.layers:
        if fake_quantized_kernel(layer) is not None:
            layer.layer.bias.assign_add(0.3 * tf.ones_like(layer.layer.bias))
    round_weights(network, quantized, images, seed=0)
    wanted, found = (np.asarray(each(images[0])) for each in (network, quantized))
    shift = (found - wanted).mean(axis=(0, 1, 2))
    assert np.abs(shift).max() < 0.1 * wanted.std()
