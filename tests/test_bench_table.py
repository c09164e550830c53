"""A benchmark's document in a terminal of 80 columns."""

from __future__ import annotations

import re

import pytest

from edgecap import terminal
from edgecap.benchmark import findings
from edgecap.benchmark.formats import digits, duration, moment, plain, share
from edgecap.benchmark.table import lines
from tests.bench_documents import DOCUMENTS, HOSTILE, bench


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("rich", [False, True])
def test_no_line_is_wider_than_the_terminal_and_none_holds_a_foreign_control_sequence(
    name: str, rich: bool
) -> None:
    told = lines(DOCUMENTS[name](), rich=rich)
    assert told
    for line in told:
        assert terminal.width(line) <= 80, line
        bare = re.sub(r"\x1b\[[0-9;]*m", "", line) if rich else line
        assert bare.isprintable(), repr(line)
        line.encode()
    assert any("\x1b" in line for line in told) == rich


def test_colours_change_nothing_of_what_is_said() -> None:
    document = bench(throttles=True)
    rich = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines(document, rich=True)]
    assert [line.rstrip() for line in rich] == lines(document)


def test_the_headline_comes_before_anything_else_is_told() -> None:
    told = lines(bench())
    step = next(n for n, line in enumerate(told) if line.startswith("step"))
    assert "954 µs p50" in told[step]
    assert "1.1 % of the 83.3 ms" in told[step + 1]
    assert step < next(n for n, line in enumerate(told) if line.startswith("Closed loop"))


def test_what_disturbed_a_run_stands_above_its_figures() -> None:
    told = lines(bench(throttles=True))
    at = [n for n, line in enumerate(told) if line.startswith("DISTURBED")]
    assert len(at) == 2
    assert at[-1] < next(n for n, line in enumerate(told) if line.startswith("step"))
    assert not any("DISTURBED" in line for line in lines(bench()))


def test_a_percentile_of_too_few_samples_is_a_dash_with_a_reason() -> None:
    told = lines(DOCUMENTS["bare"]())
    row = next(line for line in told if line.startswith("whole step"))
    assert row.split()[3:7] == ["–"] * 4
    assert any("ten or more" in line for line in told)
    assert any("p99 1000" in line for line in told)
    full = next(line for line in lines(bench()) if line.startswith("whole step"))
    assert "–" not in full


def test_a_run_that_became_slower_says_so() -> None:
    assert any(line.startswith("Not steady: ") for line in lines(bench(throttles=True)))
    assert any("39 % slower" in line for line in lines(bench(throttles=True)))
    assert any(line.startswith("Steady: ") for line in lines(bench()))


def test_what_was_not_measured_is_left_out() -> None:
    told = "\n".join(lines(DOCUMENTS["bare"]()))
    for title in ("Open loop", "Cold start", "Threads"):
        assert title not in told
        assert title in "\n".join(lines(bench()))
    assert "this system does not tell" in told
    assert "CUSTOM_WAVELET" in told


def test_the_stages_share_a_step_among_them() -> None:
    shares = findings.stage_shares(bench())
    assert sum(shares.values()) == pytest.approx(1)
    assert findings.costliest(bench()) == "invoke"


def test_cold_start_is_told_in_parts_that_make_up_the_whole() -> None:
    cold = bench().cold
    assert cold is not None
    parts = findings.cold_parts(cold)
    assert [name for name, _ in parts] == ["Python", "import", "load", "first answer", "the rest"]
    assert sum(took for _, took in parts) == pytest.approx(cold.total_ms)


def test_numbers_are_written_with_three_digits_and_their_unit() -> None:
    assert duration(912.34) == "912 µs"
    assert duration(1234.5) == "1.23 ms"
    assert duration(2.7e6) == "2.70 s"
    assert duration(None) == duration(float("nan")) == "–"
    assert digits(12_345.6).replace("\u202f", " ") == "12 346"
    assert digits(1234.5) == "1234"
    assert (share(0.012), share(0.0001), share(0.5), share(None)) == (
        "1.2 %",
        "<0.1 %",
        "50 %",
        "–",
    )


def test_names_of_others_cannot_steer_the_terminal() -> None:
    assert plain(HOSTILE).isprintable()
    assert "\x1b" not in plain(HOSTILE)
    assert moment("2026-03-01T09:31:07.25+00:00") == "2026-03-01 09:31 UTC"
    assert moment("yesterday\x1b") == "yesterday?"
