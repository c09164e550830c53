"""Quantisation-aware training of the whole network, the recurrent part included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.data import SequenceBatch, TrainingData, batches
from edgecap_convert.data.sequences import Cursor
from edgecap_convert.models.network import Network, State, normalize
from edgecap_convert.training.checkpoints import Checkpoints
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.optimise import History, Hooks, optimise, optimizer
from edgecap_convert.training.predict import NetworkPredictor
from edgecap_convert.training.stages import validation_score
from edgecap_convert.training.updates import SequenceUpdate

STAGE = "qat"
_QAT, _CALIBRATION = 14, 15
_CALIBRATION_BATCHES = 40
# From here on ranges stand still and weights settle into them.
_FREEZE_SHARE = 0.6


@dataclass(frozen=True)
class QuantizedTraining:
    """A network before and after quantisation-aware training.

    Attributes:
      network: float. quantized: fake-quantised, ranges frozen. history: how the training went.
    """

    network: Network
    quantized: Network
    history: History


def train_quantized(
    network: Network,
    config: TrainConfig,
    data: TrainingData,
    *,
    seed: int,
    checkpoints: Checkpoints | None = None,
) -> QuantizedTraining:
    """Fake-quantises a trained network, learns its ranges, and trains it on.

    Ranges are first learnt along ordered sequences with carried state and no weight updates;
    then all weights move, and the ranges with them; then the ranges freeze. What is learnt is to
    answer like the float network at every frame: a few hundred steps on the labels themselves
    wander away from what the float training had found.

    Args:
      network: float, trained; not changed.
      config: ``config.qat`` with 0 steps leaves the ranges' calibration only.
      data: the training's material. seed: as for the training.
      checkpoints: if given, it goes on where it was stopped.
    """
    keras.utils.set_random_seed(seed)
    quantized = network.quantized()
    schedule = quantized.schedule
    assert schedule is not None
    stage = config.qat

    def begin(cursor: Cursor | None, salt: int = _QAT) -> Iterator[SequenceBatch]:
        return batches(
            data.draw, batch=stage.batch, length=stage.length, seed=seed + salt, start=cursor
        )

    if checkpoints is None or checkpoints.load(STAGE) is None:
        _calibrate(quantized, begin(None, _CALIBRATION), stage.batch)
    schedule.follow()
    if not stage.steps:
        schedule.freeze()
        return QuantizedTraining(network, quantized, History(STAGE))
    freeze_at = round(_FREEZE_SHARE * stage.steps)

    def freeze_ranges(step: int) -> None:
        if step == freeze_at:
            schedule.freeze()

    predict = NetworkPredictor(quantized, data.task)
    validation = data.validation.first(config.validation_limit)
    variables = quantized.trainable_weights
    adam = optimizer(stage, variables)
    update = SequenceUpdate(
        quantized,
        variables,
        adam,
        task=data.task,
        stage=stage,
        seed=seed + _QAT,
        moving_ranges=True,
        teacher=network,
    )
    history = optimise(
        STAGE,
        stage,
        begin,
        update,
        weights=quantized.weights,
        slots=adam.variables,
        hooks=Hooks(
            validate=(
                lambda: validation_score(predict, validation, labels=data.labels, task=data.task)
            )
            if len(data.validation)
            else None,
            on_step=freeze_ranges,
            checkpoints=checkpoints,
        ),
    )
    schedule.freeze()
    return QuantizedTraining(network, quantized, history)


def _calibrate(network: Network, source: Iterator[SequenceBatch], batch: int) -> None:
    """Runs sequences through the network with moving ranges and fixed weights."""

    @tf.function
    def forward(images: tf.Tensor, resets: tf.Tensor, state: State) -> State:
        return network.clip(normalize(images), state, resets=resets, training=True)[1]

    state = network.initial_state(batch)
    for sequence in itertools.islice(source, _CALIBRATION_BATCHES):
        state = forward(tf.constant(sequence.inputs), tf.constant(sequence.resets), state)
