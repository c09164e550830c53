"""Quantisation-aware training of the whole network, the recurrent part included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.data import SequenceBatch, TrainingData, batches
from edgecap_convert.models.network import Network, State, normalize
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.optimise import History, optimise, optimizer
from edgecap_convert.training.predict import NetworkPredictor
from edgecap_convert.training.stages import validation_score
from edgecap_convert.training.updates import SequenceUpdate

_QAT = 14
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
    network: Network, config: TrainConfig, data: TrainingData, *, seed: int
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
    """
    keras.utils.set_random_seed(seed)
    quantized = network.quantized()
    schedule = quantized.schedule
    assert schedule is not None
    stage = config.qat
    source = batches(data, batch=stage.batch, length=stage.length, seed=seed + _QAT)
    _calibrate(quantized, source, stage.batch)
    schedule.follow()
    if not stage.steps:
        schedule.freeze()
        return QuantizedTraining(network, quantized, History("qat"))
    freeze_at = round(_FREEZE_SHARE * stage.steps)

    def freeze_ranges(step: int) -> None:
        if step == freeze_at:
            schedule.freeze()

    predict = NetworkPredictor(quantized)
    history = optimise(
        "qat",
        stage,
        source,
        SequenceUpdate(
            quantized,
            quantized.trainable_weights,
            optimizer(stage),
            moving_ranges=True,
            teacher=network,
        ),
        variables=quantized.weights,
        validate=lambda: validation_score(predict, data.validation, data.labels),
        on_step=freeze_ranges,
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
        state = forward(tf.constant(sequence.images), tf.constant(sequence.resets), state)
