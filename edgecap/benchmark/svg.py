"""Plots as HTML and SVG without a library: lines are stretched to their room, text is not."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgecap.benchmark.formats import known

_SIZE = 1000
_SECONDS = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
)


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` (above it) → 0…1; logarithmic where told."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies; outside of the axis, at its edge."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.low))
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values on the axis, at least one and hardly more than ``most``."""
        found = self._decades(most) if self.log else []
        return found if len(found) > 2 else steps(self.low, self.high, most)

    def _decades(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for marks in ((1, 2, 5), (1, 3), (1,)):
            values = [mark * 10.0**power for power in range(first, last + 1) for mark in marks]
            inside = [v for v in values if self.low <= v <= self.high]
            if len(inside) <= most:
                return inside
        return inside[:: math.ceil(len(inside) / most)]


def steps(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values."""
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * mark for mark in (1, 2, 5, 10) if power * mark >= rough * 0.999)
    return _multiples(low, high, step)


def seconds(high: float, most: int = 8) -> list[float]:
    """Round times from 0 to ``high``."""
    step = next((s for s in _SECONDS if high / s <= most), None)
    return steps(0.0, high, most) if step is None else _multiples(0.0, high, step)


def _multiples(low: float, high: float, step: float) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def percent(place: float) -> str:
    """A place 0…1 for a style."""
    return f"{place * 100:.2f}%"


@dataclass(frozen=True)
class Course:
    """Values over time, thinned to what can be seen: of each of the columns, the middle and both
    ends.

    Attributes:
      at: 0…1 along the time. low, middle, high: of the values there.
    """

    at: tuple[float, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]


def course(points: Iterable[tuple[float, float]], end: float, columns: int = 240) -> Course:
    """Points ``(time, value)`` with times in 0…end, in any order, thinned."""
    bins: dict[int, list[float]] = {}
    for at, value in points:
        bins.setdefault(min(int(at / end * columns), columns - 1), []).append(value)
    rows = [(number, sorted(bins[number])) for number in sorted(bins)]
    return Course(
        tuple((number + 0.5) / columns for number, _ in rows),
        tuple(values[0] for _, values in rows),
        tuple(values[len(values) // 2] for _, values in rows),
        tuple(values[-1] for _, values in rows),
    )


def range_of(values: Sequence[float], least: float = 0.2) -> tuple[Axis, int]:
    """An axis that shows all but rare outliers, and how many lie above it.

    Args:
      values: at least one, above zero.
      least: the axis spans at least this share of the median, so that noise looks like noise.
    """
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    usual = ordered[min(len(ordered) - 1, int(len(ordered) * 0.985))]
    low, high = ordered[0], max(usual, middle)
    room = max((high - low) * 0.12, middle * least / 4, middle * 1e-6)
    low, high = max(0.0, low - room), high + room
    if high - low < middle * least:
        low, high = middle * (1 - least / 2), middle * (1 + least / 2)
    if not low < high < math.inf:
        low, high = 0.0, 1.0
    return Axis(low, high), sum(value > high for value in values)


def lines(
    shown: Course,
    axis: Axis,
    *,
    end: float,
    colour: str,
    unit: Callable[[float], str],
    label: str,
    windows: Sequence[tuple[float, float, float]] = (),
    times: bool = True,
) -> str:
    """A course over time with its axes.

    Args:
      end: the last time, seconds.
      colour: of the line, as CSS. unit: a value of the axis as text.
      label: what a screen reader says; escaped here.
      windows: stretches of time (from, to, in 0…1) with a value each, drawn as a level.
      times: with the time's labels below.
    """

    def x(place: float) -> str:
        return f"{place * _SIZE:.1f}"

    def y(value: float) -> str:
        return f"{(1 - axis.place(value)) * _SIZE:.1f}"

    rows, marks = axis.ticks(5), seconds(end)
    drawn = [f'<path class="grid" d="M0 {y(v)}H{_SIZE}"/>' for v in rows]
    drawn += [f'<path class="grid" d="M{x(at / end)} 0V{_SIZE}"/>' for at in marks]
    for start, stop, value in windows:
        drawn.append(
            f'<path class="window" d="M{x(start)} 0H{x(stop)}V{_SIZE}H{x(start)}Z"/>'
            f'<path class="level" d="M{x(start)} {y(value)}H{x(stop)}"/>'
        )
    upper = [f"{x(at)} {y(v)}" for at, v in zip(shown.at, shown.high, strict=True)]
    lower = [f"{x(at)} {y(v)}" for at, v in zip(shown.at, shown.low, strict=True)]
    middle = [f"{x(at)} {y(v)}" for at, v in zip(shown.at, shown.middle, strict=True)]
    style = f'style="--c:{colour}"'
    if len(middle) > 1:
        drawn.append(f'<path class="band" {style} d="M{"L".join(upper + lower[::-1])}Z"/>')
        drawn.append(f'<path class="line" {style} d="M{"L".join(middle)}"/>')
    if len(middle) <= 40:
        drawn.append(f'<path class="dots" {style} d="{"".join(f"M{at}h0" for at in middle)}"/>')
    over = [at for at, v in zip(shown.at, shown.high, strict=True) if v > axis.high]
    told = [f'<i class="over" style="left:{percent(at)};--c:{colour}"></i>' for at in over]
    told += [
        f'<span class="y" style="top:{percent(1 - axis.place(v))}">{html.escape(unit(v))}</span>'
        for v in rows
    ]
    if times:
        told += [time_label(at, end, number) for number, at in enumerate(marks)]
    return (
        f'<div class="plot{" timed" if times else ""}" role="img" '
        f'aria-label="{html.escape(label)}">'
        f'<svg viewBox="0 0 {_SIZE} {_SIZE}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(drawn)}</svg>{''.join(told)}</div>"
    )


def time_label(at: float, end: float, number: int) -> str:
    """A time below the axis; every other one is left out on a narrow screen."""
    text = f"{at:g} s" if end <= 240 or at == 0 else f"{at / 60:g} min"
    minor = " minor" if number % 2 else ""
    return f'<span class="x{minor}" style="left:{percent(at / end)}">{text}</span>'


def log_axis(values: Iterable[float]) -> Axis | None:
    """A logarithmic axis with room for all values above zero; ``None`` without any."""
    given = [value for value in values if known(value) and 0 < value < 1e30]
    if not given:
        return None
    low, high = min(given) / 1.15, max(given) * 1.15
    return Axis(low, high, log=True)
