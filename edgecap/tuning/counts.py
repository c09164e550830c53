"""What a setting of the decisions comes to on recordings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecap.decisions import DecisionSpec
from edgecap.tuning.statistics import poisson_upper, wilson

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
