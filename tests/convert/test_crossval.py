"""Cross-validation: every clip is tested once, by a model that has seen none of its group."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.tiny import (
    PATCHES,
    answered,
    edgecap,
    patch,
    read_json,
    refused,
    write_frames,
)

GROUPS, FRAMES = 8, 14


def write_courses(folder: Path) -> Path:
    """A patch goes left or right; a group is a clip of each, of equal looks; and a manifest."""
    rows = ["path,label,group,fold"]
    for number in range(GROUPS):
        rng = np.random.default_rng(number)
        x = np.linspace(0.15, 0.85, FRAMES) + rng.uniform(-0.1, 0.1)
        shade = int(rng.integers(30, 100))
        for label, course in (("right", x), ("left", x[::-1])):
            name = f"{number}-{label}.avi"
            write_frames(folder / name, [patch(place, shade=shade) for place in course], rate_hz=12)
            rows.append(f"{name},{label},person{number},{'ab'[number % 2]}")
    manifest = folder / "clips.csv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_courses(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "courses.toml"
    path.write_text(
        PATCHES.replace("steps = 200", "steps = 0")
        .replace("= 100", "= 20")
        .replace("steps = 10\n", "steps = 0\n")
    )
    return path


@pytest.fixture(scope="module")
def done(clips: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation of two folds."""
    out = tmp_path_factory.mktemp("crossval") / "cv"
    assert edgecap("crossval", clips, "--out", out, "--config", config, "--folds", 2) == 0
    return out


def test_every_fold_leaves_a_run_a_model_and_a_report(done: Path, clips: Path) -> None:
    assert {entry.name for entry in done.iterdir()} == {
        "fold-0",
        "fold-1",
        "crossval.json",
        "report.html",
    }
    for fold in (0, 1):
        names = {entry.name for entry in (done / f"fold-{fold}").iterdir()}
        assert {
            "config.json",
            "metrics.json",
            "model.tflite",
            "parity.json",
            "parity.html",
        } <= names
        assert not names & {"checkpoints", "features"}
    summary = read_json(done / "crossval.json")
    assert summary["data"] == str(clips)
    assert "2 folds by group" in summary["protocol"]
    assert [figures["fold"] for figures in summary["folds"]] == [0, 1]
    for figures in summary["folds"]:
        fold = done / f"fold-{figures['fold']}"
        assert figures["float"] == read_json(fold / "metrics.json")["test"]
        assert figures["fake_quant"] == read_json(fold / "parity.json")["accuracy"]["fake_quant"]
        assert figures["bytes"] == (fold / "model.tflite").stat().st_size
    page = (done / "report.html").read_text()
    assert "2 folds by group" in page


def test_the_figures_of_all_folds_are_those_of_their_confusions(done: Path) -> None:
    summary = read_json(done / "crossval.json")
    for mode in ("float", "int8"):
        confusions = [np.array(figures[mode]["confusion"]) for figures in summary["folds"]]
        together: dict[str, Any] = summary[mode]
        joint = np.sum(confusions, axis=0)
        assert together["confusion"] == joint.tolist()
        assert joint.sum() == together["segments"] == 2 * GROUPS
        assert joint.sum(axis=1).tolist() == [GROUPS, GROUPS]
        assert together["accuracy"] == pytest.approx(np.trace(joint) / joint.sum(), abs=1e-5)
        low, high = together["accuracy_interval"]
        assert low < together["accuracy"] <= high
        accuracies = [figures[mode]["accuracy"] for figures in summary["folds"]]
        assert together["mean"]["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-4)


def test_no_group_is_on_both_sides_and_every_clip_is_tested_once(done: Path, clips: Path) -> None:
    tested: list[str] = []
    for fold in (0, 1):
        split = read_json(done / f"fold-{fold}" / "split.json")
        groups = [set(split["groups"][part]) for part in ("training", "validation", "test")]
        assert all(groups)
        assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
        assert set.union(*groups) == {f"person{number}" for number in range(GROUPS)}
        tested += split["test"]
    assert sorted(tested) == sorted(path.name for path in clips.parent.glob("*.avi"))


def test_the_int8_model_is_measured_on_its_own_fold(
    done: Path, clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    summary = read_json(done / "crossval.json")
    split = read_json(done / "fold-1" / "split.json")
    rows = clips.read_text().splitlines()
    kept = [row for row in rows[1:] if row.partition(",")[0] in split["test"]]
    manifest = clips.with_name("fold-1.csv")
    manifest.write_text("\n".join([rows[0], *kept]) + "\n")
    try:
        found = answered(capfd, "evaluate", done / "fold-1" / "model.tflite", manifest)
    finally:
        manifest.unlink()
    assert found["confusion"] == summary["folds"][1]["int8"]["confusion"]


@pytest.mark.slow
def test_resuming_does_what_is_left_and_nothing_else(
    done: Path,
    clips: Path,
    config: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "cv"
    shutil.copytree(done, out)
    before = read_json(out / "crossval.json")
    # The second fold's model and the summary are still to be made.
    for name in ("crossval.json", "report.html", "fold-1/model.tflite"):
        (out / name).unlink()
    again = ("parity.json", "parity.html")
    files = [p for p in out.rglob("*") if p.is_file() and p.name not in again]
    stamps = {p: p.stat().st_mtime_ns for p in files if p.name != "quantized.npz"}
    call = ("crossval", clips, "--out", out, "--config", config, "--folds", 2)
    assert "not empty" in refused(capfd, *call)
    summary = answered(capfd, *call, "--resume")
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert summary["int8"] == before["int8"]
    assert summary["float"] == before["float"]
    assert read_json(out / "crossval.json")["int8"] == before["int8"]
    assert (out / "report.html").is_file()
    line = refused(capfd, *call[:-1], 3, "--resume")
    assert "other settings (fold)" in line


@pytest.mark.slow
def test_one_fold_of_a_column_can_be_done_alone(
    clips: Path, config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cv"
    text = config.read_text().replace("steps = 20", "steps = 0")
    (tmp_path / "none.toml").write_text(text)
    summary = answered(
        capfd,
        *("crossval", clips, "--out", out, "--config", tmp_path / "none.toml"),
        *("--column", "fold", "--fold", 1),
    )
    assert [entry.name for entry in out.iterdir()] == ["fold-1"]
    assert "column 'fold'" in summary["protocol"]
    (figures,) = summary["folds"]
    assert figures["int8"]["segments"] == GROUPS
    tested = read_json(out / "fold-1" / "split.json")["test"]
    assert {int(name.partition("-")[0]) % 2 for name in tested} == {1}


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ([], 2, "either --folds N or --column NAME"),
        (["--folds", "2", "--column", "fold"], 2, "either --folds N or --column NAME"),
        (["--folds", "1"], 2, "--folds"),
        (["--folds", "9"], 1, "folds: expected 2 to 8, the number of groups; got 9"),
        (["--column", "place"], 1, "nothing in column 'place'"),
        (["--column", "path"], 1, "column 'path'"),
        (["--folds", "2", "--fold", "2"], 1, "--fold: expected 0 to 1; got 2"),
    ],
)
def test_wrong_use_is_refused_and_leaves_nothing(
    clips: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    status: int,
    said: str,
) -> None:
    call = ("crossval", clips, "--out", tmp_path / "cv", *options)
    assert said in refused(capfd, *call)
    assert edgecap(*call) == status
    assert not (tmp_path / "cv").exists()


def test_data_without_folds_and_places_that_are_taken_are_refused(
    clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cv"
    line = refused(capfd, "crossval", "synthetic:", "--out", out, "--folds", 2)
    assert "no folds" in line
    one = tmp_path / "one"
    (one / "left").mkdir(parents=True)
    for path in clips.parent.glob("*left*"):
        shutil.copy(path, one / "left")
    assert "one class" in refused(capfd, "crossval", one, "--out", out, "--folds", 2)
    assert not out.exists()
    (tmp_path / "file").write_text("mine")
    refused(capfd, "crossval", clips, "--out", tmp_path / "file", "--folds", 2)
    assert (tmp_path / "file").read_text() == "mine"
