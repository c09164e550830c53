"""One step of a captioning training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.captions.network import CaptionNetwork, Dropout
from edgecap_convert.tracing import traced

_CLIP_NORM = 5.0

#: Of the training, and the number of the step in it.
Seed = tuple[int, int]
# Room between two steps for every place that drops.
_PLACES = 16


def _seeds(seed: Seed) -> tf.Tensor:
    return tf.constant([seed[0] % 2**31, seed[1] * _PLACES], tf.int32)


class SentenceUpdate:
    """Moves the weights towards given sentences: the decoder's, and those tuned of the encoder.

    The loss is the mean over all meant words of ``−log p(word)``; with label smoothing, a share of
    it is the mean of ``−log p`` over the whole vocabulary.

    Args:
      network: float.
      learning_rate: until :meth:`set_rate` is called. tuned_rate: see ``CaptionConfig``.
      start: number of the word before the first.
      average, smoothing, dropout, grid_dropout: see ``CaptionConfig``.

    Attributes:
      variables: what is trained. averages: of them, in their order.
    """

    def __init__(
        self,
        network: CaptionNetwork,
        *,
        learning_rate: float,
        start: int,
        tuned_rate: float = 0.0,
        average: float = 0.0,
        smoothing: float = 0.0,
        dropout: float = 0.0,
        grid_dropout: float = 0.0,
    ) -> None:
        self._network, self._start = network, start
        self._smoothing, self._dropout, self._grid_dropout = smoothing, dropout, grid_dropout
        tuned = network.tuned_weights if tuned_rate else []
        self.variables = [*network.decoder_weights, *tuned]
        self._taught = len(network.decoder_weights)
        self._tuned_rate = tuned_rate
        self._adam = _adam(learning_rate, network.decoder_weights)
        self._tuning = _adam(learning_rate * tuned_rate, tuned) if tuned else None
        self._average = average
        self.averages = [tf.Variable(weight, trainable=False) for weight in self.variables]
        self._step = traced(self._stepped, reduce_retracing=True)

    @property
    def slots(self) -> list[tf.Variable]:
        """What it remembers from step to step, beside the weights."""
        tuning = self._tuning.variables if self._tuning is not None else []
        return [*self._adam.variables, *tuning, *self.averages]

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
        if self._tuning is not None:
            self._tuning.learning_rate.assign(learning_rate * self._tuned_rate)

    def __call__(
        self,
        fixed: tf.Tensor,
        words: tf.Tensor,
        meant: tf.Tensor,
        *,
        seed: Seed,
    ) -> float:
        """One step.

        Args:
          fixed: of N pictures, see ``CaptionNetwork.encode_fixed``.
          words: ``(N, S, T)`` int32, S sentences about each.
          meant: ``(N, S, T)`` bool, the words that count.
          seed: of the dropout.

        Returns:
          The loss.
        """
        return float(self._step(fixed, words, meant, _seeds(seed)))

    def _stepped(
        self,
        fixed: tf.Tensor,
        words: tf.Tensor,
        meant: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        drops = self._dropout or self._grid_dropout
        dropout = Dropout(seed, self._grid_dropout, _words_share(self._dropout), self._dropout)
        with tf.GradientTape() as tape:
            log_p, targets = spoken(
                self._network,
                self._network.encode_rest(tf.cast(fixed, tf.float32)),
                words,
                meant,
                self._start,
                dropout=dropout if drops else None,
            )
            loss = -tf.gather(log_p, targets, batch_dims=1)
            if self._smoothing:
                spread = -tf.reduce_mean(log_p, axis=-1)
                loss = (1 - self._smoothing) * loss + self._smoothing * spread
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, self.variables)
        moves = list(zip(gradients, self.variables, strict=True))
        self._adam.apply_gradients(moves[: self._taught])
        if self._tuning is not None:
            self._tuning.apply_gradients(moves[self._taught :])
        # At first over fewer steps: what training begins with is no part of any average.
        steps = tf.cast(self._adam.iterations, tf.float32)
        share = tf.minimum(self._average, (1.0 + steps) / (10.0 + steps))
        for weight, average in zip(self.variables, self.averages, strict=True):
            average.assign(share * average + (1.0 - share) * weight)
        return loss


def _adam(learning_rate: float, variables: list[tf.Variable]) -> keras.optimizers.Optimizer:
    adam = keras.optimizers.Adam(learning_rate, clipnorm=_CLIP_NORM)
    adam.build(variables)
    return adam


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
    c = tf.repeat(scene.cell, sentences, axis=0)
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
