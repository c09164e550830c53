"""The trade-off curve as text."""

from __future__ import annotations

from collections.abc import Sequence

from edgecap import terminal
from edgecap.tuning.counts import Point
from edgecap.tuning.held_out import HeldOut
from edgecap.tuning.tune import Tuning, describe

_BAR_COLUMNS = 20
_MOST_ROWS = 12
_CHOSEN, _BEFORE = "▶", "·"


def lines(tuning: Tuning, *, rich: bool = False) -> list[str]:
    """The curve as a table with bars, and what it comes to.

    Args:
      rich: with colours, for a terminal.
    """
    told = [*_table(tuning, rich=rich), ""]
    if tuning.chosen is not None:
        told += _about("chosen", tuning.chosen)
    told += _about("before", tuning.before)
    if tuning.held_out is not None:
        told += _about("held out", tuning.held_out.point, _how(tuning.held_out))
    return told


def _table(tuning: Tuning, *, rich: bool) -> list[str]:
    heading = (
        f"     false/h   95 % below  {tuning.aim:<{_BAR_COLUMNS + 8}}  "
        "enter  leave  min dur.  smoothing  delay"
    )
    width = len(heading)
    told = [heading.replace("f1 ", "F1 "), "─" * width]
    rows, marked = _rows(tuning)
    limit_told = False
    for point in rows:
        if not limit_told and point.false_per_hour > tuning.target:
            told.append(_limit(tuning.target, width))
            limit_told = True
        told.append(_row(point, marked.get(id(point), " "), tuning.aim, rich=rich))
    if not limit_told:
        told.append(_limit(tuning.target, width))
    return told


def _limit(target: float, width: int) -> str:
    return f"── {target:g} false events an hour allowed ".ljust(width, "─")


def _rows(tuning: Tuning) -> tuple[list[Point], dict[int, str]]:
    """Points of the curve, not too many, with the chosen one and the one before."""
    marked = {id(tuning.before): _BEFORE}
    rows = [tuning.before]
    if tuning.chosen is not None:
        rows = [] if tuning.chosen.decision == tuning.before.decision else rows
        rows.append(tuning.chosen)
        marked[id(tuning.chosen)] = _CHOSEN
    shown = [point.decision for point in rows]
    curve = _thinned(tuning.curve, tuning.target)
    rows += [point for point in curve if point.decision not in shown]
    return sorted(rows, key=lambda p: (p.false, p.reached(tuning.aim))), marked


def _thinned(curve: Sequence[Point], target: float) -> list[Point]:
    """The points beside the target stay, and so do both ends; the others evenly."""
    if len(curve) <= _MOST_ROWS:
        return list(curve)
    inside = sum(point.false_per_hour <= target for point in curve)
    kept = {0, len(curve) - 1, max(0, inside - 1), min(inside, len(curve) - 1)}
    step = (len(curve) - 1) / (_MOST_ROWS - len(kept))
    kept |= {round(number * step) for number in range(_MOST_ROWS - len(kept))}
    return [curve[index] for index in sorted(kept)]


def _row(point: Point, mark: str, aim: str, *, rich: bool) -> str:
    reached = point.reached(aim)
    bar = terminal.bar(reached, columns=_BAR_COLUMNS)
    delay = point.delay_median_s
    decision = point.decision
    own = "+" if decision.per_label else " "
    row = (
        f"{mark} {point.false_per_hour:>10.2f}  {point.false_upper:>11.2f}  {bar} "
        f"{reached * 100:5.1f} %  {decision.enter:5.2f}{own} {decision.leave:5.2f}  "
        f"{decision.min_duration_s:6.2f} s  {decision.smoothing_s:7.2f} s  "
        f"{'–' if delay is None else f'{delay:.2f} s':>6}"
    )
    if not rich:
        return row
    colour = {_CHOSEN: terminal.BOLD + terminal.GREEN, _BEFORE: terminal.YELLOW}.get(mark)
    if colour:
        return f"{colour}{row}{terminal.RESET}"
    return row.replace(bar, f"{terminal.BLUE}{bar}{terminal.RESET}")


def _about(name: str, point: Point, what: str | None = None) -> list[str]:
    low, high = point.recall_interval
    events = "event" if point.false == 1 else "events"
    return [
        f"{name:<9} {what or describe(point.decision)}",
        f"          recall {point.recall * 100:.1f} % ({point.data.recognised} of "
        f"{point.data.gestures}; 95 %: {low * 100:.0f} to {high * 100:.0f}), precision "
        f"{point.precision * 100:.1f} %",
        f"          {point.false} false {events} in {point.background.hours:.2f} h: "
        f"{point.false_per_hour:.3g} an hour (95 %: below {point.false_upper:.3g})",
    ]


def _how(checked: HeldOut) -> str:
    told = "chosen on one half of the recordings, counted on the other, both ways"
    if checked.unreached:
        told += f"; on {checked.unreached} of 2 halves no setting reached the target"
    return told
