"""One camera's way through the model: rate, gaps and clock, told and survived."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest

from edgecap.health import Monitor
from edgecap.lane import Lane
from edgecap.notices import KINDS, Notice
from edgecap.sinks.base import Result
from edgecap.sources.base import Frame
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene

Frames = npt.NDArray[np.uint8]


class Taken:
    """A lane and what came of it."""

    def __init__(self, model: StreamingModel, *, live: bool = False, max_gap_s: float = 2.0):
        self.monitor, self.notices = Monitor(), list[Notice]()
        self.stream = model.stream()
        self.results: list[Result] = []
        self.lane = Lane(
            "yard",
            self.stream,
            live=live,
            max_gap_s=max_gap_s,
            monitor=self.monitor,
            tell=self.notices.append,
        )

    def take(self, frames: Iterable[Frame]) -> Taken:
        for frame in frames:
            result = self.lane.take(frame)
            if result is not None:
                self.results.append(result)
        return self

    @property
    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]


def at(times: Iterable[float], image: Frames, *, every: int = 1) -> list[Frame]:
    return [Frame(i * every, float(t), image) for i, t in enumerate(times)]


@pytest.fixture
def period_s(demo_model: StreamingModel) -> float:
    return 1 / demo_model.spec.rate_hz


def test_a_steady_camera_has_nothing_to_tell(
    demo_model: StreamingModel, frames: Frames, period_s: float
) -> None:
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, 300)
    taken = Taken(demo_model).take(at((np.arange(300) + jitter) * period_s, frames[0]))
    assert taken.notices == []
    assert taken.monitor.processed >= 295


def test_a_slow_camera_is_told_once_and_told_when_it_is_well_again(
    demo_model: StreamingModel, frames: Frames, period_s: float
) -> None:
    slow = np.arange(60) * 4 * period_s
    well = slow[-1] + np.arange(1, 300) * period_s
    taken = Taken(demo_model).take(at([*slow, *well], frames[0]))
    assert taken.kinds == ["slow", "steady"]
    assert "gives 3.0 frames a second" in taken.notices[0].told
    assert taken.notices[0].camera == "yard"
    # Nothing was invented and nothing left out.
    assert taken.monitor.processed == 359


def test_a_computer_that_is_too_slow_is_told_apart_from_a_slow_camera(
    demo_model: StreamingModel, frames: Frames, period_s: float
) -> None:
    # Of a camera at the model's rate, every fourth frame gets through.
    given = at(np.arange(60) * 4 * period_s, frames[0], every=4)
    taken = Taken(demo_model, live=True).take(given)
    assert taken.kinds == ["slow"]
    assert "only 3.0 frames a second of the camera's 12.0" in taken.notices[0].told
    assert taken.monitor.dropped == 59 * 3


def test_ten_times_the_rate_is_resampled_to_the_models(
    demo_model: StreamingModel, frames: Frames, period_s: float
) -> None:
    taken = Taken(demo_model).take(at(np.arange(600) * period_s / 10, frames[0]))
    assert taken.monitor.frames == 600
    # The last comes a little before its tick.
    assert taken.monitor.processed == 61
    assert taken.notices == []


def test_a_short_gap_holds_the_state_and_a_long_one_resets_it(
    demo_model: StreamingModel, frames: Frames, period_s: float
) -> None:
    before = np.arange(10) * period_s
    short = Taken(demo_model).take(at([*before, *(before + before[-1] + 1.9)], frames[0]))
    assert (short.kinds, short.monitor.resets, short.stream.frames) == ([], 0, 20)
    long = Taken(demo_model).take(at([*before, *(before + before[-1] + 2.1)], frames[0]))
    assert (long.kinds, long.monitor.resets, long.stream.frames) == (["gap"], 1, 10)
    assert "no frame for 2.1 s" in long.notices[0].told


def test_no_state_leaks_over_a_reset(
    demo_model: StreamingModel, frames: Frames, period_s: float
) -> None:
    before = [Frame(i, i * period_s, frames[i % len(frames)]) for i in range(20)]
    after = [Frame(20 + i, 100 + i * period_s, frames[-1 - i % 7]) for i in range(20)]
    joined = Taken(demo_model).take([*before, *after]).results[20:]
    alone = Taken(demo_model).take(after).results
    for one, other in zip(joined, alone, strict=True):
        assert one.prediction.probabilities.tobytes() == other.prediction.probabilities.tobytes()


def test_an_event_under_way_ends_with_the_gap(demo_model: StreamingModel) -> None:
    scene = Scene(seed=5, height=96, width=96, rate_hz=demo_model.spec.rate_hz, gestures=6)
    taken = Taken(demo_model)
    last_s = 0.0
    for frame in scene:
        taken.take([Frame(frame.index, frame.timestamp_s, frame.image)])
        last_s = frame.timestamp_s
        if taken.stream.active:
            break
    (label,) = taken.stream.active
    taken.take([Frame(1000, last_s + 60, frame.image)])
    (event,) = taken.results[-1].prediction.events
    assert (event.label, event.kind, event.timestamp_s) == (label, "end", last_s)
    assert taken.stream.active == ()


def test_a_clock_that_is_set_back_is_told_and_the_state_goes_on(
    demo_model: StreamingModel, frames: Frames, period_s: float
) -> None:
    first = 1000 + np.arange(30) * period_s
    taken = Taken(demo_model).take(at([*first, *(first - 600)], frames[0]))
    assert taken.kinds == ["clock"]
    assert "went back by 602." in taken.notices[0].told
    assert taken.stream.frames == taken.monitor.processed == 60


def test_timestamps_that_stand_still_or_swap_do_no_harm(
    demo_model: StreamingModel, frames: Frames, period_s: float
) -> None:
    times = np.repeat(np.arange(40), 2) * period_s
    times[10:12] = times[11:9:-1]
    taken = Taken(demo_model).take(at(times, frames[0]))
    assert 38 <= taken.monitor.processed <= 42
    assert "gap" not in taken.kinds


def test_every_kind_of_notice_says_what_it_means() -> None:
    assert all(KINDS.values())
    with pytest.raises(ValueError, match="expected a kind of lost, back"):
        Notice("gone", "…", 0.0)
