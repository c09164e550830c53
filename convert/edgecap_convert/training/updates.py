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
        self._update = tf.function(self._traced_update)

    def __call__(self, batch: SequenceBatch | FeatureBatch) -> tf.Tensor:
        """One update; returns the loss."""
        state = self._state
        if state is None:
            state = self._network.initial_state(len(batch.labels))
        inputs = batch.features if isinstance(batch, FeatureBatch) else batch.images
        given = (inputs, batch.labels, batch.weights, batch.resets)
        loss, self._state = self._update(*map(tf.constant, given), state)
        return loss

    def _traced_update(
        self,
        inputs: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        resets: tf.Tensor,
        state: State,
    ) -> tuple[tf.Tensor, State]:
        network, training = self._network, self._training
        with tf.GradientTape() as tape:
            if inputs.dtype == tf.uint8:
                # Batch statistics stay as they are: consecutive frames are no fair sample.
                images = normalize(inputs)
                logits, state = network.clip(images, state, resets=resets, training=training)
            else:
                logits, state = network.recur(inputs, state, resets=resets, training=training)
            loss = sequence_loss(logits, labels, weights)
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return loss, state


def sequence_loss(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Cross-entropy at every frame, weighted mean."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_sum(losses * weights) / tf.maximum(tf.reduce_sum(weights), 1e-6)
