"""The clip model and the one-step model are one network."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from edgecap_convert.export.graph import convert_step
from edgecap_convert.models.config import EncoderConfig, NeckConfig, NetworkConfig
from edgecap_convert.models.folding import fold_batch_norm
from edgecap_convert.models.network import Network, normalize

from edgecap.errors import ConfigError
from edgecap.flatbuffer import read_graph
from edgecap.interpreter import open_interpreter

SIZE = 64


def lively_network(stride: int = 16) -> Network:
    """A network whose batch normalisations are not the identity."""
    encoder = EncoderConfig(height=SIZE, width=SIZE, stride=stride)
    network = Network(NetworkConfig(classes=5, encoder=encoder, neck=NeckConfig(8, 24), units=20))
    rng = np.random.default_rng(7)
    for weight in network.frame_network.weights:
        name = weight.name.split(":")[0]
        if name.endswith("gamma"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif name.endswith(("beta", "moving_mean")):
            weight.assign(rng.normal(0, 0.2, weight.shape))
        elif name.endswith("moving_variance"):
            weight.assign(rng.uniform(0.3, 0.8, weight.shape))
    return network


@pytest.fixture(scope="module")
def frames() -> tf.Tensor:
    rng = np.random.default_rng(1)
    return normalize(tf.constant(rng.integers(0, 256, (2, 12, SIZE, SIZE, 3), np.uint8)))


def test_streamed_equals_clip_at_every_frame(frames: tf.Tensor) -> None:
    network = lively_network()
    clip_logits, clip_state = network.clip(frames)
    state = network.initial_state(2)
    logits = []
    for t in range(frames.shape[1]):
        out, state = network.step(frames[:, t], state)
        logits.append(out)
    streamed = tf.stack(logits, axis=1)
    assert np.std(streamed, axis=1).max() > 1e-3, "the answers must vary for this to mean anything"
    np.testing.assert_allclose(streamed, clip_logits, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state.h, clip_state.h, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state.c, clip_state.c, rtol=0, atol=1e-5)


def test_a_clip_in_two_halves_with_carried_state_equals_the_whole(frames: tf.Tensor) -> None:
    network = lively_network()
    whole, _ = network.clip(frames)
    first, state = network.clip(frames[:, :5])
    second, _ = network.clip(frames[:, 5:], state)
    np.testing.assert_allclose(tf.concat([first, second], 1), whole, rtol=0, atol=1e-5)


def test_a_reset_inside_a_clip_forgets_what_was_before(frames: tf.Tensor) -> None:
    network = lively_network()
    resets = np.zeros((2, 12), bool)
    resets[:, 7] = True
    with_reset, _ = network.clip(frames, resets=tf.constant(resets))
    fresh, _ = network.clip(frames[:, 7:])
    np.testing.assert_allclose(with_reset[:, 7:], fresh, rtol=0, atol=1e-5)
    carried, _ = network.clip(frames)
    assert np.abs(with_reset[:, 7:] - carried[:, 7:]).max() > 1e-4


def test_a_rollout_of_any_length_equals_the_clip(frames: tf.Tensor) -> None:
    network = lively_network()
    features = network.features(frames[0])
    logits, _ = tf.function(network.rollout)(features, network.initial_state(1))
    np.testing.assert_allclose(logits, network.clip(frames[:1])[0][0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_folding_batch_norm_changes_nothing(stride: int, frames: tf.Tensor) -> None:
    network = lively_network(stride)
    folded = fold_batch_norm(network.frame_network)
    assert not any("BatchNorm" in type(layer).__name__ for layer in folded.layers)
    expected = network.features(frames[0])
    np.testing.assert_allclose(folded(frames[0]), expected, rtol=1e-4, atol=1e-4)


def test_a_network_that_says_nothing_still_converts_and_runs(frames: tf.Tensor) -> None:
    network = lively_network()
    network.head.set_weights([np.zeros_like(weight) for weight in network.head.get_weights()])
    quantized = network.quantized()
    quantized.clip(frames, training=True)
    interpreter, _ = open_interpreter(convert_step(quantized), kernels="xnnpack")
    interpreter.invoke()


def test_a_dead_channel_keeps_its_bias_in_int8(frames: tf.Tensor) -> None:
    """Folding can make a channel's weights almost nothing; its scale must not become so."""
    network = lively_network()
    gamma = next(w for w in network.frame_network.weights if w.name.startswith("neck_norm/gamma"))
    beta = next(w for w in network.frame_network.weights if w.name.startswith("neck_norm/beta"))
    gamma.assign(tf.tensor_scatter_nd_update(gamma, [[0], [1]], [1e-9, 0.0]))
    beta.assign(tf.tensor_scatter_nd_update(beta, [[0], [1]], [2.0, 2.0]))
    quantized = network.quantized()
    quantized.clip(frames, training=True)
    model = convert_step(quantized)
    interpreter, _ = open_interpreter(model, kernels="builtin")
    graph = read_graph(model)
    operator = [o for o in graph.operators if o.name == "CONV_2D"][-1]
    bias = interpreter.get_tensor(operator.inputs[2])[:2]
    scales = np.array(graph.tensors[operator.inputs[2]].scales[:2])
    np.testing.assert_allclose(bias * scales, [2.0, 2.0], rtol=1e-3)


def test_a_frozen_range_does_not_move(frames: tf.Tensor) -> None:
    quantized = lively_network().quantized()
    quantized.clip(frames, training=True)
    quantized.schedule.freeze()
    before = quantized.get_arrays()
    quantized.clip(frames * 3.0 - 1.0, training=True)
    for name, array in quantized.get_arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_encoder_is_cut_where_the_stride_says() -> None:
    for stride in (8, 16, 32):
        grid = lively_network(stride).frame_network.get_layer("neck_conv").input_shape[1:3]
        assert grid == (SIZE // stride, SIZE // stride)


def test_weights_survive_being_saved_and_set() -> None:
    network, other = lively_network(), Network(lively_network().config)
    other.set_arrays(network.get_arrays())
    for name, array in network.get_arrays().items():
        np.testing.assert_array_equal(array, other.get_arrays()[name])
    with pytest.raises(ConfigError, match="expected shape"):
        wrong = {name: array[..., :1] for name, array in network.get_arrays().items()}
        other.set_arrays(wrong)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stride": 7}, "stride"),
        ({"height": 60}, "height"),
        ({"alpha": 0.0}, "alpha"),
    ],
)
def test_an_impossible_encoder_is_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        EncoderConfig(**settings)  # type: ignore[arg-type]
