"""MobileNetV1 and V2: convolutions, batch norms and ReLU6 from Keras Applications as they are."""

from __future__ import annotations

import tf_keras as keras

from edgecap_convert.models.encoders.family import Family, Shape


def _v1(shape: Shape, alpha: float, weights: str | None = None) -> keras.Model:
    return keras.applications.MobileNet(
        input_shape=shape, alpha=alpha, include_top=False, weights=weights
    )


def _v2(shape: Shape, alpha: float, weights: str | None = None) -> keras.Model:
    return keras.applications.MobileNetV2(
        input_shape=shape, alpha=alpha, include_top=False, weights=weights
    )


V1 = Family(
    build=_v1,
    published=lambda shape, alpha: _v1(shape, alpha, "imagenet"),
    cuts={8: "conv_pw_5_relu", 16: "conv_pw_11_relu", 32: "conv_pw_13_relu"},
)
V2 = Family(
    build=_v2,
    published=lambda shape, alpha: _v2(shape, alpha, "imagenet"),
    cuts={8: "block_5_add", 16: "block_12_add", 32: "block_16_project_BN"},
    last="out_relu",
)
