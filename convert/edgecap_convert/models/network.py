"""The whole network: built once, run as a clip model and as a one-step model, sharing weights.

Encoder → view (neck: grid to features) → memory (LSTM, attention, head). With several members,
view and memory are an ensemble behind one encoder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from edgecap.errors import ConfigError
from edgecap_convert.models.along import PLACE_STATE, WINDOW, Along, Dropout, State
from edgecap_convert.models.config import NetworkConfig
from edgecap_convert.models.encoders import build_encoder
from edgecap_convert.models.folding import fold_batch_norm
from edgecap_convert.models.look import PLACE
from edgecap_convert.models.memory import Memory, state_names
from edgecap_convert.models.view import View
from edgecap_convert.quantization import grids
from edgecap_convert.quantization.encoder import output_range, quantize_frame_network
from edgecap_convert.quantization.kernels import Scale
from edgecap_convert.quantization.ranges import RangeSchedule
from edgecap_convert.quantization.simulate import run_as_kernels


class Network(tf.Module):
    """Encoder, view and memory over one set of weights.

    Float as built; :meth:`quantized` gives the fake-quantised one.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(name="network")
        self.config = config
        self.schedule: RangeSchedule | None = None
        self.cell, self.float_head = "float32", False
        self._converting = False
        self.encoder = build_encoder(config.encoder)
        self.view = View(self.encoder.output_shape[1:], config)
        self._build_memory()

    def _build_memory(self) -> None:
        self.memory = Memory(
            self.config, schedule=self.schedule, cell=self.cell, float_head=self.float_head
        )
        # Makes the variables of the parts that are not functional models.
        self.step_features(tf.zeros((1, self.view.feature_width)), self.initial_state(1))

    def quantized(self, *, cell: str = "float32", float_head: bool = False) -> Network:
        """A fake-quantised network with equal weights, folded; its ranges are not yet learnt.

        Args:
          cell: what the LSTM keeps its cell state in: ``float32``, ``int16`` or ``int8``.
          float_head: whether the head stays float.
        """
        if self.schedule is not None:
            raise ConfigError("the network is quantised already")
        other = Network.__new__(Network)
        tf.Module.__init__(other, name="network")
        other.config = self.config
        other.schedule, other._converting = RangeSchedule(), False
        other.cell, other.float_head = cell, float_head
        other.encoder = quantize_frame_network(fold_batch_norm(self.encoder), other.schedule)
        ranges = (output_range(layer) for layer in reversed(other.encoder.layers))
        encoded = next((found for found in ranges if found is not None), None)
        other.view = self.view.quantized(other.schedule, encoded)
        other._build_memory()
        for mine, theirs in zip(other._own_parts, self._own_parts, strict=True):
            # The quantised parts' own variables, their ranges, come after those they share.
            for variable, value in zip(mine.weights, theirs.get_weights(), strict=False):
                variable.assign(value)
        return other

    @contextlib.contextmanager
    def converting(self) -> Iterator[None]:
        """Inside, a fake-quantised network is as the converter must see it.

        That is: of fake quantisation alone, without the kernels' arithmetic; and with a float cell
        state and an int8 head, whatever they are kept in.
        """
        self._converting = self.view.converting = True
        try:
            with self.memory.converting():
                yield
        finally:
            self._converting = self.view.converting = False

    @property
    def attends(self) -> bool:
        """Whether the neck looks at one place."""
        return self.view.attends

    def state_shapes(self, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Shapes of the states of ``batch`` streams, in the order of the ``step`` signature."""
        return self.memory.state_shapes(batch) | self.view.state_shapes(batch)

    def state_grids(self) -> dict[str, grids.Grid]:
        """Those that a fake-quantised network carries its states on; learnt ones are left out."""
        found = {PLACE_STATE: PLACE, WINDOW: grids.HIDDEN}
        for number in range(1, self.config.lstm.layers + 1):
            hidden, cell = state_names(number)
            found[hidden] = grids.HIDDEN
            if self.cell in grids.CELLS:
                found[cell] = grids.CELLS[self.cell]
        return found

    def initial_state(self, batch: int) -> State:
        """The state after a reset."""
        return {name: tf.zeros(shape) for name, shape in self.state_shapes(batch).items()}

    def encode(self, images: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """``(N, H, W, 3)`` float32, real values of the image grid → grid ``(N, H', W', C)``.

        Outside training, a fake-quantised encoder computes as the int8 kernels do.
        """
        if self.schedule is None:
            return self.encoder(images, training=training)
        images = grids.IMAGE.fake_quant(images)
        if training or self._converting:
            return self.encoder(images, training=training)
        return run_as_kernels(self.encoder, [images], [Scale.of_grid(grids.IMAGE)])

    def step(self, images: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """One frame each of ``B`` streams: ``(B, H, W, 3)`` → logits ``(B, outputs)``, state."""
        return self.step_grid(self.encode(images), state)

    def step_grid(self, grid: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Like :meth:`step`, from the encoder's grid ``(B, H', W', C)``."""
        features, following = self.view.step(grid, state)
        return self.step_features(features, state | following)

    def step_features(self, features: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Like :meth:`step`, from features ``(B, F)``; other states than the memory's stay."""
        return self.memory.step(features, state)

    def requantize_features(self, features: tf.Tensor) -> tf.Tensor:
        """Puts features, given as real values, on the grid that the view gives them on."""
        return self.view.output_range.fake_quant(features, training=False)

    def clip(
        self,
        images: tf.Tensor,
        state: State | None = None,
        *,
        resets: tf.Tensor | None = None,
        training: bool = False,
        dropout: Dropout | None = None,
        apart: bool = False,
    ) -> tuple[tf.Tensor, State]:
        """``T`` frames each of ``B`` streams: the same as ``T`` steps, with batched frames.

        Args:
          images: ``(B, T, H, W, 3)`` float32; B and T static.
          state: the state before the first frame; a reset if ``None``.
          resets, training, dropout, apart: see ``Along``.

        Returns:
          Logits ``(B, T, outputs)`` at every frame, and the state after the last one.
        """
        batch, length = images.shape[0], images.shape[1]
        frames = tf.reshape(images, (batch * length, *images.shape[2:]))
        grid = self.encode(frames, training=training)
        grid = tf.reshape(grid, (batch, length, *grid.shape[1:]))
        along = Along(resets, training, dropout, apart)
        return self.recur(grid, state, **along._asdict())

    def recur(
        self,
        grid: tf.Tensor,
        state: State | None = None,
        *,
        resets: tf.Tensor | None = None,
        training: bool = False,
        dropout: Dropout | None = None,
        apart: bool = False,
    ) -> tuple[tf.Tensor, State]:
        """Everything behind the encoder: ``(B, T, H', W', C)`` → logits, state.

        B is static; T may be dynamic, then the memory runs as a loop of the graph.
        """
        state = state if state is not None else self.initial_state(grid.shape[0])
        along = Along(resets, training, dropout, apart)
        return self._remember(self.view.run(grid, state, along), state, along)

    def recur_seen(
        self,
        looked: tf.Tensor,
        state: State | None = None,
        *,
        resets: tf.Tensor | None = None,
        training: bool = False,
        dropout: Dropout | None = None,
        apart: bool = False,
    ) -> tuple[tf.Tensor, State]:
        """Like :meth:`recur`, from what an attending neck has seen: ``(B, T, V)``."""
        state = state if state is not None else self.initial_state(looked.shape[0])
        along = Along(resets, training, dropout, apart)
        return self._remember(self.view.run_seen(looked, state, along), state, along)

    def _remember(
        self, viewed: tuple[tf.Tensor, State], state: State, along: Along
    ) -> tuple[tf.Tensor, State]:
        features, following = viewed
        outputs, remembered = self.memory.run(features, state, along)
        # In the order that they came in.
        return outputs, {name: (remembered | following)[name] for name in state}

    @property
    def _own_parts(self) -> tuple[Any, ...]:
        """All parts that know no batch norm, in a fixed order."""
        return (*self.view.looks, *self.view.collects, *self.memory.parts)

    @property
    def _parts(self) -> tuple[Any, ...]:
        return (self.encoder, *self.view.parts, *self.memory.parts)

    @property
    def weights(self) -> list[tf.Variable]:
        """All variables in a fixed order."""
        return [weight for part in self._parts for weight in part.weights]

    @property
    def head_weights(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Kernel ``(U, outputs)`` and bias ``(outputs,)`` of the one dense layer that answers."""
        return self.memory.head.folded_kernel(), self.memory.head.folded_bias()

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """The variables that gradients move, in a fixed order."""
        return [weight for part in self._parts for weight in part.trainable_weights]

    @property
    def frame_weights(self) -> list[tf.Variable]:
        """Those of the trainable weights that make the features of a single frame."""
        parts = (self.encoder, *self.view.parts)
        return [weight for part in parts for weight in part.trainable_weights]

    @property
    def memory_weights(self) -> list[tf.Variable]:
        """Those of the trainable weights that lie behind the encoder."""
        return [weight for part in self._parts[1:] for weight in part.trainable_weights]

    @property
    def seen_weights(self) -> list[tf.Variable]:
        """Those of the trainable weights that lie behind what an attending neck sees."""
        behind = [weight for part in self.memory.parts for weight in part.trainable_weights]
        return [*self.view.seen_weights, *behind]

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
