"""Events against the gestures that were performed: found, how soon, and how many too many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation.recording import Recording
from edgecap.events import EventDetector
from edgecap.spec import DecisionSpec

#: How long after its end a gesture may still be reported: decisions lag behind what they decide.
EVENT_LAG_S = 0.6


@dataclass(frozen=True)
class EventScore:
    """Events against the gestures that were performed.

    Attributes:
      gestures: performed. recognised: of these, reported by an event of their label.
      false: events that no gesture explains. seconds: length of the recordings.
      delays_s: of each recognised gesture, from its start to its event.
      background_false: of the false events, those away from any gesture.
      background_s: time away from any gesture, that is, neither during one nor up to
        ``EVENT_LAG_S`` after it.
    """

    gestures: int
    recognised: int
    false: int
    seconds: float
    delays_s: tuple[float, ...] = ()
    background_false: int = 0
    background_s: float = 0.0

    @property
    def recall(self) -> float:
        return self.recognised / self.gestures if self.gestures else 0.0

    @property
    def precision(self) -> float:
        reported = self.recognised + self.false
        return self.recognised / reported if reported else 0.0

    @property
    def delay_median_s(self) -> float | None:
        """``None`` where no gesture was recognised."""
        return float(np.median(self.delays_s)) if self.delays_s else None

    @property
    def delay_p95_s(self) -> float | None:
        """``None`` where no gesture was recognised."""
        return float(np.percentile(self.delays_s, 95)) if self.delays_s else None

    @property
    def false_per_hour(self) -> float:
        """Of all time, gestures included."""
        return _per_hour(self.false, self.seconds)

    @property
    def background_false_per_hour(self) -> float:
        """Of the time away from any gesture."""
        return _per_hour(self.background_false, self.background_s)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        median, p95 = self.delay_median_s, self.delay_p95_s
        return {
            "gestures": self.gestures,
            "recognised": self.recognised,
            "recall": round(self.recall, 5),
            "precision": round(self.precision, 5),
            "delay_median_s": None if median is None else round(median, 3),
            "delay_p95_s": None if p95 is None else round(p95, 3),
            "false": self.false,
            "false_per_hour": round(self.false_per_hour, 2),
            "seconds": round(self.seconds, 1),
            "background_false": self.background_false,
            "background_false_per_hour": round(self.background_false_per_hour, 2),
            "background_seconds": round(self.background_s, 1),
        }


def total(scores: Iterable[EventScore]) -> EventScore | None:
    """The scores of several streams as one; ``None`` of none."""
    listed = list(scores)
    if not listed:
        return None
    return EventScore(
        gestures=sum(score.gestures for score in listed),
        recognised=sum(score.recognised for score in listed),
        false=sum(score.false for score in listed),
        seconds=sum(score.seconds for score in listed),
        delays_s=tuple(delay for score in listed for delay in score.delays_s),
        background_false=sum(score.background_false for score in listed),
        background_s=sum(score.background_s for score in listed),
    )


def score_events(
    probabilities: npt.NDArray[np.float32],
    recording: Recording,
    labels: Sequence[str],
    decision: DecisionSpec,
) -> EventScore:
    """Runs the decisions over a stream's probabilities and matches events with gestures.

    An event counts for the gesture of its label during which, or up to ``EVENT_LAG_S`` after
    which, it starts; each gesture and each event counts once.

    Args:
      probabilities: ``(N, labels)`` float32, a classifier's.
      recording: a stream of ``N`` frames.
      labels: the model's.
      decision: turns probabilities into events.
    """
    detector = EventDetector(labels, decision)
    open_segments = list(recording.segments)
    times = recording.timestamps_s
    away = np.ones(len(times), bool)
    for segment in recording.segments:
        begins, ends = times[segment.start], times[segment.stop - 1] + EVENT_LAG_S
        away &= (times < begins) | (times > ends)
    delays_s: list[float] = []
    false = background_false = 0
    for index, (row, now) in enumerate(zip(probabilities, times.tolist(), strict=True)):
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
            background_false += int(away[index])
        else:
            delays_s.append(now - float(times[match.start]))
            open_segments.remove(match)
    seconds = float(times[-1] - times[0]) if len(times) else 0.0
    return EventScore(
        gestures=len(recording.segments),
        recognised=len(delays_s),
        false=false,
        seconds=seconds,
        delays_s=tuple(delays_s),
        background_false=background_false,
        background_s=seconds * float(away.mean()) if len(times) else 0.0,
    )


def _per_hour(count: int, seconds: float) -> float:
    return count * 3600 / seconds if seconds else 0.0
