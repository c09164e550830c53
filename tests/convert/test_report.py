"""The report's page says what was measured, whatever labels and files are called."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("cv2", reason="needs the extra 'convert'")
pytest.importorskip("jinja2", reason="needs the extra 'convert'")
pytest.importorskip("sklearn", reason="needs the extra 'convert'")

from edgecap_convert.report import (
    Album,
    ClipResult,
    CrossvalData,
    Digest,
    PartSummary,
    ReportData,
    pool,
    wilson_interval,
    write_crossval_report,
    write_report,
)
from edgecap_convert.report.page import render_crossval, render_report
from edgecap_convert.report.plots import stage_curves
from edgecap_convert.report.thumbnails import course_points, strip

from edgecap.errors import DataError, ModelFileError
from edgecap.evaluation import Recording, Segment, evaluate
from edgecap.spec import DecisionSpec
from tests.convert.pages import HOSTILE, Page, check_self_contained

HISTORY = {
    "stage": "joint",
    "loss": [2.0 / (step + 1) for step in range(300)],
    "validated": [[0, 0.2], [150, 0.8125], [300, 0.75]],
}


def recordings(
    count: int, labels: tuple[str, ...], frames: int = 12
) -> Iterator[tuple[Recording, npt.NDArray[np.float32]]]:
    """Clips of one colour each, and probabilities that are right in about three of four."""
    rng = np.random.default_rng(5)
    for number in range(count):
        truth = number % len(labels)
        images = np.full((frames, 48, 64, 3), 0, np.uint8)
        images[..., 0] = 20 * (number % 12)
        images[..., 1] = (np.arange(frames) * 20)[:, None, None]
        logits = rng.normal(0, 1, len(labels))
        logits[truth] += 1.5
        probabilities = np.tile(np.exp(logits) / np.exp(logits).sum(), (frames, 1))
        label = labels[truth]
        yield (
            Recording(
                name=f"{label}/clip{number}.mp4",
                images=images,
                timestamps_s=np.arange(frames) / 12,
                truth=(label,) * frames,
                segments=(Segment(label, 0, frames),),
                is_stream=False,
            ),
            probabilities.astype(np.float32),
        )


def classified(count: int, labels: tuple[str, ...], used: int | None = None) -> ReportData:
    """A report of the real evaluation over such clips; labels beyond ``used`` do not occur."""
    material = [
        (recording, np.pad(p, ((0, 0), (0, len(labels) - p.shape[1]))))
        for recording, p in recordings(count, labels[:used])
    ]
    answers = iter([probabilities for _, probabilities in material])
    album = Album("classification", labels)
    result = evaluate(
        album.predictor(lambda images: next(answers)),
        album.follow(recording for recording, _ in material),
        labels=labels,
        decision=DecisionSpec(),
    )
    return ReportData(
        title="a run",
        task="classification",
        labels=labels,
        metrics={"validation": result.to_dict(), "test": result.to_dict()},
        clips=album.digest,
        histories=[HISTORY],
        rate_hz=12.0,
    )


def test_the_figures_are_those_of_the_evaluation() -> None:
    labels = ("left", "right", "up", "down")
    data = classified(41, labels, used=3)
    metrics = data.metrics["test"]
    page = Page(render_report(data))
    check_self_contained(page)

    matrix = page.table("")
    assert matrix[0] == ["", *labels, "clips"]
    counts = [[int(cell or 0) for cell in row[1:-1]] for row in matrix[1:]]
    assert counts == metrics["confusion"]
    assert [int(row[-1]) for row in matrix[1:]] == [sum(row) for row in metrics["confusion"]]

    per_class = {row[0]: row[1:] for row in page.table("label")[1:]}
    for label in labels[:3]:
        row = metrics["per_class"][label]
        names = ("precision", "recall", "f1")
        expected = [f"{row[n]:.3f}" for n in names] + [f"{row['support']:.0f}"]
        assert per_class[label] == expected
    assert per_class["down"] == ["does not occur", "0"]

    figures = page.table("part")
    assert [row[0] for row in figures[1:]] == ["validation", "test"]
    column = figures[0].index("accuracy")
    assert figures[2][column] == f"{metrics['accuracy'] * 100:.1f} %"
    right = sum(metrics["confusion"][i][i] for i in range(4))
    assert f"{right} of 41 clips" in page.text
    assert "0.8125" in page.text


def test_confusions_are_listed_from_the_most_frequent() -> None:
    labels = ("a", "b", "c")
    confusion = [[5, 3, 0], [0, 9, 1], [7, 0, 2]]
    metrics = {**pool([{"confusion": confusion, "labels": labels}])}
    page = Page(render_report(ReportData("t", "classification", labels, {"test": metrics})))
    (found,) = (table for table in page.tables if "taken for" in table[0][1])
    assert [(row[0], row[1], row[2]) for row in found] == [
        ("7", "c taken for a", "78 %"),
        ("3", "a taken for b", "38 %"),
        ("1", "b taken for c", "10 %"),
    ]


def test_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    data = classified(30, HOSTILE, used=4)
    worse = ClipResult(
        '<img src=x onerror="alert(1)">\x00\x1b[2J\u202egpj.exe\udcff',
        (HOSTILE[0],),
        (HOSTILE[1],),
        np.array([0, 1, 0, 0, 0], np.float32),
    )
    assert isinstance(data.clips, Digest)
    data.clips.add(worse)
    data = dataclasses.replace(
        data,
        title="</title><script>alert(2)</script>",
        settings={"<b>": {"x": "</table>", "deep": {"er": [1, "<i>"]}}, "plain": None},
        provenance={"command": "edgecap train '<data>' && rm"},
        split={"training": PartSummary(3, ("<g>", "h"), {HOSTILE[0]: 3})},
        skipped=[("<svg onload=alert(3)>.mp4", "not a <video>")],
        notes=["<u>note</u>"],
        histories=[HISTORY | {"stage": "<stage>"}],
    )
    write_report(tmp_path / "report.html", data)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    check_self_contained(page)
    assert len(page.images) == 11
    for text in (
        *HOSTILE,
        "</table>",
        "not a <video>",
        "<u>note</u>",
        "1, <i>",
        "deep.er",
        "<stage>",
    ):
        assert text in page.text
    assert '<img src=x onerror="alert(1)">' in page.text
    assert not re.search("[\x00-\x08\x1b\u202e\udcff]", page.source)
    assert "&& rm" in page.text


def test_thumbnails_show_the_clip_from_its_beginning_to_its_end() -> None:
    page = Page(render_report(classified(14, ("a", "b"))))
    assert len(page.images) == 12
    for image in page.images:
        assert image.shape == (96, 6 * 128 + 5 * 3, 3)
        cells = [image[48, 64 + number * 131] for number in range(6)]
        # Frames 0, 2, 4, 7, 9 and 11 of 12, whose green is 20 times their number.
        expected = np.array([0, 2, 4, 7, 9, 11]) * 20
        assert np.abs(np.array(cells)[:, 1] - expected).max() <= 12


def test_the_worst_and_the_best_are_chosen_and_only_they_are_read() -> None:
    read = []

    def clip(number: int) -> ClipResult:
        share = ((number * 37) % 100) / 100

        def frames(picks: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
            read.append((number, picks.tolist()))
            return np.zeros((len(picks), 32, 32, 3), np.uint8)

        scores = np.array([share, 1 - share], np.float32)
        answer = "a" if share > 0.5 else "b"
        course = np.tile(scores, (11, 1))
        return ClipResult(f"clip {share:.2f}", ("a",), (answer,), scores, course, images=frames)

    metrics = pool([{"confusion": [[49, 51], [0, 0]], "labels": ["a", "b"]}])
    data = ReportData(
        "t", "classification", ("a", "b"), {"test": metrics}, clips=(clip(n) for n in range(100))
    )
    page = Page(render_report(data))
    order = re.findall(r"clip (\d\.\d\d)", page.text)
    assert order == [f"0.0{n}" for n in range(8)] + ["0.99", "0.98", "0.97", "0.96"]
    assert len(read) == 12
    assert all(picks == [0, 2, 4, 6, 8, 10] for _, picks in read)
    # Of two classes of which one never occurs there is no curve.
    assert "no curve to draw" in page.text


def test_frames_that_can_no_longer_be_read_leave_the_rest() -> None:
    def gone(picks: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        raise DataError("the file is gone")

    scores = np.array([0.9, 0.1], np.float32)
    clip = ClipResult("c", ("a",), ("a",), scores, np.tile(scores, (4, 1)), images=gone)
    assert strip(clip) is None


def test_a_digest_keeps_six_frames_of_a_clip() -> None:
    images = np.zeros((500, 16, 16, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(500) % 256
    found = Digest("classification", ("a",))
    found.add(ClipResult("c", ("a",), ("a",), np.ones(1, np.float32), images=images))
    (kept,) = found.worst
    assert callable(kept.images)
    frames = kept.images(np.arange(6))
    assert frames.base is None or frames.base.shape[0] == 6
    assert frames[:, 0, 0, 0].tolist() == [n % 256 for n in (0, 100, 200, 299, 399, 499)]


def test_digests_of_folds_are_one() -> None:
    rng = np.random.default_rng(2)
    clips = [
        ClipResult(f"c{n}", ("a",), ("a",), np.array([p], np.float32))
        for n, p in enumerate(rng.integers(0, 12, 60) / 12)
    ]
    together, folds = Digest("classification", ("a",)), Digest("classification", ("a",))
    for clip in clips:
        together.add(clip)
    for first in range(0, 60, 20):
        fold = Digest("classification", ("a",))
        for clip in clips[first : first + 20]:
            fold.add(clip)
        folds.merge(fold)
    for which in ("worst", "best"):
        names = [[clip.name for clip in getattr(found, which)] for found in (together, folds)]
        assert names[0] == names[1]
    assert folds.count == 60
    assert [s.tolist() for s in folds.scores] == [s.tolist() for s in together.scores]


def test_an_album_refuses_images_that_are_not_the_recording_s() -> None:
    album = Album("classification", ("a", "b"))
    predict = album.predictor(lambda images: np.ones((len(images), 2), np.float32))
    with pytest.raises(RuntimeError, match="follow"):
        predict(np.zeros((3, 8, 8, 3), np.uint8))


def test_two_classes_have_curves_with_their_areas() -> None:
    data = classified(60, ("calm", "fight"))
    page = Page(render_report(data))
    check_self_contained(page)
    binary = data.metrics["test"]["binary"]
    assert f"ROC, area {binary['roc_auc']:.3f}" in page.text
    assert f"average precision {binary['average_precision']:.3f}" in page.text
    assert "Detecting “fight”" in page.text


def test_one_clip_is_enough() -> None:
    page = Page(render_report(classified(1, ("a", "b"))))
    check_self_contained(page)
    assert "1 of 1 clips" in page.text or "0 of 1 clips" in page.text
    assert len(page.images) == 1


def test_a_training_that_diverged_has_a_report() -> None:
    nan = float("nan")
    clip = ClipResult("c", ("a",), ("b",), np.full(2, nan, np.float32))
    metrics = pool([{"confusion": [[0, 1], [0, 0]], "labels": ["a", "b"]}])
    history = {"stage": "joint", "loss": [1.0, nan, nan], "validated": [[0, 0.5], [3, nan]]}
    data = ReportData(
        "t", "classification", ("a", "b"), {"test": metrics}, clips=[clip], histories=[history]
    )
    check_self_contained(Page(render_report(data)))
    nothing = {"stage": "joint", "loss": [nan], "validated": []}
    assert stage_curves(nothing) is None


def measured(offset: float, names: tuple[str, ...] = ("angle $", "<speed>")) -> ReportData:
    """Recordings whose answers are wrong by 0, 1, 2, … and by an offset."""
    rng = np.random.default_rng(1)
    truths = [rng.normal(0, 10, (50, len(names))).astype(np.float32) for _ in range(3)]
    album = Album("regression", names)
    answers = iter([truth + number + offset for number, truth in enumerate(truths)])
    listed = [
        Recording(
            name=f"run{number}.mp4",
            images=np.zeros((50, 24, 24, 3), np.uint8),
            timestamps_s=np.arange(50) / 10,
            truth=(),
            segments=(),
            is_stream=False,
            targets=truth,
        )
        for number, truth in enumerate(truths)
    ]
    result = evaluate(
        album.predictor(lambda images: next(answers)),
        album.follow(listed),
        labels=names,
        decision=DecisionSpec(),
        task="regression",
    )
    return ReportData(
        "t", "regression", names, {"test": result.to_dict()}, clips=album.digest, rate_hz=10.0
    )


def test_a_regression_is_compared_with_the_mean() -> None:
    data = measured(0.0)
    page = Page(render_report(data))
    check_self_contained(page)
    rows = {row[0]: row[1:] for row in page.table("value")[1:]}
    # Errors of 0, 1 and 2: squares of 5/3 in the mean, sizes of 1.
    assert set(rows) == {"angle $", "<speed>"}
    for row in rows.values():
        assert row[0] == "1.667"
        assert row[3] == "1.000"
        assert float(row[2].rstrip(" %")) == pytest.approx(100 * (1 - float(row[4])), abs=0.15)
    assert "run2.mp4, mean squared error 4.000" in page.text
    order = re.findall(r"MSE (\S+) (run\d)", page.text)
    assert order == [("4.000", "run2"), ("1.000", "run1"), ("0.000", "run0")]
    assert page.tags.count("svg") == 2 + 2 + 3


def test_pooled_regression_weighs_frames() -> None:
    rows = [
        {"mse": 1.0, "mae": 1.0, "r2": 0.9, "frames": 100},
        {"mse": 4.0, "mae": 2.0, "r2": 0.5, "frames": 300},
    ]
    pooled = pool([row | {"per_value": {"v": row}} for row in rows])
    assert pooled["mse"] == pytest.approx(3.25)
    assert pooled["mae"] == pytest.approx(1.75)
    # The means reach 10 and 8.
    assert pooled["per_value"]["v"]["mean_mse"] == pytest.approx(8.5)
    assert pooled["r2"] == pytest.approx(1 - 3.25 / 8.5)
    assert pooled["mean"]["mse"] == 2.5


def several(seed: int) -> ReportData:
    labels = ("person", "car", "<dog>", "never")
    rng = np.random.default_rng(seed)
    album = Album("multilabel", labels)
    listed, answers = [], []
    for number in range(25):
        truth = (rng.random(4) < [0.6, 0.4, 0.3, 0]).astype(np.float32)
        listed.append(
            Recording(
                name=f"clip{number}",
                images=np.zeros((6, 24, 24, 3), np.uint8),
                timestamps_s=np.arange(6) / 10,
                truth=(),
                segments=(),
                is_stream=False,
                targets=np.tile(truth, (6, 1)),
            )
        )
        scores = np.clip(0.3 + 0.4 * truth + rng.normal(0, 0.15, 4), 0, 1)
        answers.append(np.tile(scores, (6, 1)).astype(np.float32))
    given = iter(answers)
    result = evaluate(
        album.predictor(lambda images: next(given)),
        album.follow(listed),
        labels=labels,
        decision=DecisionSpec(),
        task="multilabel",
    )
    return ReportData("t", "multilabel", labels, {"test": result.to_dict()}, clips=album.digest)


def test_labels_that_do_not_exclude_each_other() -> None:
    data = several(3)
    page = Page(render_report(data))
    check_self_contained(page)
    rows = {row[0]: row[1:] for row in page.table("label")[1:]}
    for label, row in data.metrics["test"]["per_label"].items():
        names = ("precision", "recall", "f1", "average_precision")
        assert rows[label] == [f"{row[n]:.3f}" for n in names] + [f"{row['support']:.0f}"]
    assert rows["never"] == ["does not occur", "0"]


def test_events_are_told_with_their_delays() -> None:
    labels = ("none", "wave")
    metrics = pool([{"confusion": [[4, 0], [0, 6]], "labels": labels}])
    events = {
        "gestures": 6, "recognised": 5, "recall": 0.83333, "precision": 0.71429, "false": 2,
        "seconds": 720.0, "background_false": 1, "background_seconds": 360.0,
        "background_false_per_hour": 10.0, "false_per_hour": 10.0,
    }  # fmt: skip
    data = ReportData(
        "t",
        "classification",
        labels,
        {"test": metrics | {"events": events}},
        delays_s=[0.5, 0.6, 0.6, 0.7, 1.0],
        rate_hz=10.0,
    )
    page = Page(render_report(data))
    check_self_contained(page)
    rows = {row[0]: row[1] for row in page.table("events performed")}
    assert rows["recognised"] == "5 (83.3 %)"
    assert rows["false per hour"] == "10.0"
    assert rows["delay, median and 95th percentile"] == "0.60 s, 0.94 s"
    joint = CrossvalData("t", [data, data])
    rows = {row[0]: row[1] for row in Page(render_crossval(joint)).table("events performed")}
    assert rows["recognised"] == "10 (83.3 %)"
    assert rows["false per hour of background (12 min)"] == "10.0"


def test_the_interval_is_wilson_s() -> None:
    # Newcombe 1998, table I.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(29, 29) == pytest.approx((0.8830, 1.0), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_a_cross_validation_is_pooled(tmp_path: Path) -> None:
    labels = ("a", "b", HOSTILE[0])
    folds = [classified(count, labels) for count in (20, 30, 25)]
    data = CrossvalData(
        "three folds", folds, fold_names=("x", "<y>", "z"), protocol="by <group>", seconds=7300
    )
    write_crossval_report(tmp_path / "report.html", data)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    check_self_contained(page)
    total = sum(np.array(fold.metrics["test"]["confusion"]) for fold in folds)
    matrix = page.table("")
    assert [[int(c or 0) for c in row[1:-1]] for row in matrix[1:]] == total.tolist()
    right = int(np.trace(total))
    low, high = wilson_interval(right, 75)
    assert (
        f"{right} of 75 clips; 95 % interval {low * 100:.1f} % to {high * 100:.1f} %" in page.text
    )
    table = page.table("fold")
    assert [row[0] for row in table[1:]] == ["x", "<y>", "z", "mean", "± standard deviation"]
    shares = [fold.metrics["test"]["accuracy"] for fold in folds]
    column = table[0].index("accuracy")
    assert table[4][column] == f"{np.mean(shares) * 100:.1f} %"
    assert table[5][column] == f"{np.std(shares, ddof=1) * 100:.1f} %"
    assert "The worst 8 of 75" in page.text
    assert "2 h 02 min" in page.text


def test_cross_validations_of_the_other_tasks() -> None:
    folds = [several(1), several(2)]
    page = Page(render_crossval(CrossvalData("t", folds)))
    check_self_contained(page)
    supports = {row[0]: int(row[-1]) for row in page.table("label")[1:]}
    for label in ("person", "car", "<dog>"):
        each = [fold.metrics["test"]["per_label"][label]["support"] for fold in folds]
        assert supports[label] == sum(each)
    page = Page(render_crossval(CrossvalData("t", [measured(0.0), measured(1.0)])))
    check_self_contained(page)
    # Errors of 0, 1, 2 and of 1, 2, 3: squares of 19/6 in the mean.
    assert {row[1] for row in page.table("value")[1:]} == {"3.167"}


def test_many_classes_and_noise_stay_small(tmp_path: Path) -> None:
    labels = tuple(f"class number {n}" for n in range(60))
    rng = np.random.default_rng(0)
    clips = [
        ClipResult(
            f"clip{n}",
            (labels[n],),
            (labels[n],),
            rng.random(60).astype(np.float32),
            rng.random((400, 60)).astype(np.float32),
            images=rng.integers(0, 256, (400, 96, 96, 3), np.uint8),
        )
        for n in range(20)
    ]
    confusion = rng.integers(0, 9, (60, 60))
    metrics = pool([{"confusion": confusion, "labels": labels}])
    long = {"stage": "s", "loss": rng.random(20000).tolist(), "validated": [[0, 0.1]]}
    data = ReportData(
        "t", "classification", labels, {"test": metrics}, clips=clips, histories=[long] * 4
    )
    write_report(tmp_path / "report.html", data)
    assert (tmp_path / "report.html").stat().st_size < 2_000_000


def test_figures_are_drawn_the_same_each_time() -> None:
    assert stage_curves(HISTORY) == stage_curves(HISTORY)


def test_a_course_is_drawn_from_corner_to_corner() -> None:
    assert course_points(np.array([0.0, 0.5, 1.0], np.float32)) == "0.0,100.0 50.0,50.0 100.0,0.0"
    assert course_points(np.array([0.25], np.float32)) == "0.0,75.0 100.0,75.0"


def test_nothing_is_left_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot write"):
        write_report(tmp_path / "no" / "report.html", classified(3, ("a", "b")))
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_is_told() -> None:
    metrics = {"test": {}}
    with pytest.raises(ValueError, match="task"):
        ReportData("t", "guessing", ("a",), metrics)
    with pytest.raises(ValueError, match="main"):
        ReportData("t", "regression", ("a",), metrics, main="validation")
    with pytest.raises(ValueError, match="metrics"):
        ReportData("t", "regression", ("a",), {})
    one, other = (ReportData("t", "regression", (name,), metrics) for name in "ab")
    with pytest.raises(ValueError, match="same task and labels"):
        CrossvalData("t", [one, other])
    with pytest.raises(ValueError, match="fold_names"):
        CrossvalData("t", [one], fold_names=["1", "2"])
