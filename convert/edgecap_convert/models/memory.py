"""What remembers, and what answers from it: features → LSTM → attention → head, of all members.

The members of an ensemble (Lakshminarayanan et al. 2017) read features of their own, remember apart
and answer apart; the answer is the mean of their logits. Their states lie side by side, so that
a stream carries as many tensors as for one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from edgecap.errors import ConfigError
from edgecap_convert.models.along import WINDOW, Along, State
from edgecap_convert.models.attention import CausalAttention
from edgecap_convert.models.config import NetworkConfig
from edgecap_convert.models.heads import Head
from edgecap_convert.models.recurrent import FrameStep, LSTMStep
from edgecap_convert.quantization.ranges import RangeSchedule


class Memory(tf.Module):
    """Everything behind the features.

    Args:
      config: the network's.
      schedule: if given, everything is fake-quantised.
      cell: what a quantised LSTM keeps its cell state in.
      float_head: whether the head stays float all the same.
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        schedule: RangeSchedule | None,
        cell: str = "float32",
        float_head: bool = False,
    ) -> None:
        super().__init__(name="memory")
        lstm, members, quantized = config.lstm, config.members, schedule is not None
        self.cell = cell
        self._lstm, self._width = lstm, members * lstm.units
        self.layers = [
            LSTMStep(
                lstm.units, members=members, quantized=quantized, cell=cell, name=f"lstm{number}"
            )
            for number in range(1, lstm.layers + 1)
        ]
        self.frame_step = (
            FrameStep(lstm.units, members=members, quantized=quantized) if not lstm.layers else None
        )
        self.attention = (
            CausalAttention(members=members, schedule=schedule) if lstm.attention else None
        )
        self._kept = "float32" if float_head else "int8"
        self.head = Head(config.outputs, members=members, schedule=schedule, kept=self._kept)

    @property
    def parts(self) -> tuple[Any, ...]:
        """In a fixed order."""
        parts = (*self.layers, self.frame_step, self.attention, self.head)
        return tuple(part for part in parts if part is not None)

    @contextlib.contextmanager
    def converting(self) -> Iterator[None]:
        """Inside, the cell state is float and the head int8, whatever they are kept in, and
        attention is computed as in training.

        As the converter must see them: the file is rewritten afterwards.
        """
        for layer in self.layers:
            layer.cell = "float32"
        self.head.kept = "int8"
        if self.attention is not None:
            self.attention.converting = True
        try:
            yield
        finally:
            for layer in self.layers:
                layer.cell = self.cell
            self.head.kept = self._kept
            if self.attention is not None:
                self.attention.converting = False

    def state_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Shapes of what it carries."""
        shapes: dict[str, tuple[int, ...]] = {}
        for number in range(1, self._lstm.layers + 1):
            for name in state_names(number):
                shapes[name] = (batch, self._width)
        if self._lstm.attention:
            shapes[WINDOW] = (batch, self._lstm.attention, self._width)
        return shapes

    def step(self, features: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """``(B, F)`` → logits ``(B, outputs)``, state; states of other parts stay as they are."""
        following = dict(state)
        hidden = features
        for number, layer in enumerate(self.layers, 1):
            h, c = state_names(number)
            hidden, following[c] = layer(hidden, state[h], state[c])
            following[h] = hidden
        if self.frame_step is not None:
            hidden = self.frame_step(hidden)
        if self.attention is not None:
            window = tf.concat([state[WINDOW][:, 1:], hidden[:, None]], axis=1)
            following[WINDOW] = window
            hidden = self.attention(window)
        return self.head(hidden), following

    def run(self, hidden: tf.Tensor, state: State, along: Along) -> tuple[tf.Tensor, State]:
        """Features ``(B, T, F)`` → logits ``(B, T, outputs)``, and its states after the last."""
        following: State = {}
        if along.dropout is not None:
            hidden = along.dropout(hidden, "features")
        for number, layer in enumerate(self.layers, 1):
            h, c = state_names(number)
            hidden, following[h], following[c] = unroll(
                layer, hidden, state[h], state[c], along.resets
            )
        if self.frame_step is not None:
            hidden = self.frame_step(hidden)
        if self.attention is not None:
            hidden, following[WINDOW] = self._attend(hidden, state[WINDOW], along)
        if along.dropout is not None:
            hidden = along.dropout(hidden, "hidden")
        if along.apart:
            return self.head.apart(hidden), following
        return self.head(hidden, training=along.training), following

    def _attend(
        self, hidden: tf.Tensor, window: tf.Tensor, along: Along
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """``(B, T, U)`` and the window before it → ``(B, T, 2·U)``, the window after it."""
        assert self.attention is not None
        batch, length, reach = hidden.shape[0], tf.shape(hidden)[1], window.shape[1]
        joined = tf.concat([window, hidden], axis=1)
        # Row t: positions of the window that ends with frame t.
        positions = tf.range(length)[:, None] + tf.range(reach)[None, :] + 1
        windows = tf.gather(joined, positions, axis=1)
        segments = _segments(along.resets)
        if segments is not None:
            before = tf.zeros((batch, reach), segments.dtype)
            members = tf.gather(tf.concat([before, segments], axis=1), positions, axis=1)
            same = tf.equal(members, segments[:, :, None])
            windows = windows * tf.cast(same, tf.float32)[..., None]
        units = hidden.shape[2]
        flat = tf.reshape(windows, (-1, reach, units))
        attended = self.attention(flat, training=along.training)
        shaped = tf.reshape(attended, (batch, length, 2 * units))
        return tf.ensure_shape(shaped, (batch, hidden.shape[1], 2 * units)), windows[:, -1]


def unroll(
    layer: LSTMStep,
    inputs: tf.Tensor,
    h: tf.Tensor,
    c: tf.Tensor,
    resets: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """One layer along time: ``(B, T, F)`` → hidden states ``(B, T, U)``, ``h``, ``c``."""
    width = h.shape[1]
    projected = layer.project(inputs)
    if projected.shape[1] is not None:
        hidden = []
        for t, row in enumerate(tf.unstack(projected, axis=1)):
            if resets is not None:
                keep = tf.cast(~resets[:, t, None], tf.float32)
                h, c = h * keep, c * keep
            h, c = layer.advance(row, h, c)
            hidden.append(h)
        return tf.stack(hidden, axis=1), h, c
    if resets is not None:
        raise ConfigError("resets inside a clip of dynamic length: expected a static one")
    length = tf.shape(projected)[1]

    def advance(t: tf.Tensor, h: tf.Tensor, c: tf.Tensor, rows: tf.TensorArray) -> Any:
        h, c = layer.advance(projected[:, t], h, c)
        return t + 1, h, c, rows.write(t, h)

    first = (tf.constant(0), h, c, tf.TensorArray(tf.float32, size=length))
    _, h, c, rows = tf.while_loop(lambda t, *_: t < length, advance, first)
    stacked = tf.transpose(rows.stack(), (1, 0, 2))
    return tf.ensure_shape(stacked, (inputs.shape[0], None, width)), h, c


def state_names(layer: int) -> tuple[str, str]:
    """What layer 1, 2, … carries: its hidden and its cell state."""
    suffix = str(layer) if layer > 1 else ""
    return f"h{suffix}", f"c{suffix}"


def _segments(resets: tf.Tensor | None) -> tf.Tensor | None:
    """``(B, T)`` int32: the same number from one reset to the next, 0 before the first."""
    return None if resets is None else tf.cumsum(tf.cast(resets, tf.int32), axis=1)
