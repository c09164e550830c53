"""The loop that all stages share: early stopping, the weights at the end, going on after a stop."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from edgecap_convert.data import SequenceBatch
from edgecap_convert.data.sequences import Cursor
from edgecap_convert.training.checkpoints import Checkpoints
from edgecap_convert.training.config import StageConfig
from edgecap_convert.training.optimise import History, Hooks, optimise, optimizer


def stage(steps: int, patience: int = 0, keep: str = "best") -> StageConfig:
    return StageConfig(
        steps=steps,
        batch=1,
        length=1,
        learning_rate=0.1,
        validate_every=2,
        patience=patience,
        keep=keep,
    )


def batches(cursor: Cursor | None) -> Iterator[SequenceBatch]:
    """The n-th batch holds n, counted from 1."""
    first = 0 if cursor is None else int(cursor[0, 0])
    for number in itertools.count(first + 1):
        value = np.full((1, 1), number)
        yield SequenceBatch(value, value, value, value > 0, np.array([[number, 0]]))


class Climb:
    """A "training" whose weight adds up its batches, and whose score is a table by steps.

    Of the batches 1, 2, 3, … the sum after n steps is n·(n + 1)/2: one left out or taken twice
    shows. ``carried`` is the last batch's number.
    """

    def __init__(self, scores: dict[int, float] | None = None, stop_at: int | None = None) -> None:
        self.weight, self.slot = tf.Variable(0.0), tf.Variable(0.0)
        self.scores, self.stop_at = scores, stop_at
        self.last = np.zeros(1)

    @property
    def steps(self) -> int:
        return round((np.sqrt(8 * self.weight.numpy() + 1) - 1) / 2)

    def __call__(self, batch: SequenceBatch, step: int) -> tf.Tensor:
        number = float(batch.inputs[0, 0])
        assert number == self.last[0] + 1 == step
        if step == self.stop_at:
            raise KeyboardInterrupt
        self.weight.assign_add(number)
        self.slot.assign(2 * number)
        self.last = np.array([number])
        return tf.constant(1 / number)

    def carried(self) -> dict[str, np.ndarray]:
        return {"last": self.last}

    def carry_on(self, carried: dict[str, np.ndarray]) -> None:
        self.last = carried["last"]

    def validate(self) -> float:
        assert self.scores is not None
        return self.scores[self.steps]

    def run(self, config: StageConfig, folder: Path | None = None, every_s: float = 0.0) -> History:
        return optimise(
            "x",
            config,
            batches,
            self,
            weights=[self.weight],
            slots=[self.slot],
            hooks=Hooks(
                validate=self.validate if self.scores is not None else None,
                checkpoints=Checkpoints(folder, every_s=every_s) if folder is not None else None,
            ),
        )


def test_the_best_weights_are_put_back() -> None:
    climb = Climb({0: 0.1, 2: 0.7, 4: 0.9, 6: 0.8, 7: 0.5})
    history = climb.run(stage(7))
    assert climb.steps == 4
    assert history.best == 0.9
    assert [step for step, _ in history.validated] == [0, 2, 4, 6, 7]
    assert history.loss == pytest.approx([1 / n for n in range(1, 8)])


def test_the_last_weights_are_kept_where_asked_for() -> None:
    climb = Climb({0: 0.1, 2: 0.7, 4: 0.9, 6: 0.8, 7: 0.5})
    history = climb.run(stage(7, keep="last"))
    assert climb.steps == 7
    assert history.best == 0.9


def test_a_stage_never_leaves_a_network_worse_than_it_found_it() -> None:
    climb = Climb({0: 0.9, 2: 0.7, 4: 0.6})
    climb.run(stage(4))
    assert climb.steps == 0


@pytest.mark.parametrize(("patience", "steps"), [(1, 4), (2, 6), (0, 20)])
def test_a_stage_ends_when_its_patience_does(patience: int, steps: int) -> None:
    climb = Climb({0: 0.1, 2: 0.9} | dict.fromkeys(range(4, 21), 0.5))
    history = climb.run(stage(20, patience))
    assert len(history.loss) == steps
    assert climb.steps == 2


def test_without_validation_the_last_weights_stay() -> None:
    climb = Climb()
    history = climb.run(stage(5))
    assert climb.steps == 5
    assert history.best is None


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("every_s", [0.0, 3600.0])
def test_a_stage_goes_on_where_it_was_stopped(tmp_path: Path, keep: str, every_s: float) -> None:
    scores = {0: 0.1, 2: 0.7, 4: 0.9, 6: 0.8, 7: 0.5}
    whole = Climb(scores)
    expected = whole.run(stage(7, keep=keep))
    for stop in (1, 2, 3, 5, 7):
        with pytest.raises(KeyboardInterrupt):
            Climb(scores, stop).run(stage(7, keep=keep), tmp_path, every_s)
    last = Climb(scores)
    history = last.run(stage(7, keep=keep), tmp_path, every_s)
    assert history.to_dict() == expected.to_dict()
    assert last.weight.numpy() == whole.weight.numpy()
    # Nothing is left to do: neither a batch nor a validation is asked for.
    again = Climb(stop_at=1)
    assert again.run(stage(7, keep=keep), tmp_path).to_dict() == expected.to_dict()
    assert again.weight.numpy() == whole.weight.numpy()


def test_patience_is_not_begun_anew_by_a_stop(tmp_path: Path) -> None:
    scores = {0: 0.1, 2: 0.9} | dict.fromkeys(range(4, 21), 0.5)
    for stop in (5, 6):
        with pytest.raises(KeyboardInterrupt):
            Climb(scores, stop).run(stage(20, patience=2), tmp_path)
    history = Climb(scores).run(stage(20, patience=2), tmp_path)
    assert len(history.loss) == 6


class Notes:
    """A log that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def scalars(self, stage: str, step: int, **values: float | None) -> None:
        self.told.append((stage, step, *values))

    def resume(self, stage: str, step: int) -> None:
        self.told.append(("resume", stage, step))

    def flush(self) -> None:
        self.told.append(("flush",))


def test_the_log_is_told_every_step_and_from_where_a_stage_goes_on(tmp_path: Path) -> None:
    def run(stop_at: int | None) -> list[tuple[object, ...]]:
        notes, seen = Notes(), []
        climb = Climb({0: 0.1, 2: 0.2, 3: 0.3}, stop_at)
        hooks = Hooks(
            validate=climb.validate,
            on_step=seen.append,
            log=notes,
            checkpoints=Checkpoints(tmp_path, every_s=0.0),
        )
        try:
            optimise("x", stage(3), batches, climb, weights=[climb.weight], hooks=hooks)
        except KeyboardInterrupt:
            assert seen == [1, 2]
        else:
            assert seen == [1, 2, 3]
        return notes.told

    assert run(2) == [
        ("resume", "x", -1),
        ("x", 0, "validation"),
        ("x", 1, "loss"),
        ("flush",),
    ]
    assert run(None) == [
        ("resume", "x", 1),
        ("x", 2, "loss"),
        ("x", 2, "validation"),
        ("flush",),
        ("x", 3, "loss"),
        ("x", 3, "validation"),
        ("flush",),
    ]


def test_the_learning_rate_warms_up_and_falls_and_biases_do_not_decay() -> None:
    kernel, bias = tf.Variable(tf.ones((2, 2))), tf.Variable(tf.ones(2))
    config = StageConfig(100, 1, 1, 1e-2, 10, 0, weight_decay=0.5)
    adam = optimizer(config, [kernel, bias])
    rates = [float(adam._learning_rate(step)) for step in range(101)]
    assert max(rates) == rates[6] == pytest.approx(1e-2)
    assert rates[0] == pytest.approx(2e-4)
    assert rates[100] == pytest.approx(0.0, abs=1e-9)
    adam.apply_gradients([(tf.zeros((2, 2)), kernel), (tf.zeros(2), bias)])
    assert (kernel.numpy() < 1).all()
    assert (bias.numpy() == 1).all()
    # Everything that a step changes is there to be saved.
    assert len({v.ref() for v in adam.variables}) >= 5


def test_a_history_is_plain_data() -> None:
    history = History("x", [1.234567], [(0, 0.1234567)])
    assert json.loads(json.dumps(history.to_dict())) == {
        "stage": "x",
        "loss": [1.23457],
        "validated": [[0, 0.12346]],
    }
