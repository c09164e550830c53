"""The rate gate: the model's rhythm, whatever the source's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from edgecap.rate import RateGate
from edgecap.sources.base import Frame


def accepted(rate_hz: float, times: Iterable[float]) -> list[float]:
    gate = RateGate(rate_hz)
    return [t for t in times if gate.accepts(t)]


@pytest.mark.parametrize("source_hz", [24.0, 25.0, 29.97, 30.0, 60.0, 120.0])
def test_a_faster_source_is_thinned_to_the_models_rate(source_hz: float) -> None:
    times = np.arange(int(20 * source_hz)) / source_hz
    found = accepted(12.0, times)
    assert len(found) == pytest.approx(20 * 12, abs=2)
    # An interval is off by a frame of the source, or by the quarter that a frame may be early.
    assert np.abs(np.diff(found) - 1 / 12).max() <= max(1 / source_hz, 0.25 / 12) + 1e-9


@pytest.mark.parametrize("source_hz", [3.0, 9.0, 11.9, 12.0])
def test_a_source_no_faster_than_the_model_loses_no_frame(source_hz: float) -> None:
    times = np.arange(100) / source_hz
    assert accepted(12.0, times) == times.tolist()


def test_a_jittering_camera_at_the_models_rate_loses_no_frame() -> None:
    rng = np.random.default_rng(0)
    times = (np.arange(500) + rng.uniform(-0.1, 0.1, 500)) / 12
    assert len(accepted(12.0, times)) == 500


def test_after_a_pause_the_beat_starts_anew_and_nothing_is_caught_up() -> None:
    before, after = np.arange(60) / 60, 10 + np.arange(60) / 60
    found = accepted(12.0, [*before, *after])
    assert np.sum(np.array(found) >= 10) == pytest.approx(12, abs=1)
    # A frame may be a quarter of a period early, and the one before it on time.
    assert np.diff(found).min() >= 0.75 / 12


def test_a_clock_that_restarts_does_not_stop_the_frames() -> None:
    times = [*(np.arange(36) / 12), *(np.arange(36) / 12)]
    assert len(accepted(12.0, times)) == pytest.approx(72, abs=1)


def test_select_keeps_the_frames_that_are_due() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    frames = [Frame(i, i / 24, image) for i in range(24)]
    assert [f.index for f in RateGate(12.0).select(frames)] == list(range(0, 24, 2))
