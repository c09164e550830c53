"""What a setting of the decisions comes to on recordings."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.decisions import DecisionSpec
from edgecap.evaluation.events import match_events
from edgecap.events import Event, EventDetector
from edgecap.predictions import label_detectors
from edgecap.tuning.statistics import poisson_upper, wilson
from edgecap.tuning.tracks import Track

AIMS = ("recall", "f1")


@dataclass(frozen=True)
class Counts:
    """Events against the truth, over some recordings.

    Attributes:
      gestures: to be recognised. recognised: of these, told of by an event of their label.
      false: events that nothing explains, one number a label, in the model's order.
      seconds: in which events could be told, that is, without ``settle_s`` of each recording.
      delays_s: of what was recognised, from its start to its event.
    """

    gestures: int
    recognised: int
    false: tuple[int, ...]
    seconds: float
    delays_s: tuple[float, ...]

    @property
    def hours(self) -> float:
        return self.seconds / 3600


def total(counts: Iterable[Counts]) -> Counts:
    """Of several recordings together; of one at least."""
    listed = list(counts)
    return Counts(
        gestures=sum(count.gestures for count in listed),
        recognised=sum(count.recognised for count in listed),
        false=tuple(map(sum, zip(*(count.false for count in listed), strict=True))),
        seconds=sum(count.seconds for count in listed),
        delays_s=tuple(delay for count in listed for delay in count.delays_s),
    )


@dataclass(frozen=True)
class Point:
    """A setting and what it comes to.

    Attributes:
      decision: the setting.
      data: on recordings whose truth is known. background: where every event is false.
    """

    decision: DecisionSpec
    data: Counts
    background: Counts

    @property
    def recall(self) -> float:
        return self.data.recognised / self.data.gestures if self.data.gestures else 0.0

    @property
    def recall_interval(self) -> tuple[float, float]:
        """In which the recall lies with 95 % certainty, as far as these recordings are alike."""
        return wilson(self.data.recognised, self.data.gestures)

    @property
    def precision(self) -> float:
        told = self.data.recognised + sum(self.data.false)
        return self.data.recognised / told if told else 0.0

    @property
    def f1(self) -> float:
        both = self.data.gestures + self.data.recognised + sum(self.data.false)
        return 2 * self.data.recognised / both if both else 0.0

    @property
    def false(self) -> int:
        """Events on the background."""
        return sum(self.background.false)

    @property
    def false_per_hour(self) -> float:
        return self.false / self.background.hours if self.background.seconds else 0.0

    @property
    def false_upper(self) -> float:
        """What their true rate an hour is below with 95 % certainty."""
        if not self.background.seconds:
            return float("inf")
        return poisson_upper(self.false) / self.background.hours

    @property
    def delay_median_s(self) -> float | None:
        """From a start to its event; ``None`` where nothing was recognised."""
        return float(np.median(self.data.delays_s)) if self.data.delays_s else None

    def reached(self, aim: str) -> float:
        """The figure that is to be high."""
        return self.f1 if aim == "f1" else self.recall

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        delay = self.delay_median_s
        return {
            "decision": self.decision.to_plain(),
            "recall": round(self.recall, 5),
            "recall_95": [round(bound, 5) for bound in self.recall_interval],
            "recognised": self.data.recognised,
            "gestures": self.data.gestures,
            "precision": round(self.precision, 5),
            "f1": round(self.f1, 5),
            "delay_median_s": None if delay is None else round(delay, 3),
            "false_events": self.false,
            "background_hours": round(self.background.hours, 4),
            "false_per_hour": round(self.false_per_hour, 3),
            "false_per_hour_95_below": round(self.false_upper, 3),
        }


class Replays:
    """Tries settings on tracks; what was tried is remembered.

    The events are those of the detectors of a live run. Only smoothing, which is the same for many
    settings, is done once.

    Args:
      labels, task: the model's.
    """

    def __init__(self, tracks: Sequence[Track], labels: tuple[str, ...], task: str) -> None:
        self.tracks = tuple(tracks)
        self._labels, self._task = labels, task
        self._smoothed: dict[tuple[int, float], dict[int, npt.NDArray[np.float32]]] = {}
        self._counts: dict[tuple[Hashable, ...], Counts] = {}

    def counts(self, decision: DecisionSpec, which: Iterable[int] | None = None) -> Counts:
        """Of all tracks, or of some, together."""
        indices = range(len(self.tracks)) if which is None else which
        return total(self._of_track(index, decision) for index in indices)

    def starts(self, index: int, decision: DecisionSpec) -> list[Event]:
        """The events that begin in a track, as a live run would tell of them."""
        detectors = self._detectors(decision)
        smoothed = self._smooth(index, decision)
        times = self.tracks[index].timestamps_s.tolist()
        events = [
            event
            for key, detector in detectors.items()
            for event in map(detector.update_smoothed, smoothed[key], times)
            if event is not None and event.kind == "start"
        ]
        return sorted(events, key=lambda event: event.timestamp_s)

    def _detectors(self, decision: DecisionSpec) -> dict[int, EventDetector]:
        """One for all labels (called −1), or one for each."""
        if self._task == "multilabel":
            return label_detectors(self._labels, decision)
        return {-1: EventDetector(self._labels, decision)}

    def _smooth(self, index: int, decision: DecisionSpec) -> dict[int, npt.NDArray[np.float32]]:
        key = (index, decision.smoothing_s)
        if key not in self._smoothed:
            track = self.tracks[index]
            times = track.timestamps_s.tolist()
            found = {}
            for number, detector in self._detectors(decision).items():
                columns = slice(None) if number < 0 else slice(number, number + 1)
                rows = []
                for row, now in zip(track.probabilities[:, columns], times, strict=True):
                    detector.update(row, now)
                    assert detector.smoothed is not None
                    rows.append(detector.smoothed)
                found[number] = np.stack(rows)
            self._smoothed[key] = found
        return self._smoothed[key]

    def _of_track(self, index: int, decision: DecisionSpec) -> Counts:
        # The hash of a decision leaves out the settings of single labels.
        key = (index, decision, tuple(decision.per_label.items()))
        if key not in self._counts:
            self._counts[key] = self._count(index, decision)
        return self._counts[key]

    def _count(self, index: int, decision: DecisionSpec) -> Counts:
        track = self.tracks[index]
        starts = self.starts(index, decision)
        matches = match_events(starts, track.segments, track.timestamps_s)
        false = dict.fromkeys(self._labels, 0)
        delays_s = []
        for event, segment in zip(starts, matches, strict=True):
            if segment is None:
                false[event.label] += 1
            else:
                delays_s.append(event.timestamp_s - float(track.timestamps_s[segment.start]))
        return Counts(
            gestures=len(track.segments),
            recognised=len(delays_s),
            false=tuple(false.values()),
            seconds=max(0.0, track.seconds - decision.settle_s),
            delays_s=tuple(delays_s),
        )
