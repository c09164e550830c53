"""Events: from probabilities over time to something that began and something that ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest

from edgecap.decisions import DecisionSpec, LabelDecision
from edgecap.errors import SpecError
from edgecap.events import Event, EventDetector
from edgecap.predictions import decider, label_detectors
from edgecap.streaming import StreamingModel

LABELS = ("background", "open", "close")
#: Nothing but the two thresholds.
PLAIN = {
    "smoothing_s": 0.0,
    "enter": 0.6,
    "leave": 0.4,
    "min_duration_s": 0.0,
    "refractory_s": 0.0,
    "settle_s": 0.0,
    "background": "background",
}


def detector(**changes: object) -> EventDetector:
    return EventDetector(LABELS, DecisionSpec(**(PLAIN | changes)))  # type: ignore[arg-type]


def scores(open_: float = 0.0, close: float = 0.0) -> np.ndarray:
    return np.array([1 - open_ - close, open_, close], np.float32)


def feed(
    found: EventDetector, values: Iterable[float], *, period_s: float = 0.1, start_s: float = 0.0
) -> list[Event | None]:
    """Probabilities of ``open``, one frame a period."""
    return [found.update(scores(v), start_s + i * period_s) for i, v in enumerate(values)]


def told(events: Iterable[Event | None]) -> list[tuple[str, str, float]]:
    return [(e.kind, e.label, round(e.timestamp_s, 6)) for e in events if e is not None]


def test_an_event_starts_at_enter_and_ends_below_leave() -> None:
    found = detector()
    events = feed(found, [0.1, 0.59, 0.61, 0.5, 0.41, 0.39, 0.5, 0.59, 0.61])
    assert told(events) == [("start", "open", 0.2), ("end", "open", 0.5), ("start", "open", 0.8)]
    assert found.active == "open"


def test_an_events_score_is_the_smoothed_probability_that_decided() -> None:
    events = [e for e in feed(detector(), [0.1, 0.75, 0.25]) if e]
    assert [e.score for e in events] == pytest.approx([0.75, 0.25])


def test_a_score_between_the_thresholds_flickers_no_events() -> None:
    events = feed(detector(), [0.7] + [0.45, 0.58] * 20)
    assert told(events) == [("start", "open", 0.0)]


def test_the_background_is_never_an_event() -> None:
    assert told(feed(detector(), [0.0] * 30)) == []


def test_without_a_background_every_label_may_be_an_event() -> None:
    assert told(feed(detector(background=None), [0.0] * 3)) == [("start", "background", 0.0)]


def test_a_shorter_burst_than_the_minimum_is_no_event() -> None:
    found = detector(min_duration_s=0.25)
    assert told(feed(found, [0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9])) == []
    # 0.4 s is the first frame of the second burst; the fourth is 0.3 s later.
    assert told([found.update(scores(0.9), 0.7)]) == [("start", "open", 0.7)]


def test_a_change_of_label_starts_the_minimum_anew() -> None:
    found = detector(min_duration_s=0.25)
    feed(found, [0.9, 0.9, 0.9])
    events = [found.update(scores(close=0.9), 0.3 + i * 0.1) for i in range(4)]
    assert told(events) == [("start", "close", 0.6)]


def test_after_its_end_a_label_stays_silent_for_the_refractory_period() -> None:
    found = detector(refractory_s=0.35)
    events = feed(found, [0.9, 0.1, 0.9, 0.9, 0.9, 0.9])
    assert told(events) == [("start", "open", 0.0), ("end", "open", 0.1), ("start", "open", 0.5)]


def test_the_refractory_period_is_of_one_label_only() -> None:
    found = detector(refractory_s=10.0)
    feed(found, [0.9, 0.1])
    assert told([found.update(scores(close=0.9), 0.2)]) == [("start", "close", 0.2)]


def test_an_event_ends_before_the_next_one_starts() -> None:
    found = detector()
    feed(found, [0.9])
    events = [found.update(scores(close=0.9), 0.1 + i * 0.1) for i in range(2)]
    assert told(events) == [("end", "open", 0.1), ("start", "close", 0.2)]


def test_nothing_is_reported_until_a_fresh_stream_has_settled() -> None:
    found = detector(settle_s=0.25)
    assert told(feed(found, [0.9] * 4)) == [("start", "open", 0.3)]


def test_nothing_is_reported_until_a_reset_stream_has_settled() -> None:
    found = detector(settle_s=0.25)
    feed(found, [0.9] * 4)
    found.reset()
    assert found.active is None
    assert told(feed(found, [0.9] * 4, start_s=50.0)) == [("start", "open", 50.3)]


def test_reset_forgets_smoothing_and_silence() -> None:
    found = detector(smoothing_s=10.0, refractory_s=100.0)
    feed(found, [0.9, 0.0, 0.0])
    found.reset()
    assert found.smoothed is None
    assert told(feed(found, [0.9], start_s=1.0)) == [("start", "open", 1.0)]


def test_smoothing_is_the_exponential_average_of_its_time_constant() -> None:
    found = detector(smoothing_s=0.5, enter=1.0)
    feed(found, [0.0, *[0.8] * 10])
    assert found.smoothed is not None
    # One second at 0.8 from 0.
    assert found.smoothed[1] == pytest.approx(0.8 * (1 - np.exp(-2.0)), rel=1e-5)


@pytest.mark.parametrize("rate_hz", [5, 12, 30, 120])
def test_smoothing_means_the_same_at_any_frame_rate(rate_hz: int) -> None:
    found = detector(smoothing_s=0.4, enter=1.0)
    feed(found, [0.0, *[0.8] * rate_hz], period_s=1 / rate_hz)
    assert found.smoothed is not None
    assert found.smoothed[1] == pytest.approx(0.8 * (1 - np.exp(-1 / 0.4)), rel=1e-5)


def test_without_smoothing_each_frame_stands_for_itself() -> None:
    found = detector()
    feed(found, [0.1, 0.9, 0.2])
    assert found.smoothed is not None
    np.testing.assert_allclose(found.smoothed, scores(0.2), atol=1e-7)


def test_the_callers_probabilities_are_not_written_to() -> None:
    found, mine = detector(smoothing_s=1.0), scores(0.3)
    found.update(mine, 0.0)
    found.update(scores(0.9), 0.5)
    np.testing.assert_array_equal(mine, scores(0.3))


def test_a_copy_goes_its_own_way() -> None:
    found = detector(refractory_s=1.0)
    feed(found, [0.9, 0.1])
    other = found.copy()
    other.update(scores(close=0.9), 0.2)
    other.update(scores(), 0.3)
    assert found.active is None
    assert told([found.update(scores(close=0.9), 0.4)]) == [("start", "close", 0.4)]


def test_frames_that_come_out_of_order_count_as_no_time_passed() -> None:
    found = detector(smoothing_s=1.0, enter=0.5, leave=0.4)
    feed(found, [0.0, 0.0, 0.0])
    before = found.smoothed
    assert found.update(scores(0.9), 0.15) is None
    np.testing.assert_array_equal(found.smoothed, before)


def test_a_clock_that_restarts_does_not_freeze_the_events() -> None:
    """A looped file or a camera that came back: the time starts again, and so do the events."""
    found = detector(smoothing_s=0.2, refractory_s=0.3, settle_s=0.25, min_duration_s=0.1)
    feed(found, [*[0.95] * 10, *[0.0] * 10], start_s=5000.0)
    events = told(feed(found, [*[0.0] * 10, *[0.95] * 20]))
    assert [(kind, label) for kind, label, _ in events] == [("start", "open")]


def test_with_a_detector_a_label_each_keeps_its_own_time() -> None:
    decision = DecisionSpec(**(PLAIN | {"min_duration_s": 0.15, "refractory_s": 0.35}))  # type: ignore[arg-type]
    found = label_detectors(LABELS, decision)
    assert list(found) == [1, 2], "the background is never an event"
    rows = {1: [0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9], 2: [0.1] * 5 + [0.9] * 4}
    events = [
        found[index].update(np.array([rows[index][frame]], np.float32), frame / 10)
        for frame in range(9)
        for index in found
    ]
    assert told(events) == [
        ("start", "open", 0.2),
        ("end", "open", 0.3),
        ("start", "open", 0.7),
        ("start", "close", 0.7),
    ]


# Settings of single labels.


def of_labels(**own: LabelDecision) -> EventDetector:
    return detector(per_label=own)


def test_a_label_has_thresholds_of_its_own() -> None:
    found = of_labels(open=LabelDecision(enter=0.9, leave=0.7))
    events = feed(found, [0.8, 0.91, 0.75, 0.69])
    assert told(events) == [("start", "open", 0.1), ("end", "open", 0.3)]
    events = [found.update(scores(close=v), 1.0 + i) for i, v in enumerate([0.65, 0.45, 0.39])]
    assert told(events) == [("start", "close", 1.0), ("end", "close", 3.0)]


def test_a_label_has_a_minimum_duration_of_its_own() -> None:
    found = of_labels(open=LabelDecision(min_duration_s=0.25))
    assert told([found.update(scores(close=0.9), 0.0)]) == [("start", "close", 0.0)]
    assert told(feed(found, [0.9] * 5, start_s=0.1)) == [
        ("end", "close", 0.1),
        ("start", "open", 0.5),
    ]


def test_a_label_has_a_refractory_period_of_its_own() -> None:
    found = of_labels(open=LabelDecision(refractory_s=0.35))
    assert told(feed(found, [0.9, 0.1, 0.9, 0.9, 0.9, 0.9])) == [
        ("start", "open", 0.0),
        ("end", "open", 0.1),
        ("start", "open", 0.5),
    ]
    events = [found.update(scores(close=v), 1.0 + i / 10) for i, v in enumerate([0, 0.9, 0.1, 0.9])]
    assert told(events) == [
        ("end", "open", 1.0),
        ("start", "close", 1.1),
        ("end", "close", 1.2),
        ("start", "close", 1.3),
    ]


def test_what_a_label_does_not_set_is_as_for_all() -> None:
    decision = DecisionSpec(enter=0.7, leave=0.3, per_label={"open": LabelDecision(enter=0.9)})
    assert decision.of("open") == DecisionSpec(enter=0.9, leave=0.3)
    assert decision.of("close") == DecisionSpec(enter=0.7, leave=0.3)


def test_labels_that_do_not_exclude_each_other_have_settings_of_their_own() -> None:
    own = {"open": LabelDecision(enter=0.9, leave=0.8, min_duration_s=0.15)}
    decision = DecisionSpec(**(PLAIN | {"per_label": own}))  # type: ignore[arg-type]
    found = decider("multilabel", LABELS, decision)
    rows = [(0.95, 0.65), (0.95, 0.65), (0.95, 0.35), (0.75, 0.65)]
    active = []
    for frame, (open_, close) in enumerate(rows):
        values = np.array([0.0, open_, close], np.float32)
        active.append(found.predict(values, frame / 10).active)
    assert active == [("close",), ("close",), ("open",), ("close",)]


@pytest.mark.parametrize("seed", range(8))
def test_settings_that_say_the_same_for_each_label_change_no_byte(seed: int) -> None:
    """Over random streams: no settings of labels, and the common ones written out for each."""
    rng = np.random.default_rng(seed)
    leave, enter = np.sort(rng.uniform(0.2, 0.9, 2)).tolist()
    duration_s, silence_s = rng.uniform(0, 0.4, 2).tolist()
    common = DecisionSpec(0.2, enter, leave, duration_s, silence_s, 0.3, "background")
    same = LabelDecision(enter, leave, duration_s, silence_s)
    each = dataclasses.replace(common, per_label=dict.fromkeys(LABELS[1:], same))
    one, other = EventDetector(LABELS, common), EventDetector(LABELS, each)
    for row, now in random_stream(rng):
        assert one.update(row, now) == other.update(row, now)
        assert one.smoothed is not None
        assert other.smoothed is not None
        assert one.smoothed.tobytes() == other.smoothed.tobytes()


@pytest.mark.parametrize("seed", range(8))
def test_what_was_smoothed_before_gives_the_same_events(seed: int) -> None:
    rng = np.random.default_rng(seed)
    own = {"close": LabelDecision(enter=0.7, min_duration_s=0.3)}
    decision = DecisionSpec(enter=0.5, background="background", per_label=own)
    live, again = EventDetector(LABELS, decision), EventDetector(LABELS, decision)
    events = 0
    for row, now in random_stream(rng):
        event = live.update(row, now)
        assert live.smoothed is not None
        assert again.update_smoothed(live.smoothed, now, live.clock_s) == event
        events += event is not None
    assert events > 0


def random_stream(rng: np.random.Generator) -> Iterable[tuple[np.ndarray, float]]:
    """Wandering scores, jittered times, a clock that is set back now and then."""
    logits, now = np.zeros(3), 100.0
    for _ in range(400):
        logits = 0.9 * logits + rng.normal(0, 1.5, 3)
        now += rng.uniform(0.02, 0.2) if rng.random() < 0.98 else -5.0
        weights = np.exp(logits - logits.max())
        yield (weights / weights.sum()).astype(np.float32), now


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_a_setting_of_a_label_that_is_not_there_is_refused(task: str) -> None:
    decision = DecisionSpec(per_label={"opne": LabelDecision(enter=0.9)})
    with pytest.raises(SpecError, match="'opne' is not among the labels background, open, close"):
        decider(task, LABELS, decision)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"open": LabelDecision(enter=0.3)}, r"'open'\]: .* got leave 0.4, enter 0.3"),
        ({"open": LabelDecision(enter=float("nan"))}, r"'open'\]: .* enter nan"),
        ({"open": LabelDecision(refractory_s=-1.0)}, r"'open'\]\.refractory_s"),
        ({"background": LabelDecision(enter=0.9)}, "never an event"),
    ],
)
def test_settings_of_a_label_are_checked(own: dict[str, LabelDecision], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        detector(per_label=own)


# Settling.


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_every_task_tells_when_it_has_settled_after_each_reset(task: str) -> None:
    decision = DecisionSpec(**(PLAIN | {"settle_s": 0.25}))  # type: ignore[arg-type]
    found = decider(task, LABELS, decision)
    for start_s in (0.0, 50.0, 7.0):
        given = [found.predict(scores(0.9), start_s + i / 10) for i in range(5)]
        assert [p.settled for p in given] == [False, False, False, True, True]
        assert not any(p.events for p in given[:3])
        if task != "regression":
            assert [len(p.events) for p in given[3:]] == [1, 0]
            assert found.active == ("open",)
        found.reset()
        assert found.active == ()


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_a_copy_settles_in_its_own_time(task: str) -> None:
    decision = DecisionSpec(**(PLAIN | {"settle_s": 0.25}))  # type: ignore[arg-type]
    found = decider(task, LABELS, decision)
    found.predict(scores(), 0.0)
    other = found.copy()
    assert other.predict(scores(), 0.3).settled
    assert not found.predict(scores(), 0.1).settled


def test_a_stream_tells_that_it_has_not_settled_after_each_reset(
    demo_model: StreamingModel, frames: np.ndarray
) -> None:
    stream = demo_model.stream()
    # 0.25 s at 12 frames a second: the fourth frame is the first that is late enough.
    for _ in range(2):
        assert [stream.step(image).settled for image in frames[:6]] == [False] * 3 + [True] * 3
        stream.reset()
