"""The packaged model: small, recorded, and good on scenes that it was not trained on."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgecap.bundle import read_bundle
from edgecap.demo import play


@pytest.mark.parametrize("seed", [2026, 1, 2])
def test_the_demo_recognises_95_percent_of_the_gestures(seed: int) -> None:
    result = play(seed=seed, gestures=60, draw=False, quiet=True)
    assert result["gestures"] == 60
    assert result["recall"] >= 0.95
    assert result["false_events"] <= 6


def test_the_demo_tells_what_it_recognises_and_how_long_a_step_takes() -> None:
    out = io.StringIO()
    result = play(seed=3, gestures=8, out=out)
    lines = out.getvalue().splitlines()
    events = [line for line in lines if "▶" in line]
    assert len(events) == result["recognised"] + result["false_events"]
    assert f"recognised {result['recognised']} of 8" in lines[-2]
    assert "p50" in lines[-1]
    assert "\x1b" not in out.getvalue(), "no control characters where there is no terminal"


def test_the_demo_needs_neither_opencv_nor_tensorflow() -> None:
    script = (
        "import sys; from edgecap.demo import play; play(seed=1, gestures=2, quiet=True);"
        "print([m for m in ('cv2', 'tensorflow', 'tf_keras', 'click') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_packaged_model_is_small_and_says_how_it_was_made(demo_path: Path) -> None:
    assert demo_path.stat().st_size <= 400_000
    spec = read_bundle(demo_path).spec
    train, convert = spec.provenance["commands"]
    assert train.startswith("edgecap train synthetic:")
    assert convert.startswith("edgecap convert")
    assert isinstance(spec.provenance["seed"], int)
    metrics = spec.provenance["metrics"]
    assert metrics["int8"] >= 0.95
    assert metrics["int8"] >= metrics["float"] - 0.01


def test_the_recorded_settings_are_those_of_the_example(demo_path: Path) -> None:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    spec = read_bundle(demo_path).spec
    example = Path(__file__).parent.parent / "examples" / "demo.toml"
    given = tomllib.loads(example.read_text())
    recorded = json.loads(json.dumps(spec.provenance["config"]))
    for name, value in given.items():
        if isinstance(value, dict):
            assert {key: recorded[name][key] for key in value} == value
        else:
            assert recorded[name] == value
