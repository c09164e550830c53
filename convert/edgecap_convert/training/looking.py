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

from edgecap.durable import write_atomically
from edgecap.errors import DataError
from edgecap_convert.data import Item, PoolEntry, SequenceBatch
from edgecap_convert.data.budget import default_cache
from edgecap_convert.data.tips import VERSION, find_targets
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.tracing import traced
from edgecap_convert.training.features import map_array, npy
from edgecap_convert.training.optimise import FrameUpdate

_LEAST_FOUND = 0.02


class LookItems:
    """Single frames with where something moves in them, each drawn as often as any other.

    Args:
      entries: the pool.
      inputs: of an item: its images, or their grids.
      target: see :func:`edgecap_convert.data.tips.find_targets`.
      at_once: frames that are taken of an item when it is drawn: more than one where making it
        takes long, although neighbours show nearly the same.

    Raises:
      DataError: hardly anything moves in front of a still background.
    """

    def __init__(
        self,
        entries: Sequence[PoolEntry],
        inputs: Callable[[PoolEntry], npt.NDArray[Any]],
        *,
        target: str,
        at_once: int = 1,
    ) -> None:
        self._entries, self._inputs, self._target = entries, inputs, target
        self._at_once = at_once
        self._folder: Path = default_cache() / "targets" / f"{target.replace(' ', '-')}-{VERSION}"
        # OpenCV and NumPy leave Python's lock while they compute. Versions of a clip come in a row;
        # what two threads find at once is the same.
        with ThreadPoolExecutor(os.cpu_count() or 1, "look") as pool:
            self._found = list(tqdm(pool.map(self._targets, entries), "  targets", len(entries)))
        share = float(np.concatenate(self._found)[:, 2].mean())
        if share < _LEAST_FOUND:
            raise DataError(
                f"look: something that moves was found in only {share * 100:.1f} % of the frames; "
                "expected clips of a still camera. Set look.steps = 0, or another neck.pool"
            )
        self._ends = np.cumsum([np.count_nonzero(targets[:, 2]) for targets in self._found])

    def draw(self, number: int, rng: np.random.Generator) -> Item:
        """Some frames of an item in which something was found; ``(n, 3)`` targets."""
        drawn = int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))
        targets = self._found[drawn]
        found = np.nonzero(targets[:, 2])[0]
        chosen = np.sort(rng.permutation(found)[: self._at_once])
        inputs = self._inputs(self._entries[drawn])[chosen]
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
        self._update = traced(self._traced_update)

    def __call__(self, batch: SequenceBatch, step: int) -> tf.Tensor:
        return self._update(tf.constant(batch.inputs[:, 0]), tf.constant(batch.targets[:, 0]))

    def _traced_update(self, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        network = self._network
        looking = network.view.looking_weights
        encoding = network.encoder.trainable_weights if self._encoder_adam is not None else []
        with tf.GradientTape() as tape:
            if inputs.dtype == tf.uint8:
                grids = network.encode(normalize(inputs))
            else:
                grids = tf.cast(inputs, tf.float32)
            # Batch norm by the batch's own statistics: these frames are a fair sample.
            heat = network.view.still_heat(grids, training=True)
            loss = heat_loss(heat, targets, grids.shape[1:3])
        gradients = tape.gradient(loss, [*looking, *encoding])
        count = len(looking)
        self._adam.apply_gradients(zip(gradients[:count], looking, strict=True))
        if self._encoder_adam is not None:
            self._encoder_adam.apply_gradients(zip(gradients[count:], encoding, strict=True))
        return loss


def heat_loss(heat: tf.Tensor, targets: tf.Tensor, grid: Sequence[int]) -> tf.Tensor:
    """Cross-entropy of the heat map with the targets, shared out to their four nearest cells.

    Args:
      heat: ``(members, N, H'·W')`` logits; the losses of all members are averaged.
      targets: ``(N, 3)``: x and y in shares of the frame, and weight.
      grid: H' and W'.
    """
    height, width = grid
    x = targets[:, 0, None] * width - (tf.range(width, dtype=tf.float32) + 0.5)
    y = targets[:, 1, None] * height - (tf.range(height, dtype=tf.float32) + 0.5)
    near_x, near_y = (tf.maximum(1.0 - tf.abs(away), 0.0) for away in (x, y))
    truth = tf.reshape(near_y[:, :, None] * near_x[:, None, :], (-1, height * width))
    truth = truth / tf.maximum(tf.reduce_sum(truth, axis=1, keepdims=True), 1e-3)
    truth = tf.broadcast_to(truth, tf.shape(heat))
    losses = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(truth, heat), axis=0)
    weights = targets[:, 2]
    return tf.reduce_sum(losses * weights) / tf.maximum(tf.reduce_sum(weights), 1e-3)
