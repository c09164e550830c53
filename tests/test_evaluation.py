"""Evaluation: known answers give known figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgecap.errors import ConfigError, DataError
from edgecap.evaluation import (
    EVENT_LAG_S,
    Evaluation,
    EventScore,
    MultiLabelEvaluation,
    Recording,
    RegressionEvaluation,
    Segment,
    average_precision,
    evaluate,
    model_predictor,
    record_scene,
    roc_auc,
    score_events,
)
from edgecap.golden import replay
from edgecap.predictions import RegressionPrediction
from edgecap.quantization import image_tensor
from edgecap.recordings import open_recordings
from edgecap.spec import DecisionSpec, InputSpec
from edgecap.streaming import StreamingModel
from edgecap.synthetic import BACKGROUND, LABELS, Scene
from tests import handmade

NAMES = ("background", "open", "close")
#: Nothing but the two thresholds.
PLAIN = DecisionSpec(
    smoothing_s=0,
    enter=0.6,
    leave=0.4,
    min_duration_s=0,
    refractory_s=0,
    settle_s=0,
    background="background",
)
RATE_HZ = 10.0

Answers = npt.NDArray[np.float32]


def sure(labels: list[str]) -> Answers:
    """Probabilities that are certain of a label per frame."""
    return np.eye(len(NAMES), dtype=np.float32)[[NAMES.index(label) for label in labels]]


def recording(truth: list[str], *segments: Segment, is_stream: bool = True) -> Recording:
    return Recording(
        name="made by hand",
        images=np.zeros((len(truth), 4, 4, 3), np.uint8),
        timestamps_s=np.arange(len(truth)) / RATE_HZ,
        truth=tuple(truth),
        segments=segments,
        is_stream=is_stream,
    )


def clip(label: str, frames: int = 4) -> Recording:
    return recording([label] * frames, Segment(label, 0, frames), is_stream=False)


def test_all_right_is_one() -> None:
    answers = iter([sure(["open"] * 4), sure(["close"] * 4)])
    result = evaluate(
        lambda _: next(answers), [clip("open"), clip("close")], labels=NAMES, decision=PLAIN
    )
    assert (result.accuracy, result.frame_accuracy, result.macro_f1) == (1.0, 1.0, 1.0)
    assert result.segments == 2
    assert result.events is None


def test_the_confusion_matrix_has_truth_in_rows_and_answers_in_columns() -> None:
    truths = ["open", "open", "open", "close"]
    said = iter(["open", "close", "background", "close"])
    result = evaluate(
        lambda _: sure([next(said)] * 4), map(clip, truths), labels=NAMES, decision=PLAIN
    )
    assert result.confusion.tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 1]]
    assert result.accuracy == 0.5
    rows = result.per_class()
    assert set(rows) == {"open", "close"}, "labels that do not occur are not averaged over"
    assert rows["open"] == {
        "precision": 1.0,
        "recall": pytest.approx(1 / 3),
        "f1": pytest.approx(0.5),
        "support": 3.0,
    }
    assert rows["close"]["precision"] == 0.5
    assert rows["close"]["recall"] == 1.0
    assert result.macro_f1 == pytest.approx((0.5 + 2 / 3) / 2)


def test_a_segment_is_answered_by_its_second_half() -> None:
    truth = ["background"] * 2 + ["open"] * 8 + ["background"] * 2
    # Most of the segment says close, most of its second half (frames 6 to 9) says open.
    answers = sure(["close"] * 7 + ["open"] * 3 + ["close"] * 2)
    result = evaluate(
        lambda _: answers,
        [recording(truth, Segment("open", 2, 10))],
        labels=NAMES,
        decision=PLAIN,
    )
    assert result.confusion[1, 1] == 1
    assert result.frame_accuracy == pytest.approx(3 / 12)


def test_the_answer_at_the_end_is_that_of_the_last_frame() -> None:
    said = iter([sure(["close"] * 5 + ["open"]), sure(["open"] * 5 + ["close"])])
    result = evaluate(lambda _: next(said), [clip("open", 6)] * 2, labels=NAMES, decision=PLAIN)
    assert [a.answer for a in result.answers] == ["close", "open"]
    assert [a.end_answer for a in result.answers] == ["open", "close"]
    assert [a.right for a in result.answers] == [False, True]
    assert result.accuracy == result.end_accuracy == 0.5


def test_every_segment_is_listed_with_its_scores() -> None:
    answers = np.array([[0.5, 0.3, 0.2]] * 2 + [[0.1, 0.6, 0.3], [0.1, 0.2, 0.7]], np.float32)
    result = evaluate(lambda _: answers, [clip("open")], labels=NAMES, decision=PLAIN)
    (found,) = result.answers
    assert (found.recording, found.start, found.stop) == ("made by hand", 0, 4)
    assert (found.truth, found.answer, found.right) == ("open", "close", False)
    np.testing.assert_allclose(found.scores, [0.1, 0.4, 0.5], atol=1e-7)


def test_the_score_is_the_mean_of_segment_and_frame_accuracy() -> None:
    answers = sure(["close", "open", "open", "open"])
    result = evaluate(lambda _: answers, [clip("open")], labels=NAMES, decision=PLAIN)
    assert (result.accuracy, result.frame_accuracy) == (1.0, 0.75)
    assert result.score == result.to_dict()["score"] == 0.875


def test_balanced_figures_weigh_every_class_alike() -> None:
    truths = ["open"] * 3 + ["close"]
    said = iter(["open", "open", "close", "close"])
    result = evaluate(
        lambda _: sure([next(said)] * 4), map(clip, truths), labels=NAMES, decision=PLAIN
    )
    assert result.accuracy == 0.75
    assert result.macro_recall == pytest.approx((2 / 3 + 1) / 2)
    assert result.macro_precision == pytest.approx((1 + 1 / 2) / 2)
    assert result.macro_f1 == pytest.approx((2 * 2 / (3 + 2) + 2 / (1 + 2)) / 2)


def test_of_two_labels_the_areas_under_the_curves_are_told() -> None:
    # Three fights and two others, by their score for "fight": ✓ .9, ✗ .8, ✓ .7, ✓ .6, ✗ .2.
    given = [("fight", 0.9), ("calm", 0.8), ("fight", 0.7), ("fight", 0.6), ("calm", 0.2)]
    scores = iter(np.full((4, 2), [1 - p, p], np.float32) for _, p in given)

    def figures(background: str | None) -> Evaluation:
        return evaluate(
            lambda _: next(scores),
            [clip(label) for label, _ in given],
            labels=("calm", "fight"),
            decision=dataclasses.replace(PLAIN, background=background),
        )

    result = figures("calm")
    # Of the 6 pairs, 4 are in order; precision at the three fights is 1, 2/3 and 3/4.
    assert result.positive == "fight"
    assert result.roc_auc == pytest.approx(4 / 6)
    assert result.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert result.to_dict()["binary"] == {
        "positive": "fight",
        "roc_auc": round(4 / 6, 5),
        "average_precision": round((1 + 2 / 3 + 3 / 4) / 3, 5),
    }
    scores = iter(np.full((4, 2), [1 - p, p], np.float32) for _, p in given)
    assert figures("fight").positive == "calm"


def test_of_more_labels_there_are_no_such_areas() -> None:
    result = evaluate(lambda _: sure(["open"] * 4), [clip("open")], labels=NAMES, decision=PLAIN)
    assert result.positive is result.roc_auc is result.average_precision is None
    assert "binary" not in result.to_dict()


@pytest.mark.parametrize(
    ("truth", "scores", "auc", "precision"),
    [
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.75, (1 + 2 / 3) / 2),
        ([1, 0], [0.9, 0.1], 1.0, 1.0),
        ([0, 1], [0.9, 0.1], 0.0, 0.5),
        # A tie counts half; all at one threshold are answered together.
        ([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5], 0.5, 0.5),
        ([1, 1, 0], [0.5, 0.9, 0.5], 0.75, (1 + 2 / 3) / 2),
        ([1, 1], [0.2, 0.3], None, 1.0),
        ([0, 0], [0.2, 0.3], None, None),
        ([], [], None, None),
    ],
)
def test_areas_under_the_curves_by_hand(
    truth: list[int], scores: list[float], auc: float | None, precision: float | None
) -> None:
    assert roc_auc(truth, scores) == (auc if auc is None else pytest.approx(auc))
    found = average_precision(truth, scores)
    assert found == (precision if precision is None else pytest.approx(precision))


def test_a_segment_of_one_frame_has_an_answer() -> None:
    result = evaluate(lambda _: sure(["open"]), [clip("open", 1)], labels=NAMES, decision=PLAIN)
    assert result.accuracy == 1.0


def test_nothing_to_measure_is_no_division_by_zero() -> None:
    result = evaluate(lambda _: sure([]), [], labels=NAMES, decision=PLAIN)
    assert (result.accuracy, result.frame_accuracy, result.macro_f1) == (0.0, 0.0, 0.0)


#: Two gestures of a second each: frames 10 to 19 and 30 to 39 of 60.
TRUTH = ["background"] * 10 + ["open"] * 10 + ["background"] * 10 + ["close"] * 10
TRUTH += ["background"] * 20
GESTURES = (Segment("open", 10, 20), Segment("close", 30, 40))


def scored(said: dict[int, str]) -> EventScore:
    """``said``: frame → what is answered there and in the next frame; else background."""
    labels = ["background"] * len(TRUTH)
    for frame, label in said.items():
        labels[frame : frame + 2] = [label] * 2
    return score_events(sure(labels), recording(TRUTH, *GESTURES), NAMES, PLAIN)


def test_an_event_during_its_gesture_recognises_it() -> None:
    score = scored({12: "open", 37: "close"})
    assert (score.gestures, score.recognised, score.false) == (2, 2, 0)
    assert (score.recall, score.precision) == (1.0, 1.0)
    assert score.seconds == pytest.approx(5.9)


def test_an_event_may_lag_a_little_behind_its_gesture() -> None:
    # The gesture's last frame is 19.
    last = 19 + int(EVENT_LAG_S * RATE_HZ)
    assert scored({last: "open"}).recognised == 1
    late = scored({last + 1: "open"})
    assert (late.recognised, late.false) == (0, 1)


def test_an_event_before_its_gesture_is_false() -> None:
    score = scored({7: "open"})
    assert (score.recognised, score.false) == (0, 1)


def test_an_event_of_another_label_is_false() -> None:
    score = scored({12: "close"})
    assert (score.recognised, score.false, score.recall) == (0, 1, 0.0)


def test_a_gesture_counts_once() -> None:
    score = scored({11: "open", 15: "open"})
    assert (score.recognised, score.false, score.precision) == (1, 1, 0.5)


def test_the_delay_is_from_the_gestures_start_to_its_event() -> None:
    score = scored({12: "open", 37: "close"})
    assert score.delays_s == pytest.approx([0.2, 0.7])
    assert score.delay_median_s == pytest.approx(0.45)
    assert score.delay_p95_s == pytest.approx(0.2 + 0.95 * 0.5)
    none = scored({})
    assert none.delays_s == ()
    assert none.delay_median_s is none.delay_p95_s is None
    assert none.to_dict()["delay_median_s"] is None


def test_false_events_are_told_by_the_hour_and_on_background() -> None:
    # One during a gesture of another label, one in the lag after it, one far from both.
    score = scored({12: "close", 22: "close", 50: "open"})
    assert (score.false, score.background_false) == (3, 1)
    assert score.false_per_hour == pytest.approx(3 * 3600 / 5.9)
    # Away from gestures and their lag of 6 frames: 10 before, 4 between, 14 after, of 60.
    assert score.background_s == pytest.approx(5.9 * 28 / 60)
    assert score.background_false_per_hour == pytest.approx(3600 / (5.9 * 28 / 60))


def test_a_stream_of_background_alone_counts_every_event() -> None:
    labels = ["background"] * 20
    answers = sure(["background"] * 5 + ["open"] * 2 + ["background"] * 13)
    result = evaluate(lambda _: answers, [recording(labels)], labels=NAMES, decision=PLAIN)
    assert result.events is not None
    assert (result.events.gestures, result.events.false) == (0, 1)
    assert result.events.background_false_per_hour == pytest.approx(3600 / 1.9)
    assert result.events.recall == 0.0


def test_the_scores_of_streams_are_added() -> None:
    answers = sure(TRUTH)
    streams = [recording(TRUTH, *GESTURES)] * 3
    result = evaluate(lambda _: answers, streams, labels=NAMES, decision=PLAIN)
    assert result.events is not None
    assert (result.events.gestures, result.events.recognised) == (6, 6)
    assert result.events.seconds == pytest.approx(3 * 5.9)
    assert len(result.events.delays_s) == 6


def test_the_figures_as_plain_data_say_the_same() -> None:
    answers = sure(TRUTH)
    result = evaluate(
        lambda _: answers, [recording(TRUTH, *GESTURES)], labels=NAMES, decision=PLAIN
    )
    plain = result.to_dict()
    assert plain["accuracy"] == result.accuracy == 1.0
    assert plain["segments"] == 2
    assert plain["events"]["recognised"] == 2
    assert plain["confusion"] == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert plain["labels"] == list(NAMES)


def with_targets(targets: list[list[float]], name: str = "made by hand") -> Recording:
    return Recording(
        name=name,
        images=np.zeros((len(targets), 4, 4, 3), np.uint8),
        timestamps_s=np.arange(len(targets)) / RATE_HZ,
        truth=(),
        segments=(),
        is_stream=False,
        targets=np.array(targets, np.float32),
    )


def labelled(
    given: list[tuple[list[float], list[float]]], labels: tuple[str, ...]
) -> MultiLabelEvaluation:
    """Clips of 4 frames: their true labels as 0 and 1, and the probabilities of every frame."""
    said = iter(np.full((4, len(labels)), row, np.float32) for _, row in given)
    result = evaluate(
        lambda _: next(said),
        [with_targets([truth] * 4) for truth, _ in given],
        labels=labels,
        decision=DecisionSpec(),
        task="multilabel",
    )
    assert isinstance(result, MultiLabelEvaluation)
    return result


def test_several_labels_are_scored_each_for_itself() -> None:
    result = labelled(
        [
            ([1, 1, 0, 0], [0.9, 0.4, 0.2, 0.1]),
            ([1, 0, 0, 0], [0.5, 0.1, 0.2, 0.1]),
            ([0, 1, 0, 0], [0.6, 0.8, 0.2, 0.7]),
            ([0, 0, 1, 0], [0.1, 0.3, 0.4, 0.1]),
        ],
        ("walk", "wave", "fall", "never"),
    )
    rows = result.per_label()
    assert list(rows) == ["walk", "wave", "fall"], "what does not occur is not averaged over"
    # walk: answered 3, 2 of them right, 2 true; by score ✓ .9, ✗ .6, ✓ .5, ✗ .1.
    assert rows["walk"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "support": 2.0,
        "average_precision": pytest.approx((1 + 2 / 3) / 2),
    }
    assert rows["wave"]["f1"] == pytest.approx(2 / 3)
    assert rows["wave"]["average_precision"] == 1.0
    assert (rows["fall"]["f1"], rows["fall"]["average_precision"]) == (0.0, 1.0)
    assert result.macro_f1 == pytest.approx((0.8 + 2 / 3 + 0) / 3)
    # All together: 3 right of 5 answered ("never" once) and 5 true.
    assert result.micro_f1 == pytest.approx(2 * 3 / (5 + 5))
    assert result.mean_average_precision == pytest.approx((5 / 6 + 1 + 1) / 3)
    assert result.exact_match == 0.25
    assert result.score == (result.macro_f1 + result.mean_average_precision) / 2
    assert result.answers[2].answer == ("walk", "wave", "never")
    assert result.answers[2].truth == ("wave",)
    plain = result.to_dict()
    assert (plain["task"], plain["segments"]) == ("multilabel", 4)
    assert plain["per_label"]["walk"]["recall"] == 1.0


def test_labels_that_change_begin_a_new_segment() -> None:
    targets = [[0, 0]] * 2 + [[1, 0]] * 4 + [[1, 1]]
    # In the second segment (frames 2 to 5) only the second half says so.
    said = np.array([[0, 0]] * 4 + [[0.9, 0.2]] * 2 + [[0.9, 0.9]], np.float32)
    result = evaluate(
        lambda _: said,
        [with_targets(targets)],
        labels=("walk", "wave"),
        decision=DecisionSpec(),
        task="multilabel",
    )
    assert isinstance(result, MultiLabelEvaluation)
    assert [(a.start, a.stop) for a in result.answers] == [(0, 2), (2, 6), (6, 7)]
    assert [a.answer for a in result.answers] == [(), ("walk",), ("walk", "wave")]
    assert result.exact_match == 1.0


def test_values_are_compared_frame_by_frame() -> None:
    recordings = [
        with_targets([[0, 10], [2, 10]], "one"),
        with_targets([[4, 10], [6, 10]], "two"),
    ]
    said = iter(np.array(rows, np.float32) for rows in ([[1, 10], [2, 10]], [[4, 10], [3, 11]]))
    result = evaluate(
        lambda _: next(said),
        recordings,
        labels=("angle", "speed"),
        decision=DecisionSpec(),
        task="regression",
    )
    assert isinstance(result, RegressionEvaluation)
    # angle: errors 1, 0, 0, 3; its variance is 5. speed: errors 0, 0, 0, 1; it does not vary.
    assert result.per_value() == {
        "angle": {"mse": 2.5, "mae": 1.0, "r2": pytest.approx(0.5)},
        "speed": {"mse": 0.25, "mae": 0.25, "r2": 0.0},
    }
    assert (result.mse, result.mae, result.r2) == (1.375, 0.625, pytest.approx(0.25))
    assert result.score == -1.375
    assert result.frames == 4
    assert [(a.recording, a.mse) for a in result.answers] == [("one", 0.25), ("two", 2.5)]
    plain = result.to_dict()
    assert (plain["task"], plain["score"], plain["recordings"]) == ("regression", -1.375, 2)
    assert plain["per_value"]["angle"] == {"mse": 2.5, "mae": 1.0, "r2": 0.5}


def test_a_perfect_regression_explains_everything() -> None:
    result = evaluate(
        lambda _: np.array([[1.0], [2.0]], np.float32),
        [with_targets([[1], [2]])],
        labels=("angle",),
        decision=DecisionSpec(),
        task="regression",
    )
    assert isinstance(result, RegressionEvaluation)
    assert (result.mse, result.r2) == (0.0, 1.0)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_recordings_without_their_targets_are_refused(task: str) -> None:
    for wrong in (clip("open"), with_targets([[1.0]], "too narrow")):
        with pytest.raises(DataError, match=rf"{wrong.name}: expected targets of shape"):
            evaluate(
                lambda images: np.zeros((len(images), 3), np.float32),
                [wrong],
                labels=NAMES,
                decision=DecisionSpec(),
                task=task,
            )


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_nothing_to_measure_is_no_division_by_zero_for_any_task(task: str) -> None:
    result = evaluate(lambda _: sure([]), [], labels=NAMES, decision=PLAIN, task=task)
    assert result.score == 0
    assert result.answers == ()
    assert result.to_dict()["task"] == task


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="task"):
        evaluate(lambda _: sure([]), [], labels=NAMES, decision=PLAIN, task="captioning")


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_a_model_of_any_task_is_a_predictor(tmp_path: Path, task: str) -> None:
    model = handmade.model(tmp_path / "model.tflite", task)
    images = handmade.images(6)
    stream = model.stream()
    expected = [
        p.values if isinstance(p, RegressionPrediction) else p.probabilities
        for p in map(stream.step, images)
    ]
    np.testing.assert_array_equal(model_predictor(model)(images), expected)


def test_a_recorded_scene_is_the_scene_and_its_gestures_are_the_segments() -> None:
    scene = Scene(seed=9, height=32, width=48, gestures=["left", "away"])
    recorded = record_scene(scene)
    frames = list(scene)
    assert recorded.images.tobytes() == b"".join(f.image.tobytes() for f in frames)
    assert recorded.truth == tuple(f.label for f in frames)
    assert [s.label for s in recorded.segments] == ["left", "away"]
    for number, segment in enumerate(recorded.segments):
        inside = {i for i, f in enumerate(frames) if f.gesture == number}
        assert inside == set(range(segment.start, segment.stop))
    assert recorded.is_stream


def test_the_models_predictor_streams_from_a_reset_state(
    demo_model: StreamingModel, frames: npt.NDArray[np.uint8]
) -> None:
    predict = model_predictor(demo_model)
    first = predict(frames[:8])
    predict(frames[20:])
    again = predict(frames[:8])
    assert first.tobytes() == again.tobytes()
    logits = replay(demo_model, frames[:8])
    np.testing.assert_array_equal(first, [demo_model.activate(row) for row in logits])


INPUT = InputSpec(image_tensor(32, 48))


def test_synthetic_recordings_have_the_gestures_asked_for() -> None:
    recordings = list(
        open_recordings("synthetic:seed=1,gestures=25", spec=INPUT, rate_hz=12.0, labels=LABELS)
    )
    assert [len(r.segments) for r in recordings] == [20, 5]
    assert recordings[0].images.shape[1:] == (32, 48, 3)
    assert BACKGROUND in recordings[0].truth


def test_scenes_to_test_on_depend_on_the_seed() -> None:
    def first(seed: int) -> bytes:
        name = f"synthetic:seed={seed},gestures=1"
        (found,) = open_recordings(name, spec=INPUT, rate_hz=12.0, labels=LABELS)
        return found.images[0].tobytes()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_scenes_are_refused_where_the_model_knows_no_gestures() -> None:
    with pytest.raises(DataError, match="does not know"):
        list(open_recordings("synthetic:", spec=INPUT, rate_hz=12.0, labels=("cat", "dog")))


def test_scenes_of_another_size_than_the_models_are_refused() -> None:
    with pytest.raises(DataError, match="own size and rate"):
        list(open_recordings("synthetic:width=64", spec=INPUT, rate_hz=12.0, labels=LABELS))


def test_no_gestures_are_nothing_to_measure() -> None:
    with pytest.raises(DataError):
        list(open_recordings("synthetic:gestures=0", spec=INPUT, rate_hz=12.0, labels=LABELS))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two classes of two clips each: folders of images."""
    cv2 = pytest.importorskip("cv2")
    for label, level in (("left", 50), ("right", 200)):
        for number in range(2):
            folder = tmp_path / label / f"clip{number}"
            folder.mkdir(parents=True)
            for index in range(3):
                image = np.full((64, 96, 3), level + index, np.uint8)
                cv2.imwrite(str(folder / f"{index}.png"), image)
    return tmp_path


def test_a_folder_per_class_is_read_at_the_models_size(clips: Path) -> None:
    recordings = list(open_recordings(str(clips), spec=INPUT, rate_hz=12.0, labels=LABELS))
    assert [r.truth for r in recordings] == [("left",) * 3] * 2 + [("right",) * 3] * 2
    assert all(r.images.shape == (3, 32, 48, 3) and not r.is_stream for r in recordings)
    assert recordings[-1].images[:, 0, 0, 0].tolist() == [200, 201, 202]
    assert recordings[0].segments == (Segment("left", 0, 3),)


def test_a_class_that_the_model_does_not_know_is_refused(clips: Path) -> None:
    with pytest.raises(DataError, match="does not know right"):
        list(open_recordings(str(clips), spec=INPUT, rate_hz=12.0, labels=("left", "up")))


def test_an_unreadable_clip_is_named(clips: Path) -> None:
    (clips / "left" / "broken.avi").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"unreadable clip: .*broken\.avi"):
        list(open_recordings(str(clips), spec=INPUT, rate_hz=12.0, labels=LABELS))


def test_hidden_folders_are_no_classes(clips: Path) -> None:
    """``.ipynb_checkpoints``, ``.git`` and their like."""
    (clips / "left" / "clip0").rename(clips / "moved")
    hidden = clips / ".cache"
    hidden.mkdir()
    (clips / "moved").rename(hidden / "clip0")
    recordings = list(open_recordings(str(clips), spec=INPUT, rate_hz=12.0, labels=LABELS))
    assert {r.truth[0] for r in recordings} == {"left", "right"}
