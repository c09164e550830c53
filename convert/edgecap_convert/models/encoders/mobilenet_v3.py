"""MobileNetV3, built from layers that can be folded and quantised.

Keras Applications writes the activations as operations between layers, which can be neither cloned
nor wrapped. The network here is the same, layer for layer and weight for weight, so its weights go
in by their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tf_keras as keras

from edgecap_convert.models.encoders.activations import HardSigmoid, HardSwish
from edgecap_convert.models.encoders.family import Family, Shape

layers = keras.layers


class _Block(NamedTuple):
    """One inverted residual; ``kernel`` 5, ``squeeze`` and ``swish`` only in the full variant."""

    expansion: float
    filters: int
    kernel: int
    stride: int
    squeeze: bool
    swish: bool


# Howard et al. 2019, tables 1 and 2.
_LARGE = (
    _Block(1, 16, 3, 1, False, False),
    _Block(4, 24, 3, 2, False, False),
    _Block(3, 24, 3, 1, False, False),
    _Block(3, 40, 5, 2, True, False),
    _Block(3, 40, 5, 1, True, False),
    _Block(3, 40, 5, 1, True, False),
    _Block(6, 80, 3, 2, False, True),
    _Block(2.5, 80, 3, 1, False, True),
    _Block(2.3, 80, 3, 1, False, True),
    _Block(2.3, 80, 3, 1, False, True),
    _Block(6, 112, 3, 1, True, True),
    _Block(6, 112, 3, 1, True, True),
    _Block(6, 160, 5, 2, True, True),
    _Block(6, 160, 5, 1, True, True),
    _Block(6, 160, 5, 1, True, True),
)
_SMALL = (
    _Block(1, 16, 3, 2, True, False),
    _Block(72 / 16, 24, 3, 2, False, False),
    _Block(88 / 24, 24, 3, 1, False, False),
    _Block(4, 40, 5, 2, True, True),
    _Block(6, 40, 5, 1, True, True),
    _Block(6, 40, 5, 1, True, True),
    _Block(3, 48, 5, 1, True, True),
    _Block(3, 48, 5, 1, True, True),
    _Block(6, 96, 5, 2, True, True),
    _Block(6, 96, 5, 1, True, True),
    _Block(6, 96, 5, 1, True, True),
)


def _build(
    blocks: tuple[_Block, ...], minimalistic: bool, shape: Shape, alpha: float
) -> keras.Model:
    image = keras.Input(shape)
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="Conv")(image)
    x = _activation(_norm(x, "Conv"), "Conv", swish=not minimalistic)
    if minimalistic:
        blocks = tuple(b._replace(kernel=3, squeeze=False, swish=False) for b in blocks)
    for number, block in enumerate(blocks):
        x = _inverted_residual(x, block, number, _depth(block.filters * alpha))
    last = _depth(x.shape[-1] * 6)
    x = layers.Conv2D(last, 1, padding="same", use_bias=False, name="Conv_1")(x)
    x = _activation(_norm(x, "Conv_1"), "Conv_1", swish=not minimalistic)
    return keras.Model(image, x)


def _inverted_residual(
    x: keras.KerasTensor, block: _Block, number: int, filters: int
) -> keras.KerasTensor:
    shortcut, given = x, x.shape[-1]
    prefix = f"expanded_conv_{number}/" if number else "expanded_conv/"
    expanded = _depth(given * block.expansion)
    if number:
        name = f"{prefix}expand"
        x = layers.Conv2D(expanded, 1, padding="same", use_bias=False, name=name)(x)
        x = _activation(_norm(x, name), name, swish=block.swish)
    name = f"{prefix}depthwise"
    if block.stride == 2:
        x = layers.ZeroPadding2D(_padding(x, block.kernel), name=f"{name}/pad")(x)
    x = layers.DepthwiseConv2D(
        block.kernel,
        strides=block.stride,
        padding="same" if block.stride == 1 else "valid",
        use_bias=False,
        name=name,
    )(x)
    x = _activation(_norm(x, name), name, swish=block.swish)
    if block.squeeze:
        x = _squeeze_excite(x, expanded, f"{prefix}squeeze_excite/")
    name = f"{prefix}project"
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=name)(x)
    x = _norm(x, name)
    if block.stride == 1 and given == filters:
        x = layers.Add(name=f"{prefix}Add")([shortcut, x])
    return x


def _squeeze_excite(x: keras.KerasTensor, filters: int, prefix: str) -> keras.KerasTensor:
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}AvgPool")(x)
    gate = layers.Conv2D(_depth(filters / 4), 1, padding="same", name=f"{prefix}Conv")(gate)
    gate = layers.ReLU(name=f"{prefix}Relu")(gate)
    gate = layers.Conv2D(filters, 1, padding="same", name=f"{prefix}Conv_1")(gate)
    gate = HardSigmoid(name=f"{prefix}HardSigmoid")(gate)
    return layers.Multiply(name=f"{prefix}Mul")([x, gate])


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.999, name=f"{name}/BatchNorm")(x)


def _activation(x: keras.KerasTensor, name: str, *, swish: bool) -> keras.KerasTensor:
    return HardSwish(name=f"{name}/HardSwish")(x) if swish else layers.ReLU(name=f"{name}/Relu")(x)


def _padding(x: keras.KerasTensor, kernel: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """What Keras Applications pads before a stride of 2: less on the top and left of even sizes."""
    rows, columns = ((kernel // 2 - 1 + size % 2, kernel // 2) for size in (x.shape[1], x.shape[2]))
    return rows, columns


def _depth(channels: float) -> int:
    """Rounds to a multiple of 8 that is at most 10 % less."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _family(
    blocks: tuple[_Block, ...],
    application: Callable[..., keras.Model],
    cuts: dict[int, str],
    *,
    minimalistic: bool,
) -> Family:
    return Family(
        build=lambda shape, alpha: _build(blocks, minimalistic, shape, alpha),
        published=lambda shape, alpha: application(
            input_shape=shape,
            alpha=alpha,
            minimalistic=minimalistic,
            include_top=False,
            weights="imagenet",
            include_preprocessing=False,
        ),
        cuts=cuts,
    )


_SMALL_CUTS = {
    8: "expanded_conv_2/Add",
    16: "expanded_conv_7/Add",
    32: "expanded_conv_10/Add",
}
_LARGE_CUTS = {
    8: "expanded_conv_5/Add",
    16: "expanded_conv_11/Add",
    32: "expanded_conv_14/Add",
}
_SMALL_APPLICATION = keras.applications.MobileNetV3Small
_LARGE_APPLICATION = keras.applications.MobileNetV3Large

SMALL = _family(_SMALL, _SMALL_APPLICATION, _SMALL_CUTS, minimalistic=False)
LARGE = _family(_LARGE, _LARGE_APPLICATION, _LARGE_CUTS, minimalistic=False)
SMALL_MINIMALISTIC = _family(_SMALL, _SMALL_APPLICATION, _SMALL_CUTS, minimalistic=True)
LARGE_MINIMALISTIC = _family(_LARGE, _LARGE_APPLICATION, _LARGE_CUTS, minimalistic=True)
