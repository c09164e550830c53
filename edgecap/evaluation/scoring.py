"""One way through for all tasks: stream each recording, then score what was said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConfigError
from edgecap.evaluation.classification import (
    Answer,
    Evaluation,
    answer_segments,
    positive_label,
)
from edgecap.evaluation.events import EventScore, score_events, total
from edgecap.evaluation.multilabel import MultiLabelEvaluation, answer_labels
from edgecap.evaluation.recording import Recording
from edgecap.evaluation.regression import RegressionEvaluation, answer_values
from edgecap.spec import TASKS, DecisionSpec
from edgecap.streaming import StreamingModel

#: ``(N, labels)`` float32: probabilities, or for regression the numbers themselves.
Activations: TypeAlias = npt.NDArray[np.float32]
Probabilities: TypeAlias = Activations
#: From the images of a whole recording to the activations at each frame, from a reset state.
Predictor: TypeAlias = Callable[[npt.NDArray[np.uint8]], Activations]
AnyEvaluation: TypeAlias = Evaluation | MultiLabelEvaluation | RegressionEvaluation


@overload
def evaluate(
    predict: Predictor,
    recordings: Iterable[Recording],
    *,
    labels: Sequence[str],
    decision: DecisionSpec,
    task: Literal["classification"] = "classification",
) -> Evaluation: ...


@overload
def evaluate(
    predict: Predictor,
    recordings: Iterable[Recording],
    *,
    labels: Sequence[str],
    decision: DecisionSpec,
    task: str,
) -> AnyEvaluation: ...


def evaluate(
    predict: Predictor,
    recordings: Iterable[Recording],
    *,
    labels: Sequence[str],
    decision: DecisionSpec,
    task: str = "classification",
) -> AnyEvaluation:
    """Streams recordings through a model, each from a reset state, and scores the answers.

    A segment's answer is the label with the highest mean probability over its second half: what
    a gesture is can be known no sooner. A clip is one segment, so this is its answer at its end,
    steadied over some frames; ``end_accuracy`` is that of the very last frame. Multi-label takes
    the same mean, over stretches whose labels do not change; regression takes every frame.

    Args:
      predict: the model.
      recordings: taken one after the other; a generator may give more than fits into memory.
      labels: the model's; every true label must be among them.
      decision: turns probabilities into events, for recordings that are streams (classification).
      task: one of ``edgecap.spec.TASKS``.

    Raises:
      DataError: multi-label or regression, and a recording has no targets for these labels.
      ConfigError: no such task.
    """
    if task not in TASKS:
        raise ConfigError(f"task: expected one of {', '.join(TASKS)}; got {task!r}")
    names = tuple(labels)
    streamed = ((recording, predict(recording.images)) for recording in recordings)
    if task == "regression":
        return RegressionEvaluation(
            names, tuple(answer_values(values, r, names) for r, values in streamed)
        )
    if task == "multilabel":
        return MultiLabelEvaluation(
            names, tuple(a for r, values in streamed for a in answer_labels(values, r, names))
        )
    return _classification(streamed, names, decision)


def _classification(
    streamed: Iterable[tuple[Recording, Probabilities]],
    labels: tuple[str, ...],
    decision: DecisionSpec,
) -> Evaluation:
    answers: list[Answer] = []
    events: list[EventScore] = []
    right = frames = 0
    for recording, probabilities in streamed:
        truth = np.array([labels.index(label) for label in recording.truth])
        right += int((probabilities.argmax(axis=1) == truth).sum())
        frames += len(truth)
        answers += answer_segments(probabilities, recording, labels)
        if recording.is_stream:
            events.append(score_events(probabilities, recording, labels, decision))
    return Evaluation(
        labels=labels,
        answers=tuple(answers),
        frame_accuracy=right / max(1, frames),
        events=total(events),
        positive=positive_label(labels, decision.background),
    )


def model_predictor(model: StreamingModel) -> Predictor:
    """The model itself, streamed step by step."""

    def predict(images: npt.NDArray[np.uint8]) -> Activations:
        states = model.initial_states()
        rows = []
        for image in images:
            outputs, states = model.infer(image, states)
            rows.append(model.activate(outputs))
        return np.stack(rows)

    return predict
