"""What is minimised, by task."""

from __future__ import annotations

import tensorflow as tf


def sequence_loss(
    outputs: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    task: str,
    *,
    scale: tf.Tensor,
    smoothing: float = 0.0,
    total: tf.Tensor | None = None,
) -> tf.Tensor:
    """The weighted mean over all frames, and over all members.

    Args:
      outputs: ``(B, T, members, labels)``: logits, or values, of each member.
      targets: ``(B, T)`` int64 classes, or ``(B, T, labels)`` float32: probabilities or values.
      weights: ``(B, T)``.
      task: classification: cross-entropy; multilabel: binary cross-entropy, averaged over labels;
        regression: squared error in units of ``scale``, averaged over values.
      scale: ``(labels,)``, deviation of the values.
      smoothing: share of the probability given to all labels alike (Szegedy et al. 2016).
      total: what the sum is divided by, if not by that of ``weights``: of a part of a batch, the
        losses then add up to the batch's.
    """
    members, labels = outputs.shape[2:]
    if task == "classification":
        truth = targets if targets.dtype.is_floating else tf.one_hot(targets, labels)
        truth = _for_each(truth, members)
        truth = truth * (1 - smoothing) + smoothing / labels
        losses = tf.nn.softmax_cross_entropy_with_logits(truth, outputs)
    elif task == "multilabel":
        truth = _for_each(targets, members) * (1 - smoothing) + smoothing / 2
        losses = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(truth, outputs), axis=-1)
    else:
        away = (outputs - targets[:, :, None]) / scale
        losses = tf.reduce_mean(tf.square(away), axis=-1)
    losses = tf.reduce_mean(losses, axis=2)
    total = tf.reduce_sum(weights) if total is None else total
    return tf.reduce_sum(losses * weights) / tf.maximum(total, 1e-6)


def _for_each(truth: tf.Tensor, members: int) -> tf.Tensor:
    """``(B, T, labels)`` → ``(B, T, members, labels)``."""
    return tf.repeat(truth[:, :, None], members, axis=2)


def distillation_loss(
    outputs: tf.Tensor, taught: tf.Tensor, task: str, scale: tf.Tensor
) -> tf.Tensor:
    """How far the answers are from a teacher's, at every frame alike.

    Args:
      outputs, taught: ``(B, T, labels)``, the network's and the teacher's outputs.
      task, scale: as for :func:`sequence_loss`.
    """
    if task == "classification":
        losses = tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(taught), outputs)
    elif task == "multilabel":
        losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.sigmoid(taught), outputs)
    else:
        losses = tf.square((outputs - taught) / scale)
    return tf.reduce_mean(losses)
