"""The whole network: built once, run as a clip model and as a one-step model, sharing weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from edgecap.errors import ConfigError
from edgecap_convert.models.attention import CausalAttention
from edgecap_convert.models.config import NetworkConfig
from edgecap_convert.models.encoders import build_encoder
from edgecap_convert.models.folding import fold_batch_norm
from edgecap_convert.models.heads import Head
from edgecap_convert.models.look import GEOMETRY, PLACE, Collect, Look
from edgecap_convert.models.necks import build_collector, build_neck
from edgecap_convert.models.recurrent import FrameStep, LSTMStep
from edgecap_convert.quantization import grids
from edgecap_convert.quantization.encoder import output_range, quantize_frame_network
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule

#: What is carried from frame to frame: name → ``(B, …)`` float32. ``h``, ``c`` of the first LSTM
#: layer, ``h2``, ``c2`` of the second, …; ``window``: the last hidden states, for attention;
#: ``map``: the neck's map of the frame before, for its difference; ``place``: where an attending
#: neck looked; ``running``: 0 after a reset, 1 from the first frame on.
State = dict[str, tf.Tensor]
WINDOW, MAP, PLACE_STATE, RUNNING = "window", "map", "place", "running"
#: Those that the neck carries; all others are the memory's.
NECK_STATES = (MAP, PLACE_STATE, RUNNING)

#: Drops values in training: tensor ``(B, T, …)`` and where it stands → tensor.
Dropout = Callable[[tf.Tensor, str], tf.Tensor]


class Network(tf.Module):
    """Encoder, neck, LSTM and head over one set of weights.

    Float as built; :meth:`quantized` gives the fake-quantised one.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(name="network")
        self.config = config
        self.schedule: RangeSchedule | None = None
        self.encoder = build_encoder(config.encoder)
        grid = self.encoder.output_shape[1:]
        self.neck = build_neck(grid, config.neck)
        self.collector: Any = None if self.attends else build_collector(grid, config.neck)
        self._build_memory()

    @property
    def attends(self) -> bool:
        """Whether the neck looks at one place."""
        return self.config.neck.pool == "attend"

    @property
    def seen_width(self) -> int:
        """Numbers that an attending neck sees of a frame, see :meth:`look_at`."""
        return GEOMETRY + self.look.parts * self.look.channels

    @property
    def feature_width(self) -> int:
        """Length of the vector that the memory reads."""
        return self.collect.width if self.collector is None else self.collector.output_shape[-1]

    def _build_memory(self) -> None:
        """Everything behind the map, in the form that ``schedule`` asks for."""
        lstm, quantized = self.config.lstm, self.schedule is not None
        self.look: Any = None
        self.collect: Any = None
        if self.attends:
            self.look = Look(self.config.neck, schedule=self.schedule)
            map_shape = self.neck.output_shape[1:]
            self.collect = Collect(
                self.config.neck,
                channels=map_shape[-1],
                parts=self.look.parts,
                schedule=self.schedule,
            )
            blank, still = tf.zeros((1, *map_shape)), tf.ones((1, 1, 1, 1))
            maps = [blank, blank, still] if self.config.neck.difference else [blank]
            place, peak, *seen = self.look(maps)
            self.collect([place, peak, place, still[:, 0, 0], *seen])
        self.layers = [
            LSTMStep(lstm.units, quantized=quantized, name=f"lstm{number}")
            for number in range(1, lstm.layers + 1)
        ]
        self.frame_step = FrameStep(lstm.units, quantized=quantized) if not lstm.layers else None
        self.attention = CausalAttention(schedule=self.schedule) if lstm.attention else None
        self.head = Head(self.config.outputs, schedule=self.schedule)
        # Makes the variables of the parts that are not functional models.
        self.step_features(tf.zeros((1, self.feature_width)), self.initial_state(1))

    def quantized(self) -> Network:
        """A fake-quantised network with equal weights, folded; its ranges are not yet learnt."""
        if self.schedule is not None:
            raise ConfigError("the network is quantised already")
        other = Network.__new__(Network)
        tf.Module.__init__(other, name="network")
        other.config = self.config
        other.schedule = RangeSchedule()
        other.encoder, other.neck = (
            quantize_frame_network(fold_batch_norm(part), other.schedule)
            for part in (self.encoder, self.neck)
        )
        other.collector = None
        if self.collector is not None:
            other.collector = quantize_frame_network(self.collector, other.schedule)
        other._build_memory()
        for mine, theirs in zip(other._memory_parts, self._memory_parts, strict=True):
            # The quantised parts' own variables, their ranges, come after those they share.
            for variable, value in zip(mine.weights, theirs.get_weights(), strict=False):
                variable.assign(value)
        return other

    def state_shapes(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Shapes of the states of ``batch`` streams, in the order of the ``step`` signature."""
        units = self.config.lstm.units
        shapes: dict[str, tuple[int, ...]] = {}
        for number in range(1, self.config.lstm.layers + 1):
            suffix = str(number) if number > 1 else ""
            shapes[f"h{suffix}"] = shapes[f"c{suffix}"] = (batch, units)
        if self.config.lstm.attention:
            shapes[WINDOW] = (batch, self.config.lstm.attention, units)
        if self.config.neck.difference:
            shapes[MAP] = (batch, *self.neck.output_shape[1:])
        if self.attends:
            shapes[PLACE_STATE] = (batch, 2)
        if self.attends or self.config.neck.difference:
            shapes[RUNNING] = (batch, 1)
        return shapes

    def initial_state(self, batch: int) -> State:
        """The state after a reset."""
        return {name: tf.zeros(shape) for name, shape in self.state_shapes(batch).items()}

    def encode(self, images: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """``(N, H, W, 3)`` float32, real values of the image grid → grid ``(N, H', W', C)``."""
        if self.schedule is not None:
            images = grids.IMAGE.fake_quant(images)
        return self.encoder(images, training=training)

    def step(self, images: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """One frame each of ``B`` streams: ``(B, H, W, 3)`` → logits ``(B, outputs)``, state."""
        return self.step_grid(self.encode(images), state)

    def step_grid(self, grid: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Like :meth:`step`, from the encoder's grid ``(B, H', W', C)``."""
        features, following = self._see(grid, state)
        return self.step_features(features, state | following)

    def step_features(self, features: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Like :meth:`step`, from features ``(B, F)``; other states than the memory's stay."""
        following = dict(state)
        hidden = features
        for number, layer in enumerate(self.layers, 1):
            h, c = _names(number)
            hidden, following[c] = layer(hidden, state[h], state[c])
            following[h] = hidden
        if self.frame_step is not None:
            hidden = self.frame_step(hidden)
        if self.attention is not None:
            window = tf.concat([state[WINDOW][:, 1:], hidden[:, None]], axis=1)
            following[WINDOW] = window
            hidden = self.attention(window)
        return self.head(hidden), following

    def _see(self, grid: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """One frame's grid → features, and the states that the neck carries."""
        now = self.neck(grid)
        following: State = {}
        if RUNNING in state:
            running = self._requantize_place(state[RUNNING])
            following[RUNNING] = self._requantize_place(tf.minimum(running + 1.0, 1.0))
        maps = [now]
        if self.config.neck.difference:
            maps += [self._requantize_map(state[MAP]), running[:, :, None, None]]
            following[MAP] = now
        if self.collector is not None:
            return self.collector(maps if len(maps) > 1 else now), following
        place, peak, *seen = self.look(maps)
        following[PLACE_STATE] = place
        before = self._requantize_place(state[PLACE_STATE])
        return self.collect([place, peak, before, running, *seen]), following

    def _requantize_map(self, before: tf.Tensor) -> tf.Tensor:
        """Puts the carried map on the grid that maps have, so that carrying it is a copy."""
        if self.schedule is None:
            return before
        return self._last_range(self.encoder, self.neck).fake_quant(before, training=False)

    def _requantize_place(self, before: tf.Tensor) -> tf.Tensor:
        return before if self.schedule is None else PLACE.fake_quant(before)

    @staticmethod
    def _running(state: State, length: tf.Tensor, resets: tf.Tensor | None) -> tf.Tensor:
        """``(B, T)``: 1, or 0 where there was no frame before."""
        first = state[RUNNING]
        running = tf.concat([first, tf.ones((first.shape[0], length - 1))], axis=1)
        return running if resets is None else running * tf.cast(~resets, tf.float32)

    def requantize_features(self, features: tf.Tensor) -> tf.Tensor:
        """Puts features, given as real values, on the grid that the collector gives them on."""
        return self._features_range.fake_quant(features, training=False)

    @property
    def _features_range(self) -> LearnedRange:
        """Of the last part that computes; what only moves values has no range of its own."""
        if self.collect is not None:
            return self.collect.output_range
        return self._last_range(self.encoder, self.neck, self.collector)

    @staticmethod
    def _last_range(*parts: keras.Model) -> LearnedRange:
        layers = [layer for part in parts for layer in part.layers]
        return next(r for r in map(output_range, reversed(layers)) if r is not None)

    def clip(
        self,
        images: tf.Tensor,
        state: State | None = None,
        *,
        resets: tf.Tensor | None = None,
        training: bool = False,
        dropout: Dropout | None = None,
    ) -> tuple[tf.Tensor, State]:
        """``T`` frames each of ``B`` streams: the same as ``T`` steps, with batched frames.

        Args:
          images: ``(B, T, H, W, 3)`` float32; B and T static.
          state: the state before the first frame; a reset if ``None``.
          resets: ``(B, T)`` bool; the state is reset before these frames.
          training: batch norms take the batch's statistics (float), ranges follow (quantised).
          dropout: applied to the features and to what the head reads.

        Returns:
          Logits ``(B, T, outputs)`` at every frame, and the state after the last one.
        """
        batch, length = images.shape[0], images.shape[1]
        frames = tf.reshape(images, (batch * length, *images.shape[2:]))
        grid = self.encode(frames, training=training)
        grid = tf.reshape(grid, (batch, length, *grid.shape[1:]))
        return self.recur(grid, state, resets=resets, training=training, dropout=dropout)

    def recur(
        self,
        grid: tf.Tensor,
        state: State | None = None,
        *,
        resets: tf.Tensor | None = None,
        training: bool = False,
        dropout: Dropout | None = None,
    ) -> tuple[tf.Tensor, State]:
        """Everything behind the encoder: ``(B, T, H', W', C)`` → logits, state.

        B is static; T may be dynamic, then the memory runs as a loop of the graph.
        """
        state = state if state is not None else self.initial_state(grid.shape[0])
        following: State = {}
        maps = self._maps(grid, state, following, resets, training)
        batch, length = grid.shape[0], grid.shape[1]
        if self.collector is None:
            place, peak, *seen = self.look(maps, training=training)
            looked = tf.concat([place, peak, *seen], axis=-1)
            looked = tf.reshape(looked, (batch, -1, self.seen_width))
            looked = tf.ensure_shape(looked, (batch, length, self.seen_width))
            outputs, remembered = self.recur_seen(
                looked, state, resets=resets, training=training, dropout=dropout
            )
            return outputs, {name: (remembered | following)[name] for name in state}
        features = self.collector(maps if len(maps) > 1 else maps[0], training=training)
        features = tf.reshape(features, (batch, -1, self.feature_width))
        features = tf.ensure_shape(features, (batch, length, self.feature_width))
        return self._remember(features, state, following, resets, training, dropout)

    def look_at(self, grids: tf.Tensor) -> tf.Tensor:
        """What an attending neck sees of consecutive frames: ``(N, H', W', C)`` → ``(N, V)``.

        Columns: x, y, peak, then what is there; see :mod:`edgecap_convert.models.look`.
        """
        maps = self._maps(grids[None], self.initial_state(1), {}, None, False)
        return tf.concat(self.look(maps), axis=-1)

    def recur_seen(
        self,
        looked: tf.Tensor,
        state: State | None = None,
        *,
        resets: tf.Tensor | None = None,
        training: bool = False,
        dropout: Dropout | None = None,
    ) -> tuple[tf.Tensor, State]:
        """Everything behind an attending neck: ``(B, T, V)`` of :meth:`look_at` → logits, state."""
        batch, length = looked.shape[0], looked.shape[1]
        state = state if state is not None else self.initial_state(batch)
        if dropout is not None:
            # What is dropped is as usual, not 0: far from anything that is ever seen.
            usual = self.collect.mean
            seen = usual + dropout(looked[..., GEOMETRY:] - usual, "seen")
            looked = tf.concat([looked[..., :GEOMETRY], seen], axis=-1)
        place = looked[..., :2]
        first = self._requantize_place(state[PLACE_STATE])
        before = tf.concat([first[:, None], place[:, :-1]], axis=1)
        running = self._running(state, tf.shape(place)[1], resets)[..., None]
        parts = tf.split(looked, [2, 1, *[self.look.channels] * self.look.parts], axis=-1)
        parts[2:2] = [before, running]
        flat = [tf.reshape(part, (-1, part.shape[-1])) for part in parts]
        features = self.collect(flat, training=training)
        features = tf.reshape(features, (batch, -1, self.feature_width))
        features = tf.ensure_shape(features, (batch, length, self.feature_width))
        # The neck's map is not known here: it stays what it was.
        following = {PLACE_STATE: place[:, -1], RUNNING: tf.ones((batch, 1))}
        following |= {name: value for name, value in state.items() if name == MAP}
        return self._remember(features, state, following, resets, training, dropout)

    def _remember(
        self,
        hidden: tf.Tensor,
        state: State,
        following: State,
        resets: tf.Tensor | None,
        training: bool,
        dropout: Dropout | None,
    ) -> tuple[tf.Tensor, State]:
        """Features ``(B, T, F)`` → logits ``(B, T, outputs)``, and all states."""
        if dropout is not None:
            hidden = dropout(hidden, "features")
        for number, layer in enumerate(self.layers, 1):
            h, c = _names(number)
            hidden, following[h], following[c] = unroll(layer, hidden, state[h], state[c], resets)
        if self.frame_step is not None:
            hidden = self.frame_step(hidden)
        if self.attention is not None:
            segments = _segments(resets)
            hidden, following[WINDOW] = self._attend(hidden, state[WINDOW], segments, training)
        if dropout is not None:
            hidden = dropout(hidden, "hidden")
        return self.head(hidden, training=training), {name: following[name] for name in state}

    def frame_features(self, grids: tf.Tensor) -> tf.Tensor:
        """What the memory reads of consecutive frames: ``(N, H', W', C)`` → ``(N, F)``."""
        maps = self._maps(grids[None], self.initial_state(1), {}, None, False)
        if self.collector is not None:
            return self.collector(maps if len(maps) > 1 else maps[0])
        place, peak, *seen = self.look(maps)
        before = tf.concat([place[:1], place[:-1]], axis=0)
        return self.collect([place, peak, before, tf.ones_like(peak), *seen])

    def still_features(self, grids: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """What the memory reads of separate frames in which nothing moves."""
        now = self.neck(grids, training=training)
        maps = self._still(now)
        if self.collector is not None:
            return self.collector(maps if len(maps) > 1 else now, training=training)
        place, peak, *seen = self.look(maps, training=training)
        return self.collect([place, peak, place, tf.ones_like(peak), *seen], training=training)

    def _still(self, now: tf.Tensor) -> list[tf.Tensor]:
        """Maps of frames in which nothing moves."""
        if not self.config.neck.difference:
            return [now]
        return [now, now, tf.ones_like(now[:, :1, :1, :1])]

    def still_heat(self, grids: tf.Tensor) -> tf.Tensor:
        """Where an attending neck looks in separate frames: logits ``(N, H'·W')``."""
        return self.look.heat(self._still(self.neck(grids)))

    def watch_motion(self, clips: list[np.ndarray]) -> None:
        """Makes an attending neck look where most changes.

        Args:
          clips: the encoder's grids of consecutive frames, ``(N, H', W', C)`` each.
        """
        changes = []
        for clip in clips:
            maps = self.neck(tf.constant(clip.astype(np.float32))).numpy()
            if len(maps) > 1:
                changes.append(np.abs(np.diff(maps, axis=0)).mean())
        self.look.watch_motion(float(np.mean(changes or [1.0])))

    def settle_neck(self, grids: np.ndarray) -> None:
        """Sets the statistics of the neck's batch norm to those of some grids."""
        convolution, norm = self.neck.get_layer("neck_conv"), self.neck.get_layer("neck_norm")
        mapped = convolution(tf.constant(grids)).numpy()
        norm.moving_mean.assign(mapped.mean(axis=(0, 1, 2)))
        norm.moving_variance.assign(mapped.var(axis=(0, 1, 2)))

    def _maps(
        self,
        grid: tf.Tensor,
        state: State,
        following: State,
        resets: tf.Tensor | None,
        training: bool,
    ) -> list[tf.Tensor]:
        """``(B, T, H', W', C)`` → maps of all frames ``(B·T, H', W', C')``.

        With ``difference`` also those before them, and where there were any, ``(B·T, 1, 1, 1)``.
        """
        now = self.neck(tf.reshape(grid, (-1, *grid.shape[2:])), training=training)
        if not self.config.neck.difference:
            return [now]
        maps = tf.reshape(now, (grid.shape[0], -1, *now.shape[1:]))
        before = tf.concat([state[MAP][:, None], maps[:, :-1]], axis=1)
        before = self._requantize_map(tf.reshape(before, (-1, *now.shape[1:])))
        running = self._running(state, tf.shape(maps)[1], resets)
        following[MAP] = maps[:, -1]
        following[RUNNING] = tf.ones_like(state[RUNNING])
        return [now, before, tf.reshape(running, (-1, 1, 1, 1))]

    def _attend(
        self, hidden: tf.Tensor, window: tf.Tensor, segments: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """``(B, T, U)`` and the window before it → ``(B, T, 2·U)``, the window after it."""
        assert self.attention is not None
        batch, length, reach = hidden.shape[0], tf.shape(hidden)[1], window.shape[1]
        joined = tf.concat([window, hidden], axis=1)
        # Row t: positions of the window that ends with frame t.
        positions = tf.range(length)[:, None] + tf.range(reach)[None, :] + 1
        windows = tf.gather(joined, positions, axis=1)
        if segments is not None:
            before = tf.zeros((batch, reach), segments.dtype)
            members = tf.gather(tf.concat([before, segments], axis=1), positions, axis=1)
            same = tf.equal(members, segments[:, :, None])
            windows = windows * tf.cast(same, tf.float32)[..., None]
        units = hidden.shape[2]
        attended = self.attention(tf.reshape(windows, (-1, reach, units)), training=training)
        shaped = tf.reshape(attended, (batch, length, 2 * units))
        return tf.ensure_shape(shaped, (batch, hidden.shape[1], 2 * units)), windows[:, -1]

    @property
    def _memory_parts(self) -> tuple[Any, ...]:
        """All parts that know no batch norm, in a fixed order."""
        parts = (
            self.look,
            self.collect,
            *self.layers,
            self.frame_step,
            self.attention,
            self.head,
        )
        return tuple(part for part in parts if part is not None)

    @property
    def _parts(self) -> tuple[Any, ...]:
        parts = (self.encoder, self.neck, self.collector, *self._memory_parts)
        return tuple(part for part in parts if part is not None)

    @property
    def weights(self) -> list[tf.Variable]:
        """All variables in a fixed order."""
        return [weight for part in self._parts for weight in part.weights]

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """The variables that gradients move, in a fixed order."""
        return [weight for part in self._parts for weight in part.trainable_weights]

    @property
    def frame_weights(self) -> list[tf.Variable]:
        """Those of the trainable weights that make the features of a single frame."""
        parts = (self.encoder, self.neck, self.collector, self.look, self.collect)
        return [w for part in parts if part is not None for w in part.trainable_weights]

    @property
    def memory_weights(self) -> list[tf.Variable]:
        """Those of the trainable weights that lie behind the encoder."""
        return [weight for part in self._parts[1:] for weight in part.trainable_weights]

    @property
    def looking_weights(self) -> list[tf.Variable]:
        """Those that decide where an attending neck looks."""
        return [*self.neck.trainable_weights, self.look.kernel]

    @property
    def seen_weights(self) -> list[tf.Variable]:
        """Those of the trainable weights that lie behind what an attending neck sees."""
        parts = self._memory_parts[1:]
        return [weight for part in parts for weight in part.trainable_weights]

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


def unroll(
    layer: LSTMStep,
    inputs: tf.Tensor,
    h: tf.Tensor,
    c: tf.Tensor,
    resets: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """One layer along time: ``(B, T, F)`` → hidden states ``(B, T, units)``, ``h``, ``c``."""
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
    rows = tf.TensorArray(tf.float32, size=length)
    for t in tf.range(length):
        h, c = layer.advance(projected[:, t], h, c)
        rows = rows.write(t, h)
    stacked = tf.transpose(rows.stack(), (1, 0, 2))
    return tf.ensure_shape(stacked, (inputs.shape[0], None, layer.units)), h, c


def _names(layer: int) -> tuple[str, str]:
    suffix = str(layer) if layer > 1 else ""
    return f"h{suffix}", f"c{suffix}"


def _segments(resets: tf.Tensor | None) -> tf.Tensor | None:
    """``(B, T)`` int32: the same number from one reset to the next, 0 before the first."""
    return None if resets is None else tf.cumsum(tf.cast(resets, tf.int32), axis=1)


def normalize(images: tf.Tensor) -> tf.Tensor:
    """uint8 RGB → the real values of the image grid: (u8 − 128) / 127.5."""
    return (tf.cast(images, tf.float32) - 128.0) * (1 / 127.5)
