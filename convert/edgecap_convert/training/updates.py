"""Weight updates on sequences, with the state carried from batch to batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgecap_convert.data import SequenceBatch
from edgecap_convert.models.network import Network, State, normalize
from edgecap_convert.training.config import StageConfig
from edgecap_convert.training.losses import distillation_loss, sequence_loss

_NOISE, _DROPOUT = 1, 2


class SequenceUpdate:
    """Truncated backpropagation through time: the state crosses batches, gradients do not.

    What is random in a step depends on the seed and the step's number alone, so that a training
    goes on after a stop as if there had been none.

    Args:
      network: updated in place.
      variables: the weights to move.
      optimizer: moves them.
      task: decides the loss.
      stage: dropout, noise and smoothing.
      seed: of dropout and noise.
      noise: deviation of the noise on features that were computed before.
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
        task: str,
        stage: StageConfig,
        seed: int,
        noise: float = 0.0,
        moving_ranges: bool = False,
        teacher: Network | None = None,
    ) -> None:
        self._network = network
        self._variables = variables
        self._optimizer = optimizer
        self._task, self._stage = task, stage
        self._seed, self._noise = seed, noise
        self._training = moving_ranges
        self._teacher = teacher
        networks = (network, teacher) if teacher is not None else (network,)
        # The network's own state and, where there is one, the teacher's.
        self._states = tuple(each.initial_state(stage.batch) for each in networks)
        self._update = tf.function(self._traced_update)

    def __call__(self, batch: SequenceBatch, step: int) -> tf.Tensor:
        """One update; returns the loss."""
        given = (batch.inputs, batch.targets, batch.weights, batch.resets)
        seed = tf.constant([self._seed, step], tf.int32)
        loss, self._states = self._update(*map(tf.constant, given), seed, self._states)
        return loss

    def carried(self) -> dict[str, npt.NDArray[np.float32]]:
        """The states as they are between two steps."""
        return {
            f"{number}:{name}": value.numpy()
            for number, state in enumerate(self._states)
            for name, value in state.items()
        }

    def carry_on(self, carried: dict[str, npt.NDArray[np.float32]]) -> None:
        """Takes up what :meth:`carried` gave."""
        self._states = tuple(
            {name: tf.constant(carried[f"{number}:{name}"]) for name in state}
            for number, state in enumerate(self._states)
        )

    def _traced_update(
        self,
        inputs: tf.Tensor,
        targets: tf.Tensor,
        weights: tf.Tensor,
        resets: tf.Tensor,
        seed: tf.Tensor,
        states: tuple[State, ...],
    ) -> tuple[tf.Tensor, tuple[State, ...]]:
        following = []
        if self._teacher is not None:
            taught, teacher_state = run(self._teacher, inputs, states[1], resets)
            following.append(teacher_state)
        if inputs.dtype != tf.uint8 and self._noise:
            noise = tf.random.stateless_normal(
                tf.shape(inputs), tf.stack([seed[0] + _NOISE, seed[1]])
            )
            inputs = tf.cast(inputs, tf.float32) + self._noise * noise

        def dropout(x: tf.Tensor, where: str) -> tf.Tensor:
            stream = tf.stack([seed[0] + _DROPOUT + (where == "hidden"), seed[1]])
            return tf.nn.experimental.stateless_dropout(x, self._stage.dropout, stream)

        with tf.GradientTape() as tape:
            outputs, state = run(
                self._network,
                inputs,
                states[0],
                resets,
                training=self._training,
                dropout=dropout if self._stage.dropout else None,
            )
            if self._teacher is not None:
                loss = distillation_loss(outputs, taught, self._task, self._network.head.scale)
            else:
                loss = sequence_loss(
                    outputs,
                    targets,
                    weights,
                    self._task,
                    scale=self._network.head.scale,
                    smoothing=self._stage.smoothing,
                )
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return loss, (state, *following)


def run(
    network: Network,
    inputs: tf.Tensor,
    state: State,
    resets: tf.Tensor,
    *,
    training: bool = False,
    dropout: object = None,
) -> tuple[tf.Tensor, State]:
    """Outputs ``(B, T, …)`` of images (uint8) or of an encoder's grids (float)."""
    options = {"resets": resets, "training": training, "dropout": dropout}
    if inputs.dtype == tf.uint8:
        # Batch statistics stay as they are: consecutive frames are no fair sample.
        return network.clip(normalize(inputs), state, **options)
    return network.recur(tf.cast(inputs, tf.float32), state, **options)
