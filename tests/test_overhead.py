"""``Stream.step`` beside the bare interpreter: the benchmark's bar, with room for noise."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

_BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_a_step_costs_little_more_than_the_interpreter(
    demo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(_BENCHMARKS))
    script = runpy.run_path(str(_BENCHMARKS / "step_overhead.py"))
    result = script["measure"](demo_path)
    assert result["extra_us"] <= 3 * result["allowed_us"]
