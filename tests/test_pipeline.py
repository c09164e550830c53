"""source → stream → sinks: the right frames, in order, and a good end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

import edgecap
from edgecap.errors import FrameError, SourceError
from edgecap.pipeline import run
from edgecap.sinks.base import Result, Sink
from edgecap.sources.base import ClosingSource, Frame
from edgecap.streaming import StreamingModel

Frames = npt.NDArray[np.uint8]


class Given(ClosingSource):
    """A source of frames made by hand; what it does at its end can be told."""

    name, live, rate_hz = "given", False, None

    def __init__(self, frames: Iterable[Frame], finally_: Callable[[], None] | None = None) -> None:
        self._frames, self._finally = frames, finally_

    def __iter__(self) -> Iterator[Frame]:
        yield from self._frames
        if self._finally is not None:
            self._finally()


class Kept(Sink):
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def write(self, result: Result) -> None:
        self.results.append(result)

    def close(self) -> None:
        pass


def timed(frames: Frames, times: Iterable[float]) -> list[Frame]:
    return [Frame(i, t, frames[i % len(frames)]) for i, t in enumerate(times)]


def test_every_due_frame_reaches_every_sink_in_order(
    demo_model: StreamingModel, frames: Frames
) -> None:
    sinks = [Kept(), Kept()]
    period_s = 1 / demo_model.spec.rate_hz
    given = timed(frames, np.arange(40) * period_s / 2)
    report = run(Given(given), demo_model.stream(), sinks)
    assert (report.frames, report.processed, report.resets) == (40, 20, 0)
    assert len(report.step_ms) == 20
    for sink in sinks:
        assert [r.frame.index for r in sink.results] == list(range(0, 40, 2))
    stream = demo_model.stream()
    for result in sinks[0].results:
        expected = stream.step(result.frame.image, result.frame.timestamp_s)
        assert result.prediction.timestamp_s == result.frame.timestamp_s
        assert result.prediction.probabilities.tobytes() == expected.probabilities.tobytes()
        assert result.prediction.events == expected.events


def test_events_are_counted_when_they_start(demo_model: StreamingModel, frames: Frames) -> None:
    eager = edgecap.DecisionSpec(
        smoothing_s=0.0, enter=0.02, leave=0.02, min_duration_s=0.0, refractory_s=0.0, settle_s=0.0
    )
    sink = Kept()
    given = timed(frames, np.arange(40) / demo_model.spec.rate_hz)
    report = run(Given(given), demo_model.stream(eager), [sink])
    events = [event for r in sink.results for event in r.prediction.events]
    assert report.events == sum(event.kind == "start" for event in events) > 0


def test_a_gap_resets_the_state(demo_model: StreamingModel, frames: Frames) -> None:
    period_s = 1 / demo_model.spec.rate_hz
    times = [*np.arange(10) * period_s, *(60 + np.arange(10) * period_s)]
    given = [*timed(frames[:10], times[:10]), *timed(frames[20:30], times[10:])]
    sink = Kept()
    report = run(Given(given), demo_model.stream(), [sink], max_gap_s=5.0)
    assert report.resets == 1
    fresh = demo_model.stream()
    for result in sink.results[10:]:
        expected = fresh.step(result.frame.image, result.frame.timestamp_s)
        assert result.prediction.probabilities.tobytes() == expected.probabilities.tobytes()


def test_a_pause_within_the_limit_keeps_the_state(
    demo_model: StreamingModel, frames: Frames
) -> None:
    report = run(Given(timed(frames, [0.0, 4.9, 9.8])), demo_model.stream(), max_gap_s=5.0)
    assert (report.processed, report.resets) == (3, 0)


def test_it_stops_after_the_frames_asked_for(demo_model: StreamingModel) -> None:
    with edgecap.open_source("synthetic:", size=(96, 96), rate_hz=30.0) as endless:
        report = run(endless, demo_model.stream(), max_frames=7)
    assert report.processed == 7


def test_the_users_interrupt_ends_the_run_in_good_order(
    demo_model: StreamingModel, frames: Frames
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    sink = Kept()
    given = timed(frames[:5], np.arange(5) / demo_model.spec.rate_hz)
    report = run(Given(given, interrupt), demo_model.stream(), [sink])
    assert report.processed == len(sink.results) == 5


def test_what_a_source_or_a_frame_fails_with_is_not_swallowed(
    demo_model: StreamingModel, frames: Frames
) -> None:
    def lose() -> None:
        raise SourceError("the camera is lost")

    with pytest.raises(SourceError, match="lost"):
        run(Given(timed(frames[:2], [0.0, 1.0]), lose), demo_model.stream())
    grey = Frame(0, 0.0, np.zeros((96, 96), np.uint8))
    with pytest.raises(FrameError):
        run(Given([grey]), demo_model.stream())


def test_a_source_without_frames_is_an_empty_report(demo_model: StreamingModel) -> None:
    report = run(Given([]), demo_model.stream())
    assert (report.frames, report.processed, report.events) == (0, 0, 0)
