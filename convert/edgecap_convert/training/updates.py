"""Weight updates on sequences, with the state carried from batch to batch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgecap_convert.data import SequenceBatch
from edgecap_convert.models.along import State
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.tracing import traced
from edgecap_convert.training.config import LookConfig, StageConfig
from edgecap_convert.training.distribute import ALONE, Workers
from edgecap_convert.training.losses import distillation_loss, sequence_loss

# Random streams of a step are apart from each other.
_NOISE, _PLACES, _DROPOUT = 1_000_003, 2_000_003, 3_000_017
_WHERE = ("seen", "features", "hidden")


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
      look: how to vary what an attending neck has seen, where that is the input.
      moving_ranges: learnt ranges of activations follow the data (quantised networks).
      teacher: if given, the network learns to answer like it at every frame, instead of learning
        the labels anew (Hinton et al. 2015, at temperature 1); by one worker only.
      workers: who share the rows of a batch.
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
        look: LookConfig | None = None,
        moving_ranges: bool = False,
        teacher: Network | None = None,
        workers: Workers = ALONE,
    ) -> None:
        if teacher is not None and workers.count > 1:
            raise ValueError("expected one worker to learn from a teacher")
        self._network = network
        self._workers = workers
        self._variables = variables
        self._optimizer = optimizer
        self._task, self._stage = task, stage
        self._seed, self._noise = seed, noise
        self._training = moving_ranges
        self._look = look
        self._rates = {
            "seen": look.dropout if look is not None else 0.0,
            "features": stage.dropout,
            "hidden": stage.dropout,
        }
        self._teacher = teacher
        # Each member learns by itself: only then is their mean better than they are. Quantised,
        # they answer together.
        self._apart = network.schedule is None and teacher is None
        networks = (network, teacher) if teacher is not None else (network,)
        # The network's own state and, where there is one, the teacher's.
        rows = len(range(stage.batch)[workers.rows(stage.batch)])
        self._states = tuple(each.initial_state(rows) for each in networks)
        self._update = traced(self._traced_update)

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
            stream = tf.stack([seed[0] + _NOISE, seed[1]])
            noise = tf.random.stateless_normal(self._joint_shape(inputs), stream)
            inputs = tf.cast(inputs, tf.float32) + self._noise * noise[self._rows]
        if len(inputs.shape) == 3 and self._look is not None:
            stream = tf.stack([seed[0] + _PLACES, seed[1]])
            inputs = vary_places(
                inputs,
                self._look,
                stream,
                batch=self._stage.batch,
                rows=self._rows,
                members=self._network.config.members,
            )

        def dropout(x: tf.Tensor, where: str) -> tf.Tensor:
            rate = self._rates[where]
            if not rate:
                return x
            stream = tf.stack([seed[0] + _DROPOUT + _WHERE.index(where), seed[1]])
            # The same values all along a row (Gal & Ghahramani 2016).
            kept = tf.nn.experimental.stateless_dropout(
                tf.ones((self._stage.batch, 1, x.shape[2])), rate, stream
            )
            return x * kept[self._rows]

        scale = self._network.memory.head.scale
        (total,) = self._workers.sum([tf.reduce_sum(weights)])

        with tf.GradientTape() as tape:
            outputs, state = run(
                self._network,
                inputs,
                states[0],
                resets,
                training=self._training,
                dropout=dropout if any(self._rates.values()) else None,
                apart=self._apart,
            )
            if self._teacher is not None:
                loss = distillation_loss(outputs, taught, self._task, scale)
            else:
                loss = sequence_loss(
                    outputs if self._apart else outputs[:, :, None],
                    targets,
                    weights,
                    self._task,
                    scale=scale,
                    smoothing=self._stage.smoothing,
                    total=total,
                )
        gradients = tape.gradient(loss, self._variables)
        loss, *gradients = self._workers.sum([loss, *gradients])
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return loss, (state, *following)

    @property
    def _rows(self) -> slice:
        return self._workers.rows(self._stage.batch)

    def _joint_shape(self, rows: tf.Tensor) -> tf.Tensor:
        """That of the tensor if it had all rows of the batch."""
        return tf.concat([[self._stage.batch], tf.shape(rows)[1:]], 0)


def vary_places(
    seen: tf.Tensor,
    look: LookConfig,
    seed: tf.Tensor,
    *,
    batch: int,
    rows: slice,
    members: int = 1,
) -> tf.Tensor:
    """Scales, turns and moves the places of each row, and blurs them frame by frame.

    As if the camera stood elsewhere, for each member another one; what is seen there stays.

    Args:
      seen: ``(B, T, V)``, ``rows`` of a joint batch of ``batch`` rows.
    """
    count, length, width = seen.shape
    seen = tf.reshape(seen, (count, length, members, width // members))
    drawn = tf.random.stateless_uniform((5, batch, 1, members, 1), seed, -1.0, 1.0)[:, rows]
    zoom = tf.exp(tf.concat([drawn[0], drawn[1]], axis=-1) * math.log1p(look.zoom))
    # A place is in −2 … 2: four times the frame.
    shift = tf.concat([drawn[2], drawn[3]], axis=-1) * 4.0 * look.shift
    noise = tf.random.stateless_normal((batch, length, members, 2), seed + 1)[rows]
    noise = noise * 4.0 * look.noise
    angle = drawn[4] * math.radians(look.turn)
    x, y = seen[..., 0:1], seen[..., 1:2]
    turned = tf.concat(
        [x * tf.cos(angle) - y * tf.sin(angle), x * tf.sin(angle) + y * tf.cos(angle)], axis=-1
    )
    # Places may leave the frame here: cut off at its border, a motion would be another one.
    varied = tf.concat([turned * zoom + shift + noise, seen[..., 2:]], axis=-1)
    return tf.reshape(varied, (count, length, width))


def run(
    network: Network,
    inputs: tf.Tensor,
    state: State,
    resets: tf.Tensor,
    *,
    training: bool = False,
    dropout: object = None,
    apart: bool = False,
) -> tuple[tf.Tensor, State]:
    """Outputs ``(B, T, …)`` of images (uint8), an encoder's grids, or what a neck has seen."""
    options = {"resets": resets, "training": training, "dropout": dropout, "apart": apart}
    if inputs.dtype == tf.uint8:
        # Batch statistics stay as they are: consecutive frames are no fair sample.
        return network.clip(normalize(inputs), state, **options)
    if len(inputs.shape) == 3:
        return network.recur_seen(inputs, state, **options)
    return network.recur(tf.cast(inputs, tf.float32), state, **options)
