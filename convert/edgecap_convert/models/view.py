"""From the encoder's grid to what the memory reads of a frame, for all members of a network.

Either a collector makes features of the whole map, or, where the neck attends, each member looks at
one place of its part of the map: see :mod:`edgecap_convert.models.necks` and
:mod:`edgecap_convert.models.look`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgecap_convert.models.along import MAP, PLACE_STATE, RUNNING, Along, State
from edgecap_convert.models.config import NetworkConfig
from edgecap_convert.models.folding import fold_batch_norm
from edgecap_convert.models.look import GEOMETRY, PLACE, Collect, Look
from edgecap_convert.models.necks import build_collector, build_neck
from edgecap_convert.quantization.encoder import output_range, quantize_frame_network
from edgecap_convert.quantization.kernels import Scale
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule
from edgecap_convert.quantization.simulate import run_as_kernels


class View(tf.Module):
    """Neck, and collector or looks.

    Args:
      grid: shape of the encoder's output.
      config: the network's.
    """

    def __init__(self, grid: tuple[int, int, int], config: NetworkConfig) -> None:
        super().__init__(name="view")
        self._config, self._grid = config.neck, grid
        self.members = config.members
        self.schedule: RangeSchedule | None = None
        self.grid_range: LearnedRange | None = None
        self._converting = False
        self.neck = build_neck(grid, config.neck, config.members)
        self.collector: keras.Model | None = None
        if not self.attends:
            self.collector = build_collector(grid, config.neck, config.members)
        self._build_looks()

    def quantized(self, schedule: RangeSchedule, grid_range: LearnedRange | None) -> View:
        """A fake-quantised view with equal weights, folded; its ranges are not yet learnt.

        Args:
          schedule: of the ranges. grid_range: the encoder's output's.
        """
        other = View.__new__(View)
        tf.Module.__init__(other, name="view")
        other._config, other._grid, other.members = self._config, self._grid, self.members
        other.schedule, other.grid_range, other._converting = schedule, grid_range, False
        other.neck = quantize_frame_network(fold_batch_norm(self.neck), schedule)
        other.collector = None
        if self.collector is not None:
            other.collector = quantize_frame_network(self.collector, schedule)
        other._build_looks()
        return other

    def _build_looks(self) -> None:
        self.looks: list[Look] = []
        self.collects: list[Collect] = []
        if not self.attends:
            return
        shared: LearnedRange | None = None
        for number in range(1, self.members + 1):
            suffix = str(number) if number > 1 else ""
            look = Look(self._config, schedule=self.schedule, name=f"look{suffix}")
            height, width, channels = self._own_shape
            blank, still = tf.zeros((1, height, width, channels)), tf.ones((1, 1, 1, 1))
            place, peak, *seen = look([blank, blank, still] if self.carries_map else [blank])
            collect = Collect(
                self._config,
                channels=channels,
                parts=look.parts,
                schedule=self.schedule,
                features_range=shared,
                name=f"collect{suffix}",
            )
            collect([place, peak, place, still[:, 0, 0], *seen])
            if self.schedule is not None:
                shared = collect.output_range
            self.looks.append(look)
            self.collects.append(collect)

    @property
    def converting(self) -> bool:
        """Whether the converter looks: see ``Network.converting``."""
        return self._converting

    @converting.setter
    def converting(self, value: bool) -> None:
        self._converting = value
        for look in self.looks:
            look.converting = value

    @property
    def attends(self) -> bool:
        """Whether the neck looks at one place."""
        return self._config.pool == "attend"

    @property
    def carries_map(self) -> bool:
        return self._config.difference

    @property
    def seen_width(self) -> int:
        """Numbers that an attending neck sees of a frame, see :meth:`look_at`."""
        return self.members * self._seen_width

    @property
    def _seen_width(self) -> int:
        look = self.looks[0]
        return GEOMETRY + look.parts * look.channels

    @property
    def feature_width(self) -> int:
        """Length of the vector that the memory reads."""
        if self.collector is None:
            return self.members * self.collects[0].width
        return int(self.collector.output_shape[-1])

    @property
    def output_range(self) -> LearnedRange:
        """Of the features: that of the last part that computes; the others only move values."""
        if self.collects:
            return self.collects[0].output_range
        return self._last_range(self.neck, self.collector)

    def _last_range(self, *parts: keras.Model | None) -> LearnedRange:
        layers = [layer for part in parts if part is not None for layer in part.layers]
        found = (r for r in map(output_range, reversed(layers)) if r is not None)
        last = next(found, self.grid_range)
        assert last is not None
        return last

    @property
    def _own_shape(self) -> tuple[int, int, int]:
        """Of a member's part of the map."""
        height, width, channels = self.neck.output_shape[1:]
        return height, width, self._config.channels or channels

    @property
    def parts(self) -> tuple[Any, ...]:
        """In a fixed order."""
        parts = (self.neck, self.collector, *self.looks, *self.collects)
        return tuple(part for part in parts if part is not None)

    @property
    def looking_weights(self) -> list[tf.Variable]:
        """Those that decide where an attending neck looks."""
        return [*self.neck.trainable_weights, *(look.kernel for look in self.looks)]

    @property
    def seen_weights(self) -> list[tf.Variable]:
        """Those of the trainable weights that lie behind what an attending neck sees."""
        return [weight for part in self.collects for weight in part.trainable_weights]

    def state_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Shapes of what it carries."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.carries_map:
            shapes[MAP] = (batch, *self.neck.output_shape[1:])
        if self.attends:
            shapes[PLACE_STATE] = (batch, 2 * self.members)
        if shapes:
            shapes[RUNNING] = (batch, 1)
        return shapes

    def step(self, grid: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """One frame each of ``B`` streams: ``(B, H', W', C)`` → features ``(B, F)``, its states."""
        now = self._mapped(grid)
        following: State = {}
        if RUNNING in state:
            running = self._on_places(state[RUNNING])
            following[RUNNING] = self._on_places(tf.minimum(running + 1.0, 1.0))
        maps = [now]
        if self.carries_map:
            maps += [self._on_maps(state[MAP]), running[:, :, None, None]]
            following[MAP] = now
        if self.collector is not None:
            return self._collected(maps), following
        places = tf.split(self._on_places(state[PLACE_STATE]), self.members, axis=-1)
        looked, features = [], []
        for number, before in enumerate(places):
            place, peak, *seen = self.looks[number](self._own(maps, number))
            looked.append(place)
            features.append(self.collects[number]([place, peak, before, running, *seen]))
        following[PLACE_STATE] = _beside(looked)
        return _beside(features), following

    def run(self, grid: tf.Tensor, state: State, along: Along) -> tuple[tf.Tensor, State]:
        """``(B, T, H', W', C)`` → features ``(B, T, F)``, and its states after the last frame."""
        following: State = {}
        maps = self._maps(grid, state, following, along)
        batch, length = grid.shape[0], grid.shape[1]
        if self.collector is None:
            looked = _along(self._look(maps, along.training), batch, length)
            features, rest = self.run_seen(looked, state, along)
            return features, rest | following
        features = self._collected(maps, training=along.training)
        return _along(features, batch, length), following

    def look_at(self, grids: tf.Tensor) -> tf.Tensor:
        """What an attending neck sees of consecutive frames: ``(N, H', W', C)`` → ``(N, V)``.

        Columns, for each member: x, y, peak, then what is there; see
        :mod:`edgecap_convert.models.look`.
        """
        return self._look(self._following_maps(grids))

    def run_seen(self, looked: tf.Tensor, state: State, along: Along) -> tuple[tf.Tensor, State]:
        """Like :meth:`run`, from what was seen, ``(B, T, V)`` of :meth:`look_at`."""
        batch, length = looked.shape[0], looked.shape[1]
        if along.dropout is not None:
            looked = self._drop(looked, along)
        shape = (batch, -1, self.members, self._seen_width)
        place = tf.reshape(tf.reshape(looked, shape)[..., :2], (batch, -1, 2 * self.members))
        first = self._on_places(state[PLACE_STATE])
        before = tf.concat([first[:, None], place[:, :-1]], axis=1)
        running = _flat(self._running(state, tf.shape(place)[1], along)[..., None])
        befores = tf.split(_flat(before), self.members, axis=-1)
        look, features = self.looks[0], []
        for number, own in enumerate(tf.split(_flat(looked), self.members, axis=-1)):
            parts = tf.split(own, [2, 1, *[look.channels] * look.parts], axis=-1)
            parts[2:2] = [befores[number], running]
            features.append(self.collects[number](parts, training=along.training))
        # The neck's map is not known here: it stays what it was.
        following = {PLACE_STATE: place[:, -1], RUNNING: tf.ones((batch, 1))}
        following |= {name: value for name, value in state.items() if name == MAP}
        return _along(_beside(features), batch, length), following

    def frame_features(self, grids: tf.Tensor) -> tf.Tensor:
        """What the memory reads of consecutive frames: ``(N, H', W', C)`` → ``(N, F)``."""
        maps = self._following_maps(grids)
        if self.collector is not None:
            return self._collected(maps)
        features = []
        for number, collect in enumerate(self.collects):
            place, peak, *seen = self.looks[number](self._own(maps, number))
            before = tf.concat([place[:1], place[:-1]], axis=0)
            features.append(collect([place, peak, before, tf.ones_like(peak), *seen]))
        return _beside(features)

    def still_features(self, grids: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """What the memory reads of separate frames in which nothing moves."""
        maps = self._still(self._mapped(grids, training=training))
        if self.collector is not None:
            return self._collected(maps, training=training)
        features = []
        for number, collect in enumerate(self.collects):
            place, peak, *seen = self.looks[number](self._own(maps, number), training=training)
            features.append(
                collect([place, peak, place, tf.ones_like(peak), *seen], training=training)
            )
        return _beside(features)

    def still_heat(self, grids: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Where each member looks in separate frames: logits ``(members, N, H'·W')``."""
        maps = self._still(self._mapped(grids, training=training))
        return tf.stack([look.heat(self._own(maps, n)) for n, look in enumerate(self.looks)])

    def watch_motion(self, clips: list[npt.NDArray[Any]]) -> None:
        """Makes an attending neck look where most changes.

        Args:
          clips: the encoder's grids of consecutive frames, ``(N, H', W', C)`` each.
        """
        changes = []
        for clip in clips:
            maps = self.neck(tf.constant(clip.astype(np.float32))).numpy()
            if len(maps) > 1:
                changes.append(np.abs(np.diff(maps, axis=0)).mean())
        for look in self.looks:
            look.watch_motion(float(np.mean(changes or [1.0])))

    def sharpen(self, factor: float) -> None:
        """Multiplies the heat maps: the places are drawn less towards the middle."""
        for look in self.looks:
            look.kernel.assign(look.kernel * factor)

    def settle_neck(self, grids: npt.NDArray[np.float32]) -> None:
        """Sets the statistics of the neck's batch norm to those of some grids."""
        convolution, norm = self.neck.get_layer("neck_conv"), self.neck.get_layer("neck_norm")
        mapped = convolution(tf.constant(grids)).numpy()
        norm.moving_mean.assign(mapped.mean(axis=(0, 1, 2)))
        norm.moving_variance.assign(mapped.var(axis=(0, 1, 2)))

    def settle_looks(self, looked: npt.NDArray[np.float32], *, weight: float = 1.0) -> None:
        """Scales what is seen by what was seen of some frames.

        Args:
          looked: ``(N, V)`` of :meth:`look_at`.
          weight: see ``Collect.settle``.
        """
        for own, collect in zip(np.split(looked, self.members, axis=1), self.collects, strict=True):
            collect.settle(own[:, GEOMETRY:], weight=weight)

    def _drop(self, looked: tf.Tensor, along: Along) -> tf.Tensor:
        """Drops some of what is seen: it becomes as usual, not 0, far from anything ever seen."""
        assert along.dropout is not None
        batch, length, members = looked.shape[0], looked.shape[1], self.members
        apart = tf.reshape(looked, (batch, length, members, self._seen_width))
        usual = tf.concat([collect.mean for collect in self.collects], axis=0)
        seen = tf.reshape(apart[..., GEOMETRY:], (batch, length, usual.shape[0])) - usual
        seen = usual + along.dropout(seen, "seen")
        seen = tf.reshape(seen, (batch, length, members, -1))
        joined = tf.concat([apart[..., :GEOMETRY], seen], axis=-1)
        return tf.reshape(joined, (batch, length, self.seen_width))

    def _look(self, maps: list[tf.Tensor], training: bool = False) -> tf.Tensor:
        """``(N, V)`` of all members."""
        looked: list[tf.Tensor] = []
        for number, look in enumerate(self.looks):
            looked += look(self._own(maps, number), training=training)
        return tf.concat(looked, axis=-1)

    def _own(self, maps: list[tf.Tensor], number: int) -> list[tf.Tensor]:
        """A member's part of the maps, and where there were any before."""
        if self.members == 1 or not self._config.channels:
            return maps
        start = number * self._config.channels
        own = [each[..., start : start + self._config.channels] for each in maps[:2]]
        return own + maps[2:]

    def _collected(self, maps: list[tf.Tensor], *, training: bool = False) -> tf.Tensor:
        assert self.collector is not None
        if self._as_kernels(training):
            scale = _scale(self._last_range(self.neck))
            return run_as_kernels(self.collector, maps, [scale, scale, None][: len(maps)])
        return self.collector(maps if len(maps) > 1 else maps[0], training=training)

    def _mapped(self, grids: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """``(N, H', W', C)`` → maps ``(N, H', W', C')``."""
        if self._as_kernels(training):
            return run_as_kernels(self.neck, [grids], [_scale(self.grid_range)])
        return self.neck(grids, training=training)

    def _as_kernels(self, training: bool) -> bool:
        return self.schedule is not None and not training and not self.converting

    def _maps(
        self, grid: tf.Tensor, state: State, following: State, along: Along
    ) -> list[tf.Tensor]:
        """``(B, T, H', W', C)`` → maps of all frames ``(B·T, H', W', C')``.

        With ``difference`` also those before them, and where there were any, ``(B·T, 1, 1, 1)``.
        """
        now = self._mapped(tf.reshape(grid, (-1, *grid.shape[2:])), training=along.training)
        if not self.carries_map:
            return [now]
        maps = tf.reshape(now, (grid.shape[0], -1, *now.shape[1:]))
        before = tf.concat([state[MAP][:, None], maps[:, :-1]], axis=1)
        before = self._on_maps(tf.reshape(before, (-1, *now.shape[1:])))
        running = self._running(state, tf.shape(maps)[1], along)
        following[MAP] = maps[:, -1]
        following[RUNNING] = tf.ones_like(state[RUNNING])
        return [now, before, tf.reshape(running, (-1, 1, 1, 1))]

    def _following_maps(self, grids: tf.Tensor) -> list[tf.Tensor]:
        """Of consecutive frames behind a reset."""
        reset = {name: tf.zeros(shape) for name, shape in self.state_shapes(1).items()}
        return self._maps(grids[None], reset, {}, Along())

    def _still(self, now: tf.Tensor) -> list[tf.Tensor]:
        """Maps of frames in which nothing moves."""
        if not self.carries_map:
            return [now]
        return [now, now, tf.ones_like(now[:, :1, :1, :1])]

    def _on_maps(self, before: tf.Tensor) -> tf.Tensor:
        """Puts the carried map on the grid that maps have, so that carrying it is a copy."""
        if self.schedule is None:
            return before
        return self._last_range(self.neck).fake_quant(before, training=False)

    def _on_places(self, before: tf.Tensor) -> tf.Tensor:
        return before if self.schedule is None else PLACE.fake_quant(before)

    @staticmethod
    def _running(state: State, length: tf.Tensor, along: Along) -> tf.Tensor:
        """``(B, T)``: 1, or 0 where there was no frame before."""
        first = state[RUNNING]
        running = tf.concat([first, tf.ones((first.shape[0], length - 1))], axis=1)
        return running if along.resets is None else running * tf.cast(~along.resets, tf.float32)


def _scale(learnt: LearnedRange | None) -> Scale | None:
    return None if learnt is None else Scale.of_range(learnt.minimum, learnt.maximum)


def _beside(parts: list[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


def _flat(x: tf.Tensor) -> tf.Tensor:
    """``(B, T, V)`` → ``(B·T, V)``."""
    return tf.reshape(x, (-1, x.shape[-1]))


def _along(flat: tf.Tensor, batch: int, length: int | None) -> tf.Tensor:
    """``(B·T, V)`` → ``(B, T, V)``; T may not be known yet."""
    shaped = tf.reshape(flat, (batch, -1, flat.shape[-1]))
    return tf.ensure_shape(shaped, (batch, length, flat.shape[-1]))
