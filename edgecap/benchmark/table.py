"""A benchmark's document as text for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgecap import terminal
from edgecap.benchmark import findings
from edgecap.benchmark.formats import (
    PERCENTILES,
    cell,
    digits,
    duration,
    known,
    megabytes,
    milliseconds,
    moment,
    number,
    plain,
    row_scale,
    share,
)
from edgecap.benchmark.report import Bench, ColdStart, ThreadRow, Times

_COLUMNS = 80
_NAME = 14
_BAR = 12
_CURVE = 62
# A course that stays within this share of its median is drawn flat: blocks scatter by themselves.
_FLAT = 0.1


def lines(bench: Bench, *, rich: bool = False) -> list[str]:
    """Everything that was measured, most important first; no line is wider than 80 columns.

    Args:
      rich: with colours, for a terminal.
    """
    paint = _Paint(rich)
    told = _heading(bench, paint)
    told += _disturbed(bench, paint)
    told += ["", *_headline(bench, paint)]
    told += ["", *_closed(bench, paint)]
    told += ["", *_course(bench, paint)]
    if bench.open is not None:
        told += ["", *_open(bench, paint)]
    if bench.cold is not None:
        told += ["", *_cold(bench.cold, paint)]
    if bench.threads:
        told += ["", *_threads(bench.threads, paint)]
    told += ["", *_resources(bench, paint)]
    told += ["", *_environment(bench, paint)]
    notes = (*bench.environment.notes, *bench.notes)
    told += [line for note in notes for line in _wrapped(plain(note), "note")]
    return [terminal.cut(line.replace("\u202f", " ").rstrip(), _COLUMNS) for line in told]


class _Paint:
    """Colours where they are wanted."""

    def __init__(self, rich: bool) -> None:
        self.rich = rich

    def __call__(self, text: str, *codes: str) -> str:
        return f"{''.join(codes)}{text}{terminal.RESET}" if self.rich else text

    def title(self, text: str, more: str = "") -> str:
        return self(text, terminal.BOLD) + (f"  {self.soft(more)}" if more else "")

    def soft(self, text: str) -> str:
        return self(text, terminal.DIM)

    def bar(self, fraction: float, columns: int = _BAR, colour: str = terminal.BLUE) -> str:
        return self(terminal.bar(fraction if known(fraction) else 0.0, columns=columns), colour)


def _padded(text: str, columns: int = _NAME) -> str:
    """A name in exactly so many columns; wide letters count as two."""
    short = terminal.cut(text, columns)
    return short + " " * (columns - terminal.width(short))


def _right(text: str, columns: int) -> str:
    return " " * max(0, columns - terminal.width(text)) + text


def _wrap(text: str, columns: int = _COLUMNS) -> list[str]:
    """Broken between words, and inside of one that is too long; wide letters count as two."""
    told = [""]
    for word in text.split():
        if told[-1] and terminal.width(told[-1]) + 1 + terminal.width(word) <= columns:
            told[-1] += f" {word}"
            continue
        told += [""] if told[-1] else []
        for letter in word:
            if terminal.width(told[-1] + letter) > columns:
                told.append("")
            told[-1] += letter
    return told


def _wrapped(text: str, name: str = "") -> list[str]:
    """A sentence beside its name, on as many lines as it needs."""
    room = _COLUMNS - _NAME - 1
    parts = _wrap(text, room)
    names = [name] + [""] * (len(parts) - 1)
    return [f"{_padded(n)} {part}" for n, part in zip(names, parts, strict=True)]


def _heading(bench: Bench, paint: _Paint) -> list[str]:
    model, runtime = bench.model, bench.runtime
    rate = f" at {digits(model.rate_hz)} frames/s" if model.rate_hz > 0 else ""
    threads = number(runtime.threads, "thread")
    where = bench.environment.board or bench.environment.cpu
    return [
        f"{paint(plain(model.name), terminal.BOLD)}  {plain(model.file)}, {plain(model.recipe)}, "
        f"{plain(model.input)}{rate}",
        paint.soft(
            f"{plain(runtime.backend)} {plain(runtime.version)}, {plain(runtime.kernels)}, "
            f"{threads}; {plain(where)}"
        ),
        "─" * _COLUMNS,
    ]


def _disturbed(bench: Bench, paint: _Paint) -> list[str]:
    told = []
    for reason in bench.environment.disturbed:
        for number_, part in enumerate(_wrap(plain(reason), _COLUMNS - 11)):
            mark = "DISTURBED" if number_ == 0 else " " * 9
            told.append(paint(f"{mark}  {part}", terminal.BOLD, terminal.YELLOW))
    if told:
        told += ["           The figures below hold for a disturbed machine only."]
    return told


def _headline(bench: Bench, paint: _Paint) -> list[str]:
    whole, loop = bench.closed.whole, bench.open
    name = findings.typical_name(whole)
    step = paint(duration(findings.typical_us(whole)), terminal.BOLD, terminal.GREEN)
    told = [f"{_padded('step')} {step} {name}, {digits(bench.closed.fps)} frames a second"]
    of_period, period = findings.of_period(bench), findings.period_us(bench)
    if of_period is not None and known(of_period):
        colour = terminal.GREEN if of_period <= 1 else terminal.RED
        told.append(
            f"{_padded('of the time')} {paint.bar(of_period, 24, colour)} {share(of_period)} of "
            f"the {duration(period)} that a frame has"
        )
    if loop is not None:
        age = findings.typical_us(loop.age)
        tail = "" if loop.age.p99_us is None else f", {duration(loop.age.p99_us)} p99"
        told.append(
            f"{_padded('age')} {duration(age)} {findings.typical_name(loop.age)}{tail}: of a "
            "frame when its answer is there"
        )
    return told


def _columns_of_times(paint: _Paint, more: str = "") -> str:
    names = [name for _, name, _ in PERCENTILES] + ["min", "max", "jitter"]
    return paint.soft(" " * _NAME + "   " + "".join(f"{name:>7}" for name in names) + more)


def _times_row(name: str, times: Times) -> str:
    unit, scale, places = row_scale(times)
    values = [getattr(times, field) for field, _, _ in PERCENTILES]
    values += [times.min_us, times.max_us, times.jitter_us]
    cells = "".join(_right(_fit(value, scale, places), 7) for value in values)
    return f"{_padded(plain(name))} {unit:>2}{cells}"


def _fit(value: float | None, scale: float, places: int) -> str:
    """In six columns, so that neighbours stay apart."""
    for fewer in range(places, -1, -1):
        text = cell(value, scale, fewer)
        if len(text) <= 6:
            return text
    return f"{(value or 0.0) / scale:.0e}"


def _closed(bench: Bench, paint: _Paint) -> list[str]:
    closed = bench.closed
    told = [
        paint.title(
            "Closed loop",
            f"{number(closed.whole.count, 'step')} of {plain(closed.frame)} in "
            f"{digits(closed.seconds)} s, one after the other",
        ),
        _columns_of_times(paint),
        _times_row("whole step", closed.whole),
    ]
    shares, first = findings.stage_shares(bench), findings.costliest(bench)
    for name, taken in closed.stages.items():
        part = shares.get(name, 0.0)
        row = _times_row(name, taken)
        colour = terminal.YELLOW if name == first else terminal.BLUE
        told.append(f"{row} {paint.bar(part, 7, colour)}{share(part):>6}")
    return told + _footnote([closed.whole, *closed.stages.values()], paint)


def _footnote(rows: Iterable[Times], paint: _Paint) -> list[str]:
    told = findings.untold(rows)
    return [] if told is None else [paint.soft(part) for part in _wrap(told)]


def _course(bench: Bench, paint: _Paint) -> list[str]:
    """The blocks' medians over the run, and whether its end was like its beginning."""
    told = [
        paint.title("The run", "medians over time, of the model and of work that never changes")
    ]
    blocks = bench.closed.blocks
    for name, course in (
        ("step", [block.step_us for block in blocks]),
        ("reference", [block.reference_us for block in blocks]),
        ("control", [b.control_us for b in blocks if b.control_us is not None]),
    ):
        values = [value for value in course if known(value) and value > 0]
        if values:
            told.append(f"{_padded(name)} {paint(_curve(values), terminal.BLUE)}")
            told.append(
                f"{_padded('')} {paint.soft(f'{duration(min(values))} to {duration(max(values))}')}"
            )
    steady = bench.steady
    sentence = _wrap(findings.steady_sentence(steady))
    colour = () if findings.is_steady(steady) else (terminal.YELLOW,)
    return told + [paint(part, *colour) for part in sentence]


def _curve(values: Sequence[float]) -> str:
    columns = min(_CURVE, len(values))
    parts = [
        sorted(values[len(values) * n // columns : len(values) * (n + 1) // columns])
        for n in range(columns)
    ]
    medians = [part[len(part) // 2] for part in parts]
    low = min(medians)
    span = max(max(medians) - low, _FLAT * sorted(medians)[columns // 2])
    return terminal.curve([0.1 + 0.9 * (v - low) / span for v in medians], columns=columns)


def _open(bench: Bench, paint: _Paint) -> list[str]:
    loop = bench.open
    assert loop is not None
    told = [
        paint.title("Open loop", f"a camera that does not wait: {plain(loop.source)}"),
        *_wrap(findings.open_sentence(loop)),
        _columns_of_times(paint),
        _times_row("capture", loop.capture),
        _times_row("age at answer", loop.age),
        _times_row("answer–answer", loop.interval),
    ]
    return told + _footnote([loop.capture, loop.age, loop.interval], paint)


def _cold(cold: ColdStart, paint: _Paint) -> list[str]:
    title = f"{milliseconds(cold.total_ms)}: median of {number(cold.runs, 'new process', 'es')}"
    told = [paint.title("Cold start", title)]
    parts = findings.cold_parts(cold)
    whole = sum(took for _, took in parts) or 1.0
    before = 0.0
    for name, took in parts:
        left, right = (round(min(edge / whole, 1.0) * 50) for edge in (before, before + took))
        bar = " " * left + ("█" * (right - left) or "▏")
        told.append(f"{_padded(name)} {_right(milliseconds(took), 9)}  {paint(bar, terminal.BLUE)}")
        before += took
    return told


def _threads(rows: Sequence[ThreadRow], paint: _Paint) -> list[str]:
    told = [paint.title("Threads", "how many times as fast as with one, measured in turns")]
    most = max([row.threads for row in rows] + [1])
    for row in rows:
        bar = paint.bar(row.speed / most if known(row.speed) else 0.0, 40)
        told.append(
            f"{_padded(number(row.threads, 'thread'))} {_right(duration(row.p50_us), 9)}  {bar} "
            f"×{digits(row.speed)}"
        )
    return told


def _resources(bench: Bench, paint: _Paint) -> list[str]:
    told = [paint.title("Memory and compute")]
    rows = findings.memory_rows(bench.memory)
    most = max((value for _, value in rows), default=0.0)
    for name, value in rows:
        bar = paint.bar(value / most if most > 0 else 0.0, 40)
        told.append(f"{_padded(name)} {_right(megabytes(value), 9)}  {bar}")
    if not rows:
        told.append("How much memory it takes, this system does not tell.")
    return told + _wrap(findings.compute_sentence(bench))


def _environment(bench: Bench, paint: _Paint) -> list[str]:
    told_of = bench.environment
    versions = ", ".join(f"{plain(n)} {plain(v)}" for n, v in told_of.versions.items())
    told = [paint.title("Measured on")]
    if told_of.board:
        told += _wrapped(plain(told_of.board), "board")
    told += _wrapped(f"{plain(told_of.cpu)}, {number(told_of.cores, 'core')}", "processor")
    told += _wrapped(f"{plain(told_of.system)}, {plain(told_of.machine)}", "system")
    told += _wrapped(f"Python {plain(told_of.python)}{', ' if versions else ''}{versions}", "with")
    for name, before, after in findings.moment_rows(told_of.before, told_of.after):
        change = after if before in ("–", after) else f"{before} → {after}"
        told += _wrapped(change, name)
    told += _wrapped(f"{plain(bench.model.digest[:16])}…, {moment(bench.taken)}", "model, taken")
    told += _wrapped(plain(bench.command), "again")
    return told
