"""Evaluation: known answers give known figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgecap.errors import DataError
from edgecap.evaluation import (
    EVENT_LAG_S,
    EventScore,
    Recording,
    Segment,
    evaluate,
    model_predictor,
    record_scene,
    score_events,
)
from edgecap.golden import replay
from edgecap.quantization import image_tensor
from edgecap.recordings import open_recordings
from edgecap.spec import DecisionSpec, InputSpec
from edgecap.streaming import StreamingModel
from edgecap.synthetic import BACKGROUND, LABELS, Scene

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


def test_the_scores_of_streams_are_added() -> None:
    answers = sure(TRUTH)
    streams = [recording(TRUTH, *GESTURES)] * 3
    result = evaluate(lambda _: answers, streams, labels=NAMES, decision=PLAIN)
    assert result.events is not None
    assert (result.events.gestures, result.events.recognised) == (6, 6)
    assert result.events.seconds == pytest.approx(3 * 5.9)


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
    np.testing.assert_array_equal(first, [demo_model.probabilities(row) for row in logits])


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
