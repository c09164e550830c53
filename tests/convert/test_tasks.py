"""Regression and several labels, from generated clips to an int8 model, by the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecap.synthetic import Scene
from tests.convert.tiny import (
    PATCHES,
    answered,
    edgecap,
    patch,
    read_json,
    refused,
    write_frames,
)

FRAMES = 24


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "patches.toml"
    path.write_text(PATCHES)
    return path


def write_places(folder: Path, count: int) -> Path:
    """A patch that wanders, and a table that says where it is: from −1 to 1."""
    for number in range(count):
        rng = np.random.default_rng(number)
        phase, pace = rng.uniform(0, 2 * np.pi), rng.uniform(2, 5)
        x = 0.5 + 0.35 * np.sin(phase + pace * np.arange(FRAMES) / 12)
        shade = int(rng.integers(30, 100))
        frames = [patch(place, shade=shade) for place in x]
        path = write_frames(folder / f"{number}.avi", frames, rate_hz=12)
        rows = "".join(f"{n},{2 * place - 1:.4f}\n" for n, place in enumerate(x))
        path.with_suffix(".csv").write_text(f"frame,place\n{rows}")
    return folder


@pytest.mark.slow
def test_values_are_learnt_and_kept_in_int8(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_places(tmp_path / "places", 12)
    fresh = write_places(tmp_path / "fresh", 16)
    run, model = tmp_path / "run", tmp_path / "place.tflite"
    metrics = answered(capfd, "train", data, "--out", run, "--config", config)
    assert metrics["task"] == "regression"
    assert metrics["data"]["clips"] == {"training": 9, "validation": 3, "test": 0}
    assert metrics["validation"]["labels"] == ["place"]
    assert metrics["validation"]["frames"] == 3 * FRAMES
    assert metrics["validation"]["r2"] > 0.7
    assert "R²" in (run / "report.html").read_text()
    parity = answered(capfd, "convert", run, "--out", model)
    # The output's range is about 3 wide; its grid's step 1/80.
    assert parity["mean_difference"] < 0.02
    assert parity["accuracy"]["int8"]["mse"] < parity["accuracy"]["float"]["mse"] + 0.02
    spec = answered(capfd, "info", model)["spec"]
    assert (spec["task"], spec["labels"]) == ("regression", ["place"])
    int8 = answered(capfd, "evaluate", model, fresh)
    floating = answered(capfd, "evaluate", run, fresh)
    assert int8["frames"] == floating["frames"] == 16 * FRAMES
    assert floating["r2"] > 0.7
    assert int8["r2"] > floating["r2"] - 0.05
    # Tables of other values are not what this model is measured on.
    for table in fresh.glob("*.csv"):
        table.write_text(table.read_text().replace("place", "angle"))
    assert "angle" in refused(capfd, "evaluate", model, fresh)


def test_the_place_of_an_object_in_a_scene_is_a_table_too(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Times instead of frames, two values, a manifest, parts of recordings."""
    rows = ["path,start_s,end_s,group,table"]
    for seed in range(4):
        scene = Scene(seed=seed, height=40, width=48, rate_hz=24, gestures=2)
        shown = [frame for frame in scene if frame.pose is not None][:60]
        path = write_frames(tmp_path / "scenes" / f"{seed}.avi", [f.image for f in shown])
        path.with_suffix(".txt").write_text(
            "time_s,x,y\n"
            + "".join(f"{n / 24:.5f},{f.pose.x:.4f},{f.pose.y:.4f}\n" for n, f in enumerate(shown))
        )
        rows += [f"{seed}.avi,{start},{start + 1},{seed},{seed}.txt" for start in (0, 1)]
    manifest = tmp_path / "scenes" / "parts.csv"
    manifest.write_text("\n".join(rows) + "\n")
    config.write_text(
        PATCHES.replace("steps = 200", "steps = 0").replace("steps = 100", "steps = 4")
    )
    run = tmp_path / "run"
    metrics = answered(capfd, "train", manifest, "--out", run, "--config", config)
    assert metrics["validation"]["labels"] == ["x", "y"]
    assert metrics["data"]["groups"] == {"training": 3, "validation": 1, "test": 0}
    assert metrics["validation"]["recordings"] == 2
    split = read_json(run / "split.json")
    assert len({name.split()[0] for name in split["validation"]}) == 1


def write_lamps(folder: Path, count: int) -> Path:
    """``left`` and ``right`` patches, which come and go together or apart, and a manifest."""
    rows = ["path,label"]
    for number in range(count):
        rng = np.random.default_rng(100 + number)
        labels = (["left"], ["right"], ["left", "right"], [])[number % 4]
        wall = patch(-1.0, shade=int(rng.integers(30, 100)))
        for label in labels:
            x = (0.2 if label == "left" else 0.8) + rng.uniform(-0.04, 0.04)
            wall = np.maximum(wall, patch(x, shade=0))
        write_frames(folder / f"{number}.avi", [wall] * FRAMES, rate_hz=12)
        rows.append(f"{number}.avi,{';'.join(labels)}")
    manifest = folder / "lamps.csv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest


@pytest.mark.slow
def test_several_labels_are_learnt_and_kept_in_int8(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_lamps(tmp_path / "lamps", 16)
    fresh = write_lamps(tmp_path / "fresh", 20)
    run, model = tmp_path / "run", tmp_path / "lamps.tflite"
    metrics = answered(capfd, "train", data, "--out", run, "--config", config)
    assert metrics["task"] == "multilabel"
    assert sum(metrics["data"]["clips"].values()) == 16
    assert metrics["validation"]["labels"] == ["left", "right"]
    assert metrics["validation"]["macro_f1"] > 0.8
    parity = answered(capfd, "convert", run, "--out", model)
    assert parity["same_answers"] > 0.95
    spec = answered(capfd, "info", model)["spec"]
    assert (spec["task"], spec["output"]["activation"]) == ("multilabel", "sigmoid")
    int8 = answered(capfd, "evaluate", model, fresh)
    floating = answered(capfd, "evaluate", run, fresh)
    assert int8["segments"] == floating["segments"] == 20
    assert floating["macro_f1"] > 0.8
    assert int8["macro_f1"] > floating["macro_f1"] - 0.1
    assert edgecap("verify", model) == 0
