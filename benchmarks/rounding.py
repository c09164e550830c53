"""Weights rounded one by one, or together: how far an int8 encoder is from its float twin.

    python benchmarks/rounding.py DATA --weights FILE [--alpha 1.0] [--pictures 256] [--json FILE]

DATA holds pictures with sentences (only the pictures are looked at), FILE the ImageNet weights of
MobileNetV2 in the layout of Keras Applications. Ranges and weights are settled on some pictures of
the training part; the distance is measured on others, in dB: 10 log10 of the float grid's power
over that of the difference.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import record
import tensorflow as tf
from edgecap_convert.captions.config import CaptionConfig
from edgecap_convert.captions.grids import picture
from edgecap_convert.captions.material import open_captions
from edgecap_convert.models.config import EncoderConfig
from edgecap_convert.models.encoders import build_encoder
from edgecap_convert.models.folding import fold_batch_norm
from edgecap_convert.models.network import normalize
from edgecap_convert.quantization import grids
from edgecap_convert.quantization.encoder import quantize_frame_network
from edgecap_convert.quantization.ranges import RangeSchedule
from edgecap_convert.quantization.rounding import round_weights

from edgecap.errors import EdgecapError

_BATCH, _MEASURED, _SEED = 32, 96, 0


def measure(data: str, encoder: EncoderConfig, pictures: int) -> dict[str, Any]:
    config = CaptionConfig(encoder=encoder)
    material = open_captions(data, share=config.validation, seed=_SEED)
    order = np.random.default_rng(_SEED).permutation(len(material.train))

    def batches(images: Any, count: int) -> list[tf.Tensor]:
        seen = [picture(image, config.input) for image in images[:count]]
        return [
            grids.IMAGE.fake_quant(normalize(tf.constant(np.stack(seen[at : at + _BATCH]))))
            for at in range(0, len(seen), _BATCH)
        ]

    given = batches([material.train[i] for i in order], pictures)
    others = batches(material.test, _MEASURED)
    network = fold_batch_norm(build_encoder(encoder))
    wanted = np.concatenate([network(batch).numpy() for batch in others])
    found: dict[str, Any] = {}
    for way in ("one by one", "together"):
        schedule = RangeSchedule()
        quantized = quantize_frame_network(network, schedule)
        schedule.calibrate()
        for batch in given:
            quantized(batch, training=True)
        schedule.freeze()
        began = time.monotonic()
        if way == "together":
            round_weights(network, quantized, given, seed=_SEED)
        seconds = round(time.monotonic() - began, 1)
        own = np.concatenate([quantized(batch, training=False).numpy() for batch in others])
        found[way] = {
            "db": distance(wanted, own),
            "mean_db": distance(wanted.mean(axis=(1, 2)), own.mean(axis=(1, 2))),
            "seconds": seconds,
        }
    return {"pictures": pictures, "measured_on": _MEASURED, "grid": list(wanted.shape[1:])} | found


def distance(wanted: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    """In dB."""
    return round(float(10 * np.log10((wanted**2).mean() / ((wanted - found) ** 2).mean())), 2)


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--pictures", type=int, default=256)
    given = parser.parse_args()
    encoder = EncoderConfig(
        *("mobilenet_v2", given.alpha, 224, 224, 32), last_conv=True, weights=given.weights
    )
    try:
        found = measure(given.data, encoder, given.pictures)
    except EdgecapError as error:
        sys.exit(f"rounding: {error}")
    record.publish(found, given)


if __name__ == "__main__":
    main()
