"""Captions of a network, many pictures at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap.captioning.search import Hypothesis, SearchSettings, search
from edgecap_convert.captions.network import CaptionNetwork, Scene
from edgecap_convert.tracing import traced

_BATCH = 100
Grids = Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]]


class NetworkWriter:
    """Steps a network in TensorFlow; a :class:`edgecap.captioning.search.Writer`.

    Args:
      network: float, or fake-quantised with frozen ranges.
      encode: makes grids, ``(N, cells, C)`` float32, of what :meth:`begin` is given; by default it
        is given grids.
    """

    def __init__(
        self, network: CaptionNetwork, encode: Callable[[tf.Tensor], tf.Tensor] = tf.identity
    ) -> None:
        self._network = network
        self._look = traced(
            lambda given: network.look(encode(tf.cast(given, tf.float32))), reduce_retracing=True
        )
        self._step = traced(self._stepped, reduce_retracing=True)

    def begin(self, grids: npt.NDArray[Any], beam: int) -> NetworkWriter:
        """Looks at N pictures; every one of ``beam`` hypotheses begins alike."""
        self._scene: Scene = self._look(tf.constant(grids))
        self._beam = beam
        self._h = tf.repeat(self._scene.hidden, beam, axis=0)
        self._c = tf.repeat(self._scene.cell, beam, axis=0)
        return self

    def step(self, words: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        flat = tf.constant(words.reshape(-1), tf.int32)
        log_p, self._h, self._c = self._step(flat, self._scene, self._h, self._c)
        found: npt.NDArray[np.float32] = log_p.numpy().reshape(*words.shape, -1)
        return found

    def follow(self, parents: npt.NDArray[np.int64]) -> None:
        rows = (parents + np.arange(len(parents))[:, None] * self._beam).reshape(-1)
        self._h, self._c = tf.gather(self._h, rows), tf.gather(self._c, rows)

    def _stepped(
        self, words: tf.Tensor, scene: Scene, h: tf.Tensor, c: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        logits, _, h, c = self._network.step(words, scene, h, c)
        return tf.nn.log_softmax(logits), h, c


def write_captions(
    writer: NetworkWriter, grids: Grids, count: int, settings: SearchSettings
) -> list[Hypothesis]:
    """The best caption of each of ``count`` pictures.

    Args:
      writer: of the network. grids: numbers of pictures → ``(N, cells, C)``.
    """
    found: list[Hypothesis] = []
    for start in range(0, count, _BATCH):
        numbers = np.arange(start, min(start + _BATCH, count))
        writer.begin(grids(numbers), settings.beam)
        found += [best for best, *_ in search(writer, len(numbers), settings)]
    return found
