"""The whole network: built once, run as a clip model and as a one-step model, sharing weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from edgecap.errors import ConfigError
from edgecap_convert.models.config import NetworkConfig
from edgecap_convert.models.folding import fold_batch_norm
from edgecap_convert.models.heads import ClassificationHead
from edgecap_convert.models.necks import build_frame_network
from edgecap_convert.models.recurrent import LSTMStep
from edgecap_convert.quantization import grids
from edgecap_convert.quantization.encoder import output_range, quantize_frame_network
from edgecap_convert.quantization.ranges import RangeSchedule


class State(NamedTuple):
    """What is carried from frame to frame: ``h`` and ``c``, ``(B, units)`` float32."""

    h: tf.Tensor
    c: tf.Tensor


class Network(tf.Module):
    """Encoder, neck, LSTM step and head over one set of weights.

    Float as built; :meth:`quantized` gives the fake-quantised one.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(name="network")
        self.config = config
        self.schedule: RangeSchedule | None = None
        self.frame_network = build_frame_network(config.encoder, config.neck)
        self.lstm = LSTMStep(config.units)
        self.head = ClassificationHead(config.classes)
        self._build()

    def _build(self) -> None:
        """Makes the variables of the parts that are not functional models."""
        state = self.initial_state(1)
        self.head(self.lstm(tf.zeros((1, self.config.neck.features)), *state)[0])

    def quantized(self) -> Network:
        """A fake-quantised network with equal weights, folded; its ranges are not yet learnt."""
        if self.schedule is not None:
            raise ConfigError("the network is quantised already")
        other = Network.__new__(Network)
        tf.Module.__init__(other, name="network")
        other.config = self.config
        other.schedule = RangeSchedule()
        other.frame_network = quantize_frame_network(
            fold_batch_norm(self.frame_network), other.schedule
        )
        other.lstm = LSTMStep(self.config.units, quantized=True)
        other.head = ClassificationHead(self.config.classes, schedule=other.schedule)
        other._build()
        other.lstm.set_weights(self.lstm.get_weights())
        for mine, theirs in zip(other.head.weights[:2], self.head.weights, strict=True):
            mine.assign(theirs)
        return other

    def initial_state(self, batch: int) -> State:
        """The state after a reset."""
        return State(*self.lstm.initial_state(batch))

    def features(self, images: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """``(N, H, W, 3)`` float32, real values of the image grid → ``(N, features)``."""
        if self.schedule is not None:
            images = grids.IMAGE.fake_quant(images)
        return self.frame_network(images, training=training)

    def requantize_features(self, features: tf.Tensor) -> tf.Tensor:
        """Puts features, given as real values, on the grid of the neck's output."""
        return output_range(self.frame_network.layers[-1]).fake_quant(features, training=False)

    def step(self, images: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """One frame each of ``B`` streams: ``(B, H, W, 3)`` → logits ``(B, classes)``, state."""
        return self.step_features(self.features(images), state)

    def step_features(self, features: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Like :meth:`step`, from features ``(B, F)``."""
        h, c = self.lstm(features, *state)
        return self.head(h), State(h, c)

    def clip(
        self,
        images: tf.Tensor,
        state: State | None = None,
        *,
        resets: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, State]:
        """``T`` frames each of ``B`` streams: the same as ``T`` steps, with batched frames.

        Args:
          images: ``(B, T, H, W, 3)`` float32; B and T static.
          state: the state before the first frame; a reset if ``None``.
          resets: ``(B, T)`` bool; the state is reset before these frames.
          training: batch norms take the batch's statistics (float), ranges follow (quantised).

        Returns:
          Logits ``(B, T, classes)`` at every frame, and the state after the last one.
        """
        batch, length = images.shape[0], images.shape[1]
        frames = tf.reshape(images, (batch * length, *images.shape[2:]))
        features = tf.reshape(
            self.features(frames, training=training), (batch, length, self.config.neck.features)
        )
        return self.recur(features, state, resets=resets, training=training)

    def recur(
        self,
        features: tf.Tensor,
        state: State | None = None,
        *,
        resets: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, State]:
        """The recurrent part and the head alone: features ``(B, T, F)`` → logits, state."""
        h, c = state if state is not None else self.initial_state(features.shape[0])
        hidden = []
        for t, projected in enumerate(tf.unstack(self.lstm.project(features), axis=1)):
            if resets is not None:
                keep = tf.cast(~resets[:, t, None], tf.float32)
                h, c = h * keep, c * keep
            h, c = self.lstm.advance(projected, h, c)
            hidden.append(h)
        return self.head(tf.stack(hidden, axis=1), training=training), State(h, c)

    def rollout(self, features: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """One stream of any length: features ``(T, F)``, T dynamic → logits ``(T, classes)``."""
        projected = self.lstm.project(features)
        hidden = tf.TensorArray(tf.float32, size=tf.shape(features)[0])
        h, c = state
        for t in tf.range(tf.shape(features)[0]):
            h, c = self.lstm.advance(projected[t][None], h, c)
            hidden = hidden.write(t, h[0])
        flat = tf.ensure_shape(hidden.stack(), (None, self.config.units))
        return self.head(flat), State(h, c)

    @property
    def _parts(self) -> tuple[Any, ...]:
        return self.frame_network, self.lstm, self.head

    @property
    def weights(self) -> list[tf.Variable]:
        """All variables in a fixed order."""
        return [weight for part in self._parts for weight in part.weights]

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """The variables that gradients move, in a fixed order."""
        return [weight for part in self._parts for weight in part.trainable_weights]

    def get_arrays(self) -> dict[str, np.ndarray]:
        """All weights by a name that is unique and the same for every build of a config."""
        return {f"{i:03d}:{w.name}": w.numpy() for i, w in enumerate(self.weights)}

    def set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Sets all weights.

        Raises:
          ConfigError: the names' order or a shape does not fit this network.
        """
        weights = self.weights
        if len(arrays) != len(weights):
            raise ConfigError(f"weights: expected {len(weights)} arrays; got {len(arrays)}")
        for weight, (name, array) in zip(weights, sorted(arrays.items()), strict=True):
            if tuple(weight.shape) != array.shape:
                raise ConfigError(
                    f"weights: expected shape {tuple(weight.shape)} for {weight.name}; "
                    f"got {array.shape} ({name})"
                )
            weight.assign(array)


def normalize(images: tf.Tensor) -> tf.Tensor:
    """uint8 RGB → the real values of the image grid: (u8 − 128) / 127.5."""
    return (tf.cast(images, tf.float32) - 128.0) * (1 / 127.5)
