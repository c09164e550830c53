"""The rate gate: the model's rhythm, whatever the source's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from edgecap.errors import SourceError
from edgecap.rate import RateGate, sample_and_hold
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


IMAGE = np.zeros((16, 16, 3), np.uint8)


def held(times: Iterable[float], rate_hz: float, **options: Any) -> list[int]:
    """The index of the frame at each tick."""
    frames = [Frame(i, t, IMAGE) for i, t in enumerate(times)]
    pairs = sample_and_hold(frames, rate_hz, **options)
    return [frame.index for frame, ticks in pairs for _ in range(ticks)]


@pytest.mark.parametrize("source_hz", [5.0, 10.0, 15.33, 24.83, 29.97, 60.0])
def test_at_each_tick_stands_the_newest_frame(source_hz: float) -> None:
    times = np.arange(50) / source_hz
    found = held(times, 12.0)
    ticks = np.arange(len(found)) / 12.0
    assert found == (np.searchsorted(times, ticks + 1e-3, side="right") - 1).tolist()
    # Up to the last tick that the last frame stands at.
    assert len(found) == int(times[-1] * 12.0 + 0.02) + 1


def test_a_slower_recording_repeats_frames_and_a_faster_one_loses_some() -> None:
    assert held(np.arange(4) / 6, 12.0) == [0, 0, 1, 1, 2, 2, 3]
    assert held(np.arange(7) / 24, 12.0) == [0, 2, 4, 6]


@pytest.mark.parametrize("rate_hz", [12.0, 24.0, 25.0, 30.0, 29.97])
def test_times_rounded_to_the_millisecond_lose_no_frame(rate_hz: float) -> None:
    times = np.round(np.arange(200) / rate_hz, 3)
    assert held(times, rate_hz) == list(range(200))


def test_a_variable_rate_is_followed_by_its_timestamps() -> None:
    times = [0.0, 0.05, 0.4, 0.45, 0.46, 1.0]
    assert held(times, 10.0) == [0, 1, 1, 1, 2, 4, 4, 4, 4, 4, 5]


def test_a_recording_may_begin_at_any_time() -> None:
    times = 1234.5 + np.arange(5) / 10
    assert held(times, 10.0) == [0, 1, 2, 3, 4]


def test_a_part_begins_with_the_frame_that_stands_then_and_ends_before_its_end() -> None:
    times = np.arange(20) / 10
    assert held(times, 10.0, start_s=0.55, end_s=0.85) == [5, 6, 7]
    assert held(times, 10.0, start_s=0.5, end_s=0.8) == [5, 6, 7]
    assert held(times, 10.0, end_s=0.3) == [0, 1, 2]
    assert held(times, 10.0, start_s=1.8) == [18, 19]
    assert held(times, 10.0, start_s=5.0) == []


def test_a_part_reads_no_further_than_it_must() -> None:
    frames = iter([Frame(i, i / 10, IMAGE) for i in range(100)])
    list(sample_and_hold(frames, 10.0, end_s=0.5))
    assert next(frames).index < 8


@pytest.mark.parametrize("rate_hz", [7.0, 10.0, 12.0, 29.97])
def test_every_second_of_the_finer_ticks_is_a_tick(rate_hz: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        times = np.cumsum(rng.uniform(0.01, 0.2, 60))
        part = {"start_s": float(rng.uniform(0, 1)), "end_s": float(rng.uniform(2, 9))}
        for options in ({}, part):
            assert held(times, rate_hz, finer=2, **options)[::2] == held(times, rate_hz, **options)


def test_no_frames_give_no_ticks_and_one_frame_one() -> None:
    assert held([], 12.0) == []
    assert held([3.0], 12.0) == [0]


def test_a_clock_that_jumps_is_refused_and_not_filled_with_copies() -> None:
    with pytest.raises(SourceError, match=r"jumps from 0\.1 s to 100000000\.0 s"):
        held([0.0, 0.1, 1e8], 12.0)
