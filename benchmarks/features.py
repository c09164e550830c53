"""What it saves to compute the encoder's features once: an epoch on them and one without.

    python benchmarks/features.py [--data CLIPS] [--config TOML] [--weights FILE] [--rounds N]
                                  [--steps N] [--seed N] [--json FILE]

An epoch is as many weight updates of the recurrent stage as show every frame of the training clips
once. Measured are (a) updates on the cached grids and (b) the same updates, of the same weights,
from the images: the frozen encoder runs in each step, gradients stop behind it. Both read the same
items in the same order, from the caches on disk. They take turns, so that a busy machine slows both
alike; medians over the rounds. How often the encoder was asked for each frame is counted while the
features are filled, and again.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record
from resume import make_clips

from edgecap.extras import require_convert

_CONFIG: dict[str, Any] = {
    "rate_hz": 12,
    "variants": 1,
    "encoder": {"name": "mobilenet_v2", "alpha": 0.35, "height": 160, "width": 160},
    "pretrain": {"steps": 0},
    "recurrent": {"batch": 16, "length": 24},
}


def measure(arguments: Any, data: str, seed: int) -> dict[str, Any]:
    """Fills the features, then times both kinds of updates."""
    import tensorflow as tf
    from edgecap_convert.data import Item, batches
    from edgecap_convert.training.config import load_config
    from edgecap_convert.training.features import FeatureStore, PooledItems, choose
    from edgecap_convert.training.material import open_material
    from edgecap_convert.training.optimise import optimizer
    from edgecap_convert.training.predict import NetworkPredictor
    from edgecap_convert.training.stages import build_network
    from edgecap_convert.training.updates import SequenceUpdate

    config = load_config(arguments.config) if arguments.config else _config(arguments)
    stage = config.recurrent
    material = open_material(data, config, seed=seed)
    network = build_network(config, len(material.labels), seed=seed)
    predict = NetworkPredictor(network, material.task)
    encoded: list[int] = []

    def encode(images: np.ndarray) -> np.ndarray:
        encoded.append(len(images))
        return predict.encode(images)

    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), encode, limit_bytes=config.cache_bytes)
        entries = material.pool()
        items = PooledItems(entries, store)
        began = time.monotonic()
        items.fill()
        fill_s = time.monotonic() - began
        frames = sum(len(entry.truth()[1]) for entry in entries)
        first = sum(encoded)
        items.fill()
        again = sum(encoded) - first

        def draw_images(number: int, rng: np.random.Generator) -> Any:
            entry, joined = choose(items.strata, rng)
            return Item(entry.images(), *entry.truth(), joined)

        def stream(draw: Any) -> Iterator[Any]:
            return batches(draw, batch=stage.batch, length=stage.length, seed=seed)

        def update() -> Any:
            variables = network.memory_weights
            adam = optimizer(stage, variables)
            return SequenceUpdate(
                network, variables, adam, task=material.task, stage=stage, seed=seed
            )

        kinds = {
            "cached": (stream(items.draw), update()),
            "through_encoder": (stream(draw_images), update()),
        }
        numbers = {name: itertools.count(1) for name in kinds}
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        # The first round traces the graphs.
        for turn in range(arguments.rounds + 1):
            for name, (source, step) in kinds.items():
                began = time.monotonic()
                for _ in range(arguments.steps):
                    loss = step(next(source), next(numbers[name]))
                float(loss)
                if turn:
                    seconds[name].append((time.monotonic() - began) / arguments.steps)
    steps = frames / (stage.batch * stage.length)
    epoch = {name: statistics.median(each) * steps for name, each in seconds.items()}
    ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
    return {
        "clips": len({entry.clip for entry in entries}),
        "frames": frames,
        "fill": {
            "seconds": round(fill_s, 2),
            "frames_encoded": first,
            "times_each_frame_was_encoded": first / frames,
            "frames_encoded_when_filled_again": again,
        },
        "steps_an_epoch": round(steps, 1),
        "seconds_a_step": {
            name: [round(value, 4) for value in each] for name, each in seconds.items()
        },
        "seconds_an_epoch": {name: round(value, 2) for name, value in epoch.items()},
        "times_faster": {
            "median": round(statistics.median(ratios), 1),
            "all": [round(ratio, 1) for ratio in ratios],
        },
        "network": {
            "encoder": f"{config.encoder.name} α{config.encoder.alpha:g} "
            f"{config.encoder.height}×{config.encoder.width}, stride {config.encoder.stride}",
            "grid": list(network.encoder.output_shape[1:]),
            "batch": stage.batch,
            "length": stage.length,
            "trained_weights": int(sum(np.prod(v.shape) for v in network.memory_weights)),
        },
        "tensorflow_threads": tf.config.threading.get_intra_op_parallelism_threads() or "all",
    }


def _config(arguments: Any) -> Any:
    from edgecap_convert.training.config import TrainConfig

    document = dict(_CONFIG)
    if arguments.weights:
        document["encoder"] = document["encoder"] | {"weights": arguments.weights}
    return TrainConfig.from_dict(document)


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--data", help="a dataset of clips; generated gestures by default")
    parser.add_argument("--config", help="settings of a training, as TOML")
    parser.add_argument("--weights", help="of the encoder; by default it is untrained")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12, help="updates a round")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    require_convert("edgecap_convert.training.stages", "to train")
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("EDGECAP_CACHE", f"{folder}/cache")
        data = arguments.data
        if data is None:
            data = f"{folder}/clips"
            make_clips(Path(data))
        record.publish(measure(arguments, data, arguments.seed), arguments)


if __name__ == "__main__":
    main()
