"""Weight updates on sequences, with the state carried from batch to batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgecap_convert.data import SequenceBatch
from edgecap_convert.models.network import Network, State, normalize


@dataclass(frozen=True)
class FeatureBatch:
    """A ``SequenceBatch`` whose images were run through the encoder: ``(B, T, F)`` float32."""

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    resets: npt.NDArray[np.bool_]


class SequenceUpdate:
    """Truncated backpropagation through time: the state crosses batches, gradients do not.

    Args:
      network: updated in place.
      variables: the weights to move.
      optimizer: moves them.
      moving_ranges: learnt ranges of activations follow the data (quantised networks).
    """

    def __init__(
        self,
        network: Network,
        variables: list[tf.Variable],
        optimizer: keras.optimizers.Optimizer,
        *,
        moving_ranges: bool = False,
    ) -> None:
        self._network = network
        self._variables = variables
        self._optimizer = optimizer
        self._training = moving_ranges
        self._state: State | None = None
        self._on_images = tf.function(self._update_on_images)
        self._on_features = tf.function(self._update_on_features)

    def __call__(self, batch: SequenceBatch | FeatureBatch) -> tf.Tensor:
        """One update; returns the loss."""
        state = self._state
        if state is None:
            state = self._network.initial_state(len(batch.labels))
        rest = (tf.constant(batch.labels), tf.constant(batch.weights), tf.constant(batch.resets))
        if isinstance(batch, FeatureBatch):
            loss, self._state = self._on_features(tf.constant(batch.features), *rest, state)
        else:
            loss, self._state = self._on_images(tf.constant(batch.images), *rest, state)
        return loss

    def _update_on_images(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        resets: tf.Tensor,
        state: State,
    ) -> tuple[tf.Tensor, State]:
        with tf.GradientTape() as tape:
            # Batch statistics stay as they are: consecutive frames are no fair sample.
            logits, state = self._network.clip(
                normalize(images), state, resets=resets, training=self._training
            )
            loss = sequence_loss(logits, labels, weights)
        self._apply(tape, loss)
        return loss, state

    def _update_on_features(
        self,
        features: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        resets: tf.Tensor,
        state: State,
    ) -> tuple[tf.Tensor, State]:
        with tf.GradientTape() as tape:
            logits, state = self._network.recur(
                features, state, resets=resets, training=self._training
            )
            loss = sequence_loss(logits, labels, weights)
        self._apply(tape, loss)
        return loss, state

    def _apply(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))


def sequence_loss(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Cross-entropy at every frame, weighted mean."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_sum(losses * weights) / tf.maximum(tf.reduce_sum(weights), 1e-6)
