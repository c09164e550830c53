"""From recordings to a setting, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgecap.decisions import DecisionSpec
from edgecap.errors import ConfigError
from edgecap.spec import ModelSpec
from edgecap.tuning.counts import AIMS, Point
from edgecap.tuning.held_out import HeldOut, held_out
from edgecap.tuning.replays import Replays
from edgecap.tuning.search import Search, base_settings, front
from edgecap.tuning.statistics import poisson_upper
from edgecap.tuning.tracks import Progress, Track

# Who recognises less than this is hardly of use, and whoever tuned it should know.
_FEW = 0.5


@dataclass(frozen=True)
class Tuning:
    """What came of it.

    Attributes:
      target: false events an hour that were allowed. aim: ``recall`` or ``f1``.
      before: the model's own setting.
      chosen: the best that reaches the target; ``None`` where none does.
      nearest: where none does: the one with the fewest false events that recognises anything.
      curve: the trade-off, from the fewest false events on; settings that are the same for all
        labels.
      points: every such setting.
      held_out: the check on recordings not chosen on, or ``None``.
      recordings: of data and of background.
      notes: what a person should know, a line each.
    """

    target: float
    aim: str
    before: Point
    chosen: Point | None
    nearest: Point
    curve: tuple[Point, ...]
    points: tuple[Point, ...]
    held_out: HeldOut | None
    recordings: tuple[int, int]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "target_false_per_hour": self.target,
            "aim": self.aim,
            "chosen": None if self.chosen is None else self.chosen.to_dict(),
            "before": self.before.to_dict(),
            "nearest": self.nearest.to_dict() if self.chosen is None else None,
            "held_out": None if self.held_out is None else self.held_out.to_dict(),
            "data_recordings": self.recordings[0],
            "background_recordings": self.recordings[1],
            "notes": list(self.notes),
            "curve": [point.to_dict() for point in self.curve],
        }


def tune(
    spec: ModelSpec,
    data: Sequence[Track],
    background: Sequence[Track],
    *,
    target: float,
    aim: str | None = None,
    left_out: Sequence[str] = (),
    progress: Progress = lambda _: None,
) -> Tuning:
    """Looks for the setting that recognises most with so many false events.

    Args:
      spec: the model's.
      data: recordings whose truth is known. background: in which every event is false.
      target: false events an hour that are allowed on the background, above 0.
      aim: ``recall``, ``f1``, or ``None``: F1 where the data are streams, in which events can be
        told too often, and recall where they are clips.
      left_out: recordings that could not be used, a line each.

    Raises:
      ConfigError: the model has no events, or a target or aim that is none.
    """
    check_tunable(spec)
    if not 0 < target < float("inf"):
        raise ConfigError(f"false events an hour: expected a number above 0; got {target}")
    if aim is None:
        aim = "f1" if any(track.is_stream for track in data) else "recall"
    if aim not in AIMS:
        raise ConfigError(f"aim: expected one of {', '.join(AIMS)}; got {aim!r}")
    search = Search(
        data=Replays(data, spec.labels, spec.task),
        background=Replays(background, spec.labels, spec.task),
        own=spec.decision,
        labels=spec.labels,
        target=target,
        aim=aim,
    )
    settings = base_settings(spec.decision)
    points = []
    for number, setting in enumerate(settings, 1):
        progress(f"trying settings: {number} of {len(settings)}")
        points.append(search.point(setting))
    progress("checking on recordings not chosen on")
    chosen, checked = _choose(search)
    before = search.point(spec.decision)
    telling = [point for point in points if point.data.recognised > 0]
    nearest = min(telling or points, key=lambda p: (p.false, -p.reached(search.aim)))
    notes = [f"left out: {line}" for line in left_out]
    if spec.decision.background is None and spec.task == "classification":
        notes.append(
            "the model has no background label, so an event of any label counts as false on the "
            "background"
        )
    if chosen is not None and chosen.recall < _FEW:
        notes.append(
            f"with so few false events only {chosen.recall * 100:.1f} % are recognised; before, "
            f"{before.recall * 100:.1f} % were"
        )
    notes += _about_background(before.background.hours, target, chosen)
    if isinstance(checked, str):
        notes.append(checked)
    elif checked is not None and checked.point.false_per_hour > target:
        notes.append(
            f"on recordings not chosen on there were {checked.point.false_per_hour:.3g} false "
            f"events an hour, more than {target:g}: expect that, and give more background"
        )
    return Tuning(
        target=target,
        aim=aim,
        before=before,
        chosen=chosen,
        nearest=nearest,
        curve=tuple(front(points, aim)),
        points=tuple(points),
        held_out=checked if isinstance(checked, HeldOut) else None,
        recordings=(len(data), len(background)),
        notes=tuple(notes),
    )


def _choose(search: Search) -> tuple[Point | None, HeldOut | str | None]:
    """The setting to take and its check.

    Thresholds for single labels are taken only where they are better on recordings that they were
    not chosen on too.
    """
    plain = search.best()
    if plain is None:
        return None, None
    checked = held_out(search, search.best)
    raised = search.best_raised()
    if raised is None or isinstance(checked, str):
        return plain, checked

    def choice(data: Sequence[int], background: Sequence[int]) -> Point | None:
        return search.best_raised(data, background) or search.best(data, background)

    again = held_out(search, choice)
    if isinstance(again, str) or again.unreached > checked.unreached:
        return plain, checked
    allowed = max(search.target, checked.point.false_per_hour)
    gains = again.point.reached(search.aim) > checked.point.reached(search.aim)
    if gains and again.point.false_per_hour <= allowed:
        return raised, again
    return plain, checked


def check_tunable(spec: ModelSpec) -> None:
    """Raises ``ConfigError`` for a model that has no events."""
    if spec.task == "regression":
        raise ConfigError(
            f"{spec.name} is a regression model: it measures, and has no events whose thresholds "
            "could be tuned"
        )


def describe(decision: DecisionSpec) -> str:
    """A setting in one line."""
    told = (
        f"enter {decision.enter:g}, leave {decision.leave:g}, minimum duration "
        f"{decision.min_duration_s:g} s, smoothing {decision.smoothing_s:g} s"
    )
    for label, own in decision.per_label.items():
        given = (f"{name.removesuffix('_s')} {value:g}" for name, value in own.given().items())
        told += f"; {label}: {', '.join(given)}"
    return told


def _about_background(hours: float, target: float, chosen: Point | None) -> list[str]:
    least = poisson_upper(0)
    if hours * target < least:
        shown = f"{least / hours:.3g}" if hours else "anything"
        return [
            f"the background is too short to show {target:g} false events an hour: none in "
            f"{hours:.2f} h only shows, with 95 % certainty, fewer than {shown} an hour; give at "
            f"least {least / target:.3g} h"
        ]
    if chosen is not None and chosen.false_upper > target:
        return [
            f"the rate was {chosen.false_per_hour:.3g} an hour on this background; in the long "
            f"run it may be up to {chosen.false_upper:.3g} (95 %)"
        ]
    return []
