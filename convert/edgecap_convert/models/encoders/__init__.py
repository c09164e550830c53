"""The frame encoders, each cut where position can still be read.

============================== ==================== ==================== =====================
encoder                        stride 8             stride 16            stride 32
============================== ==================== ==================== =====================
``mobilenet_v1``               conv_pw_5_relu       conv_pw_11_relu      conv_pw_13_relu
``mobilenet_v2``               block_5_add          block_12_add         block_16_project_BN
``mobilenet_v3_small``         expanded_conv_2/Add  expanded_conv_7/Add  expanded_conv_10/Add
``mobilenet_v3_large``         expanded_conv_5/Add  expanded_conv_11/Add expanded_conv_14/Add
``resnet50``                   conv3_block4_out     conv4_block6_out     conv5_block3_out
``inception_v3``               mixed2               mixed7               mixed10
============================== ==================== ==================== =====================

These are the last layers of their stride (names of Keras Applications) that are not blown up for
the block that follows. ``mobilenet_v3_*_minimalistic`` are cut like the full ones. InceptionV3 does
not pad its image, so its grid is smaller than the size divided by the stride: 9×9, 4×4 and 1×1 at
96 pixels.
"""

from __future__ import annotations

import tf_keras as keras

from edgecap_convert.models.config import EncoderConfig
from edgecap_convert.models.encoders import inception, mobilenet, mobilenet_v3, resnet
from edgecap_convert.models.encoders.family import BATCH_NORM_MOMENTUM, Family

__all__ = ["BATCH_NORM_MOMENTUM", "FAMILIES", "build_encoder"]

#: Name in :class:`EncoderConfig` → family.
FAMILIES: dict[str, Family] = {
    "mobilenet_v1": mobilenet.V1,
    "mobilenet_v2": mobilenet.V2,
    "mobilenet_v3_small": mobilenet_v3.SMALL,
    "mobilenet_v3_large": mobilenet_v3.LARGE,
    "mobilenet_v3_small_minimalistic": mobilenet_v3.SMALL_MINIMALISTIC,
    "mobilenet_v3_large_minimalistic": mobilenet_v3.LARGE_MINIMALISTIC,
    "resnet50": resnet.RESNET50,
    "inception_v3": inception.INCEPTION_V3,
}


def build_encoder(config: EncoderConfig) -> keras.Model:
    """Builds the encoder: ``(B, H, W, 3)`` float32, (u8 − 128) / 127.5 → ``(B, H', W', C)``.

    H' and W' are the size divided by the stride (InceptionV3: a little less).

    Raises:
      ConfigError: the weights could not be loaded.
    """
    return FAMILIES[config.name].encoder(config)
