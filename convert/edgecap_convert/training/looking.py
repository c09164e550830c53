"""The stage in which an attending neck learns where to look, from what moves in the clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from edgecap.bundle import write_atomically
from edgecap.errors import DataError
from edgecap_convert.data import Item, PoolEntry, SequenceBatch
from edgecap_convert.data.frames import default_cache
from edgecap_convert.data.tips import VERSION, find_targets
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.training.features import choose, map_array, npy
from edgecap_convert.training.optimise import FrameUpdate

# Frames that are taken from an item at a time: neighbours show nearly the same.
_FRAMES_AN_ITEM = 8
_LEAST_FOUND = 0.02


class LookItems:
    """Single frames with where something moves in them.

    Args:
      strata: items, drawn from equally often.
      inputs: of an item: its images, or their grids.
      target: see :func:`edgecap_convert.data.tips.find_targets`.
    """

    def __init__(
        self,
        strata: Sequence[Sequence[PoolEntry]],
        inputs: Callable[[PoolEntry], npt.NDArray[Any]],
        *,
        target: str,
    ) -> None:
        self._strata, self._inputs, self._target = strata, inputs, target
        self._folder: Path = default_cache() / "targets" / f"{target.replace(' ', '-')}-{VERSION}"

    def check(self) -> None:
        """Finds the targets of all items.

        Raises:
          DataError: hardly anything moves in front of a still background.
        """
        entries = [entry for each in self._strata for entry in each]
        # OpenCV and NumPy leave Python's lock while they compute. Versions of a clip come in a row;
        # what two threads find at once is the same.
        with ThreadPoolExecutor(os.cpu_count() or 1, "look") as pool:
            found = list(tqdm(pool.map(self._targets, entries), "  targets", len(entries)))
        share = float(np.concatenate(found)[:, 2].mean())
        if share < _LEAST_FOUND:
            raise DataError(
                f"look: something that moves was found in only {share * 100:.1f} % of the frames; "
                "expected clips of a still camera. Set look.steps = 0, or another neck.pool"
            )

    def draw(self, number: int, rng: np.random.Generator) -> Item:
        """Some frames of an item in which something was found; ``(n, 3)`` targets."""
        while True:
            entry, _ = choose(self._strata, rng)
            targets = self._targets(entry)
            found = np.nonzero(targets[:, 2])[0]
            if len(found):
                break
        chosen = np.sort(rng.permutation(found)[:_FRAMES_AN_ITEM])
        inputs = self._inputs(entry)[chosen]
        return Item(inputs, targets[chosen], np.ones(len(chosen), np.float32))

    def _targets(self, entry: PoolEntry) -> npt.NDArray[np.float32]:
        """Found once in the frames that the item was made of, and moved as those were."""
        origin = entry.origin()
        path = self._folder / origin.key[:2] / f"{origin.key}.npy"
        kept = map_array(path)
        if kept is None:
            kept = find_targets(origin.images(), target=self._target)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, npy(kept))
        return origin.follow(np.asarray(kept))


class LookUpdate(FrameUpdate):
    """One update of neck and heat map, and of the encoder where its inputs are images."""

    def __init__(
        self,
        network: Network,
        adam: keras.optimizers.Optimizer,
        encoder_adam: keras.optimizers.Optimizer | None,
    ) -> None:
        self._network = network
        self._adam, self._encoder_adam = adam, encoder_adam
        self._update = tf.function(self._traced_update)

    def __call__(self, batch: SequenceBatch, step: int) -> tf.Tensor:
        return self._update(tf.constant(batch.inputs[:, 0]), tf.constant(batch.targets[:, 0]))

    def _traced_update(self, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        network = self._network
        looking = network.looking_weights
        encoding = network.encoder.trainable_weights if self._encoder_adam is not None else []
        with tf.GradientTape() as tape:
            if inputs.dtype == tf.uint8:
                grids = network.encode(normalize(inputs))
            else:
                grids = tf.cast(inputs, tf.float32)
            loss = heat_loss(network.still_heat(grids), targets, grids.shape[1:3])
        gradients = tape.gradient(loss, [*looking, *encoding])
        count = len(looking)
        self._adam.apply_gradients(zip(gradients[:count], looking, strict=True))
        if self._encoder_adam is not None:
            self._encoder_adam.apply_gradients(zip(gradients[count:], encoding, strict=True))
        return loss


def heat_loss(heat: tf.Tensor, targets: tf.Tensor, grid: Sequence[int]) -> tf.Tensor:
    """Cross-entropy of the heat map with the targets, shared out to their four nearest cells.

    Args:
      heat: ``(N, H'·W')`` logits.
      targets: ``(N, 3)``: x and y in shares of the frame, and weight.
      grid: H' and W'.
    """
    height, width = grid
    x = targets[:, 0, None] * width - (tf.range(width, dtype=tf.float32) + 0.5)
    y = targets[:, 1, None] * height - (tf.range(height, dtype=tf.float32) + 0.5)
    near_x, near_y = (tf.maximum(1.0 - tf.abs(away), 0.0) for away in (x, y))
    truth = tf.reshape(near_y[:, :, None] * near_x[:, None, :], (-1, height * width))
    truth = truth / tf.maximum(tf.reduce_sum(truth, axis=1, keepdims=True), 1e-3)
    losses = tf.nn.softmax_cross_entropy_with_logits(truth, heat)
    weights = targets[:, 2]
    return tf.reduce_sum(losses * weights) / tf.maximum(tf.reduce_sum(weights), 1e-3)
