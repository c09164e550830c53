"""``edgecap evaluate --gate``, and what a gate saves on a still scene."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgecap as library
from edgecap.evaluation import evaluate, gated_predictor, record_scene, ungated_predictor
from edgecap.gate import DEFAULT_THRESHOLD, SceneGate
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from tests.test_cli import edgecap, refused
from tests.test_gate import noisy

SCENES = "synthetic:gestures=6"


def figures(*options: str) -> dict[str, Any]:
    result = edgecap("evaluate", "demo", SCENES, "--json", *options)
    assert (result.code, result.err) == (0, "")
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_the_figures_without_the_gate_are_those_of_an_evaluation_without_one() -> None:
    gated, plain = figures("--gate"), figures()
    told = gated.pop("gate")
    assert gated == plain
    assert told["threshold"] == DEFAULT_THRESHOLD
    without, with_gate = told["without"], told["with"]
    assert without["frames"] == without["encoded"] == with_gate["frames"]
    assert 0 < with_gate["encoded"] < with_gate["frames"]
    assert with_gate["encoded_share"] == pytest.approx(
        with_gate["encoded"] / with_gate["frames"], abs=1e-4
    )
    assert min(without["cpu_ms_per_frame"], with_gate["cpu_ms_per_frame"]) > 0
    assert set(plain) - {"model", "data"} <= set(with_gate)
    assert with_gate["accuracy"] >= plain["accuracy"] - 1 / 6


def test_a_gate_that_never_closes_loses_nothing() -> None:
    told = figures("--gate=0")["gate"]
    plain = figures()
    assert told["with"]["encoded_share"] == 1.0
    assert {name: told["with"][name] for name in plain if name not in ("model", "data")} == {
        name: value for name, value in plain.items() if name not in ("model", "data")
    }


def test_it_is_told_to_people_too() -> None:
    result = edgecap("evaluate", "demo", SCENES, "--gate", "200")
    assert (result.code, result.err) == (0, "")
    (line,) = [line for line in result.out.splitlines() if line.startswith("with a gate")]
    assert "200 grey levels" in line
    assert "frames encoded" in line
    assert "ms of processor time a frame instead of" in line


def test_a_wrong_threshold_and_a_run_are_refused(tmp_path: Path) -> None:
    refused(edgecap("evaluate", "demo", SCENES, "--gate=300"), code=2, says="0<=x<=255")
    refused(edgecap("evaluate", tmp_path, SCENES, "--gate"), code=2, says="--gate is for a .tflite")


def test_a_gate_loses_no_gesture_of_many(demo_path: Path) -> None:
    """At the default setting; the scenes have no noise, so much is skipped between gestures."""
    model = library.load(demo_path)
    spec = model.spec
    scene = Scene(seed=1 << 53, height=spec.input.height, width=spec.input.width, gestures=30)
    recordings = [record_scene(scene)]
    gated, ungated = gated_predictor(model, SceneGate()), ungated_predictor(model)
    one, other = (
        evaluate(predict, recordings, labels=spec.labels, decision=spec.decision)
        for predict in (ungated, gated)
    )
    assert other.accuracy >= one.accuracy - 1 / 30
    assert gated.usage.encoded < 0.95 * ungated.usage.encoded


def test_a_still_scene_costs_much_less(demo_path: Path, demo_model: StreamingModel) -> None:
    size = demo_model.spec.input
    scene = Scene(seed=2, height=size.height, width=size.width)
    still = noisy(next(iter(scene)).image, 120, sigma=2.0)
    whole, gated = (
        library.load(demo_path).stream(),
        library.load(demo_path).stream(gate=SceneGate()),
    )
    ratios = []
    for _ in range(9):
        times_s = []
        for stream in (whole, gated):
            began = time.process_time()
            for frame in still:
                stream.step(frame)
            times_s.append(time.process_time() - began)
        ratios.append(times_s[0] / times_s[1])
    assert gated.encoded <= 0.05 * gated.frames
    # Four times, with this smallest of networks; larger ones save more (docs/gate.md).
    assert np.median(ratios) > 2
