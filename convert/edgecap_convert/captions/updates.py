"""One step of a captioning training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.captions.network import CaptionNetwork, Dropout

_CLIP_NORM = 5.0

#: Of the training, and the number of the step in it.
Seed = tuple[int, int]
# Room between two steps for every place that drops.
_PLACES = 16


def _seeds(seed: Seed) -> tf.Tensor:
    return tf.constant([seed[0] % 2**31, seed[1] * _PLACES], tf.int32)


class SentenceUpdate:
    """Moves the decoder's weights towards given sentences.

    The loss is the mean over all meant words of ``−log p(word)``; with label smoothing, a share of
    it is the mean of ``−log p`` over the whole vocabulary.

    Args:
      network: float; or fake-quantised, whose ranges then follow as their schedule says.
      learning_rate: until :meth:`set_rate` is called.
      start: number of the word before the first.
      average, smoothing, dropout, grid_dropout: see ``CaptionConfig``.

    Attributes:
      averages: of the weights, in the order of ``network.decoder_weights``.
    """

    def __init__(
        self,
        network: CaptionNetwork,
        *,
        learning_rate: float,
        start: int,
        average: float = 0.0,
        smoothing: float = 0.0,
        dropout: float = 0.0,
        grid_dropout: float = 0.0,
    ) -> None:
        self._network, self._start = network, start
        self._smoothing, self._dropout, self._grid_dropout = smoothing, dropout, grid_dropout
        self.variables = network.decoder_weights
        self._adam = keras.optimizers.Adam(learning_rate, clipnorm=_CLIP_NORM)
        self._adam.build(self.variables)
        self._average = average
        self.averages = [tf.Variable(weight, trainable=False) for weight in self.variables]
        self._step = tf.function(self._stepped, reduce_retracing=True)

    @property
    def slots(self) -> list[tf.Variable]:
        """What it remembers from step to step, beside the weights."""
        return [*self._adam.variables, *self.averages]

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the network has the averages of its weights."""
        kept = [weight.numpy() for weight in self.variables]
        for weight, average in zip(self.variables, self.averages, strict=True):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(self.variables, kept, strict=True):
                weight.assign(value)

    def set_rate(self, learning_rate: float) -> None:
        self._adam.learning_rate.assign(learning_rate)

    def __call__(
        self,
        grids: tf.Tensor,
        words: tf.Tensor,
        meant: tf.Tensor,
        *,
        seed: Seed,
    ) -> float:
        """One step.

        Args:
          grids: ``(N, cells, C)``. words: ``(N, S, T)`` int32, S sentences about each.
          meant: ``(N, S, T)`` bool, the words that count.
          seed: of the dropout.

        Returns:
          The loss.
        """
        return float(self._step(grids, words, meant, _seeds(seed)))

    def _stepped(
        self,
        grids: tf.Tensor,
        words: tf.Tensor,
        meant: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        drops = self._dropout or self._grid_dropout
        dropout = Dropout(seed, self._grid_dropout, _words_share(self._dropout), self._dropout)
        with tf.GradientTape() as tape:
            log_p, targets = spoken(
                self._network,
                tf.cast(grids, tf.float32),
                words,
                meant,
                self._start,
                training=self._network.schedule is not None,
                dropout=dropout if drops else None,
            )
            loss = -tf.gather(log_p, targets, batch_dims=1)
            if self._smoothing:
                spread = -tf.reduce_mean(log_p, axis=-1)
                loss = (1 - self._smoothing) * loss + self._smoothing * spread
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, self.variables)
        self._adam.apply_gradients(zip(gradients, self.variables, strict=True))
        # At first over fewer steps: what training begins with is no part of any average.
        steps = tf.cast(self._adam.iterations, tf.float32)
        share = tf.minimum(self._average, (1.0 + steps) / (10.0 + steps))
        for weight, average in zip(self.variables, self.averages, strict=True):
            average.assign(share * average + (1.0 - share) * weight)
        return loss


def _words_share(dropout: float) -> float:
    return 0.6 * dropout


def spoken(
    network: CaptionNetwork,
    grids: tf.Tensor,
    words: tf.Tensor,
    meant: tf.Tensor,
    start: int,
    *,
    training: bool = False,
    dropout: Dropout | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs given sentences through a network, each word following the one before it.

    Args:
      grids: ``(N, cells, C)`` float32. words, meant: ``(N, S, T)``; S and T static.

    Returns:
      Log-probabilities ``(M, vocabulary)`` at each of the M meant words, and these words ``(M,)``.
    """
    sentences, length = words.shape[1], words.shape[2]
    scene = network.look(grids, training=training, dropout=dropout)
    words = tf.reshape(words, (-1, length))
    before = tf.concat([tf.fill((tf.shape(words)[0], 1), start), words[:, :-1]], axis=1)
    embedded = network.embed(before, dropout=dropout)
    projected = tf.transpose(network.project(embedded), (1, 0, 2))
    h = tf.repeat(scene.hidden, sentences, axis=0)
    c = tf.zeros_like(h)
    hidden, contexts = [], []
    for t in range(length):
        h, c, context, _ = network.advance(projected[t], scene, h, c, training=training)
        hidden.append(h)
        contexts.append(context)
    mask = tf.reshape(meant, (-1, length))
    states, contexts = (tf.boolean_mask(tf.stack(x, axis=1), mask) for x in (hidden, contexts))
    read = tf.boolean_mask(embedded, mask)
    logits = network.answer(states, contexts, read, training=training, dropout=dropout)
    return tf.nn.log_softmax(logits), tf.boolean_mask(words, mask)
