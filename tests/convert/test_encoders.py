"""Every encoder builds, folds, quantises, converts, and takes the weights of Keras Applications."""

from __future__ import annotations

import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from edgecap_convert.export.graph import convert_step
from edgecap_convert.models.config import ENCODERS, EncoderConfig, NetworkConfig
from edgecap_convert.models.encoders import FAMILIES, build_encoder
from edgecap_convert.models.encoders.resnet import RESNET50, ColourPadding2D
from edgecap_convert.models.folding import fold_batch_norm
from edgecap_convert.models.network import Network
from edgecap_convert.quantization import grids
from edgecap_convert.quantization.encoder import quantize_frame_network
from edgecap_convert.quantization.ranges import RangeSchedule

from edgecap.errors import ConfigError
from edgecap.flatbuffer import Graph, read_graph
from edgecap.interpreter import open_interpreter
from edgecap.synthetic import Scene

# Strides at which each kind of layer of the family lies in front of the cut.
CASES = {
    "mobilenet_v1": EncoderConfig("mobilenet_v1", 0.25, 64, 64, 8),
    "mobilenet_v2": EncoderConfig("mobilenet_v2", 0.35, 64, 64, 8),
    "mobilenet_v3_small": EncoderConfig("mobilenet_v3_small", 0.35, 64, 64, 16),
    "mobilenet_v3_large": EncoderConfig("mobilenet_v3_large", 0.35, 64, 64, 8),
    "resnet50": EncoderConfig("resnet50", 1.0, 32, 32, 8),
    "inception_v3": EncoderConfig("inception_v3", 1.0, 80, 80, 8),
}
FRAMES = 8


@dataclass(frozen=True)
class Quantised:
    """One encoder in all its forms, and what they say of the same frames."""

    images: np.ndarray
    encoder: keras.Model
    folded: keras.Model
    model: bytes
    in_float: np.ndarray
    fake_quant: np.ndarray


def frames(size: int) -> np.ndarray:
    """``(FRAMES, size, size, 3)`` float32, values of the image grid."""
    images = []
    for number, frame in enumerate(Scene(seed=5, height=size, width=size)):
        if number % 9 == 0:
            images.append(frame.image)
        if len(images) == FRAMES:
            return ((np.stack(images).astype(np.float32) - 128) / 127.5).astype(np.float32)
    raise AssertionError("an endless scene ended")


def settle(encoder: keras.Model, images: np.ndarray) -> None:
    """Batch norms take the statistics of the images, so that the features have a size."""
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    encoder(images, training=True)


def convert(quantized: keras.Model, schedule: RangeSchedule, size: int) -> bytes:
    """The encoder alone, converted like the whole network."""
    module = tf.Module()
    module.reached = [quantized.weights, schedule.momentum]
    module.step = tf.function(
        lambda image: {"map": quantized(grids.IMAGE.fake_quant(image), training=False)},
        input_signature=[tf.TensorSpec((1, size, size, 3), name="image")],
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"step": module.step})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["step"])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        return bytes(converter.convert())


SLOW = ("resnet50", "inception_v3")


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CASES],
)
def quantised(request: pytest.FixtureRequest) -> Quantised:
    config = CASES[request.param]
    keras.utils.set_random_seed(0)
    images = frames(config.height)
    encoder = build_encoder(config)
    settle(encoder, images)
    return in_all_forms(encoder, images)


def in_all_forms(encoder: keras.Model, images: np.ndarray) -> Quantised:
    folded = fold_batch_norm(encoder)
    schedule = RangeSchedule()
    quantized = quantize_frame_network(folded, schedule)
    on_grid = grids.IMAGE.fake_quant(images)
    for _ in range(2):
        quantized(on_grid, training=True)
    schedule.freeze()
    return Quantised(
        images,
        encoder,
        folded,
        convert(quantized, schedule, images.shape[1]),
        encoder(images).numpy(),
        quantized(on_grid).numpy(),
    )


def run(model: bytes, images: np.ndarray, kernels: str) -> tuple[np.ndarray, float]:
    """What the kernels say, in real values, and the step of their grid."""
    graph = read_graph(model)
    inputs, outputs = graph.signatures["step"]
    interpreter, _ = open_interpreter(model, kernels=kernels)
    tensor = graph.tensors[outputs["map"]]
    maps = []
    for image in images:
        interpreter.set_tensor(inputs["image"], np.round(image * 127.5).astype(np.int8)[None])
        interpreter.invoke()
        maps.append(interpreter.get_tensor(outputs["map"])[0].astype(np.float64))
    return (np.stack(maps) - tensor.zero_points[0]) * tensor.scales[0], tensor.scales[0]


def decibels(signal: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(signal**2) / np.mean((other - signal) ** 2)))


def test_folding_changes_nothing(quantised: Quantised) -> None:
    folded = quantised.folded(quantised.images).numpy()
    assert not any("BatchNorm" in type(layer).__name__ for layer in quantised.folded.layers)
    largest = np.abs(quantised.in_float).max()
    assert np.abs(folded - quantised.in_float).max() < 1e-4 * largest


def test_every_value_in_the_file_is_int8(quantised: Quantised) -> None:
    graph = read_graph(quantised.model)
    assert {o.name for o in graph.operators} >= {"CONV_2D"}
    for operator in graph.operators:
        assert graph.tensors[operator.outputs[0]].dtype == "int8", operator.name
    assert not outside_xnnpack(graph)


def outside_xnnpack(graph: Graph) -> set[str]:
    """Operators that would tear the graph: int8 HARD_SWISH (117) has no XNNPACK kernel."""
    return {o.name for o in graph.operators} & {"OP_117", "HARD_SWISH", "QUANTIZE", "DEQUANTIZE"}


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_int8_follows_the_fake_quantised_encoder(quantised: Quantised, kernels: str) -> None:
    """Random weights amplify every rounding; with trained ones 20 to 35 dB are measured."""
    int8, _ = run(quantised.model, quantised.images, kernels)
    error = int8 - quantised.fake_quant
    assert abs(error.mean()) < 0.1 * error.std()
    # As far from float as the fake-quantised one, so training saw what the kernels do.
    trained = decibels(quantised.in_float, quantised.fake_quant)
    assert trained > 9
    assert decibels(quantised.fake_quant, int8) > trained + 2
    assert decibels(quantised.in_float, int8) == pytest.approx(trained, abs=1.0)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_encoder_is_cut_where_the_stride_says(name: str) -> None:
    family = FAMILIES[name]
    full = family.build((96, 96, 3), 1.0 if name in SLOW else 0.35)
    grids_at = {s: full.get_layer(cut).output.shape[1:3] for s, cut in family.cuts.items()}
    if name == "inception_v3":
        assert grids_at == {8: (9, 9), 16: (4, 4), 32: (1, 1)}
        return
    assert grids_at == {8: (12, 12), 16: (6, 6), 32: (3, 3)}


def no_top(application: Callable[..., keras.Model], **options: object) -> keras.Model:
    return application(include_top=False, weights=None, **options)


@pytest.mark.parametrize(
    ("config", "options", "exact"),
    [
        (EncoderConfig("mobilenet_v1", 0.25, 64, 64, 32), {"alpha": 0.25}, True),
        (
            EncoderConfig("mobilenet_v3_small", 0.75, 96, 64, 32),
            {"alpha": 0.75, "include_preprocessing": False},
            True,
        ),
        (
            EncoderConfig("mobilenet_v3_large", 0.35, 64, 64, 32),
            {"alpha": 0.35, "include_preprocessing": False},
            True,
        ),
        (
            EncoderConfig("mobilenet_v3_large_minimalistic", 0.35, 64, 64, 32),
            {"alpha": 0.35, "include_preprocessing": False, "minimalistic": True},
            True,
        ),
        pytest.param(
            EncoderConfig("inception_v3", 1.0, 96, 96, 16), {}, True, marks=pytest.mark.slow
        ),
        pytest.param(EncoderConfig("resnet50", 1.0, 64, 64, 8), {}, False, marks=pytest.mark.slow),
    ],
    ids=lambda value: value.name if isinstance(value, EncoderConfig) else "",
)
def test_saved_weights_of_keras_applications_give_its_features(
    config: EncoderConfig, options: dict[str, object], exact: bool, tmp_path: Path
) -> None:
    application = {
        "mobilenet_v1": keras.applications.MobileNet,
        "mobilenet_v3_small": keras.applications.MobileNetV3Small,
        "mobilenet_v3_large": keras.applications.MobileNetV3Large,
        "mobilenet_v3_large_minimalistic": keras.applications.MobileNetV3Large,
        "inception_v3": keras.applications.InceptionV3,
        "resnet50": keras.applications.ResNet50,
    }[config.name]
    size = (config.height, config.width)
    source = no_top(application, input_shape=(*size, 3), **options)
    rng = np.random.default_rng(2)
    for weight in source.weights:
        if "moving_variance" in weight.name or "gamma" in weight.name:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif "beta" in weight.name or "moving_mean" in weight.name:
            weight.assign(rng.normal(0, 0.2, weight.shape))
    source.save_weights(tmp_path / "weights.h5")
    encoder = build_encoder(
        EncoderConfig(**{**vars(config), "weights": str(tmp_path / "weights.h5")})
    )
    bytes_ = rng.integers(0, 256, (2, *size, 3)).astype(np.float32)
    images = (bytes_ - 128) / 127.5
    given = images if exact else keras.applications.resnet50.preprocess_input(bytes_.copy())
    cut = source.get_layer(FAMILIES[config.name].cuts[config.stride]).output
    expected = keras.Model(source.input, cut)(given).numpy()
    found = encoder(images).numpy()
    assert np.abs(expected).max() > 1e-3
    if exact:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    else:
        # The mean colour, with which the border is padded, is rounded to whole bytes.
        assert decibels(expected, found) > 40


def test_a_whole_network_on_mobilenet_v3_converts_and_runs() -> None:
    # The conversion itself refuses float operators other than the cell state's.
    network = Network(NetworkConfig(outputs=3, encoder=CASES["mobilenet_v3_small"]))
    images = frames(64)
    settle(network.encoder, images)
    quantized = network.quantized()
    quantized.clip(tf.constant(images[None]), training=True)
    model = convert_step(quantized)
    interpreter, _ = open_interpreter(model, kernels="xnnpack")
    interpreter.invoke()


def test_a_colour_border_becomes_part_of_the_first_kernel() -> None:
    """What ResNet50 needs of its first layers, without the fifty behind them."""
    image = keras.Input((16, 16, 3))
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = keras.layers.Conv2D(4, 7, strides=2, name="conv1_conv")(x)
    source = keras.Model(image, x)
    encoder = RESNET50.finish(source, True)
    rng = np.random.default_rng(0)
    bytes_ = rng.integers(0, 256, (2, 16, 16, 3)).astype(np.float32)
    expected = source(keras.applications.resnet50.preprocess_input(bytes_.copy())).numpy()
    found = encoder((bytes_ - 128) / 127.5).numpy()
    inner = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0, atol=1e-2)
    assert decibels(expected, found) > 40, "the mean colour is rounded to whole bytes"


def test_branches_pools_and_sums_stay_on_int8() -> None:
    """What ResNet50 and InceptionV3 are made of, in little."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((16, 16, 3))
    x = ColourPadding2D(1, (124, 117, 104), name="border")(image)
    x = layers.Conv2D(8, 3, use_bias=False, name="first")(x)
    x = layers.BatchNormalization(scale=False, name="norm")(x)
    x = layers.Activation("relu", name="first_relu")(x)
    x = layers.ZeroPadding2D(1, name="pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="largest")(x)
    mean = layers.AveragePooling2D(3, strides=1, padding="same", name="mean")(x)
    mean = layers.Conv2D(4, 1, name="mean_conv")(mean)
    side = layers.Conv2D(4, 3, padding="same", name="side")(x)
    side = layers.ReLU(name="side_relu")(side)
    x = layers.Concatenate(name="joined")([mean, side, x])
    y = layers.Conv2D(16, 1, name="residual")(x)
    x = layers.Activation("relu", name="sum_relu")(layers.Add(name="sum")([x, y]))
    forms = in_all_forms(keras.Model(image, x), frames(16))
    test_folding_changes_nothing(forms)
    names = [o.name for o in read_graph(forms.model).operators]
    assert names.count("QUANTIZE") == 1, "only the map that is joined to others is rounded again"
    assert "RELU" not in names
    assert "DEQUANTIZE" not in names
    for kernels in ("xnnpack", "builtin"):
        int8, step = run(forms.model, forms.images, kernels)
        assert np.abs(int8 - forms.fake_quant).max() < 3.5 * step
        assert decibels(forms.fake_quant, int8) > 35


@pytest.mark.data
@pytest.mark.parametrize(
    ("config", "file"),
    [
        (EncoderConfig("mobilenet_v1", 0.25), "mobilenet_2_5_224_tf_no_top.h5"),
        (EncoderConfig("mobilenet_v2", 1.0), "tf_kernels_1.0_224_no_top.h5"),
    ],
)
def test_published_weights_load(config: EncoderConfig, file: str, data_folder: Path) -> None:
    files = [f for f in (data_folder / "weights").iterdir() if f.name.endswith(file)]
    if not files:
        pytest.skip(f"no {file} there")
    encoder = build_encoder(EncoderConfig(**{**vars(config), "weights": str(files[0])}))
    images = frames(96)
    grid = encoder(images).numpy()
    folded = fold_batch_norm(encoder)(images)
    np.testing.assert_allclose(folded, grid, rtol=1e-3, atol=1e-4 * np.abs(grid).max())


def test_without_a_network_imagenet_weights_are_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for protocol in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(protocol, "http://127.0.0.1:9")
    # urllib keeps the opener that it made first, proxies and all, for the rest of the process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(ConfigError, match=r"encoder\.weights.*'imagenet'.*needs the network"):
        build_encoder(EncoderConfig(weights="imagenet"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "vgg16"}, r"encoder\.name.*mobilenet_v2.*vgg16"),
        ({"name": "resnet50", "alpha": 0.5}, r"encoder\.alpha: resnet50 has one width"),
        ({"name": "inception_v3", "alpha": 1.0, "height": 64}, r"encoder\.height.*75.*64"),
        ({"name": "mobilenet_v3_small", "alpha": 0.35, "weights": "imagenet"}, "0.75, 1; got 0.35"),
    ],
)
def test_an_impossible_encoder_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        EncoderConfig(**settings)  # type: ignore[arg-type]


def test_a_layer_that_is_used_twice_or_not_known_is_refused() -> None:
    image = keras.Input((8, 8, 3))
    convolution = keras.layers.Conv2D(3, 1)
    twice = keras.Model(image, convolution(convolution(image)))
    with pytest.raises(ConfigError, match="used once"):
        fold_batch_norm(twice)
    unknown = keras.Model(image, keras.layers.UpSampling2D()(image))
    with pytest.raises(ConfigError, match=r"cannot quantise.*UpSampling2D"):
        quantize_frame_network(unknown, RangeSchedule())
    with pytest.raises(ConfigError, match="relu"):
        quantize_frame_network(
            keras.Model(image, keras.layers.Activation("elu")(image)), RangeSchedule()
        )


def test_parts_of_a_concatenation_share_its_grid() -> None:
    """Each part rounded to a range of its own would be rounded twice, in a file with QUANTIZE."""
    image = keras.Input((16, 16, 3))
    small = keras.layers.Conv2D(4, 1, name="small")(image)
    large = keras.layers.Conv2D(4, 1, name="large")(image)
    joined = keras.layers.Concatenate(name="joined")([small, large])
    model = keras.Model(image, keras.layers.AveragePooling2D(2, name="average")(joined))
    model.get_layer("large").set_weights(
        [10 * weight for weight in model.get_layer("large").get_weights()]
    )
    schedule = RangeSchedule()
    quantized = quantize_frame_network(model, schedule)
    images = grids.IMAGE.fake_quant(frames(16))
    quantized(images, training=True)
    schedule.freeze()
    converted = convert(quantized, schedule, 16)
    scales = {
        graph.tensors[operator.outputs[0]].scales
        for graph in [read_graph(converted)]
        for operator in graph.operators
    }
    assert len(scales) == 1, "both convolutions, their joint map and its average"
    int8, step = run(converted, images.numpy(), "builtin")
    assert np.abs(int8 - quantized(images)).max() < 1.5 * step
