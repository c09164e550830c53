"""A network as a predictor: whole recordings to probabilities or values, streamed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap.evaluation import Predictor, Probabilities
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.tracing import traced

_FRAMES_A_CHUNK = 64
_STEPS_A_CHUNK = 512

_ACTIVATIONS = {
    "classification": tf.nn.softmax,
    "multilabel": tf.sigmoid,
    "regression": tf.identity,
}


class NetworkPredictor:
    """Runs a network over recordings: the encoder in chunks of frames, the rest along time.

    The graph is traced once; weights may change between calls.
    """

    def __init__(self, network: Network, task: str) -> None:
        self._network = network
        self._activation = _ACTIVATIONS[task]
        encoder = network.config.encoder
        self._encode = traced(
            lambda images: network.encode(normalize(images)),
            input_signature=[tf.TensorSpec((None, encoder.height, encoder.width, 3), tf.uint8)],
        )
        shapes = network.state_shapes()
        self._recur = traced(
            lambda grids, state: network.recur(grids[None], state),
            input_signature=[
                tf.TensorSpec((None, *network.encoder.output_shape[1:])),
                {name: tf.TensorSpec(shape) for name, shape in shapes.items()},
            ],
        )
        self._collect = traced(network.view.frame_features)
        if network.attends:
            self._look = traced(
                network.view.look_at,
                input_signature=[tf.TensorSpec((None, *network.encoder.output_shape[1:]))],
            )
            self._recur_seen = traced(
                lambda seen, state: network.recur_seen(seen[None], state),
                input_signature=[
                    tf.TensorSpec((None, network.view.seen_width)),
                    {name: tf.TensorSpec(shape) for name, shape in shapes.items()},
                ],
            )

    def encode(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """``(N, H, W, 3)`` uint8 → the encoder's grids ``(N, H', W', C)`` float32."""
        step = _FRAMES_A_CHUNK
        chunks = [self._encode(images[i : i + step]) for i in range(0, len(images), step)]
        return np.concatenate([chunk.numpy() for chunk in chunks])

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """``(N, H, W, 3)`` uint8 of consecutive frames → what the memory reads, ``(N, F)``."""
        return self._collect(tf.constant(self.encode(images))).numpy()

    def look(self, grids: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """What an attending neck sees of consecutive frames' grids, ``(N, V)``."""
        return self._look(grids.astype(np.float32)).numpy()

    def recur(self, inputs: npt.NDArray[Any]) -> Probabilities:
        """From a reset state to probabilities or values ``(N, labels)``.

        Args:
          inputs: grids ``(N, H', W', C)``, or what a neck has seen ``(N, V)``.
        """
        recur = self._recur if inputs.ndim > 2 else self._recur_seen
        state = self._network.initial_state(1)
        chunks = []
        for first in range(0, len(inputs), _STEPS_A_CHUNK):
            part = inputs[first : first + _STEPS_A_CHUNK].astype(np.float32)
            outputs, state = recur(part, state)
            chunks.append(self._activation(outputs[0]).numpy())
        return np.concatenate(chunks)

    def __call__(self, images: npt.NDArray[np.uint8]) -> Probabilities:
        return self.recur(self.encode(images))


def activated(logits: npt.NDArray[np.float32], task: str) -> Probabilities:
    """Logits ``(N, labels)`` → probabilities or values."""
    found: Probabilities = _ACTIVATIONS[task](logits).numpy()
    return found


def network_predictor(network: Network, task: str) -> Predictor:
    """The network, streamed, as :func:`edgecap.evaluation.evaluate` takes it."""
    return NetworkPredictor(network, task)
