"""A network as a predictor: whole recordings to probabilities, streamed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap.evaluation import Predictor, Probabilities
from edgecap_convert.models.network import Network, State, normalize

_CHUNK = 64


class NetworkPredictor:
    """Runs a network over recordings: the encoder in chunks of frames, the LSTM step by step.

    The graph is traced once; weights may change between calls.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        units = network.config.units
        encoder, neck = network.config.encoder, network.config.neck
        self._features = tf.function(
            lambda images: network.features(normalize(images)),
            input_signature=[tf.TensorSpec((None, encoder.height, encoder.width, 3), tf.uint8)],
        )
        self._rollout = tf.function(
            network.rollout,
            input_signature=[
                tf.TensorSpec((None, neck.features)),
                State(tf.TensorSpec((1, units)), tf.TensorSpec((1, units))),
            ],
        )

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """``(N, H, W, 3)`` uint8 → ``(N, F)`` float32."""
        chunks = [self._features(images[i : i + _CHUNK]) for i in range(0, len(images), _CHUNK)]
        return np.concatenate([chunk.numpy() for chunk in chunks])

    def recur(self, features: npt.NDArray[np.float32]) -> Probabilities:
        """``(N, F)`` from a reset state → probabilities ``(N, labels)``."""
        logits, _ = self._rollout(features, self._network.initial_state(1))
        return tf.nn.softmax(logits).numpy()

    def __call__(self, images: npt.NDArray[np.uint8]) -> Probabilities:
        return self.recur(self.features(images))


def network_predictor(network: Network) -> Predictor:
    """The network, streamed, as :func:`edgecap.evaluation.evaluate` takes it."""
    return NetworkPredictor(network)
