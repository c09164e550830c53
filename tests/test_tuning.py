"""Thresholds from recordings: what is tried is what runs, and what is said of it is sure."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from edgecap.decisions import DecisionSpec, LabelDecision
from edgecap.errors import ConfigError, DataError
from edgecap.evaluation import Segment, record_scene
from edgecap.events import Event
from edgecap.predictions import decider
from edgecap.spec import ModelSpec
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from edgecap.tuning import (
    Track,
    Tuning,
    poisson_upper,
    record_background,
    record_data,
    tune,
    wilson,
)
from edgecap.tuning.held_out import halves
from edgecap.tuning.replays import Replays
from edgecap.tuning.search import ENTER, base_settings
from edgecap.tuning.show import lines
from tests import handmade
from tests.test_events import random_stream

LABELS = ("background", "open", "close")
RATE_HZ = 10.0
OWN = DecisionSpec(
    smoothing_s=0.1, min_duration_s=0.0, refractory_s=0.0, settle_s=0.0, background="background"
)


# How sure a count is.


@pytest.mark.parametrize(
    ("events", "bound"),
    # Half the 95 % point of the chi-squared distribution with 2 n + 2 degrees of freedom.
    [(0, 2.9957), (1, 4.7439), (2, 6.2958), (5, 10.5130), (10, 16.9622), (100, 118.0793)],
)
def test_the_bound_of_a_rate_is_that_of_the_tables(events: int, bound: float) -> None:
    assert poisson_upper(events) == pytest.approx(bound, abs=2e-4)


def test_the_bound_holds_in_95_of_100_cases() -> None:
    rng = np.random.default_rng(0)
    for mean in (0.5, 4.0, 30.0):
        counts, times = np.unique(rng.poisson(mean, 4000), return_counts=True)
        covered = [poisson_upper(count) >= mean for count in counts.tolist()]
        assert np.average(covered, weights=times) >= 0.94


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(20, 20)[1] == pytest.approx(1.0)


# What is tried is what runs.


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"smoothing_s": 0.0, "enter": 0.4, "leave": 0.3},
        {"min_duration_s": 0.3, "per_label": {"left": LabelDecision(0.9, 0.8, 0.1, 2.0)}},
    ],
)
def test_the_events_of_a_trial_are_those_of_a_live_stream(
    demo_model: StreamingModel, changes: dict[str, object]
) -> None:
    decision = dataclasses.replace(demo_model.spec.decision, **changes)  # type: ignore[arg-type]
    spec = demo_model.spec
    scene = Scene(seed=5, height=spec.input.height, width=spec.input.width, gestures=8)
    recording = record_scene(scene)
    stream = demo_model.stream(decision)
    live, rows = [], []
    for image, now in zip(recording.images, recording.timestamps_s.tolist(), strict=True):
        prediction = stream.step(image, now)
        rows.append(prediction.probabilities)
        live += [event for event in prediction.events if event.kind == "start"]
    track = Track("scene", "", recording.timestamps_s, np.stack(rows), recording.segments)
    assert live
    assert Replays([track], spec.labels, spec.task).starts(0, decision) == live


@pytest.mark.parametrize("task", ["classification", "multilabel"])
@pytest.mark.parametrize("seed", range(6))
def test_the_events_of_a_trial_are_those_of_a_live_stream_whatever_the_scores(
    seed: int, task: str
) -> None:
    """Though the trial leaves quiet frames out."""
    rng = np.random.default_rng(seed)
    rows, times = zip(*random_stream(rng), strict=True)
    replays = Replays([track_of(np.array(times), np.stack(rows))], LABELS, task)
    events = 0
    for _ in range(12):
        leave, enter = np.sort(rng.uniform(0.2, 0.95, 2)).tolist()
        duration_s, silence_s = rng.choice([0.0, 0.1, 0.3], 2).tolist()
        own = {"close": LabelDecision(enter=0.96, min_duration_s=0.0, refractory_s=1.0)}
        decision = DecisionSpec(
            smoothing_s=float(rng.choice([0.0, 0.2])),
            enter=enter,
            leave=leave,
            min_duration_s=duration_s,
            refractory_s=silence_s,
            background="background" if rng.random() < 0.7 else None,
            per_label=own if rng.random() < 0.5 else {},
        )
        live = decider(task, LABELS, decision)
        told = [
            e for row, now in zip(rows, times, strict=True) for e in live.predict(row, now).events
        ]
        starts = [event for event in told if event.kind == "start"]
        found = replays.starts(0, decision)
        assert sorted(found, key=order) == sorted(starts, key=order)
        events += len(starts)
    assert events > 50


def order(event: Event) -> tuple[float, str]:
    return event.timestamp_s, event.label


def track_of(times: np.ndarray, probabilities: np.ndarray) -> Track:
    return Track("made by hand", "", times, probabilities)


def test_the_events_of_a_trial_of_several_labels_are_those_of_a_live_stream(
    tmp_path: Path,
) -> None:
    model = handmade.model(tmp_path / "made.tflite", "multilabel", settle_s=0.0)
    images = handmade.images(200, seed=4)
    decision = DecisionSpec(
        smoothing_s=0.2, enter=0.55, leave=0.45, per_label={"red": LabelDecision(0.8, 0.7)}
    )
    stream = model.stream(decision)
    predictions = [stream.step(image) for image in images]
    live = [e for p in predictions for e in p.events if e.kind == "start"]
    times = np.array([prediction.timestamp_s for prediction in predictions])
    track = Track("made", "", times, np.stack([p.probabilities for p in predictions]))
    assert len({event.label for event in live}) > 1
    assert Replays([track], model.labels, "multilabel").starts(0, decision) == live


def test_recordings_are_streamed_as_they_would_be_live(demo_model: StreamingModel) -> None:
    (track,) = record_data(demo_model, "synthetic:gestures=3")
    assert [segment.label for segment in track.segments] != []
    assert len(track.segments) == 3
    assert track.probabilities.shape == (len(track.timestamps_s), len(demo_model.labels))
    tracks, left_out = record_background(demo_model, "synthetic:minutes=1")
    assert left_out == ()
    assert tracks[0].segments == ()
    assert tracks[0].seconds == pytest.approx(60.0, abs=0.2)


def test_a_background_that_cannot_be_read_is_left_out_and_told(
    demo_model: StreamingModel, tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "a" / "frames").mkdir(parents=True)
    for index in range(24):
        image = np.full((40, 60, 3), index, np.uint8)
        assert cv2.imwrite(str(tmp_path / "a" / "frames" / f"{index}.png"), image)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    tracks, left_out = record_background(demo_model, str(tmp_path))
    assert [(track.name, len(track.probabilities)) for track in tracks] == [("a/frames", 24)]
    assert len(left_out) == 1
    assert "broken.mp4" in left_out[0]
    (alone,), _ = record_background(demo_model, str(tmp_path / "a" / "frames"))
    assert len(alone.probabilities) == 24
    with pytest.raises(DataError, match="no background could be read"):
        record_background(demo_model, str(tmp_path / "broken.mp4"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none", "no background found"),
        ("synthetic:gestures=3", "unknown option 'gestures'"),
        ("synthetic:minutes=0", "1 to"),
        ("synthetic:minutes=some", "whole number"),
    ],
)
def test_no_background_is_told_in_one_line(
    demo_model: StreamingModel, tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        record_background(demo_model, name if ":" in name else str(tmp_path / name))


# Which setting is taken. Scores are made by hand: bumps of a height and a length.


def track(
    name: str, *bumps: tuple[str, float, float], hours: float = 0.0, truth: bool = False
) -> Track:
    """Bumps (label, score, seconds) with two seconds between them, then background."""
    rows, segments = [], []
    for label, score, seconds in bumps:
        rows += [[0.98, 0.01, 0.01]] * 20
        start = len(rows)
        row = [0.0, 0.0, 0.0]
        row[LABELS.index(label)] = score
        row[0] = 1 - score
        rows += [row] * round(seconds * RATE_HZ)
        segments.append(Segment(label, start, len(rows)))
    rows += [[0.98, 0.01, 0.01]] * max(20, round(hours * 3600 * RATE_HZ) - len(rows))
    times = np.arange(len(rows)) / RATE_HZ
    return Track(name, name, times, np.array(rows, np.float32), tuple(segments if truth else ()))


def tuned(
    data: list[Track], background: list[Track], *, target: float, aim: str | None = None
) -> Tuning:
    return tune(SPEC, data, background, target=target, aim=aim)


@pytest.fixture(scope="module", autouse=True)
def _spec(demo_model: StreamingModel) -> None:
    global SPEC  # noqa: PLW0603  # a packaged spec, with three labels
    spec = demo_model.spec
    shape = dataclasses.replace(spec.output.tensor, shape=(1, 3))
    output = dataclasses.replace(spec.output, tensor=shape)
    SPEC = dataclasses.replace(spec, labels=LABELS, output=output, decision=OWN)


SPEC: ModelSpec

GOOD = [("open", 0.9, 1.0), ("close", 0.9, 1.0)] * 10


def test_false_events_that_are_weaker_than_the_true_ones_are_kept_out_by_enter() -> None:
    data = [track(f"d{i}", *GOOD, truth=True) for i in range(4)]
    background = [track(f"b{i}", *[("open", 0.7, 1.0)] * 5, hours=0.5) for i in range(4)]
    found = tuned(data, background, target=1.0)
    assert found.chosen is not None
    assert (found.chosen.recall, found.chosen.false) == (1.0, 0)
    near = [
        point
        for point in found.points
        if abs(point.decision.enter - found.chosen.decision.enter) < 0.06
        and point.decision.smoothing_s == found.chosen.decision.smoothing_s
        and point.decision.min_duration_s == found.chosen.decision.min_duration_s
    ]
    assert [(p.recall, p.false) for p in near] == [(1.0, 0)] * 3, "the middle, not the edge"
    assert found.before.false == 20
    assert found.before.false_per_hour == pytest.approx(10.0, rel=0.02)
    assert found.held_out is not None
    assert (found.held_out.point.recall, found.held_out.point.false) == (1.0, 0)
    assert found.held_out.point.data.gestures == 80


def test_false_events_that_are_shorter_than_the_true_ones_are_kept_out_by_time() -> None:
    data = [track(f"d{i}", *GOOD, truth=True) for i in range(2)]
    background = [track(f"b{i}", *[("open", 0.95, 0.2)] * 20, hours=1) for i in range(2)]
    found = tuned(data, background, target=2.0)
    assert found.chosen is not None
    assert (found.chosen.recall, found.chosen.false) == (1.0, 0)
    decision = found.chosen.decision
    assert decision.min_duration_s > 0 or decision.smoothing_s > OWN.smoothing_s


def test_the_target_is_what_decides_where_one_has_its_price() -> None:
    data = [track(f"d{i}", ("open", 0.9, 1.0), ("open", 0.6, 1.0), truth=True) for i in range(8)]
    background = [track(f"b{i}", ("open", 0.75, 1.0), hours=0.25) for i in range(8)]
    strict, easy = (tuned(data, background, target=t, aim="recall") for t in (1.0, 5.0))
    assert strict.chosen is not None
    assert easy.chosen is not None
    assert (strict.chosen.recall, strict.chosen.false_per_hour) == (0.5, 0.0)
    assert easy.chosen.recall == 1.0
    assert easy.chosen.false_per_hour == pytest.approx(4.0, rel=0.02)
    for one, other in itertools.pairwise(strict.curve):
        assert one.false < other.false
        assert one.recall < other.recall


def test_a_label_gets_a_threshold_of_its_own_where_only_it_tells_falsely() -> None:
    """``close`` is weak and never false; ``open`` is strong, and false up to 0.7."""
    bumps = [("open", 0.9, 1.0), ("close", 0.6, 1.0)] * 5
    data = [track(f"d{i}", *bumps, truth=True) for i in range(4)]
    background = [track(f"b{i}", *[("open", 0.7, 1.0)] * 5, hours=0.5) for i in range(4)]
    found = tuned(data, background, target=1.0)
    assert found.chosen is not None
    assert (found.chosen.recall, found.chosen.false) == (1.0, 0)
    assert list(found.chosen.decision.per_label) == ["open"]
    assert found.chosen.decision.of("open").enter > 0.7
    assert found.chosen.decision.of("close").enter <= 0.6
    assert any("enter" in line and "open:" in line for line in lines(found))


def test_a_threshold_of_its_own_that_only_fits_chance_is_not_taken() -> None:
    """With one recording of each kind there is no held-out check, so none is kept."""
    bumps = [("open", 0.9, 1.0), ("close", 0.6, 1.0)] * 5
    found = tuned(
        [track("d", *bumps, truth=True)],
        [track("b", *[("open", 0.7, 1.0)] * 5, hours=0.5)],
        target=1.0,
    )
    assert found.chosen is not None
    assert found.chosen.decision.per_label == {}
    assert found.held_out is None
    assert any("no held-out check: --data is a single recording" in note for note in found.notes)


def test_the_models_own_setting_stays_where_no_other_is_better() -> None:
    data = [track(f"d{i}", *GOOD, truth=True) for i in range(2)]
    found = tuned(data, [track(f"b{i}", hours=0.4) for i in range(2)], target=4.0)
    assert found.chosen is not None
    assert found.chosen.decision == OWN


def test_a_target_that_costs_most_of_what_is_recognised_is_told() -> None:
    bumps = [("open", 0.97, 1.0), *[("open", 0.65, 1.0)] * 3]
    data = [track(f"d{i}", *bumps, truth=True) for i in range(2)]
    background = [track(f"b{i}", ("open", 0.8, 3.0), hours=0.4) for i in range(2)]
    found = tuned(data, background, target=1.0, aim="recall")
    assert any("only 25.0 % are recognised; before, 100.0 % were" in n for n in found.notes)


def test_where_no_setting_reaches_the_target_the_nearest_is_told() -> None:
    data = [track(f"d{i}", *GOOD, truth=True) for i in range(2)]
    background = [track(f"b{i}", ("open", 0.999, 5.0), hours=0.25) for i in range(2)]
    found = tuned(data, background, target=1.0)
    assert found.chosen is None
    assert found.nearest.false == 2
    assert found.nearest.recall > 0, "telling nothing would be no answer"
    assert found.to_dict()["chosen"] is None
    assert lines(found)


def test_telling_nothing_reaches_no_target() -> None:
    """At 0.99 nothing is false, and nothing is recognised."""
    data = [track(f"d{i}", *GOOD, truth=True) for i in range(2)]
    background = [track(f"b{i}", ("open", 0.95, 3.0), hours=0.25) for i in range(2)]
    assert tuned(data, background, target=1.0).chosen is None


def test_a_background_too_short_to_show_the_target_is_told() -> None:
    data = [track(f"d{i}", *GOOD, truth=True) for i in range(2)]
    short = [track(f"b{i}", hours=0.1) for i in range(2)]
    (note,) = tuned(data, short, target=4.0).notes
    assert note == (
        "the background is too short to show 4 false events an hour: none in 0.20 h only shows, "
        "with 95 % certainty, fewer than 15 an hour; give at least 0.749 h"
    )
    long = [track(f"b{i}", hours=0.4) for i in range(2)]
    assert tuned(data, long, target=4.0).notes == ()


def test_more_false_events_on_other_recordings_are_told() -> None:
    """Who chooses on the quiet half of the background knows nothing of the other."""
    data = [track(f"d{i}", *[("open", 0.97, 2.0)] * 5, truth=True) for i in range(2)]
    background = [track("b0", *[("open", 0.85, 3.0)] * 9, hours=1.0), track("b1", hours=1.0)]
    found = tuned(data, background, target=1.0, aim="recall")
    assert found.chosen is not None
    assert found.chosen.false == 0
    assert found.held_out is not None
    assert found.held_out.point.false == 9
    assert "on recordings not chosen on there were 4.5 false events an hour" in found.notes[-1]


def test_halves_keep_groups_together_and_labels_on_both_sides() -> None:
    def named(name: str, group: str, label: str) -> Track:
        return dataclasses.replace(track(name, (label, 0.9, 1.0), truth=True), group=group)

    tracks = [
        named(f"{label}{group}{part}", f"{label}{group}", label)
        for label in ("open", "close")
        for group in "abcd"
        for part in "12"
    ]
    one, other = halves(tracks)
    assert sorted(one + other) == list(range(16))
    groups = [{tracks[i].group for i in half} for half in (one, other)]
    assert groups[0].isdisjoint(groups[1])
    for half in (one, other):
        assert {tracks[i].segments[0].label for i in half} == {"open", "close"}


def test_the_models_own_setting_is_among_those_tried_and_its_times_stay() -> None:
    own = DecisionSpec(
        smoothing_s=0.33,
        enter=0.62,
        leave=0.31,
        min_duration_s=0.07,
        refractory_s=1.5,
        settle_s=2.0,
        per_label={"open": LabelDecision(enter=0.9, refractory_s=4.0)},
    )
    settings = base_settings(own)
    plain = dataclasses.replace(own, per_label={"open": LabelDecision(refractory_s=4.0)})
    assert plain in settings
    assert len(settings) == len(set(settings)) == 4 * 5 * (len(ENTER) + 1)
    for setting in settings:
        assert (setting.refractory_s, setting.settle_s) == (1.5, 2.0)
        assert setting.leave == pytest.approx(setting.enter / 2, abs=1e-3)


def test_a_model_that_measures_has_nothing_to_tune(tmp_path: Path) -> None:
    model = handmade.model(tmp_path / "made.tflite", "regression")
    with pytest.raises(ConfigError, match="regression model: it measures"):
        tune(model.spec, [], [], target=1.0)


def test_labels_that_do_not_exclude_each_other_are_tuned_too(tmp_path: Path) -> None:
    """Of a manifest of image folders, some with two labels, through a real graph."""
    cv2 = pytest.importorskip("cv2")
    model = handmade.model(tmp_path / "made.tflite", "multilabel", settle_s=0.0)
    colours = {"red": (135, 120, 120), "red;blue": (135, 120, 135), "green": (120, 135, 120)}
    manifest = "path,label\n"
    for number, (labels, colour) in enumerate([*colours.items()] * 2):
        manifest += f"clip{number},{labels}\n"
        images(cv2, tmp_path / f"clip{number}", colour)
        images(cv2, tmp_path / "quiet" / str(number), (120, 120, 120))
    (tmp_path / "clips.csv").write_text(manifest)
    data = record_data(model, str(tmp_path / "clips.csv"))
    assert [[s.label for s in t.segments] for t in data[:3]] == [
        ["red"],
        ["red", "blue"],
        ["green"],
    ]
    background, _ = record_background(model, str(tmp_path / "quiet"))
    found = tune(model.spec, data, background, target=1.0, aim="recall")
    assert found.chosen is not None
    assert (found.chosen.recall, found.chosen.false) == (1.0, 0)


def images(cv2: object, folder: Path, colour: tuple[int, int, int]) -> None:
    folder.mkdir(parents=True)
    for index in range(30):
        image = np.full((handmade.SIDE, handmade.SIDE, 3), colour[::-1], np.uint8)
        assert cv2.imwrite(str(folder / f"{index}.png"), image)  # type: ignore[attr-defined]
