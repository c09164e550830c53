"""A camera frame → the model's image: exact where it must be, refused where it cannot be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgecap.errors import FrameError
from edgecap.preprocess import Preprocessor, check_frame, resize
from edgecap.quantization import dequantize, image_tensor, quantize, reset_value
from edgecap.spec import InputSpec, TensorSpec

SPEC = InputSpec(image_tensor(48, 64))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_every_byte_becomes_itself_minus_128() -> None:
    image = np.resize(np.arange(256, dtype=np.uint8), (48, 64, 3))
    tensor = Preprocessor(SPEC)(image)
    assert tensor.dtype == np.int8
    assert tensor.shape == (1, 48, 64, 3)
    np.testing.assert_array_equal(tensor[0], image.astype(np.int16) - 128)


def test_the_integer_image_means_what_the_float_image_says() -> None:
    floats = dataclasses.replace(SPEC, tensor=TensorSpec("image", (1, 48, 64, 3), "float32"))
    image = noise(48, 64)
    real = Preprocessor(floats)(image)
    assert real.dtype == np.float32
    np.testing.assert_allclose(dequantize(Preprocessor(SPEC)(image), SPEC.tensor), real, atol=1e-6)
    np.testing.assert_allclose(real[0], (image - 128.0) / 127.5, atol=1e-6)


def test_a_frame_of_the_models_size_is_not_copied() -> None:
    image = noise(48, 64)
    assert resize(image, SPEC) is image


def test_the_frame_itself_is_left_alone() -> None:
    image = noise(48, 64)
    before = image.copy()
    Preprocessor(SPEC)(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("method", ["linear", "area"])
def test_the_resize_rule_is_opencvs(method: str) -> None:
    cv2 = pytest.importorskip("cv2")
    image = noise(480, 640)
    flag = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}[method]
    found = resize(image, dataclasses.replace(SPEC, resize=method))
    np.testing.assert_array_equal(found, cv2.resize(image, (64, 48), interpolation=flag))


@pytest.mark.parametrize("frame", [(480, 640), (240, 320), (1080, 1920), (144, 100), (145, 99)])
@pytest.mark.parametrize("size", [(48, 64), (96, 96), (160, 160), (120, 72), (16, 16)])
def test_rows_left_out_before_a_resize_change_no_byte(
    frame: tuple[int, int], size: tuple[int, int]
) -> None:
    cv2 = pytest.importorskip("cv2")
    image = noise(*frame)
    found = resize(image, dataclasses.replace(SPEC, tensor=image_tensor(*size)))
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(found, expected)


def test_width_and_height_do_not_change_places() -> None:
    pytest.importorskip("cv2")
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :320, 0] = 255
    image[240:, :, 1] = 255
    small = resize(image, SPEC)
    assert small.shape == (48, 64, 3)
    assert small[0, 0].tolist() == [255, 0, 0]
    assert small[0, -1].tolist() == [0, 0, 0]
    assert small[-1, 0].tolist() == [255, 255, 0]


def test_crop_keeps_the_centre_and_the_aspect() -> None:
    pytest.importorskip("cv2")
    spec = InputSpec(image_tensor(48, 48), fit="crop")
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = 200
    assert (resize(image, spec) == 200).all()
    assert (resize(np.ascontiguousarray(image.swapaxes(0, 1)), spec) == 200).all()


def test_crop_alone_needs_no_resize() -> None:
    spec = InputSpec(image_tensor(48, 48), fit="crop")
    image = noise(48, 80)
    found = resize(image, spec)
    np.testing.assert_array_equal(found, image[:, 16:64])
    assert found.flags.c_contiguous


def test_stretch_uses_the_whole_frame() -> None:
    pytest.importorskip("cv2")
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, :30] = image[:, -30:] = 200
    small = resize(image, InputSpec(image_tensor(48, 48)))
    assert (small[:, 0] == 200).all()
    assert (small[:, -1] == 200).all()


@pytest.mark.parametrize("size", [(48, 64), (120, 160)])
def test_a_view_gives_what_its_copy_gives(size: tuple[int, int]) -> None:
    """BGR sliced to RGB, mirrored, every second pixel: frames as people have them."""
    if size != (48, 64):
        pytest.importorskip("cv2")
    height, width = size
    preprocess = Preprocessor(SPEC)
    for view in (
        noise(height, width)[..., ::-1],
        noise(height, width)[:, ::-1],
        noise(height * 2, width * 2)[::2, ::2],
    ):
        expected = preprocess(np.ascontiguousarray(view)).copy()
        np.testing.assert_array_equal(preprocess(view), expected)


def test_a_read_only_frame_is_accepted() -> None:
    image = noise(48, 64)
    image.flags.writeable = False
    assert Preprocessor(SPEC)(image).shape == (1, 48, 64, 3)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.zeros((48, 64), np.uint8), "shape"),
        (np.zeros((48, 64, 4), np.uint8), "shape"),
        (np.zeros((48, 0, 3), np.uint8), "shape"),
        (np.zeros((48, 64, 3), np.float32), "uint8"),
        (np.zeros((48, 64, 3), bool), "uint8"),
        ([[0, 0, 0]], "NumPy array"),
        (None, "NumPy array"),
    ],
    ids=["grey", "rgba", "empty", "float", "bool", "list", "none"],
)
def test_what_is_no_frame_is_refused_with_what_was_expected(image: object, named: str) -> None:
    for refuse in (check_frame, Preprocessor(SPEC), lambda frame: resize(frame, SPEC)):
        with pytest.raises(FrameError, match=named):
            refuse(image)  # type: ignore[operator]


def test_quantize_rounds_half_away_from_zero_and_saturates() -> None:
    tensor = TensorSpec("x", (1, 6), "int8", scale=0.5, zero_point=3)
    real = np.array([0.0, 0.25, -0.25, 0.2, 1000.0, -1000.0])
    assert quantize(real, tensor).tolist() == [3, 4, 2, 3, 127, -128]


def test_every_integer_survives_the_way_to_real_and_back() -> None:
    tensor = TensorSpec("x", (1, 256), "int8", scale=0.0123, zero_point=-7)
    values = np.arange(-128, 128).astype(np.int8)
    np.testing.assert_array_equal(quantize(dequantize(values, tensor), tensor), values)
    assert dequantize(np.array([reset_value(tensor)], np.int8), tensor).tolist() == [0.0]
