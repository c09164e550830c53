"""What a benchmark's document comes to: shares and sentences that the table and the page share."""

from __future__ import annotations

import math
from collections.abc import Iterable

from edgecap.benchmark.formats import (
    PERCENTILES,
    amount,
    digits,
    duration,
    grouped,
    known,
    milliseconds,
    number,
    plain,
    share,
)
from edgecap.benchmark.report import (
    Bench,
    ColdStart,
    Compute,
    Memory,
    Moment,
    OpenLoop,
    Steady,
    Times,
)

#: From here on a step's time has changed over the run, beyond what blocks scatter by themselves.
_STEADY = 0.03


def typical_us(times: Times) -> float:
    """The median, or the mean where there are too few samples for one."""
    return times.mean_us if times.p50_us is None else times.p50_us


def typical_name(times: Times) -> str:
    """What :func:`typical_us` gave."""
    return "mean" if times.p50_us is None else "p50"


def period_us(bench: Bench) -> float | None:
    """One period of the model's rate, which a step must not exceed; ``None`` without a rate."""
    rate_hz = bench.model.rate_hz
    return 1e6 / rate_hz if rate_hz > 0 and math.isfinite(rate_hz) else None


def of_period(bench: Bench) -> float | None:
    """The share of that period that a step takes."""
    period = period_us(bench)
    return None if period is None else typical_us(bench.closed.whole) / period


def stage_shares(bench: Bench) -> dict[str, float]:
    """Of the stages together, by their medians; in the order they are run."""
    stages = {name: typical_us(taken) for name, taken in bench.closed.stages.items()}
    stages = {n: taken for n, taken in stages.items() if known(taken) and taken >= 0}
    total = sum(stages.values())
    return {name: taken / total for name, taken in stages.items()} if total > 0 else {}


def costliest(bench: Bench) -> str | None:
    """The stage with the largest share."""
    shares = stage_shares(bench)
    return max(shares, key=lambda name: shares[name]) if shares else None


def stages_sentence(bench: Bench) -> str | None:
    """What costs most, and why the stages do not add up to the whole."""
    shares, first = stage_shares(bench), costliest(bench)
    if first is None:
        return None
    apart = sum(typical_us(bench.closed.stages[name]) for name in shares)
    return (
        f"{plain(first)} costs most: {share(shares[first])} of a step. The stages add up to "
        f"{duration(apart)}, the whole step takes {duration(typical_us(bench.closed.whole))}: they "
        "are taken in steps of their own, so that looking at the clock does not slow the whole."
    )


def untold(rows: Iterable[Times]) -> str | None:
    """Why some percentiles are not shown; ``None`` if all are."""
    missing = {
        (name, needed)
        for times in rows
        for field, name, needed in PERCENTILES
        if getattr(times, field) is None
    }
    if not missing:
        return None
    needs = ", ".join(
        f"{name} {grouped(needed)}" for name, needed in sorted(missing, key=lambda m: m[1])
    )
    return (
        f"– too few samples: a percentile is told only where ten or more lie beyond it ({needs}). "
        "Measure longer."
    )


def compute_sentence(bench: Bench) -> str:
    """How much of the machine the graph uses, and what that is measured against."""
    compute: Compute = bench.compute
    best = f"the reference graph, int8 convolutions of a comfortable shape, {digits(compute.peak)}"
    if compute.macs is None or compute.reached is None or compute.share is None:
        names = ", ".join(plain(name) for name in bench.model.uncounted)
        why = f" (operators whose cost is not known: {names})" if names else ""
        return (
            f"How many multiply-adds a step takes is not known{why}. In the same blocks, {best} "
            "GMAC/s: what this runtime reaches on this machine at its best."
        )
    return (
        f"A step is {amount(compute.macs)}MAC (multiply-adds). The graph alone reaches "
        f"{digits(compute.reached)} GMAC/s and, in the same blocks, {best}: the model uses "
        f"{share(compute.share)} of what this runtime reaches on this machine at its best."
    )


def steady_sentence(steady: Steady) -> str:
    """Whether the end of the run was as fast as its beginning."""
    ratio = steady.ratio
    if not math.isfinite(ratio):
        return "How the end compares with the beginning is not known."
    window = f"the last {digits(steady.window_s)} s"
    change = abs(ratio - 1)
    first, last = duration(steady.first_us), duration(steady.last_us)
    if change < _STEADY:
        return f"Steady: {window} took {last} a step, the first {first} (×{ratio:.3f})."
    word = "slower" if ratio > 1 else "faster"
    return f"Not steady: {window} were {share(change)} {word} ({first} → {last} a step)."


def is_steady(steady: Steady) -> bool:
    """Whether first and last differ by less than blocks scatter by themselves."""
    return abs(steady.ratio - 1) < _STEADY


def cold_parts(cold: ColdStart) -> list[tuple[str, float]]:
    """The parts of a cold start in their order, ms; the last is what the others leave of the whole,
    where there is any."""
    parts = [
        ("Python", cold.python_ms),
        ("import", cold.import_ms),
        ("load", cold.load_ms),
        ("first answer", cold.first_ms),
    ]
    known_parts = [(name, took) for name, took in parts if known(took) and took >= 0]
    rest = cold.total_ms - sum(took for _, took in known_parts)
    return known_parts + ([("the rest", rest)] if known(rest) and rest > 0 else [])


def memory_rows(memory: Memory) -> list[tuple[str, float]]:
    """What is known of the memory, in order, MB."""
    rows = [
        ("runtime", memory.before_mb),
        ("with model", memory.loaded_mb),
        ("steady", memory.steady_mb),
        ("peak", memory.peak_mb),
    ]
    return [(name, value) for name, value in rows if value is not None and known(value)]


def fate(loop: OpenLoop) -> list[tuple[str, int]]:
    """What became of the camera's frames: answered, dropped, left out by the model's rate."""
    rest = max(0, loop.given - loop.answered - loop.dropped)
    parts = [("answered", loop.answered), ("dropped", loop.dropped), ("not needed", rest)]
    return [(name, count) for name, count in parts if count > 0 or name != "not needed"]


def open_sentence(loop: OpenLoop) -> str:
    """What the camera gave and what became of it."""
    missed = loop.missed / loop.answered if loop.answered > 0 else None
    told = (
        f"{number(loop.given, 'frame')} in {digits(loop.seconds)} s "
        f"({digits(loop.camera_hz)} a second; the model takes {digits(loop.model_hz)}): "
        + ", ".join(f"{grouped(count)} {name}" for name, count in fate(loop))
    )
    return (
        f"{told}. {number(loop.missed, 'answer')} ({share(missed)}) later than "
        f"{milliseconds(loop.deadline_ms)} after the frame was taken."
    )


def moment_rows(before: Moment, after: Moment) -> list[tuple[str, str, str]]:
    """Name, before, after; without what is told of neither."""
    rows = [
        ("clock", _clock(before), _clock(after)),
        ("governor", _names(before.governors), _names(after.governors)),
        ("temperature", _celsius(before), _celsius(after)),
        ("throttling", _flags(before), _flags(after)),
        ("load (1 min)", _maybe(before.load), _maybe(after.load)),
        ("CPU of others", _part(before.busy), _part(after.busy)),
        ("CPU stolen", _part(before.steal), _part(after.steal)),
    ]
    return [row for row in rows if row[1:] != ("–", "–")]


def _clock(moment: Moment) -> str:
    clocks = [f for f in moment.frequencies_mhz if math.isfinite(f)]
    if not clocks:
        return "–"
    low, high = min(clocks), max(clocks)
    return f"{low:.0f} MHz" if high - low < 1 else f"{low:.0f} to {high:.0f} MHz"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(plain(name) for name in names) or "–"


def _celsius(moment: Moment) -> str:
    return "–" if moment.temperature_c is None else f"{moment.temperature_c:.1f} °C"


def _flags(moment: Moment) -> str:
    return "–" if moment.throttled is None else _names(moment.throttled).replace("–", "none")


def _maybe(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _part(value: float | None) -> str:
    return share(value)
