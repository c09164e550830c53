"""What is minimised, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from edgecap_convert.training.losses import distillation_loss, sequence_loss

ONES = tf.ones(2)


def loss(
    outputs: list,
    targets: list,
    weights: list,
    task: str,
    *,
    scale: tf.Tensor = ONES,
    smoothing: float = 0.0,
) -> float:
    kind = np.int64 if task == "classification" else np.float32
    return float(
        sequence_loss(
            tf.constant(outputs, tf.float32)[:, :, None],
            tf.constant(np.array(targets, kind)),
            tf.constant(weights, tf.float32),
            task,
            scale=scale,
            smoothing=smoothing,
        )
    )


def test_cross_entropy() -> None:
    # softmax(ln 3, 0) = (3/4, 1/4).
    outputs = [[[np.log(3), 0.0], [np.log(3), 0.0]]]
    expected = (-np.log(0.75) - np.log(0.25)) / 2
    assert loss(outputs, [[0, 1]], [[1, 1]], "classification") == pytest.approx(expected)


def test_smoothing_gives_a_share_to_all_labels_alike() -> None:
    # 0.2 · (1/2, 1/2) + 0.8 · (1, 0) = (0.9, 0.1).
    expected = -0.9 * np.log(0.75) - 0.1 * np.log(0.25)
    found = loss([[[np.log(3), 0.0]]], [[0]], [[1]], "classification", smoothing=0.2)
    assert found == pytest.approx(expected)
    # sigmoid(ln 3) = 3/4; true is (0.9, 0.1).
    found = loss([[[np.log(3), np.log(3)]]], [[[1, 0]]], [[1]], "multilabel", smoothing=0.2)
    first = -0.9 * np.log(0.75) - 0.1 * np.log(0.25)
    second = -0.1 * np.log(0.75) - 0.9 * np.log(0.25)
    assert found == pytest.approx((first + second) / 2)


def test_binary_cross_entropy_is_averaged_over_labels() -> None:
    expected = (-np.log(0.75) - np.log(0.25)) / 2
    found = loss([[[np.log(3), np.log(3)]]], [[[1, 0]]], [[1]], "multilabel")
    assert found == pytest.approx(expected)


def test_squared_error_is_in_units_of_the_deviation() -> None:
    scale = tf.constant([2.0, 10.0])
    # (4/2)² = 4 and (5/10)² = 1/4.
    found = loss([[[5.0, 5.0]]], [[[1.0, 10.0]]], [[1]], "regression", scale=scale)
    assert found == pytest.approx((4 + 0.25) / 2)


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_members_are_judged_apart(task: str) -> None:
    outputs = np.array([[[3.0, 0.0]], [[-1.0, 2.0]]])
    targets = [[0]] if task == "classification" else [[[1, 0]]]
    alone = [loss([own.tolist()], targets, [[1.0]], task) for own in outputs]
    together = sequence_loss(
        tf.constant(outputs.transpose(1, 0, 2)[None], tf.float32),
        tf.constant(targets, tf.int64 if task == "classification" else tf.float32),
        tf.ones((1, 1)),
        task,
        scale=ONES,
    )
    assert float(together) == pytest.approx(np.mean(alone))
    # Of the mean of their answers, it would be another one.
    assert float(together) != pytest.approx(
        loss([outputs.mean(axis=0).tolist()], targets, [[1.0]], task), rel=0.05
    )


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_frames_count_by_their_weight(task: str) -> None:
    outputs = [[[0.5, -1.0], [2.0, 0.0], [9.0, -9.0]]]
    targets = [[0, 1, 1]] if task == "classification" else [[[1, 0], [0, 1], [0, 1]]]
    first, second = (loss([[outputs[0][i]]], [[targets[0][i]]], [[1.0]], task) for i in range(2))
    found = loss(outputs, targets, [[1.0, 0.5, 0.0]], task)
    assert found == pytest.approx((first + 0.5 * second) / 1.5)
    assert loss(outputs, targets, [[0.0, 0.0, 0.0]], task) == 0.0


def test_a_teacher_is_matched_where_the_answers_are_equal() -> None:
    taught = tf.constant([[[np.log(3), 0.0]]], tf.float32)
    expected = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    found = distillation_loss(taught, taught, "classification", ONES)
    assert float(found) == pytest.approx(expected)
    other = tf.constant([[[0.0, 0.0]]])
    assert float(distillation_loss(other, taught, "classification", ONES)) == pytest.approx(
        np.log(2)
    )
    # sigmoid: (3/4, 1/2) taught; (1/2, 1/2) answered.
    assert float(distillation_loss(other, taught, "multilabel", ONES)) == pytest.approx(np.log(2))
    scale = tf.constant([0.5, 1.0])
    found = distillation_loss(other, taught, "regression", scale)
    assert float(found) == pytest.approx((np.log(3) / 0.5) ** 2 / 2)
    for task in ("classification", "multilabel", "regression"):
        variable = tf.Variable(taught)
        with tf.GradientTape() as tape:
            value = distillation_loss(variable, taught, task, ONES)
        np.testing.assert_allclose(tape.gradient(value, variable), 0, atol=1e-6)
