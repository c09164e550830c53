"""The sections of a benchmark's page."""

from __future__ import annotations

from collections.abc import Sequence

from edgecap.benchmark import findings, svg
from edgecap.benchmark.formats import (
    amount,
    digits,
    duration,
    grouped,
    known,
    megabytes,
    milliseconds,
    moment,
    number,
    plain,
    share,
)
from edgecap.benchmark.pieces import (
    IDLE,
    bars,
    colour,
    named,
    paragraph,
    section,
    stack,
    strips,
    text,
    times_table,
    words,
)
from edgecap.benchmark.report import Bench, ColdStart, OpenLoop, Steady, ThreadRow

_SPREAD = (
    "Thin line: from the shortest to the longest; band: the fastest nine of ten (to p90); marks: "
    "p95 and p99; dot: p50. The axis is logarithmic."
)

_ALONE = (
    "Where the model rises alone, a neighbour on the same core may be the cause too: the "
    "reference, a few large convolutions, hardly feels it."
)
_WITH_CONTROL = (
    "The reference, a few large convolutions, hardly feels a neighbour on the same core; the "
    "control, many small operators and some Python, does, and two runs are compared by it."
)
_FATES = {"answered": "var(--s1)", "dropped": "var(--bad)", "not needed": IDLE}


def stages(bench: Bench) -> str:
    """What a step is made of, and how its times are spread."""
    closed = bench.closed
    shares = findings.stage_shares(bench)
    parts = [
        (name, part, f"{duration(findings.typical_us(closed.stages[name]))} · {share(part)}")
        for name, part in shares.items()
    ]
    sentence = findings.stages_sentence(bench)
    rows = {"whole step": closed.whole}
    rows |= {name if name not in rows else f"{name} ": t for name, t in closed.stages.items()}
    colours = {name: n for n, name in enumerate(shares)} | {"whole step": len(shares)}
    untold = findings.untold(rows.values())
    return section(
        "Where the time goes",
        "" if sentence is None else paragraph(sentence),
        stack(parts) if parts else "",
        times_table(rows, {name: share(part) for name, part in shares.items()}),
        "" if untold is None else paragraph(untold, "note"),
        "<h3>How the times are spread</h3>\n",
        strips(rows, colours=colours, relative=True),
        paragraph(
            f"{_SPREAD} Each row by its own p50, so that tails can be compared. "
            f"{number(closed.whole.count, 'step')} of {plain(closed.frame)} frames in "
            f"{digits(closed.seconds)} s; each stage over its own steps.",
            "note",
        ),
    )


def course(bench: Bench) -> str:
    """The blocks over time."""
    blocks = [b for b in bench.closed.blocks if 0 <= b.at_s < 1e9]
    end = max((block.at_s for block in blocks), default=0.0)
    end = max(end, bench.closed.seconds if 0 < bench.closed.seconds < end * 1.5 else 0.0) or 1.0
    model = [(b.at_s, b.step_us) for b in blocks]
    reference = [(b.at_s, b.reference_us) for b in blocks]
    control = [(b.at_s, b.control_us) for b in blocks if b.control_us is not None]
    drawn = [
        _panel("The model", "a step", model, end, 0, steady=bench.steady, last=False),
        _panel("The reference graph", "a run", reference, end, 2, last=not control),
        _panel("The control", "a run", control, end, 3),
    ]
    return section(
        "The whole run",
        paragraph(findings.steady_sentence(bench.steady)),
        *drawn,
        paragraph(
            f"{number(len(blocks), 'block')} of the model's steps in turns with work that never "
            "changes. Line: median; band: from the fastest block to the slowest at that time. "
            "Where all rise together, the machine became slower: throttling, other load. "
            + (_WITH_CONTROL if control else _ALONE)
            + f" Shaded: the first and the last {digits(bench.steady.window_s)} s and their "
            "medians.",
            "note",
        ),
    )


def _panel(
    name: str,
    what: str,
    points: list[tuple[float, float]],
    end: float,
    tint: int,
    *,
    steady: Steady | None = None,
    last: bool = True,
) -> str:
    points = [(at, value) for at, value in points if known(value) and 0 < value < 1e15]
    if not points:
        return ""
    axis, over = svg.range_of([value for _, value in points])
    windows = []
    if steady is not None and 0 < steady.window_s <= end / 2:
        wide = steady.window_s / end
        windows = [(0.0, wide, steady.first_us), (1 - wide, 1.0, steady.last_us)]
        windows = [w for w in windows if known(w[2])]
    ordered = sorted(value for _, value in points)
    middle = ordered[len(ordered) // 2]
    told = f"{duration(middle)} {what}; {duration(ordered[0])} to {duration(ordered[-1])}"
    above = f" · ▴ {number(over, 'block')} above the plot" if over else ""
    drawn = svg.lines(
        svg.course(points, end),
        axis,
        end=end,
        colour=colour(tint),
        unit=duration,
        label=f"{name} over the run: median {told}",
        windows=windows,
        times=last,
    )
    kind = drawn if steady is not None else drawn.replace('class="plot', 'class="plot low', 1)
    return (
        f'<div class="title"><b>{text(name)}</b><span>{text(told + above)}</span></div>\n{kind}\n'
    )


def open_loop(loop: OpenLoop) -> str:
    """What became of the camera's frames, and how old they were."""
    total = sum(count for _, count in findings.fate(loop))
    parts = [
        (name, count / total, f"{grouped(count)} · {share(count / total)}")
        for name, count in findings.fate(loop)
        if total > 0
    ]
    rows = {"age at the answer": loop.age, "capture": loop.capture}
    rows["answer to answer"] = loop.interval
    untold = findings.untold(rows.values())
    limit = loop.deadline_ms * 1e3
    return section(
        "At the camera's rate",
        f"<p>A camera that does not wait ({named(loop.source)}): "
        f"{text(findings.open_sentence(loop))}</p>\n",
        stack(parts, _FATES) if parts else "",
        times_table(rows),
        "" if untold is None else paragraph(untold, "note"),
        "<h3>How these times are spread</h3>\n",
        strips(rows, limit_us=limit if known(limit) and limit > 0 else None),
        paragraph(
            f"{_SPREAD} Dashed: the deadline, {milliseconds(loop.deadline_ms)}, one period of the "
            "model's rate. Age counts from the frame's timestamp; capture is the part "
            "of it before the step.",
            "note",
        ),
    )


def starts(bench: Bench) -> list[str]:
    """Cold start, threads and memory, as far as they were measured."""
    told = []
    if bench.cold is not None:
        told.append(_cold(bench.cold))
    if bench.threads:
        told.append(_threads(bench.threads))
    memory = findings.memory_rows(bench.memory)
    if memory:
        most = max(value for _, value in memory) or 1.0
        rows = [(name, 0.0, value / most, megabytes(value), "") for name, value in memory]
        note = "Resident memory of the measuring process: with the runtime imported and no model, "
        told.append(
            section(
                "Memory",
                bars(rows),
                paragraph(f"{note}with the model, after the closed loop, at its most.", "note"),
            )
        )
    return told


def _cold(cold: ColdStart) -> str:
    parts = findings.cold_parts(cold)
    whole = sum(took for _, took in parts) or 1.0
    rows, before = [], 0.0
    for name, took in parts:
        rows.append((name, before / whole, took / whole, milliseconds(took), ""))
        before += took
    return section(
        "Cold start",
        bars(rows),
        paragraph(
            f"{milliseconds(cold.total_ms)} from the start of Python to the end of a process that "
            f"gives one answer: medians of {number(cold.runs, 'new process', 'es')}, which need "
            "not add up exactly.",
            "note",
        ),
    )


def _threads(rows: Sequence[ThreadRow]) -> str:
    most = max([row.threads for row in rows] + [1])
    fastest = max([row.speed for row in rows if known(row.speed)] + [1.0])
    scale = max(float(most), fastest)
    return section(
        "Threads",
        bars(
            [
                (
                    number(row.threads, "thread"),
                    0.0,
                    row.speed / scale,
                    f"×{digits(row.speed)}",
                    duration(row.p50_us),
                )
                for row in rows
            ],
            mark=[row.threads / scale for row in rows],
        ),
        paragraph(
            "How many times as fast as with one thread, measured in turns; the line marks as many "
            "times as there are threads.",
            "note",
        ),
    )


def compute(bench: Bench) -> str:
    """Multiply-adds, beside what the machine reaches."""
    used = bench.compute
    told = [paragraph(findings.compute_sentence(bench))]
    if known(used.reached) and known(used.peak) and used.reached is not None:
        most = max(used.reached, used.peak) or 1.0
        rows = [
            ("this model", used.reached, share(used.share)),
            ("reference", used.peak, "100 %"),
        ]
        told.append(
            bars(
                [(n, 0.0, value / most, f"{digits(value)} GMAC/s", more) for n, value, more in rows]
            )
        )
    return section("How much of the machine is used", *told)


def environment(bench: Bench) -> str:
    """The machine, before and after, and how to measure again."""
    model, where = bench.model, bench.environment
    facts = [
        ("board", where.board or ""),
        ("processor", f"{where.cpu}, {number(where.cores, 'core')}"),
        ("features", ", ".join(where.features)),
        ("memory", "" if where.memory_mb is None else f"{amount(where.memory_mb * 1e6)}B"),
        ("system", f"{where.system}, {where.machine}"),
        ("Python", where.python),
        ("versions", ", ".join(f"{name} {version}" for name, version in where.versions.items())),
        ("file", f"{model.file}, {amount(model.size_bytes)}B"),
        ("SHA-256", model.digest),
        ("taken", moment(bench.taken)),
    ]
    rows = findings.moment_rows(where.before, where.after)
    return section(
        "Measured on",
        words([row for row in facts if row[1]]),
        "<h3>Before and after</h3>\n" if rows else "",
        words(rows, ("", "before", "after")) if rows else "",
        *(paragraph(note, "note") for note in (*where.notes, *bench.notes)),
        f"<h3>Measure it again</h3>\n<pre>{text(bench.command)}</pre>\n",
    )
