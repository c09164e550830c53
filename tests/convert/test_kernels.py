"""Outside training, a fake-quantised encoder gives what the int8 kernels give, to the byte."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from edgecap_convert.export.graph import Int8Encoder
from edgecap_convert.models.config import EncoderConfig, LSTMConfig, NeckConfig, NetworkConfig
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.quantization.encoder import output_range
from edgecap_convert.quantization.kernels import Scale

from tests.convert.made import calibrated
from tests.convert.test_network import SIZE, lively_network, scenes


def off_by(quantized: Network, images: np.ndarray) -> np.ndarray:
    """|file − network| at every place of the grid, in steps."""
    learnt = output_range(quantized.encoder.layers[-1])
    assert learnt is not None
    step = Scale.of_range(learnt.minimum, learnt.maximum).stored.numpy()
    found = quantized.encode(normalize(tf.constant(images))).numpy()
    return np.abs(Int8Encoder(quantized)(images) - found) / step


def test_a_mobilenet_gives_the_same_bytes() -> None:
    clips = scenes(2, 8)
    quantized = calibrated(lively_network(), clips)
    images = scenes(5, 4).reshape(-1, SIZE, SIZE, 3)
    apart = off_by(quantized, images)
    assert apart.max() < 0.01
    # And that says something: fake quantisation alone is off in many places.
    with quantized.converting():
        plain = quantized.encode(normalize(tf.constant(images))).numpy()
    exact = quantized.encode(normalize(tf.constant(images))).numpy()
    assert (np.abs(plain - exact) > 1e-6).mean() > 0.01
    assert exact.std() > 0.1


@pytest.mark.parametrize(
    ("name", "equal"),
    # Where a layer is no convolution or sum, it is fake-quantised: nearly, but not quite.
    [("mobilenet_v1", 1.0), ("mobilenet_v3_small_minimalistic", 0.9)],
)
def test_other_encoders_come_near(name: str, equal: float) -> None:
    keras.utils.set_random_seed(3)
    alpha = 0.25 if name == "mobilenet_v1" else 0.75
    encoder = EncoderConfig(name=name, alpha=alpha, height=SIZE, width=SIZE)
    network = Network(NetworkConfig(3, encoder, NeckConfig(8, features=16), LSTMConfig(8)))
    clips = scenes(2, 8)
    network.encoder(normalize(tf.constant(clips.reshape(-1, SIZE, SIZE, 3))), training=True)
    apart = off_by(calibrated(network, clips), scenes(3, 4).reshape(-1, SIZE, SIZE, 3))
    assert (apart < 0.5).mean() >= equal


def test_a_range_is_nudged_as_the_converter_does() -> None:
    scale = Scale.of_range(-1.0, 3.0)
    assert float(scale.stored) == np.float32(4.0 / 255.0)
    assert float(scale.zero_point) == round(255 / 4) - 128
    x = tf.quantization.fake_quant_with_min_max_args(tf.linspace(-2.0, 4.0, 500), -1.0, 3.0)
    steps = scale.integers(x).numpy()
    np.testing.assert_allclose(steps * scale.stored.numpy(), x, atol=1e-6)
    assert steps.min() == -128 - float(scale.zero_point)
