"""The staged training: encoder → features → LSTM → everything together.

Each stage starts where the one before it ended. The encoder first learns to see, on single
frames, or has learnt it from photographs; the LSTM then learns motion on features that were
computed once, which takes minutes at most; only then is the whole network moved, end to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

from edgecap.evaluation import Predictor, Recording, evaluate
from edgecap.spec import DecisionSpec
from edgecap_convert.data import Recordings, SequenceBatch, TrainingData, batches
from edgecap_convert.data.frames import default_cache
from edgecap_convert.data.scenes import PoseData
from edgecap_convert.data.sequences import Cursor, Draw
from edgecap_convert.models.config import NetworkConfig
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.training.checkpoints import Checkpoints
from edgecap_convert.training.config import StageConfig, TrainConfig
from edgecap_convert.training.features import (
    FeatureRecordings,
    FeatureStore,
    PooledItems,
    encoder_digest,
)
from edgecap_convert.training.optimise import History, Hooks, Log, optimise, optimizer
from edgecap_convert.training.predict import NetworkPredictor
from edgecap_convert.training.runs import CHECKPOINTS, FEATURES, discard_tree
from edgecap_convert.training.updates import SequenceUpdate

# Seeds of the stages' batches are apart from each other.
_PRETRAIN, _RECURRENT, _JOINT = 11, 12, 13
# Frames that the neck's batch norm takes its statistics from.
_NECK_FRAMES = 2048


def build_network(config: TrainConfig, outputs: int, *, seed: int) -> Network:
    """The network before training; the same seed gives the same weights."""
    keras.utils.set_random_seed(seed)
    return Network(
        NetworkConfig(outputs=outputs, encoder=config.encoder, neck=config.neck, lstm=config.lstm)
    )


class Training:
    """All stages of one training.

    Args:
      config: the settings; stages with 0 steps are left out.
      data: the material.
      seed: of weights and batches.
      folder: of the run; checkpoints, and features that no other run can use, go there.
      log: takes the figures of every step.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        *,
        seed: int,
        folder: Path,
        log: Log | None = None,
    ) -> None:
        self._config, self._data, self._seed = config, data, seed
        self._folder, self._log = folder, log
        self._checkpoints = Checkpoints(folder / CHECKPOINTS, every_s=config.checkpoint_s)
        self.network = build_network(config, len(data.labels), seed=seed)
        statistics = data.value_statistics()
        if statistics is not None:
            self.network.head.set_units(*statistics)

    def run(self) -> list[History]:
        """Runs every stage that is not yet done; returns how all of them went."""
        histories = []
        if self._pretrains:
            histories.append(self._pretrain())
        if self._config.recurrent.steps:
            histories.append(self._recurrent())
        if self._config.joint.steps:
            histories.append(self._joint())
        return histories

    def discard_checkpoints(self) -> None:
        """Removes what only a training that goes on needs."""
        self._checkpoints.clear()
        discard_tree(self._folder / FEATURES)

    @property
    def _pretrains(self) -> bool:
        """Whether the encoder learns on scenes: not where it has learnt on photographs."""
        return bool(self._config.pretrain.steps) and self._config.encoder.weights is None

    def _pretrain(self) -> History:
        """The frame network learns where the object is, through a head that is thrown away.

        Single frames from many scenes teach an encoder to see much sooner than sequences do, whose
        frames are all alike: on two cores it placed the object to within 3 % of the frame after a
        minute, where three minutes of end-to-end training had just begun to tell gestures apart.
        """
        network, stage = self.network, self._config.pretrain
        head = keras.layers.Dense(4, name="pose")
        head.build((None, network.collector.output_shape[-1]))
        seen = (network.encoder, network.neck, network.collector)
        variables = [*(w for part in seen for w in part.trainable_weights), *head.weights]
        adam = optimizer(stage, variables)
        return optimise(
            "pretrain",
            stage,
            self._batches(PoseData(self._config.frames).draw, stage, _PRETRAIN),
            _PoseUpdate(network, head, variables, adam),
            weights=[*network.weights, *head.weights],
            slots=adam.variables,
            hooks=self._hooks(None),
        )

    def _recurrent(self) -> History:
        """Neck, LSTM and head on the encoder's grids, which are computed once."""
        network, stage = self.network, self._config.recurrent
        predict = NetworkPredictor(network, self._data.task)
        store = self._feature_store(predict)
        items = PooledItems(self._data.pool(), store)
        items.fill()
        if not self._pretrains:
            _settle_neck(network, items, self._seed)
        validation = self._validation()
        recordings = FeatureRecordings(validation, store)
        variables = network.memory_weights
        adam = optimizer(stage, variables)
        noise = stage.noise * items.deviation() if stage.noise else 0.0
        return optimise(
            "recurrent",
            stage,
            self._batches(items.draw, stage, _RECURRENT),
            self._update(stage, variables, adam, _RECURRENT, noise),
            weights=network.weights,
            slots=adam.variables,
            hooks=self._hooks(lambda: self._score(predict.recur, recordings)),
        )

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
            self._batches(self._data.draw, stage, _JOINT),
            self._update(stage, variables, adam, _JOINT, 0.0),
            weights=network.weights,
            slots=adam.variables,
            hooks=self._hooks(lambda: self._score(predict, validation)),
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
        )

    def _batches(
        self, draw: Draw, stage: StageConfig, salt: int
    ) -> Callable[[Cursor | None], Iterator[SequenceBatch]]:
        def begin(cursor: Cursor | None) -> Iterator[SequenceBatch]:
            return batches(
                draw,
                batch=stage.batch,
                length=stage.length,
                seed=self._seed + salt,
                start=cursor,
            )

        return begin

    def _validation(self) -> Recordings:
        return self._data.validation.first(self._config.validation_limit)

    def _hooks(self, validate: Callable[[], float] | None) -> Hooks:
        return Hooks(
            validate=validate if len(self._data.validation) else None,
            log=self._log,
            checkpoints=self._checkpoints,
        )

    def _score(self, predict: Predictor, recordings: Iterable[Recording]) -> float:
        return validation_score(predict, recordings, labels=self._data.labels, task=self._data.task)

    def _feature_store(self, predict: NetworkPredictor) -> FeatureStore:
        """Grids of an encoder from elsewhere are shared; nobody else has one that learnt here."""
        parent = self._folder if self._pretrains else default_cache()
        return FeatureStore(
            parent / FEATURES / encoder_digest(self.network),
            predict.encode,
            limit_bytes=self._config.cache_bytes,
        )


def validation_score(
    predict: Predictor, recordings: Iterable[Recording], *, labels: tuple[str, ...], task: str
) -> float:
    """What a stage selects its weights by: higher is better, see ``score`` of the evaluations."""
    result = evaluate(predict, recordings, labels=labels, decision=DecisionSpec(), task=task)
    return float(result.score)


class _PoseUpdate:
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
        self._update = tf.function(self._traced_update)

    def __call__(self, batch: SequenceBatch, step: int) -> tf.Tensor:
        return self._update(tf.constant(batch.inputs[:, 0]), tf.constant(batch.targets[:, 0]))

    def carried(self) -> dict[str, np.ndarray]:
        return {}

    def carry_on(self, carried: dict[str, np.ndarray]) -> None:
        return None

    def _traced_update(self, images: tf.Tensor, poses: tf.Tensor) -> tf.Tensor:
        network = self._network
        with tf.GradientTape() as tape:
            grids = network.encode(normalize(images), training=True)
            found = self._head(network.still_features(grids, training=True))
            visible = poses[:, 3]
            # x and y are in frame widths, ln(radius) varies over about ±0.6.
            off = tf.abs(found[:, :3] - poses[:, :3]) * tf.constant([4.0, 4.0, 1.5])
            regression = tf.reduce_sum(off * visible[:, None]) / tf.reduce_sum(visible)
            presence = tf.nn.sigmoid_cross_entropy_with_logits(visible, found[:, 3])
            loss = regression + 0.3 * tf.reduce_mean(presence)
        gradients = tape.gradient(loss, self._variables)
        self._adam.apply_gradients(zip(gradients, self._variables, strict=True))
        return loss


def _settle_neck(network: Network, items: PooledItems, seed: int) -> None:
    """Gives a fresh neck's batch norm the statistics of the grids that it will see.

    From then on it is an affine map: consecutive frames are no fair sample to follow.
    """
    if network.config.neck.channels == 0:
        return
    rng = np.random.default_rng([seed, 0])
    drawn: list[np.ndarray] = []
    while sum(map(len, drawn)) < _NECK_FRAMES:
        grids = items.draw(0, rng).inputs
        chosen = rng.permutation(len(grids))[: _NECK_FRAMES // 16]
        drawn.append(grids[np.sort(chosen)].astype(np.float32))
    network.settle_neck(np.concatenate(drawn))
