"""A network, frame by frame with carried state, and all that it carries kept for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap.quantization import dequantize
from edgecap.steps import Arrays
from edgecap.streaming import StreamingModel
from edgecap_convert.models.along import State
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.tracing import traced

_FRAMES_A_CHUNK = 32
LOGITS = "logits"


@dataclass(frozen=True)
class Trace:
    """What came out at each of N frames, as real values.

    Attributes:
      tensors: ``logits`` and the states by name, ``(N, width)`` float32 each, flat.
    """

    tensors: dict[str, npt.NDArray[np.float32]]

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        return self.tensors[LOGITS]


class NetworkTracer:
    """Streams frames through a network: the encoder in chunks, all behind it step by step.

    Args:
      network: float or fake-quantised; its graph is traced once.
    """

    def __init__(self, network: Network) -> None:
        encoder = network.config.encoder
        self._network = network
        self._encode = traced(
            lambda images: network.encode(normalize(images)),
            input_signature=[tf.TensorSpec((None, encoder.height, encoder.width, 3), tf.uint8)],
        )
        self._features = traced(network.view.frame_features)
        self._shapes = network.state_shapes()
        self._along = traced(
            self._steps,
            input_signature=[
                tf.TensorSpec((None, *network.encoder.output_shape[1:])),
                {name: tf.TensorSpec(shape) for name, shape in self._shapes.items()},
            ],
        )

    @property
    def network(self) -> Network:
        return self._network

    def reset(self) -> State:
        """The state before the first frame."""
        return self._network.initial_state(1)

    def encode(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """``(N, H, W, 3)`` uint8 → the encoder's grids ``(N, H', W', C)``."""
        step = _FRAMES_A_CHUNK
        chunks = [self._encode(images[i : i + step]) for i in range(0, len(images), step)]
        return np.concatenate([chunk.numpy() for chunk in chunks])

    def features(self, grids: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Grids of consecutive frames → what the memory reads of them, ``(N, F)``."""
        found: npt.NDArray[np.float32] = self._features(tf.constant(grids)).numpy()
        return found

    def run(self, grids: npt.NDArray[np.float32], state: State) -> tuple[Trace, State]:
        """Goes on from a state: grids ``(N, H', W', C)`` → what came out, and the state after."""
        logits, states, state = self._along(grids, state)
        flat = {LOGITS: logits} | states
        return Trace({name: _flat(value.numpy()) for name, value in flat.items()}), state

    def _steps(self, grids: tf.Tensor, state: State) -> Any:
        length = tf.shape(grids)[0]

        def step(t: tf.Tensor, state: State, logits: tf.TensorArray, kept: Any) -> Any:
            now, state = self._network.step_grid(grids[t][None], state)
            state = {name: tf.ensure_shape(state[name], s) for name, s in self._shapes.items()}
            kept = {name: array.write(t, state[name][0]) for name, array in kept.items()}
            return t + 1, state, logits.write(t, now[0]), kept

        logits = tf.TensorArray(tf.float32, size=length)
        kept = {name: tf.TensorArray(tf.float32, size=length) for name in self._shapes}
        first = (tf.constant(0), state, logits, kept)
        _, state, logits, kept = tf.while_loop(lambda t, *_: t < length, step, first)
        return logits.stack(), {name: array.stack() for name, array in kept.items()}, state


@dataclass(frozen=True)
class Tracers:
    """Those of the networks behind a file, each traced once.

    Attributes:
      network: float. quantized: what the file was made of, unless that is the float network.
    """

    network: NetworkTracer
    quantized: NetworkTracer | None = None

    @property
    def present(self) -> list[NetworkTracer]:
        return [self.network] if self.quantized is None else [self.network, self.quantized]


def trace_model(
    model: StreamingModel, images: npt.NDArray[np.uint8], states: Arrays
) -> tuple[Trace, Arrays]:
    """Streams frames through a model file, from given states; see :meth:`NetworkTracer.run`."""
    names = [LOGITS, *(state.name for state in model.spec.states)]
    specs = [model.spec.output.tensor, *model.spec.states]
    rows: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
    for image in images:
        outputs, states = model.infer(image, states)
        for name, spec, value in zip(names, specs, (outputs, *states), strict=True):
            rows[name].append(dequantize(value, spec).reshape(-1))
    return Trace({name: np.stack(values) for name, values in rows.items()}), states


def _flat(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return values.reshape(len(values), -1)
