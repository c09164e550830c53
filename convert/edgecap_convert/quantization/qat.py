"""Quantisation-aware training of the whole network, the recurrent part included."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from edgecap.evaluation import Predictor, Recording
from edgecap_convert.data import PoolEntry, SequenceBatch, TrainingData, batches
from edgecap_convert.data.sequences import Cursor
from edgecap_convert.export.graph import Int8Encoder
from edgecap_convert.models.along import State
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.quantization.recipes import DEFAULT_RECIPE, Recipe, recipe_named
from edgecap_convert.tracing import traced
from edgecap_convert.training.checkpoints import Checkpoints
from edgecap_convert.training.config import StageConfig, TrainConfig
from edgecap_convert.training.features import (
    FeatureRecordings,
    FeatureStore,
    PooledItems,
    SeenItems,
    encoder_digest,
    spread,
)
from edgecap_convert.training.optimise import History, Hooks, optimise, optimizer
from edgecap_convert.training.predict import NetworkPredictor
from edgecap_convert.training.runs import FEATURES
from edgecap_convert.training.stages import encoder_learns, feature_store, validation_score
from edgecap_convert.training.updates import SequenceUpdate

STAGE = "qat"
_QAT, _CALIBRATION = 14, 15
# Batches that ranges are learnt from before weights move; fewer where the encoder is large, and its
# ranges are all that is learnt of it.
_CALIBRATION_BATCHES, _FROZEN_BATCHES = 40, 12
# Items that are taught, at most: their grids take time.
_ITEMS = 600
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
    folder: Path,
    recipe: Recipe | None = None,
    checkpoints: Checkpoints | None = None,
) -> QuantizedTraining:
    """Fake-quantises a trained network, learns its ranges, and trains it on.

    Ranges are first learnt along ordered sequences with carried state and no weight updates;
    then the weights move, and the ranges with them; then the ranges freeze. What is learnt is to
    answer like the float network at every frame: a few hundred steps on the labels themselves
    wander away from what the float training had found.

    With ``config.freeze_encoder``, encoder and neck keep their weights, and their ranges once they
    are learnt; what remembers is trained on the grids that the int8 kernels of the encoder compute.

    Args:
      network: float, trained; not changed.
      config: ``config.qat`` with 0 steps leaves the ranges' calibration only.
      data: the training's material. seed: as for the training.
      folder: of the run, for features.
      recipe: what is kept how; by default the default recipe.
      checkpoints: if given, it goes on where it was stopped.
    """
    keras.utils.set_random_seed(seed)
    plan = recipe if recipe is not None else recipe_named(DEFAULT_RECIPE)
    quantized = network.quantized(cell=plan.cell, float_head=plan.head == "float32")
    schedule = quantized.schedule
    assert schedule is not None
    stage = config.qat

    def images(cursor: Cursor | None, salt: int = _QAT) -> Iterator[SequenceBatch]:
        return batches(
            data.draw,
            batch=stage.batch,
            length=stage.length,
            seed=seed + salt,
            whole=stage.whole,
            start=cursor,
        )

    begun = checkpoints.load(STAGE) if checkpoints is not None else None
    if begun is None or config.freeze_encoder:
        count = _FROZEN_BATCHES if config.freeze_encoder else _CALIBRATION_BATCHES
        _calibrate(quantized, images(None, _CALIBRATION), stage.batch, count)
    schedule.follow()
    if not stage.steps:
        schedule.freeze()
        return QuantizedTraining(network, quantized, History(STAGE))
    freeze_at = round(_FREEZE_SHARE * stage.steps)

    def freeze_ranges(step: int) -> None:
        if step == freeze_at:
            schedule.freeze()

    lesson = _Lesson(quantized.trainable_weights, images, network)
    predict: Predictor = NetworkPredictor(quantized, data.task)
    validation: Iterable[Recording] = data.validation.first(config.validation_limit)
    if config.freeze_encoder:
        frozen = FrozenEncoder(network, quantized, config, data, folder)
        lesson = frozen.lesson(stage, seed + _QAT)
        predict, validation = frozen.predict, frozen.recordings(validation)
    adam = optimizer(stage, lesson.variables)
    update = SequenceUpdate(
        quantized,
        lesson.variables,
        adam,
        task=data.task,
        stage=stage,
        seed=seed + _QAT,
        moving_ranges=True,
        teacher=lesson.teacher,
    )
    history = optimise(
        STAGE,
        stage,
        lesson.batches,
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


@dataclass(frozen=True)
class _Lesson:
    """What is learnt from what.

    Attributes:
      variables: move. batches: behind a cursor. teacher: is imitated, unless the batches' targets
        are its answers already.
    """

    variables: list[tf.Variable]
    batches: Callable[[Cursor | None], Iterator[SequenceBatch]]
    teacher: Network | None


class FrozenEncoder:
    """Trains what remembers on the features that the int8 encoder computes.

    Args:
      network: float, the teacher. quantized: calibrated.
      config, data: of the training. folder: of the run.
    """

    def __init__(
        self,
        network: Network,
        quantized: Network,
        config: TrainConfig,
        data: TrainingData,
        folder: Path,
    ) -> None:
        self._network, self._quantized = network, quantized
        self._data = data
        self._student = NetworkPredictor(quantized, data.task)
        self._teacher = NetworkPredictor(network, data.task)
        self._store = FeatureStore(
            folder / FEATURES / encoder_digest(quantized),
            Int8Encoder(quantized),
            limit_bytes=config.cache_bytes,
        )
        own = encoder_learns(config) or config.joint.steps > 0
        self._float_store = feature_store(
            network, self._teacher, folder if own else None, config.cache_bytes
        )
        self.predict = self._student.recur

    @property
    def _see(self) -> Callable[[Any], Any] | None:
        return self._student.look if self._quantized.attends else None

    def recordings(self, recordings: Any) -> FeatureRecordings:
        """The same recordings as the int8 encoder, and an attending neck, see them."""
        return FeatureRecordings(recordings, self._store, see=self._see)

    def lesson(self, stage: StageConfig, seed: int) -> _Lesson:
        """The pool's items with the float network's answers."""
        pool = PooledItems(self._data.pool(), self._store)
        share = max(1, _ITEMS // len(pool.strata))
        strata = [spread([entries], share) for entries in pool.strata]
        inputs: dict[str, npt.NDArray[Any]] = {}
        taught: dict[str, npt.NDArray[np.float32]] = {}
        with tqdm([e for entries in strata for e in entries], desc="   taught", unit="item") as bar:
            for entry in bar:
                grids = pool.grids(entry)
                inputs[entry.key] = self._see(grids) if self._see is not None else grids
                taught[entry.key] = self._teach(entry)
        items = SeenItems(strata, inputs, taught)
        network = self._quantized
        variables = network.seen_weights if network.attends else network.memory_weights

        def begin(cursor: Cursor | None) -> Iterator[SequenceBatch]:
            return batches(
                items.draw,
                batch=stage.batch,
                length=stage.length,
                seed=seed,
                whole=stage.whole,
                start=cursor,
            )

        return _Lesson(variables, begin, None)

    def _teach(self, entry: PoolEntry) -> npt.NDArray[np.float32]:
        grids: Any = self._float_store.grids(entry.key, entry.images)
        return self._teacher.recur(self._teacher.look(grids) if self._network.attends else grids)


def _calibrate(network: Network, source: Iterator[SequenceBatch], batch: int, count: int) -> None:
    """Runs sequences through the network with moving ranges and fixed weights."""

    @traced
    def forward(images: tf.Tensor, resets: tf.Tensor, state: State) -> State:
        return network.clip(normalize(images), state, resets=resets, training=True)[1]

    state = network.initial_state(batch)
    for sequence in itertools.islice(source, count):
        state = forward(tf.constant(sequence.inputs), tf.constant(sequence.resets), state)
