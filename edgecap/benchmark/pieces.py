"""Parts of a benchmark's page: HTML of bars, strips and tables. Texts are escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from edgecap.benchmark.findings import typical_name, typical_us
from edgecap.benchmark.formats import PERCENTILES, UNKNOWN, cell, duration, known, plain, row_scale
from edgecap.benchmark.report import Times
from edgecap.benchmark.svg import Axis, log_axis, percent

#: The colour of what is of no account.
IDLE = "var(--idle)"
_COLOURS = 6
_COLUMNS = (
    *((field, name) for field, name, _ in PERCENTILES),
    ("min_us", "min"),
    ("mean_us", "mean"),
    ("max_us", "max"),
    ("jitter_us", "jitter"),
)


def text(told: str) -> str:
    """Escaped, on one line, and with its own direction of reading."""
    return html.escape(plain(told))


def named(told: str) -> str:
    """A name of a file's own: it does not turn the text around it."""
    return f"<bdi>{text(told)}</bdi>"


def colour(number: int) -> str:
    """The colour of the n-th of several things."""
    return f"var(--s{number % _COLOURS + 1})"


def part(value: float) -> float:
    """A share in 0…1 for a width; 0 for what is no number."""
    return min(max(value, 0.0), 1.0) if known(value) else 0.0


def section(title: str, *content: str) -> str:
    """A section with a heading."""
    return f"<section>\n<h2>{text(title)}</h2>\n{''.join(content)}</section>\n"


def paragraph(told: str, kind: str = "") -> str:
    """A sentence."""
    return f"<p{f' class={kind}' if kind else ''}>{text(told)}</p>\n"


def card(
    name: str, value: str, detail: str, *, meter: float | None = None, late: bool = False
) -> str:
    """A headline figure; its unit is set smaller."""
    number, _, unit = value.rpartition(" ")
    shown = f"{text(number)} <small>{text(unit)}</small>" if number else text(unit)
    bar = ""
    if meter is not None:
        over = ";--c:var(--bad)" if meter > 1 else ""
        bar = f'<div class="meter"><b style="width:{percent(part(meter))}{over}"></b></div>'
    return (
        f'<div class="card{" late" if late else ""}"><span class="name">{text(name)}</span>'
        f'<span class="value">{shown}</span>{bar}<span class="detail">{text(detail)}</span></div>\n'
    )


def stack(parts: Sequence[tuple[str, float, str]], colours: Mapping[str, str] | None = None) -> str:
    """A bar of shares with its key: name, share of the bar, what to say of it.

    Args:
      colours: of some parts, as CSS; the others have one by their number.
    """
    spans, key = [], []
    for number, (name, size, told) in enumerate(parts):
        tint = (colours or {}).get(name, colour(number))
        thin = size < 0.14
        dark = ";color:var(--ink)" if tint == IDLE else ""
        inside = "" if thin else text(name)
        if size > 0:
            spans.append(
                f'<span{" class=thin" if thin else ""} title="{text(f"{name}: {told}")}" '
                f'style="flex-grow:{part(size) * 1000:.2f};--c:{tint}{dark}">{inside}</span>'
            )
        key.append(
            f'<li><i class="swatch" style="--c:{tint}"></i>{named(name)} '
            f'<b class="n">{text(told)}</b></li>'
        )
    return (
        f'<div class="stack" aria-hidden="true">{"".join(spans)}</div>\n'
        f'<ul class="key">{"".join(key)}</ul>\n'
    )


def times_table(rows: Mapping[str, Times], shares: Mapping[str, str] | None = None) -> str:
    """Percentiles and the rest, one row for each name; the unit is the row's own.

    Args:
      shares: of some rows, as text; the column is left out without any.
    """
    heads = "".join(f"<th>{name}</th>" for _, name in _COLUMNS)
    more = "<th>share</th>" if shares else ""
    body = []
    for name, times in rows.items():
        unit, scale, places = row_scale(times)
        cells = "".join(
            _cell(heading, cell(getattr(times, field), scale, places))
            for field, heading in _COLUMNS
        )
        own = (shares or {}).get(name)
        last = _cell("share", own or "") if shares and own else "<td></td>" if shares else ""
        kind = ' class="whole"' if shares and not own else ""
        body.append(
            f"<tr{kind}><th scope=row>{named(name)}</th>"
            f'<td class="unit">{unit}</td>{cells}{last}</tr>\n'
        )
    return (
        f'<table class="times"><thead><tr><th></th><th></th>{heads}{more}</tr></thead>\n'
        f"<tbody>{''.join(body)}</tbody></table>\n"
    )


def _cell(name: str, value: str) -> str:
    kind = " class=untold" if value == UNKNOWN else ""
    return f'<td data-n="{name}"{kind}>{value}</td>'


def strips(
    rows: Mapping[str, Times],
    *,
    limit_us: float | None = None,
    colours: Mapping[str, int] | None = None,
    relative: bool = False,
) -> str:
    """How times are spread, on one logarithmic axis: all of them, the middle, and the tail.

    Args:
      limit_us: a time that is drawn as a limit.
      relative: each row in multiples of its own median (or mean) instead of µs.
    """
    sizes = {name: typical_us(times) if relative else 1.0 for name, times in rows.items()}
    rows = {name: times for name, times in rows.items() if known(sizes[name]) and sizes[name] > 0}
    ends = [
        value / sizes[name]
        for name, times in rows.items()
        for value in (times.min_us, times.max_us)
    ]
    axis = log_axis([*ends, *([limit_us] if limit_us else [])])
    if axis is None:
        return ""
    ticks = [tick for tick in axis.ticks(7) if 0.03 < axis.place(tick) < 0.97]
    rules = "".join(f'<i class="rule" style="left:{percent(axis.place(t))}"></i>' for t in ticks)
    told = [f"×{t:g}" if relative else duration_mark(t) for t in ticks]
    places = [percent(axis.place(t)) for t in ticks]
    labels = "".join(
        f'<span{" class=minor" if n % 2 else ""} style="left:{at}">{mark}</span>'
        for n, (at, mark) in enumerate(zip(places, told, strict=True))
    )
    shown = []
    for number, (name, times) in enumerate(rows.items()):
        tint = colour((colours or {}).get(name, number))
        strip = rules + _strip(times, axis, sizes[name], limit_us)
        shown.append(
            f'<span class="name">{named(name)}</span>'
            f'<div class="strip" style="--c:{tint}">{strip}</div>'
        )
    shown.append(f'<span></span><div class="ruler">{labels}</div>')
    return f'<div class="strips">{"".join(shown)}</div>\n'


def _strip(times: Times, axis: Axis, size: float, limit_us: float | None) -> str:
    def place(value: float) -> float:
        return axis.place(value / size)

    if not (known(times.min_us) and known(times.max_us)):
        return ""
    low = place(times.min_us)
    told = _span("all", low, place(times.max_us))
    if times.p90_us is not None and known(times.p90_us):
        told += _span("most", low, place(times.p90_us))
    for name, value in (("p95", times.p95_us), ("p99", times.p99_us)):
        if value is not None and known(value):
            told += _mark("p", place(value), f"{name} {duration(value)}")
    middle = typical_us(times)
    if known(middle):
        told += _mark("mid", place(middle), f"{typical_name(times)} {duration(middle)}")
    if limit_us is not None:
        told += _mark("limit", place(limit_us), duration(limit_us))
    return told


def _span(kind: str, low: float, high: float) -> str:
    return f'<i class="{kind}" style="left:{percent(low)};width:{percent(max(high - low, 0))}"></i>'


def _mark(kind: str, at: float, told: str) -> str:
    return f'<i class="{kind}" style="left:{percent(at)}" title="{told}"></i>'


def duration_mark(time_us: float) -> str:
    """A round time for an axis: ``500 µs``, ``2 ms``."""
    for unit, scale in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if abs(time_us) >= scale * 0.9999:
            return f"{time_us / scale:g} {unit}"
    return f"{time_us:.2g} µs"


def bars(rows: Iterable[tuple[str, float, float, str, str]], *, mark: Sequence[float] = ()) -> str:
    """Bars below each other: name, begin and length (0…1 of the track), value, and what to add.

    Args:
      mark: a place on each track that is marked, row by row.
    """
    told = []
    for number, (name, start, length, value, more) in enumerate(rows):
        extra = f" <small>{text(more)}</small>" if more else ""
        marked = f'<i style="left:{percent(part(mark[number]))}"></i>' if number < len(mark) else ""
        begin, long = part(start), min(part(length), 1 - part(start))
        told.append(
            f'<span class="name">{text(name)}</span><div class="track">'
            f'<b style="left:{percent(begin)};width:{percent(long)}"></b>{marked}</div>'
            f'<span class="value">{text(value)}{extra}</span>'
        )
    return f'<div class="bars">{"".join(told)}</div>\n'


def words(rows: Iterable[Sequence[str]], heads: Sequence[str] = ()) -> str:
    """A table of words: the first column names."""
    head = ""
    if heads:
        head = f"<thead><tr>{''.join(f'<th>{text(h)}</th>' for h in heads)}</tr></thead>"
    body = "".join(
        f"<tr><th scope=row>{text(name)}</th>"
        f"{''.join(f'<td>{named(value)}</td>' for value in values)}</tr>\n"
        for name, *values in rows
    )
    return f'<table class="words">{head}<tbody>{body}</tbody></table>\n'
