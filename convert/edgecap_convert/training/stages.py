"""The staged training: encoder → features → LSTM → everything together.

Each stage starts where the one before it ended. The encoder first learns to see, on single
frames; the LSTM then learns motion on features that were computed once, which takes seconds; only
then is the whole network moved, end to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from edgecap.evaluation import Predictor, Recording, evaluate
from edgecap.spec import DecisionSpec
from edgecap_convert.data import SequenceBatch, TrainingData, batches
from edgecap_convert.data.scenes import pose_batches
from edgecap_convert.data.sequences import prefetch
from edgecap_convert.models.config import NetworkConfig
from edgecap_convert.models.necks import neck_layers
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.optimise import History, optimise, optimizer
from edgecap_convert.training.predict import NetworkPredictor
from edgecap_convert.training.updates import FeatureBatch, SequenceUpdate

# Added to cached features in units of their own spread, so that the LSTM does not learn the few
# thousand gestures of the cache by heart.
_FEATURE_NOISE = 0.08
# Seeds of the stages' batches are apart from each other.
_PRETRAIN, _RECURRENT, _JOINT = 11, 12, 13


def train_network(
    config: TrainConfig, data: TrainingData, *, seed: int
) -> tuple[Network, list[History]]:
    """Runs all stages.

    Args:
      config: the settings; stages with 0 steps are left out.
      data: the material.
      seed: of weights and batches.

    Returns:
      The trained float network and how each stage went.
    """
    keras.utils.set_random_seed(seed)
    network = Network(
        NetworkConfig(
            classes=len(data.labels), encoder=config.encoder, neck=config.neck, units=config.units
        )
    )
    histories = []
    if config.pretrain.steps:
        histories.append(_pretrain(network, config, seed))
    if config.recurrent.steps:
        histories.append(_recurrent(network, config, data, seed))
    if config.joint.steps:
        histories.append(_joint(network, config, data, seed))
    return network, histories


def validation_score(
    predict: Predictor, recordings: Sequence[Recording], labels: Sequence[str]
) -> float:
    """The mean of segment and frame accuracy: the first is what counts, the second is finer."""
    result = evaluate(predict, recordings, labels=labels, decision=DecisionSpec())
    return (result.accuracy + result.frame_accuracy) / 2


def _pretrain(network: Network, config: TrainConfig, seed: int) -> History:
    """The frame network learns where the object is, through a head that is thrown away.

    Single frames from many scenes teach an encoder to see much sooner than sequences do, whose
    frames are all alike: on two cores it placed the object to within 3 % of the frame after a
    minute, where three minutes of end-to-end training had just begun to tell gestures apart.
    """
    head = keras.layers.Dense(4, name="pose")
    head.build((None, config.neck.features))
    frame_network = network.frame_network
    if config.encoder.weights is not None:
        # What was learnt from photographs stays; frozen, its batch norms keep their statistics too.
        frame_network.trainable = False
        for layer in neck_layers(frame_network):
            layer.trainable = True
    variables = [*frame_network.trainable_weights, *head.trainable_weights]
    adam = optimizer(config.pretrain)

    @tf.function
    def update(images: tf.Tensor, poses: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            found = head(network.features(normalize(images), training=True))
            visible = poses[:, 3]
            # x and y are in frame widths, ln(radius) varies over about ±0.6.
            off = tf.abs(found[:, :3] - poses[:, :3]) * tf.constant([4.0, 4.0, 1.5])
            regression = tf.reduce_sum(off * visible[:, None]) / tf.reduce_sum(visible)
            presence = tf.nn.sigmoid_cross_entropy_with_logits(visible, found[:, 3])
            loss = regression + 0.3 * tf.reduce_mean(presence)
        adam.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    history = optimise(
        "pretrain",
        config.pretrain,
        prefetch(pose_batches(config.frames, batch=config.pretrain.batch, seed=seed + _PRETRAIN)),
        lambda batch: update(tf.constant(batch[0]), tf.constant(batch[1])),
        variables=network.weights,
    )
    frame_network.trainable = True
    return history


def _recurrent(network: Network, config: TrainConfig, data: TrainingData, seed: int) -> History:
    """LSTM and head on features that are computed once."""
    predict = NetworkPredictor(network)
    stage = config.recurrent
    source = batches(data, batch=stage.batch, length=stage.length, seed=seed + _RECURRENT)
    with tqdm(range(config.feature_windows), desc=" features", unit="window") as bar:
        cache = [_to_features(predict, next(source)) for _ in bar]
    # By identity: each recording is evaluated many times, its features do not change.
    features = {id(r.images): predict.features(r.images) for r in data.validation}
    rng = np.random.default_rng(seed)
    variables = [*network.lstm.trainable_weights, *network.head.trainable_weights]

    return optimise(
        "recurrent",
        stage,
        _rounds(cache, rng),
        SequenceUpdate(network, variables, optimizer(stage)),
        variables=network.weights,
        validate=lambda: validation_score(
            lambda images: predict.recur(features[id(images)]), data.validation, data.labels
        ),
    )


def _joint(network: Network, config: TrainConfig, data: TrainingData, seed: int) -> History:
    """All weights, end to end."""
    stage = config.joint
    predict = NetworkPredictor(network)
    return optimise(
        "joint",
        stage,
        batches(data, batch=stage.batch, length=stage.length, seed=seed + _JOINT),
        SequenceUpdate(network, network.trainable_weights, optimizer(stage)),
        variables=network.weights,
        validate=lambda: validation_score(predict, data.validation, data.labels),
    )


def _to_features(predict: NetworkPredictor, batch: SequenceBatch) -> FeatureBatch:
    return FeatureBatch(
        np.stack([predict.features(row) for row in batch.images]),
        batch.labels,
        batch.weights,
        batch.resets,
    )


def _rounds(cache: list[FeatureBatch], rng: np.random.Generator) -> Iterator[FeatureBatch]:
    """The cache again and again, in order, since rows go on; each round starts from a reset."""
    noise = _FEATURE_NOISE * float(np.mean([batch.features.std() for batch in cache]))
    while True:
        for number, batch in enumerate(cache):
            resets = batch.resets.copy()
            if number == 0:
                resets[:, 0] = True
            noisy = batch.features + rng.normal(0, noise, batch.features.shape)
            yield FeatureBatch(noisy.astype(np.float32), batch.labels, batch.weights, resets)
