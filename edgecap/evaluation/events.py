"""Events against the gestures that were performed: found, how soon, and how many too many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.decisions import DecisionSpec
from edgecap.evaluation.recording import Recording, Segment
from edgecap.events import Event, EventDetector

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

    Args:
      probabilities: ``(N, labels)`` float32, a classifier's.
      recording: a stream of ``N`` frames.
      labels: the model's.
      decision: turns probabilities into events.
    """
    detector = EventDetector(labels, decision)
    times = recording.timestamps_s
    told = (
        detector.update(row, now) for row, now in zip(probabilities, times.tolist(), strict=True)
    )
    starts = [event for event in told if event is not None and event.kind == "start"]
    matches = match_events(starts, recording.segments, times)
    delays_s = [
        event.timestamp_s - float(times[segment.start])
        for event, segment in zip(starts, matches, strict=True)
        if segment is not None
    ]
    spans = [
        (float(times[segment.start]), float(times[segment.stop - 1]) + EVENT_LAG_S)
        for segment in recording.segments
    ]
    away = np.ones(len(times), bool)
    for begins, ends in spans:
        away &= (times < begins) | (times > ends)
    background_false = sum(
        segment is None and not any(b <= event.timestamp_s <= e for b, e in spans)
        for event, segment in zip(starts, matches, strict=True)
    )
    seconds = float(times[-1] - times[0]) if len(times) else 0.0
    return EventScore(
        gestures=len(recording.segments),
        recognised=len(delays_s),
        false=len(starts) - len(delays_s),
        seconds=seconds,
        delays_s=tuple(delays_s),
        background_false=background_false,
        background_s=seconds * float(away.mean()) if len(times) else 0.0,
    )


def match_events(
    starts: Sequence[Event], segments: Sequence[Segment], times: npt.NDArray[np.float64]
) -> list[Segment | None]:
    """Which gesture each event is for; ``None`` where none explains it.

    An event counts for the gesture of its label during which, or up to ``EVENT_LAG_S`` after
    which, it starts; each gesture and each event counts once.

    Args:
      starts: events that began, in order.
      segments: the gestures, in order.
      times: ``(N,)`` float64, of the recording's frames.
    """
    still_open = list(segments)
    matches: list[Segment | None] = []
    for event in starts:
        match = next(
            (
                segment
                for segment in still_open
                if segment.label == event.label
                and times[segment.start]
                <= event.timestamp_s
                <= times[segment.stop - 1] + EVENT_LAG_S
            ),
            None,
        )
        if match is not None:
            still_open.remove(match)
        matches.append(match)
    return matches


def _per_hour(count: int, seconds: float) -> float:
    return count * 3600 / seconds if seconds else 0.0
