"""A benchmark's document as one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from edgecap.benchmark import findings, sections
from edgecap.benchmark.formats import (
    digits,
    duration,
    known,
    megabytes,
    milliseconds,
    moment,
    number,
    share,
)
from edgecap.benchmark.pieces import (
    card,
    named,
    section,
    text,
)
from edgecap.benchmark.report import Bench


def page(bench: Bench, comparison: Sequence[str] | None = None) -> str:
    """The whole page: no scripts, no requests, light and dark, for wide and narrow screens.

    Args:
      comparison: sentences on this run beside another one, the verdict first.
    """
    style = resources.files("edgecap.benchmark").joinpath("page.css").read_text("utf-8")
    pair = [*sections.starts(bench), sections.compute(bench)]
    body = [
        _header(bench),
        _warning(bench),
        _comparison(comparison),
        f'<div class="cards">\n{"".join(_cards(bench))}</div>\n',
        sections.stages(bench),
        sections.course(bench),
        "" if bench.open is None else sections.open_loop(bench.open),
        f'<div class="pair">\n{"".join(pair)}</div>\n',
        sections.environment(bench),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{text(bench.model.name)}: benchmark</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(body)}<footer>Taken {text(moment(bench.taken))}. This page "
        "is one file; it loads nothing and sends nothing.</footer>\n</main>\n</body>\n</html>\n"
    )


def _header(bench: Bench) -> str:
    model, runtime, where = bench.model, bench.runtime, bench.environment
    rate = f" at {digits(model.rate_hz)} frames a second" if model.rate_hz > 0 else ""
    return (
        f'<header>\n<p class="kind">Benchmark</p>\n<h1>{named(model.name)}</h1>\n'
        f'<p class="facts">{named(model.file)} · {named(model.recipe)} · {named(model.task)} · '
        f"{named(model.input)}{rate}<br>\n"
        f"{named(where.board or where.cpu)} · {named(runtime.backend)} {named(runtime.version)} · "
        f"{named(runtime.kernels)} · {number(runtime.threads, 'thread')}</p>\n</header>\n"
    )


def _warning(bench: Bench) -> str:
    reasons = bench.environment.disturbed
    if not reasons:
        return ""
    items = "".join(f"<li>{named(reason)}</li>" for reason in reasons)
    return (
        '<div class="warning" role="note"><h2>This run was disturbed</h2>\n'
        f"<ul>{items}</ul>\n<p>The figures hold for a disturbed machine only. Remove the cause and "
        "measure again before you compare or publish them.</p></div>\n"
    )


def _comparison(sentences: Sequence[str] | None) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{named(sentence)}</li>" for sentence in sentences)
    return section("Beside the other run", f'<ul class="verdicts">{items}</ul>\n')


def _cards(bench: Bench) -> list[str]:
    whole, loop = bench.closed.whole, bench.open
    name = findings.typical_name(whole)
    tail = "" if whole.p99_us is None else f"p99 {duration(whole.p99_us)}; "
    told = [
        card(
            f"Whole step, {name}",
            duration(findings.typical_us(whole)),
            f"{tail}frame in, answer out",
        ),
        card("Throughput", f"{digits(bench.closed.fps)} fps", "one frame after the other"),
    ]
    if loop is not None:
        p99 = loop.age.p99_us
        told.append(
            card(
                f"Age at answer, {findings.typical_name(loop.age)}",
                duration(findings.typical_us(loop.age)),
                ("p99 –: too few answers; " if p99 is None else f"p99 {duration(p99)}; ")
                + "since the frame was taken",
            )
        )
    period, taken = findings.period_us(bench), findings.of_period(bench)
    if period is not None and taken is not None and known(taken):
        told.append(
            card(
                "Share of deadline",
                share(taken),
                f"a step, of the {duration(period)} that a frame has",
                meter=taken,
                late=taken > 1,
            )
        )
    if bench.cold is not None:
        told.append(
            card("Cold start", milliseconds(bench.cold.total_ms), "new process to first answer")
        )
    if bench.memory.peak_mb is not None:
        told.append(card("Memory, peak", megabytes(bench.memory.peak_mb), "of the whole process"))
    return told
