"""The soak's judgement: it must see a leak, and not see one in noise."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("soak")
    for name in ("soak", "record"):
        sys.modules.pop(name, None)


def sampled(leak: float, slower: float = 0.0) -> list[dict[str, float]]:
    """400 blocks of a million frames: memory that comes and goes by half a megabyte."""
    rng = np.random.default_rng(2)
    return [
        {
            "frames": frames,
            "memory": 80e6 + rng.uniform(0, 5e5) + leak * frames,
            "threads": 3,
            "files": 6,
            "frame_us": 150.0 * (1 + slower * frames / 1e6) + rng.uniform(0, 2),
            "bare_us": 106.0,
        }
        for frames in range(2500, 1_000_001, 2500)
    ]


def test_memory_that_only_comes_and_goes_is_no_leak(soak: Any) -> None:
    result = soak.judge(sampled(0.0), 100_000)
    assert all(result["passed"].values())


def test_a_leak_of_a_byte_a_frame_is_seen(soak: Any) -> None:
    result = soak.judge(sampled(1.0), 100_000)
    assert not result["passed"]["memory"]
    assert result["memory"]["slope_bytes_per_frame"] == pytest.approx(1.0, abs=0.2)


def test_steps_that_become_slower_are_seen(soak: Any) -> None:
    assert not soak.judge(sampled(0.0, slower=0.05), 100_000)["passed"]["time"]


@pytest.mark.slow
def test_a_short_soak_runs_to_its_end(soak: Any) -> None:
    result = soak.measure(20_000, "/dev/null")
    assert result["frames"] == 20_000
    assert result["threads"]["constant"]
    assert result["recordings"]["recorded"] > 0
