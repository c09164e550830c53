"""Which settings are tried, and which of them is taken."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgecap.decisions import DecisionSpec, LabelDecision
from edgecap.tuning.counts import Point
from edgecap.tuning.replays import Replays

ENTER = (*(round(0.3 + 0.05 * step, 2) for step in range(14)), 0.97, 0.99)
MIN_DURATION_S = (0.0, 0.1, 0.25, 0.5)
SMOOTHING_S = (0.1, 0.25, 0.5)

# Differences below this are noise, and not worth a false event.
_NOISE = 0.005
# A threshold of its own for a label must gain this much: each is one more thing to get wrong.
_WORTH = 0.01
_MOST_STARTS, _MOST_RAISED = 6, 3


def base_settings(own: DecisionSpec) -> list[DecisionSpec]:
    """The settings that are tried, the same for all labels: a grid, and the model's own values.

    ``leave`` stays the same part of ``enter`` as in the model. The refractory period, the settling
    time and the refractory periods of single labels stay as they are.
    """
    ratio = own.leave / own.enter
    kept = {
        label: LabelDecision(refractory_s=given.refractory_s)
        for label, given in own.per_label.items()
        if given.refractory_s is not None
    }
    plain = dataclasses.replace(own, per_label=kept)
    axes = (
        sorted({*SMOOTHING_S, own.smoothing_s}),
        sorted({*MIN_DURATION_S, own.min_duration_s}),
        sorted({*ENTER, own.enter}),
    )
    return [
        dataclasses.replace(
            plain,
            smoothing_s=smoothing_s,
            min_duration_s=min_duration_s,
            enter=enter,
            leave=_leave(enter, ratio),
        )
        for smoothing_s, min_duration_s, enter in itertools.product(*axes)
    ]


@dataclass(frozen=True)
class Search:
    """Looks for a setting on some recordings.

    Args:
      data, background: the recordings.
      own: the model's decisions.
      labels: the model's.
      target: false events an hour that are allowed on the background.
      aim: ``recall`` or ``f1``: what is to be high.
    """

    data: Replays
    background: Replays
    own: DecisionSpec
    labels: tuple[str, ...]
    target: float
    aim: str

    def point(
        self,
        decision: DecisionSpec,
        data: Iterable[int] | None = None,
        background: Iterable[int] | None = None,
    ) -> Point:
        """What a setting comes to on all recordings, or on some."""
        return Point(
            decision, self.data.counts(decision, data), self.background.counts(decision, background)
        )

    def base(
        self, data: Sequence[int] | None = None, background: Sequence[int] | None = None
    ) -> list[Point]:
        """All settings that are the same for all labels."""
        return [self.point(setting, data, background) for setting in base_settings(self.own)]

    def best(
        self, data: Sequence[int] | None = None, background: Sequence[int] | None = None
    ) -> Point | None:
        """The best setting that is the same for all labels, as :func:`choose` has it.

        The model's own stays where that is no better, has no fewer false events and is no sooner:
        no change without a reason.
        """
        chosen = choose(self.base(data, background), self.target, self.aim)
        own = self.point(self.own, data, background)
        if (
            chosen is not None
            and self.allows(own)
            and own.reached(self.aim) >= chosen.reached(self.aim) - _NOISE
            and own.false <= chosen.false
            and (own.delay_median_s or 0.0) <= (chosen.delay_median_s or 0.0)
        ):
            return own
        return chosen

    def best_raised(
        self, data: Sequence[int] | None = None, background: Sequence[int] | None = None
    ) -> Point | None:
        """The best setting with higher thresholds for single labels.

        It starts from settings that are better than :meth:`best` but tell of too many false
        events, and raises the labels that tell of most of them, three at most: with more, it is
        chance that is fitted.

        Returns:
          ``None`` where that gains less than a point.
        """
        base = self.base(data, background)
        plain = choose(base, self.target, self.aim)
        least = _WORTH + (plain.reached(self.aim) if plain else 0.0)
        starts = [p for p in base if p.reached(self.aim) >= least and not self.allows(p)]
        starts.sort(key=lambda p: (p.false, -p.reached(self.aim)))
        raised = [self._raise(start, data, background) for start in starts[:_MOST_STARTS]]
        better = [p for p in raised if p is not None and p.reached(self.aim) >= least]
        return max(better, key=lambda p: (p.reached(self.aim), -p.false), default=None)

    def allows(self, point: Point) -> bool:
        """Whether a setting reaches the target, and recognises something."""
        return point.false_per_hour <= self.target and point.data.recognised > 0

    def _raise(
        self, start: Point, data: Sequence[int] | None, background: Sequence[int] | None
    ) -> Point | None:
        """Raises ``enter`` of the label with most false events, step by step, until it will do.

        Then each of these labels a step more, where that costs nothing: what just does here just
        does not elsewhere.
        """
        decision: DecisionSpec | None = start.decision
        ratio = start.decision.leave / start.decision.enter
        while decision is not None:
            counts = self.background.counts(decision, background)
            if sum(counts.false) <= self.target * counts.hours:
                break
            decision = _higher(decision, self.labels[int(np.argmax(counts.false))], ratio)
        if decision is None:
            return None
        point = self.point(decision, data, background)
        for label in decision.per_label:
            more = _higher(point.decision, label, ratio)
            safer = self.point(more, data, background) if more is not None else point
            if safer.reached(self.aim) >= point.reached(self.aim) - _NOISE:
                point = safer
        return point if self.allows(point) else None


def _higher(decision: DecisionSpec, label: str, ratio: float) -> DecisionSpec | None:
    """With the next higher ``enter`` for a label; ``None`` without one, or for one too many."""
    above = [enter for enter in ENTER if enter > decision.of(label).enter]
    own = decision.per_label.get(label, LabelDecision())
    raised = sum(given.enter is not None for given in decision.per_label.values())
    if not above or (own.enter is None and raised == _MOST_RAISED):
        return None
    own = dataclasses.replace(own, enter=above[0], leave=_leave(above[0], ratio))
    return dataclasses.replace(decision, per_label={**decision.per_label, label: own})


def choose(points: Iterable[Point], target: float, aim: str) -> Point | None:
    """Of the settings that reach the target, the best; ``None`` of none.

    Those within half a point of the best figure count as equal. Of these, the ones with the
    fewest false events stay. They mostly form ranges of ``enter``, one for each of some values of
    the others. Of the ranges at least half as wide as the widest, that with the shortest delay is
    taken, and of it the middle, since at its edges chance decides.
    """
    allowed = [p for p in points if p.false_per_hour <= target and p.data.recognised > 0]
    if not allowed:
        return None
    best = max(point.reached(aim) for point in allowed)
    near = [point for point in allowed if point.reached(aim) >= best - _NOISE]
    fewest = min(point.false for point in near)
    ranges: dict[tuple[float, float], list[Point]] = {}
    for point in near:
        if point.false == fewest:
            key = (point.decision.smoothing_s, point.decision.min_duration_s)
            ranges.setdefault(key, []).append(point)
    widest = max(map(len, ranges.values()))
    wide = [found for found in ranges.values() if 2 * len(found) >= widest]
    middles = [sorted(found, key=lambda p: p.decision.enter)[len(found) // 2] for found in wide]
    return min(middles, key=lambda point: point.delay_median_s or 0.0)


def front(points: Iterable[Point], aim: str) -> list[Point]:
    """The trade-off curve: settings of which no other is better with as few false events."""
    best = 0.0
    found = []
    ordered = sorted(points, key=lambda p: (p.false, -p.reached(aim), p.delay_median_s or 0.0))
    for point in ordered:
        if point.reached(aim) > best:
            best = point.reached(aim)
            found.append(point)
    return found


def _leave(enter: float, ratio: float) -> float:
    return max(0.001, round(enter * ratio, 3))
