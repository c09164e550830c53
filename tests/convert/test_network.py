"""The clip model and the one-step model are one network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from edgecap_convert.export.graph import Int8Encoder, convert_step
from edgecap_convert.models.along import State
from edgecap_convert.models.config import EncoderConfig, LSTMConfig, NeckConfig, NetworkConfig
from edgecap_convert.models.folding import fold_batch_norm
from edgecap_convert.models.look import Look
from edgecap_convert.models.network import Network, normalize

from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.errors import ConfigError
from edgecap.flatbuffer import read_graph
from edgecap.interpreter import open_interpreter
from edgecap.quantization import dequantize, quantize
from edgecap.synthetic import Scene

SIZE = 64


#: Every part that a network may have, alone and together.
NECKS = {
    "plain": NeckConfig(8, features=24),
    "difference": NeckConfig(8, difference=True, features=24),
    "mean": NeckConfig(24, difference=True, pool="mean", features=0),
    "max": NeckConfig(0, difference=True, pool="max", features=16),
    "attend": NeckConfig(8, kernel=3, pool="attend", features=24),
    "attend to motion": NeckConfig(0, difference=True, pool="attend", features=24),
}
MEMORIES = {
    "one layer": LSTMConfig(20),
    "two layers": LSTMConfig(20, layers=2),
    "attention": LSTMConfig(20, attention=5),
    "no memory": LSTMConfig(20, layers=0),
}
#: Neck, memory, members.
SHAPES = [
    *((neck, MEMORIES["one layer"], 1) for neck in NECKS.values()),
    *((NECKS["plain"], memory, 1) for name, memory in MEMORIES.items() if name != "one layer"),
    (NECKS["difference"], LSTMConfig(20, layers=2, attention=5), 1),
    (NECKS["attend"], MEMORIES["one layer"], 3),
    (NECKS["attend to motion"], MEMORIES["no memory"], 2),
    (NECKS["mean"], MEMORIES["one layer"], 2),
    (NECKS["difference"], LSTMConfig(20, layers=2, attention=5), 2),
]

#: A conversion takes seconds: three that hold nearly every part, and the others with --slow.
QUICK = [
    (NECKS["plain"], MEMORIES["one layer"], 1),
    (NECKS["attend"], MEMORIES["one layer"], 3),
    (NECKS["difference"], LSTMConfig(20, layers=2, attention=5), 2),
]
CONVERTED = [
    pytest.param(*shape, marks=[] if shape in QUICK else pytest.mark.slow) for shape in SHAPES
]


def lively_network(
    stride: int = 16,
    neck: NeckConfig = NECKS["plain"],
    lstm: LSTMConfig = MEMORIES["one layer"],
    members: int = 1,
) -> Network:
    """A network whose weights are far from where they start, so that its answers vary."""
    keras.utils.set_random_seed(7)
    encoder = EncoderConfig(height=SIZE, width=SIZE, stride=stride)
    network = Network(NetworkConfig(5, encoder, neck, lstm, members))
    rng = np.random.default_rng(7)
    for weight in network.weights:
        name = weight.name.split(":")[0]
        if name.endswith("gamma"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif name.endswith("beta"):
            weight.assign(rng.normal(0, 0.2, weight.shape))
    images = scenes(6, 6).reshape(-1, SIZE, SIZE, 3)
    # Its batch norms know these frames: as random weights are, everything would fade away.
    for layer in network.encoder.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    network.encoder(normalize(tf.constant(images)), training=True)
    if neck.channels:
        # The neck sees what differs between frames, not what they have in common.
        network.view.settle_neck(network.encode(normalize(tf.constant(images))).numpy())
    if network.attends:
        network.view.sharpen(8.0)
        grids = network.encode(normalize(tf.constant(images))).numpy()
        network.view.settle_looks(network.view.look_at(tf.constant(grids)).numpy())
    for part in network.memory.parts:
        part.set_weights([w * 2.0 if w.ndim > 1 else w for w in part.get_weights()])
    return network


def scenes(count: int, length: int) -> np.ndarray:
    """Frames of scenes that look different, ``(count, length, SIZE, SIZE, 3)`` uint8."""
    return np.stack(
        [
            [f.image for f in itertools.islice(Scene(seed=n, height=SIZE, width=SIZE), length)]
            for n in range(count)
        ]
    )


def as_bytes(frames: tf.Tensor) -> np.ndarray:
    """Undoes ``normalize``."""
    return np.rint(frames.numpy() * 127.5 + 128).astype(np.uint8)


@pytest.fixture(scope="module")
def frames() -> tf.Tensor:
    return normalize(tf.constant(scenes(2, 12)))


def streamed(network: Network, frames: tf.Tensor, resets: np.ndarray) -> tuple[tf.Tensor, State]:
    """The network, one step after the other, as on a device."""
    state, logits = network.initial_state(len(frames)), []
    for t in range(frames.shape[1]):
        keep = (~resets[:, t]).astype(np.float32)
        state = {
            name: value * keep.reshape(-1, *[1] * (len(value.shape) - 1))
            for name, value in state.items()
        }
        out, state = network.step(frames[:, t], state)
        logits.append(out)
    return tf.stack(logits, axis=1), state


@pytest.mark.parametrize(("neck", "lstm", "members"), SHAPES, ids=str)
def test_streamed_equals_clip_at_every_frame(
    frames: tf.Tensor, neck: NeckConfig, lstm: LSTMConfig, members: int
) -> None:
    network = lively_network(neck=neck, lstm=lstm, members=members)
    resets = np.zeros((2, 12), bool)
    resets[0, 5] = resets[1, 9] = True
    whole, whole_state = network.clip(frames, resets=tf.constant(resets))
    out, state = streamed(network, frames, resets)
    assert np.std(out, axis=1).max() > 1e-3, "the answers must vary for this to mean anything"
    np.testing.assert_allclose(out, whole, rtol=0, atol=1e-5)
    assert list(state) == list(whole_state) == list(network.state_shapes())
    for name, value in state.items():
        np.testing.assert_allclose(value, whole_state[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("neck", "lstm", "members"), CONVERTED, ids=str)
def test_every_shape_converts_and_streams(
    frames: tf.Tensor, neck: NeckConfig, lstm: LSTMConfig, members: int
) -> None:
    network = lively_network(neck=neck, lstm=lstm, members=members)
    quantized = network.quantized()
    for _ in range(4):
        quantized.clip(frames, training=True)
    quantized.schedule.freeze()
    model = convert_step(quantized)
    graph = read_graph(model)
    inputs, outputs = graph.signatures[SIGNATURE]
    names = list(network.state_shapes())
    assert set(inputs) == {"image", *names}
    for name in names:
        given, following = graph.tensors[inputs[name]], graph.tensors[outputs[name]]
        assert (given.dtype, given.scales, given.zero_points) == (
            following.dtype,
            following.scales,
            following.zero_points,
        ), name
    # Its encoder's grids, as the int8 kernels compute them: what follows is compared alone.
    grids = Int8Encoder(quantized)(as_bytes(frames[0]))
    interpreter, _ = open_interpreter(model, kernels="xnnpack")
    specs = {name: tensor_spec(name, graph.tensors[i]) for name, i in inputs.items()}
    logits_spec = tensor_spec("logits", graph.tensors[outputs["logits"]])

    def invoke(t: int, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        interpreter.set_tensor(inputs["image"], quantize(frames[:1, t].numpy(), specs["image"]))
        for name in names:
            interpreter.set_tensor(inputs[name], state[name])
        interpreter.invoke()
        logits = dequantize(interpreter.get_tensor(outputs["logits"])[0], logits_spec)
        return logits, {name: interpreter.get_tensor(outputs[name]) for name in names}

    state = quantized.initial_state(1)
    carried = {name: quantize(state[name].numpy(), specs[name]) for name in names}
    expected, stepped, streamed_on = [], [], []
    for t, grid in enumerate(grids):
        # One step from the state of the fake-quantised network, and one from the file's own.
        given = {name: quantize(state[name].numpy(), specs[name]) for name in names}
        stepped.append(invoke(t, given)[0])
        answer, carried = invoke(t, carried)
        streamed_on.append(answer)
        logits, state = quantized.step_grid(tf.constant(grid[None]), state)
        expected.append(logits.numpy()[0])
    assert np.ptp(expected) > 20 * logits_spec.scale, "the answers must vary"
    lsb = np.abs(np.array(stepped) - np.array(expected)) / logits_spec.scale
    assert lsb.mean() < 1
    assert lsb.max() < 8
    # Random weights make much of one rounding, so over time the error is held against the signal.
    error = np.array(streamed_on) - np.array(expected)
    assert np.sqrt(np.square(error).mean()) < 0.3 * np.std(expected, axis=0).mean()
    open_interpreter(model, kernels="builtin")[0].invoke()


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


@pytest.mark.parametrize(("neck", "lstm", "members"), SHAPES, ids=str)
def test_a_clip_of_any_length_runs_as_a_loop(
    frames: tf.Tensor, neck: NeckConfig, lstm: LSTMConfig, members: int
) -> None:
    network = lively_network(neck=neck, lstm=lstm, members=members)
    grids = network.encode(frames[0])
    dynamic = tf.function(
        lambda grids: network.recur(grids[None])[0],
        input_signature=[tf.TensorSpec((None, *grids.shape[1:]))],
    )
    np.testing.assert_allclose(dynamic(grids), network.clip(frames[:1])[0], rtol=0, atol=1e-5)


def test_what_a_neck_has_seen_is_all_that_the_memory_needs(frames: tf.Tensor) -> None:
    network = lively_network(neck=NECKS["attend"])
    resets = np.zeros((2, 12), bool)
    resets[1, 4] = True
    whole, state = network.clip(frames, resets=tf.constant(resets))
    seen = tf.stack([network.view.look_at(network.encode(row)) for row in frames])
    outputs, after = network.recur_seen(seen, resets=tf.constant(resets))
    np.testing.assert_allclose(outputs, whole, rtol=0, atol=1e-5)
    for name, value in after.items():
        np.testing.assert_allclose(value, state[name], rtol=0, atol=1e-5)


def test_an_attending_neck_finds_a_spot() -> None:
    """A map with one bright cell: the place is that cell's, and what is there is its content."""
    look = Look(NeckConfig(2, pool="attend", features=4))
    maps = np.zeros((2, 5, 8, 2), np.float32)
    maps[0, 1, 6] = (30.0, 3.0)
    maps[1, 4, 0] = (30.0, 5.0)
    look([tf.constant(maps)])
    look.kernel.assign([[1.0], [0.0]])
    place, peak, seen = look([tf.constant(maps)])
    x, y = 4 * (np.array([6, 0]) + 0.5) / 8 - 2, 4 * (np.array([1, 4]) + 0.5) / 5 - 2
    np.testing.assert_allclose(place, np.stack([x, y], axis=1), atol=1e-4)
    np.testing.assert_allclose(peak[:, 0], 1.0, atol=1e-4)
    np.testing.assert_allclose(seen, [[30.0, 3.0], [30.0, 5.0]], atol=1e-3)


def test_an_attending_neck_watches_what_changes() -> None:
    look = Look(NeckConfig(0, difference=True, pool="attend", features=4))
    rng = np.random.default_rng(0)
    before = rng.normal(0, 1, (1, 6, 6, 3)).astype(np.float32)
    now = before + rng.normal(0, 0.01, before.shape).astype(np.float32)
    now[0, 4, 1] += (2.0, -2.0, 2.0)
    maps = [tf.constant(now), tf.constant(before)]
    look([*maps, tf.ones((1, 1, 1, 1))])
    look.watch_motion(float(np.abs(now - before).mean()))
    _, _, _, *nothing = look([*maps, tf.zeros((1, 1, 1, 1))])
    assert not np.any(nothing), "of a first frame, nothing is known to have changed"
    place, _, _, rise, fall = look([*maps, tf.ones((1, 1, 1, 1))])
    np.testing.assert_allclose(place[0], [4 * 1.5 / 6 - 2, 4 * 4.5 / 6 - 2], atol=0.05)
    np.testing.assert_allclose(rise[0], [2.0, 0.0, 2.0], atol=0.05)
    np.testing.assert_allclose(fall[0], [0.0, 2.0, 0.0], atol=0.05)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_folding_batch_norm_changes_nothing(stride: int, frames: tf.Tensor) -> None:
    network = lively_network(stride)
    encoder, neck = fold_batch_norm(network.encoder), fold_batch_norm(network.view.neck)
    for part in (encoder, neck):
        assert not any("BatchNorm" in type(layer).__name__ for layer in part.layers)
    expected = network.view.neck(network.encode(frames[0]))
    # In 0 to 6; float rounding of some fifty layers.
    np.testing.assert_allclose(neck(encoder(frames[0])), expected, rtol=0, atol=6e-4)


def test_a_network_that_says_nothing_still_converts_and_runs(frames: tf.Tensor) -> None:
    network = lively_network()
    network.memory.head.kernel.assign(tf.zeros_like(network.memory.head.kernel))
    network.memory.head.bias.assign(tf.zeros_like(network.memory.head.bias))
    quantized = network.quantized()
    quantized.clip(frames, training=True)
    interpreter, _ = open_interpreter(convert_step(quantized), kernels="xnnpack")
    interpreter.invoke()


def test_a_dead_channel_keeps_its_bias_in_int8(frames: tf.Tensor) -> None:
    """Folding can make a channel's weights almost nothing; its scale must not become so."""
    network = lively_network()
    gamma = next(w for w in network.view.neck.weights if w.name.startswith("neck_norm/gamma"))
    beta = next(w for w in network.view.neck.weights if w.name.startswith("neck_norm/beta"))
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
        grid = lively_network(stride).encoder.output_shape[1:3]
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


def test_the_head_answers_in_the_units_of_the_truth(frames: tf.Tensor) -> None:
    network = lively_network()
    plain, _ = network.clip(frames)
    network.memory.head.set_units(np.full(5, 300.0, np.float32), np.full(5, 4.0, np.float32))
    scaled, _ = network.clip(frames)
    np.testing.assert_allclose(scaled, plain * 4.0 + 300.0, rtol=1e-5)
    quantized = network.quantized()
    quantized.clip(frames, training=True)
    assert abs(quantized.clip(frames)[0].numpy().mean() - 300.0) < 10.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": 5},
        {"units": 0},
        {"attention": -1},
        {"layers": 0, "attention": 3},
    ],
)
def test_an_impossible_memory_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="lstm"):
        LSTMConfig(**wrong)
