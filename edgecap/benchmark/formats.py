"""Numbers and names of a benchmark as people read them; ``–`` is what is not known."""

from __future__ import annotations

import math

from edgecap.benchmark.report import Times

UNKNOWN = "–"
_THIN = "\u202f"  # between thousands; a terminal is given a plain space
#: Percentiles in the order they are shown: field of :class:`Times`, heading, samples needed.
PERCENTILES = (
    ("p50_us", "p50", 20),
    ("p90_us", "p90", 100),
    ("p95_us", "p95", 200),
    ("p99_us", "p99", 1000),
)
_UNITS = (("µs", 1.0, 1e3), ("ms", 1e3, 1e6), ("s", 1e6, math.inf))
_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def plain(text: str) -> str:
    """A text from elsewhere on one line: what cannot be printed (control characters, direction
    marks, halves of a character) as ``?``."""
    return "".join(c if c.isprintable() or c == _THIN else "?" for c in text)


def known(value: float | None) -> bool:
    """Whether there is a number; a document of another program may hold NaN."""
    return value is not None and math.isfinite(value)


def unit_of(time_us: float) -> tuple[str, float]:
    """The unit that suits a time, and how many µs it has."""
    unit, scale, _ = next(row for row in _UNITS if not abs(time_us) >= row[2])
    return unit, scale


def duration(time_us: float | None) -> str:
    """A time with its unit, three digits: ``912 µs``, ``1.23 ms``."""
    if time_us is None or not math.isfinite(time_us):
        return UNKNOWN
    unit, scale = unit_of(time_us)
    return f"{digits(time_us / scale)} {unit}"


def milliseconds(time_ms: float | None) -> str:
    """The same of a time in ms."""
    return UNKNOWN if time_ms is None else duration(time_ms * 1e3)


def digits(value: float | None) -> str:
    """A number with three digits that count, thousands apart."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e9:
        return f"{value:.2e}"
    places = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 3
    return grouped(value, places)


def grouped(value: float, places: int = 0) -> str:
    """A number with thousands apart: ``12 345``; four digits stay together."""
    text = f"{value:,.{places}f}"
    return text.replace(",", "" if abs(value) < 9999.5 else _THIN)


def row_scale(times: Times) -> tuple[str, float, int]:
    """Unit, µs in it, and decimals for one row of a table of times."""
    middle = times.p50_us if times.p50_us is not None else times.mean_us
    if not math.isfinite(middle):
        middle = 0.0
    unit, scale = unit_of(middle)
    size = abs(middle) / scale
    return unit, scale, 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3


def cell(time_us: float | None, scale: float, places: int) -> str:
    """A time in its row's unit."""
    if time_us is None or not math.isfinite(time_us):
        return UNKNOWN
    value = time_us / scale
    # The tail of a row may be thousands of times its median: no digits that nobody reads.
    places = min(places, 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else places)
    return grouped(value, places) if abs(value) < 1e7 else f"{value:.1e}"


def share(part: float | None) -> str:
    """A share as per cent: ``1.2 %``, ``37 %``."""
    if part is None or not math.isfinite(part):
        return UNKNOWN
    percent = part * 100
    if 0 < percent < 0.05:
        return "<0.1 %"
    return f"{percent:.1f} %" if 0 < abs(percent) < 9.95 else f"{grouped(percent)} %"


def amount(value: float | None) -> str:
    """A large number with its prefix: ``31.2 M``."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    for size, prefix in _SI:
        if abs(value) >= size * 0.9995:
            return f"{digits(value / size)} {prefix}"
    return digits(value)


def megabytes(value: float | None) -> str:
    """Memory with its unit."""
    return UNKNOWN if value is None else f"{digits(value)} MB"


def number(value: float, what: str, many: str = "s") -> str:
    """A count with its noun: ``1 thread``, ``3 threads``."""
    return f"{grouped(value)} {what}{'' if value == 1 else many}"


def moment(taken: str) -> str:
    """Date and time to the minute: ``2026-01-01 00:00 UTC``; anything else as it is."""
    text = plain(taken)
    zone = text[19:].lstrip(".0123456789")
    if len(text) >= 19 and text[10] == "T" and zone in ("Z", "+00:00"):
        return f"{text[:10]} {text[11:16]} UTC"
    return text
