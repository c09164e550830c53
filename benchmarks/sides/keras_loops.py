"""The network of a run through Keras: step by step, and over a sliding window of frames.

All compute what the run's float network computes, on its weights; each is held against
:class:`edgecap_convert.models.network.Network`, step by step, before it is timed.
"""

from __future__ import annotations

import collections
import importlib.util
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgecap.preprocess import resize
from edgecap.spec import InputSpec
from sides.side import Facts, Frame, Given, MissingError, Side, count_macs, cross_validated

if TYPE_CHECKING:
    from edgecap_convert.models.network import Network
    from edgecap_convert.training.runs import Run

#: Frames of a window where it is not as long as the rows of the run's training.
SHORT_WINDOW = 16
# Of the largest logit: the sums of the same products in another order.
_TOLERANCE = 1e-4


class KerasStep(Side):
    """``tf.function`` of one step, states carried as tensors. (By XLA it was 5 times as slow.)"""

    def prepare(self, given: Given, threads: int | None) -> Facts:
        run_folder(given)
        tf = tensorflow(threads)
        run, network, known = opened(given)
        self._spec = run.input
        self._step = step_function(network)
        self._state = network.initial_state(1)
        self._constant = tf.constant
        return known

    def step(self, frame: Frame) -> int:
        image = self._constant(resize(frame, self._spec)[None])
        logits, self._state = self._step(image, self._state)
        return int(logits.numpy().argmax())


class KerasWindow(Side):
    """The notebook's way: the last T frames through ``TimeDistributed(encoder)``, LSTM and head.

    Args:
      how: ``function`` (a ``tf.function`` of the model), ``call`` (``model(window)``) or
        ``predict`` (``model.predict(window)``).
      length: T; ``None`` for that of the rows that the run's recurrent stage trained with.
    """

    def __init__(self, how: str = "function", length: int | None = None) -> None:
        self._how, self._length = how, length

    def prepare(self, given: Given, threads: int | None) -> Facts:
        run_folder(given)
        tf = tensorflow(threads)
        run, network, known = opened(given)
        self._spec, length = run.input, self._length or window_length(run)
        model = window_model(network, self._spec, length)
        self._frames = blank(self._spec, length)
        if self._how == "function":
            traced = tf.function(lambda window: model(window, training=False))
            self._call: Any = lambda window: traced(tf.constant(window)).numpy()
        elif self._how == "call":
            self._call = lambda window: model(window, training=False).numpy()
        else:
            self._call = lambda window: model.predict(window, verbose=0)
        windows = np.random.default_rng(0).integers(
            0, 256, (length, self._spec.height, self._spec.width, 3), dtype=np.uint8
        )
        expected = stepped(network, windows)
        found = self._call(np.stack([normal(image) for image in windows])[None])
        return scaled(known, length, check(expected, found))

    def step(self, frame: Frame) -> int:
        self._frames.append(normal(resize(frame, self._spec)))
        return int(self._call(np.stack(self._frames)[None]).argmax())


class KerasKeptWindow(Side):
    """The sliding window as a careful user has it: each frame is encoded once, its grid is kept."""

    def prepare(self, given: Given, threads: int | None) -> Facts:
        run_folder(given)
        tf = tensorflow(threads)
        run, network, known = opened(given)
        self._spec, self._length = run.input, window_length(run)
        shape = (1, self._spec.height, self._spec.width, 3)
        self._constant, self._stack = tf.constant, tf.stack
        from edgecap_convert.models.network import normalize

        self._encode = tf.function(
            lambda image: network.encode(normalize(image))[0],
            input_signature=[tf.TensorSpec(shape, tf.uint8)],
        )
        grids = (self._length, *network.encoder.output_shape[1:])
        self._rest = tf.function(
            lambda grids: network.recur(grids[None])[0][0, -1],
            input_signature=[tf.TensorSpec(grids)],
        )
        self._forget()
        images = np.random.default_rng(0).integers(0, 256, (self._length, *shape[1:]), np.uint8)
        *_, found = (self._logits(image) for image in images)
        message = check(stepped(network, images), found)
        self._forget()
        return scaled(known, None, f"window of {self._length} frames; {message}")

    def step(self, frame: Frame) -> int:
        return int(self._logits(resize(frame, self._spec)).argmax())

    def _logits(self, image: Frame) -> npt.NDArray[np.float32]:
        self._grids.append(self._encode(self._constant(image[None])))
        return self._rest(self._stack(list(self._grids))).numpy()

    def _forget(self) -> None:
        dark = np.zeros((1, self._spec.height, self._spec.width, 3), np.uint8)
        grid = self._encode(self._constant(dark))
        self._grids = collections.deque([grid] * self._length, maxlen=self._length)


def tensorflow(threads: int | None) -> Any:
    """TensorFlow with so many threads; to be called before it has computed anything."""
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingError("TensorFlow: pip install 'edgecap[convert]'")
    import tensorflow as tf

    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    return tf


def run_folder(given: Given) -> Path:
    """Where the trained network is."""
    if given.run is None:
        raise MissingError("the trained network: give the run's folder with --run")
    return given.run


def opened(given: Given) -> tuple[Run, Network, Facts]:
    """The run's float network."""
    from edgecap_convert.training.runs import WEIGHTS_FILE, open_run

    run = open_run(run_folder(given))
    if run.task != "classification":
        raise MissingError(f"{run.path.name}: expected a classifier; got {run.task}")
    accuracy, source = cross_validated(given, "float")
    macs, uncounted = count_macs(given.model.read_bytes())
    network = run.network()
    return (
        run,
        network,
        Facts(
            task=f"{given.model.stem}: {len(run.labels)} labels",
            bytes=(run.path / WEIGHTS_FILE).stat().st_size,
            macs=macs,
            uncounted=uncounted,
            accuracy=accuracy,
            accuracy_source=source,
        ),
    )


def window_length(run: Run) -> int:
    """Frames of a row that the run's recurrent stage trained with."""
    return int(run.config.recurrent.length)


def step_function(network: Network) -> Any:
    """``(1, H, W, 3)`` uint8 and states → logits ``(labels,)`` and states."""
    import tensorflow as tf
    from edgecap_convert.models.network import normalize

    encoder = network.config.encoder

    def step(image: Any, state: Any) -> Any:
        logits, state = network.step(normalize(image), state)
        return logits[0], state

    return tf.function(
        step,
        input_signature=[
            tf.TensorSpec((1, encoder.height, encoder.width, 3), tf.uint8),
            {name: tf.TensorSpec(shape) for name, shape in network.state_shapes().items()},
        ],
    )


def window_model(network: Network, spec: InputSpec, length: int) -> Any:
    """A Keras model on the network's own layers: windows ``(B, T, H, W, 3)`` float32 → logits of
    the last frame ``(B, labels)``."""
    import tensorflow as tf
    import tf_keras as keras

    class Behind(keras.layers.Layer):  # type: ignore[misc]
        """Neck, LSTM and head along the window, from the reset state."""

        def call(self, grids: Any) -> Any:
            grids = tf.ensure_shape(grids, (1, length, *network.encoder.output_shape[1:]))
            logits, _ = network.recur(grids)
            return logits[:, -1]

    window = keras.Input((length, spec.height, spec.width, 3))
    grids = keras.layers.TimeDistributed(network.encoder)(window)
    return keras.Model(window, Behind()(grids))


def normal(image: Frame) -> npt.NDArray[np.float32]:
    """uint8 → the real values of the image's grid, as the network was trained with."""
    return (image.astype(np.float32) - 128.0) * np.float32(1 / 127.5)


def blank(spec: InputSpec, length: int) -> collections.deque[npt.NDArray[np.float32]]:
    """A window before the first frame."""
    grey = np.zeros((spec.height, spec.width, 3), np.float32)
    return collections.deque(itertools.repeat(grey, length), maxlen=length)


def stepped(network: Network, images: Frame) -> npt.NDArray[np.float32]:
    """Logits ``(labels,)`` of the last of the images, step by step from the reset state."""
    step, state = step_function(network), network.initial_state(1)
    for image in images:
        logits, state = step(image[None], state)
    found: npt.NDArray[np.float32] = logits.numpy()
    return found


def check(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> str:
    """Holds logits against those of the network step by step.

    Raises:
      ArithmeticError: they are not the same computation.
    """
    apart = float(np.abs(expected - np.squeeze(found)).max())
    if not apart <= _TOLERANCE * float(np.abs(expected).max()):
        raise ArithmeticError(f"expected the logits of the network step by step; {apart:g} apart")
    return f"logits at most {apart:.1g} from the network's step by step"


def scaled(known: Facts, length: int | None, checked: str) -> Facts:
    """Of a loop that computes ``length`` frames for each; ``None``: its own work is not counted."""
    macs = None if known.macs is None or length is None else known.macs * length
    checked = checked if length is None else f"window of {length} frames; {checked}"
    return Facts(**{**known.__dict__, "macs": macs, "checked": checked})
