"""The staged training: encoder → features → LSTM → everything together.

Each stage starts where the one before it ended. The encoder first learns to see, on single
frames, or has learnt it from photographs; the LSTM then learns motion on features that were
computed once, which takes minutes at most; only then is the whole network moved, end to end.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

from edgecap.evaluation import Predictor, Recording, evaluate
from edgecap.spec import DecisionSpec
from edgecap_convert.data import Recordings, SequenceBatch, TrainingData, batches
from edgecap_convert.data.budget import default_cache
from edgecap_convert.data.scenes import PoseData
from edgecap_convert.data.sequences import Cursor, Draw
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.tracing import traced
from edgecap_convert.training.checkpoints import Checkpoints
from edgecap_convert.training.config import StageConfig, TrainConfig, network_config
from edgecap_convert.training.distribute import ALONE, Workers
from edgecap_convert.training.features import (
    FeatureRecordings,
    FeatureStore,
    PooledItems,
    SeenItems,
    encoder_digest,
    spread,
)
from edgecap_convert.training.looking import LookItems, LookUpdate
from edgecap_convert.training.optimise import (
    FrameUpdate,
    History,
    Hooks,
    Log,
    averaged,
    optimise,
    optimizer,
)
from edgecap_convert.training.predict import NetworkPredictor
from edgecap_convert.training.runs import CHECKPOINTS, FEATURES, discard_tree
from edgecap_convert.training.updates import SequenceUpdate

# Seeds of the stages' batches are apart from each other.
_PRETRAIN, _RECURRENT, _JOINT, _LOOK = 11, 12, 13, 16
# Of an item, where a stage draws single images.
_IMAGES_AT_ONCE = 8
# Frames that the neck's batch norm takes its statistics from.
_NECK_FRAMES = 2048
# Features that differ by less than this between frames say nothing in half precision.
_FAINT = 1e-3

_logger = logging.getLogger(__name__)


def build_network(config: TrainConfig, outputs: int, *, seed: int) -> Network:
    """The network before training; the same seed gives the same weights."""
    keras.utils.set_random_seed(seed)
    return Network(network_config(config, outputs))


class Training:
    """All stages of one training.

    Args:
      config: the settings; stages with 0 steps are left out.
      data: the material.
      seed: of weights and batches.
      folder: of the run; checkpoints, and features that no other run can use, go there.
      log: takes the figures of every step.
      workers: who train together; of the folder, all but the chief use only ``features``.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        *,
        seed: int,
        folder: Path,
        log: Log | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self._config, self._data, self._seed = config, data, seed
        self._folder, self._log, self._workers = folder, log, workers
        self._checkpoints = Checkpoints(folder / CHECKPOINTS, every_s=config.checkpoint_s)
        self.network = build_network(config, len(data.labels), seed=seed)
        statistics = data.value_statistics()
        if statistics is not None:
            self.network.memory.head.set_units(*statistics)

    def run(self) -> list[History]:
        """Runs every stage that is not yet done; returns how all of them went."""
        histories = []
        if self._pretrains:
            # It takes minutes, and its batch norms need whole batches: not worth sharing out.
            if self._workers.chief:
                histories.append(self._pretrain())
            self._workers.agree(self.network.weights)
        if self._looks:
            # Likewise: seconds.
            if self._workers.chief:
                histories.append(self._look())
            self._workers.agree(self.network.weights)
        if self._config.recurrent.steps:
            histories.append(self._recurrent())
        if self._config.joint.steps:
            histories.append(self._joint())
        return histories

    def discard_checkpoints(self) -> None:
        """Removes what only a training that goes on needs."""
        if self._workers.chief:
            self._checkpoints.clear()
        discard_tree(self._folder / FEATURES)

    @property
    def _pretrains(self) -> bool:
        """Whether the encoder learns on scenes: not where it has learnt on photographs."""
        return bool(self._config.pretrain.steps) and self._config.encoder.weights is None

    @property
    def _looks(self) -> bool:
        """Whether the neck learns where to look."""
        return self.network.attends and bool(self._config.look.steps)

    def _pretrain(self) -> History:
        """The frame network learns where the object is, through a head that is thrown away.

        Single frames from many scenes teach an encoder to see much sooner than sequences do, whose
        frames are all alike: on two cores it placed the object to within 3 % of the frame after a
        minute, where three minutes of end-to-end training had just begun to tell gestures apart.
        """
        network, stage = self.network, self._config.pretrain
        head = keras.layers.Dense(4, name="pose")
        head.build((None, network.view.feature_width))
        variables = [*network.frame_weights, *head.weights]
        adam = optimizer(stage, variables)
        return optimise(
            "pretrain",
            stage,
            self._batches(PoseData(self._config.frames).draw, stage, _PRETRAIN, ALONE),
            _PoseUpdate(network, head, variables, adam),
            weights=[*network.weights, *head.weights],
            slots=adam.variables,
            hooks=self._hooks(None, ALONE),
        )

    def _look(self) -> History:
        """The neck learns where to look, on single frames of the clips themselves."""
        network, look = self.network, self._config.look
        stage = look.stage
        items = PooledItems(self._data.pool(), self._feature_store())
        encoder_learns = look.encoder_rate > 0
        if not encoder_learns:
            items.fill()
        self._settle_neck(items)
        looked = LookItems(
            self._data.pool(),
            (lambda entry: entry.images()) if encoder_learns else items.grids,
            target=look.target,
            at_once=_IMAGES_AT_ONCE if encoder_learns else 1,
        )
        variables = network.view.looking_weights
        adam = optimizer(stage, variables)
        encoder_adam = None
        if encoder_learns:
            encoder_adam = optimizer(
                dataclasses.replace(stage, learning_rate=stage.learning_rate * look.encoder_rate),
                network.encoder.trainable_weights,
            )
        history = optimise(
            "look",
            stage,
            self._batches(looked.draw, stage, _LOOK, ALONE),
            LookUpdate(network, adam, encoder_adam),
            weights=network.weights,
            slots=[*adam.variables, *(encoder_adam.variables if encoder_adam else [])],
            hooks=self._hooks(None, ALONE),
        )
        network.view.sharpen(look.sharpen)
        return history

    def _recurrent(self) -> History:
        """Neck, LSTM and head on the encoder's grids, which are computed once.

        Of an attending neck, what it sees is computed once too; only what remembers learns.
        """
        network, stage = self.network, self._config.recurrent
        predict = NetworkPredictor(network, self._data.task)
        store = self._feature_store(predict)
        items = PooledItems(self._data.pool(), store)
        items.fill(self._workers.index / self._workers.count)
        if not self._pretrains and not self._looks:
            self._settle_neck(items)
        deviation = items.deviation()
        if deviation < _FAINT:
            _logger.warning(
                "the encoder's features hardly vary (deviation %.1e): it has not learnt to see; "
                "give it encoder.weights, or more pretrain.steps",
                deviation,
            )
        validation = self._validation()
        if network.attends:
            seen = self._settle_look(items, predict)
            draw, variables, noise = seen.draw, network.seen_weights, 0.0
            recordings = FeatureRecordings(validation, store, see=predict.look)
        else:
            draw, variables = items.draw, network.memory_weights
            noise = stage.noise * deviation
            recordings = FeatureRecordings(validation, store)
        adam = optimizer(stage, variables)
        return optimise(
            "recurrent",
            stage,
            self._batches(draw, stage, _RECURRENT, self._workers),
            self._update(stage, variables, adam, _RECURRENT, noise),
            weights=network.weights,
            slots=adam.variables,
            hooks=dataclasses.replace(
                self._hooks(lambda: self._score(predict.recur, recordings), self._workers),
                settle=averaged(stage, adam, variables),
            ),
        )

    def _settle_neck(self, items: PooledItems) -> None:
        """Gives a fresh neck's batch norm the statistics of the grids that it will see.

        From then on it is an affine map: consecutive frames are no fair sample to follow.
        """
        if self._config.neck.channels:
            self.network.view.settle_neck(_sample(items, self._seed))

    def _settle_look(self, items: PooledItems, predict: NetworkPredictor) -> SeenItems:
        """Scales what an attending neck sees by what it sees of the training clips."""
        network = self.network
        if self._config.neck.difference and not self._looks:
            network.view.watch_motion([items.grids(entry) for entry in spread(items.strata, 16)])
        seen = items.look(predict.look)
        network.view.settle_looks(seen.everything(), weight=self._config.look.seen)
        return seen

    def _joint(self) -> History:
        """All weights, end to end."""
        network, stage = self.network, self._config.joint
        predict = NetworkPredictor(network, self._data.task)
        validation = self._validation()
        variables = network.trainable_weights
        adam = optimizer(stage, variables)
        return optimise(
            "joint",
            stage,
            self._batches(self._data.draw, stage, _JOINT, self._workers),
            self._update(stage, variables, adam, _JOINT, 0.0),
            weights=network.weights,
            slots=adam.variables,
            hooks=dataclasses.replace(
                self._hooks(lambda: self._score(predict, validation), self._workers),
                settle=averaged(stage, adam, variables),
            ),
        )

    def _update(
        self,
        stage: StageConfig,
        variables: list[tf.Variable],
        adam: keras.optimizers.Optimizer,
        salt: int,
        noise: float,
    ) -> SequenceUpdate:
        return SequenceUpdate(
            self.network,
            variables,
            adam,
            task=self._data.task,
            stage=stage,
            seed=self._seed + salt,
            noise=noise,
            look=self._config.look if self.network.attends else None,
            workers=self._workers,
        )

    def _batches(
        self, draw: Draw, stage: StageConfig, salt: int, workers: Workers
    ) -> Callable[[Cursor | None], Iterator[SequenceBatch]]:
        def begin(cursor: Cursor | None) -> Iterator[SequenceBatch]:
            return batches(
                draw,
                batch=stage.batch,
                length=stage.length,
                seed=self._seed + salt,
                whole=stage.whole,
                start=cursor,
                rows=workers.rows(stage.batch),
            )

        return begin

    def _validation(self) -> Recordings:
        return self._data.validation.first(self._config.validation_limit)

    def _hooks(self, validate: Callable[[], float] | None, workers: Workers) -> Hooks:
        return Hooks(
            validate=validate if len(self._data.validation) else None,
            log=self._log,
            checkpoints=self._checkpoints if workers.chief else None,
            workers=workers,
        )

    def _score(self, predict: Predictor, recordings: Iterable[Recording]) -> float:
        return validation_score(predict, recordings, labels=self._data.labels, task=self._data.task)

    def _feature_store(self, predict: NetworkPredictor | None = None) -> FeatureStore:
        predict = predict or NetworkPredictor(self.network, self._data.task)
        own = encoder_learns(self._config)
        return feature_store(
            self.network, predict, self._folder if own else None, self._config.cache_bytes
        )


def encoder_learns(config: TrainConfig) -> bool:
    """Whether the encoder is one that no other training has."""
    looks = config.neck.pool == "attend" and config.look.steps > 0
    return config.encoder.weights is None or (looks and config.look.encoder_rate > 0)


def feature_store(
    network: Network, predict: NetworkPredictor, folder: Path | None, limit_bytes: int
) -> FeatureStore:
    """The grids of a network's encoder.

    Args:
      network: whose encoder. predict: encodes with it.
      folder: of the run, for an encoder that nobody else has; ``None``: shared.
      limit_bytes: see ``FeatureStore``.
    """
    place = (folder or default_cache()) / FEATURES / encoder_digest(network)
    return FeatureStore(place, predict.encode, limit_bytes=limit_bytes)


def validation_score(
    predict: Predictor, recordings: Iterable[Recording], *, labels: tuple[str, ...], task: str
) -> float:
    """What a stage selects its weights by: higher is better, see ``score`` of the evaluations."""
    result = evaluate(predict, recordings, labels=labels, decision=DecisionSpec(), task=task)
    return float(result.score)


class _PoseUpdate(FrameUpdate):
    """One update of the frame network and the pose head."""

    def __init__(
        self,
        network: Network,
        head: keras.layers.Layer,
        variables: list[tf.Variable],
        adam: keras.optimizers.Optimizer,
    ) -> None:
        self._network, self._head = network, head
        self._variables, self._adam = variables, adam
        self._update = traced(self._traced_update)

    def __call__(self, batch: SequenceBatch, step: int) -> tf.Tensor:
        return self._update(tf.constant(batch.inputs[:, 0]), tf.constant(batch.targets[:, 0]))

    def _traced_update(self, images: tf.Tensor, poses: tf.Tensor) -> tf.Tensor:
        network = self._network
        with tf.GradientTape() as tape:
            grids = network.encode(normalize(images), training=True)
            found = self._head(network.view.still_features(grids, training=True))
            visible = poses[:, 3]
            # x and y are in frame widths, ln(radius) varies over about ±0.6.
            off = tf.abs(found[:, :3] - poses[:, :3]) * tf.constant([4.0, 4.0, 1.5])
            regression = tf.reduce_sum(off * visible[:, None]) / tf.reduce_sum(visible)
            presence = tf.nn.sigmoid_cross_entropy_with_logits(visible, found[:, 3])
            loss = regression + 0.3 * tf.reduce_mean(presence)
        gradients = tape.gradient(loss, self._variables)
        self._adam.apply_gradients(zip(gradients, self._variables, strict=True))
        return loss


def _sample(items: PooledItems, seed: int) -> np.ndarray:
    """The encoder's grids of some frames of many items, float32."""
    rng = np.random.default_rng([seed, 0])
    drawn: list[np.ndarray] = []
    while sum(map(len, drawn)) < _NECK_FRAMES:
        grids = items.draw(0, rng).inputs
        chosen = rng.permutation(len(grids))[: _NECK_FRAMES // 16]
        drawn.append(grids[np.sort(chosen)].astype(np.float32))
    return np.concatenate(drawn)
