"""The loop that all stages share: early stopping, and the best weights at the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import tensorflow as tf
from edgecap_convert.training.config import StageConfig
from edgecap_convert.training.optimise import optimise


def stage(steps: int, patience: int = 0) -> StageConfig:
    return StageConfig(
        steps=steps, batch=1, length=1, learning_rate=0.1, validate_every=2, patience=patience
    )


class Climb:
    """A "training" whose only weight counts the updates, and whose score is a table."""

    def __init__(self, scores: dict[int, float]) -> None:
        self.weight = tf.Variable(0.0)
        self.scores = scores

    def update(self, _: int) -> tf.Tensor:
        self.weight.assign_add(1.0)
        return tf.constant(1.0)

    def validate(self) -> float:
        return self.scores[int(self.weight.numpy())]


def numbers() -> Iterator[int]:
    return itertools.count()


def test_the_best_weights_are_put_back() -> None:
    climb = Climb({0: 0.1, 2: 0.7, 4: 0.9, 6: 0.8, 7: 0.5})
    history = optimise(
        "x",
        stage(7),
        numbers(),
        climb.update,
        variables=[climb.weight],
        validate=climb.validate,
    )
    assert climb.weight.numpy() == 4.0
    assert history.best == 0.9
    assert [step for step, _ in history.validated] == [0, 2, 4, 6, 7]
    assert len(history.loss) == 7


def test_a_stage_never_leaves_a_network_worse_than_it_found_it() -> None:
    climb = Climb({0: 0.9, 2: 0.7, 4: 0.6})
    optimise(
        "x",
        stage(4),
        numbers(),
        climb.update,
        variables=[climb.weight],
        validate=climb.validate,
    )
    assert climb.weight.numpy() == 0.0


@pytest.mark.parametrize(("patience", "steps"), [(1, 4), (2, 6), (0, 20)])
def test_a_stage_ends_when_its_patience_does(patience: int, steps: int) -> None:
    climb = Climb({0: 0.1, 2: 0.9} | dict.fromkeys(range(4, 21), 0.5))
    history = optimise(
        "x",
        stage(20, patience),
        numbers(),
        climb.update,
        variables=[climb.weight],
        validate=climb.validate,
    )
    assert len(history.loss) == steps
    assert climb.weight.numpy() == 2.0


def test_without_validation_the_last_weights_stay() -> None:
    climb = Climb({})
    history = optimise("x", stage(5), numbers(), climb.update, variables=[climb.weight])
    assert climb.weight.numpy() == 5.0
    assert history.best is None
