"""How good a model is, streamed frame by frame over recordings whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.events import EventDetector
from edgecap.preprocess import Image
from edgecap.spec import DecisionSpec
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene

#: How long after its end a gesture may still be reported: decisions lag behind what they decide.
EVENT_LAG_S = 0.6

Probabilities = npt.NDArray[np.float32]
#: From the images of a whole recording to the probabilities at each frame, from a reset state.
Predictor = Callable[[npt.NDArray[np.uint8]], Probabilities]


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording in which one thing happens: frames ``start`` to ``stop`` − 1."""

    label: str
    start: int
    stop: int


@dataclass(frozen=True)
class Recording:
    """Frames at the model's size and rate, and what is true of them.

    Attributes:
      name: for messages.
      images: ``(N, H, W, 3)`` uint8 RGB.
      timestamps_s: ``(N,)`` float64.
      truth: the label of each frame.
      segments: what is to be recognised.
      is_stream: gestures follow each other, so that events can be told right or wrong.
    """

    name: str
    images: npt.NDArray[np.uint8]
    timestamps_s: npt.NDArray[np.float64]
    truth: tuple[str, ...]
    segments: tuple[Segment, ...]
    is_stream: bool


@dataclass(frozen=True)
class EventScore:
    """Events against the gestures that were performed.

    Attributes:
      gestures: performed. recognised: of these, reported by an event of their label.
      false: events that no gesture explains. seconds: length of the recordings.
    """

    gestures: int
    recognised: int
    false: int
    seconds: float

    @property
    def recall(self) -> float:
        return self.recognised / self.gestures if self.gestures else 0.0

    @property
    def precision(self) -> float:
        reported = self.recognised + self.false
        return self.recognised / reported if reported else 0.0


@dataclass(frozen=True)
class Evaluation:
    """The figures of one model over a set of recordings.

    Attributes:
      labels: rows and columns of the confusion matrix.
      confusion: ``(L, L)`` int64, segments by truth (rows) and answer (columns).
      frame_accuracy: share of all frames whose most probable label is the true one.
      events: ``None`` for separate clips.
    """

    labels: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    frame_accuracy: float
    events: EventScore | None

    @property
    def segments(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of the segments that were answered rightly."""
        return float(np.trace(self.confusion)) / max(1, self.segments)

    def per_class(self) -> dict[str, dict[str, float]]:
        """label → precision, recall, f1 and support, for labels that occur in the truth."""
        result = {}
        for number, label in enumerate(self.labels):
            right = float(self.confusion[number, number])
            support = float(self.confusion[number].sum())
            answered = float(self.confusion[:, number].sum())
            if support:
                precision = right / answered if answered else 0.0
                recall = right / support
                total = precision + recall
                f1 = 2 * precision * recall / total if total else 0.0
                result[label] = {
                    "precision": precision,
                    "recall": recall,
                    "f1": f1,
                    "support": support,
                }
        return result

    @property
    def macro_f1(self) -> float:
        """F1 averaged over the labels that occur."""
        return float(np.mean([row["f1"] for row in self.per_class().values()] or [0.0]))

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        result: dict[str, Any] = {
            "accuracy": round(self.accuracy, 5),
            "frame_accuracy": round(self.frame_accuracy, 5),
            "macro_f1": round(self.macro_f1, 5),
            "segments": self.segments,
        }
        if self.events is not None:
            result["events"] = {
                "gestures": self.events.gestures,
                "recognised": self.events.recognised,
                "recall": round(self.events.recall, 5),
                "precision": round(self.events.precision, 5),
                "false": self.events.false,
                "seconds": round(self.events.seconds, 1),
            }
        per_class = self.per_class()
        result["per_class"] = {
            label: {name: round(value, 4) for name, value in row.items()}
            for label, row in per_class.items()
        }
        result["labels"] = list(self.labels)
        result["confusion"] = self.confusion.tolist()
        return result


def evaluate(
    predict: Predictor,
    recordings: Iterable[Recording],
    *,
    labels: Sequence[str],
    decision: DecisionSpec,
) -> Evaluation:
    """Streams recordings through a model, each from a reset state, and scores the answers.

    A segment's answer is the label with the highest mean probability over its second half: what
    a gesture is can be known no sooner.

    Args:
      predict: the model.
      recordings: at least one.
      labels: the model's; every true label must be among them.
      decision: turns probabilities into events, for recordings that are streams.
    """
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    right = frames = 0
    events: list[EventScore] = []
    for recording in recordings:
        probabilities = predict(recording.images)
        truth = np.array([labels.index(label) for label in recording.truth])
        right += int((probabilities.argmax(axis=1) == truth).sum())
        frames += len(truth)
        for segment in recording.segments:
            half = (segment.start + segment.stop) // 2
            answer = int(probabilities[half : segment.stop].mean(axis=0).argmax())
            confusion[labels.index(segment.label), answer] += 1
        if recording.is_stream:
            events.append(score_events(probabilities, recording, labels, decision))
    total = None
    if events:
        total = EventScore(
            gestures=sum(score.gestures for score in events),
            recognised=sum(score.recognised for score in events),
            false=sum(score.false for score in events),
            seconds=sum(score.seconds for score in events),
        )
    return Evaluation(tuple(labels), confusion, right / max(1, frames), total)


def score_events(
    probabilities: Probabilities,
    recording: Recording,
    labels: Sequence[str],
    decision: DecisionSpec,
) -> EventScore:
    """Runs the decisions over a stream's probabilities and matches events with gestures.

    An event counts for the gesture of its label during which, or up to ``EVENT_LAG_S`` after
    which, it starts; each gesture and each event counts once.
    """
    detector = EventDetector(labels, decision)
    open_segments = list(recording.segments)
    times = recording.timestamps_s
    recognised = false = 0
    for row, now in zip(probabilities, times.tolist(), strict=True):
        event = detector.update(row, now)
        if event is None or event.kind != "start":
            continue
        match = next(
            (
                segment
                for segment in open_segments
                if segment.label == event.label
                and times[segment.start] <= now <= times[segment.stop - 1] + EVENT_LAG_S
            ),
            None,
        )
        if match is None:
            false += 1
        else:
            recognised += 1
            open_segments.remove(match)
    return EventScore(
        gestures=len(recording.segments),
        recognised=recognised,
        false=false,
        seconds=float(times[-1] - times[0]) if len(times) else 0.0,
    )


def record_scene(scene: Scene) -> Recording:
    """Plays a finite scene into a recording; its gestures are the segments."""
    images: list[Image] = []
    times: list[float] = []
    truth: list[str] = []
    starts: dict[int, int] = {}
    stops: dict[int, int] = {}
    for frame in scene:
        images.append(frame.image)
        times.append(frame.timestamp_s)
        truth.append(frame.label)
        if frame.gesture >= 0:
            starts.setdefault(frame.gesture, frame.index)
            stops[frame.gesture] = frame.index + 1
    return Recording(
        name=f"scene {scene.seed}",
        images=np.stack(images),
        timestamps_s=np.array(times),
        truth=tuple(truth),
        segments=tuple(Segment(truth[starts[g]], starts[g], stops[g]) for g in starts),
        is_stream=True,
    )


def model_predictor(model: StreamingModel) -> Predictor:
    """The model itself, streamed step by step."""

    def predict(images: npt.NDArray[np.uint8]) -> Probabilities:
        states = model.initial_states()
        rows = []
        for image in images:
            logits, states = model.infer(image, states)
            rows.append(model.probabilities(logits))
        return np.stack(rows)

    return predict
