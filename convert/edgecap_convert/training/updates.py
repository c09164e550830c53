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
      teacher: if given, the network learns to answer like it at every frame, instead of learning
        the labels anew (Hinton et al. 2015, at temperature 1).
    """

    def __init__(
        self,
        network: Network,
        variables: list[tf.Variable],
        optimizer: keras.optimizers.Optimizer,
        *,
        moving_ranges: bool = False,
        teacher: Network | None = None,
    ) -> None:
        self._network = network
        self._variables = variables
        self._optimizer = optimizer
        self._training = moving_ranges
        self._teacher = teacher
        # The network's own state and, where there is one, the teacher's.
        self._states: tuple[State, ...] | None = None
        self._update = tf.function(self._traced_update)

    def __call__(self, batch: SequenceBatch | FeatureBatch) -> tf.Tensor:
        """One update; returns the loss."""
        states = self._states
        if states is None:
            both = (self._network, self._teacher) if self._teacher else (self._network,)
            states = tuple(network.initial_state(len(batch.labels)) for network in both)
        inputs = batch.features if isinstance(batch, FeatureBatch) else batch.images
        given = (inputs, batch.labels, batch.weights, batch.resets)
        loss, self._states = self._update(*map(tf.constant, given), states)
        return loss

    def _traced_update(
        self,
        inputs: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        resets: tf.Tensor,
        states: tuple[State, ...],
    ) -> tuple[tf.Tensor, tuple[State, ...]]:
        if self._teacher is not None:
            taught, teacher_state = _run(self._teacher, inputs, states[1], resets)
        with tf.GradientTape() as tape:
            logits, state = _run(self._network, inputs, states[0], resets, training=self._training)
            if self._teacher is not None:
                targets = tf.nn.softmax(taught)
                loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
            else:
                loss = sequence_loss(logits, labels, weights)
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return loss, (state, teacher_state) if self._teacher is not None else (state,)


def _run(
    network: Network,
    inputs: tf.Tensor,
    state: State,
    resets: tf.Tensor,
    *,
    training: bool = False,
) -> tuple[tf.Tensor, State]:
    """Logits ``(B, T, classes)`` of images (uint8) or of features (float32)."""
    if inputs.dtype == tf.uint8:
        # Batch statistics stay as they are: consecutive frames are no fair sample.
        return network.clip(normalize(inputs), state, resets=resets, training=training)
    return network.recur(inputs, state, resets=resets, training=training)


def sequence_loss(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Cross-entropy at every frame, weighted mean."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_sum(losses * weights) / tf.maximum(tf.reduce_sum(weights), 1e-6)
