"""``edgecap doctor``, as it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.convert.tiny import TINY, answered, edgecap, refused, write_gesture


def test_the_packaged_model_is_examined_on_its_golden_frames(
    capfd: pytest.CaptureFixture[str],
) -> None:
    found = answered(capfd, "doctor", "demo", "--frames", "16")
    assert (found["frames"], found["recipe"]) == (16, "int8")
    assert found["put_back"][0]["part"] == "as it is"
    assert len(found["layers"]) > 40
    assert {"h", "logits", "lstm1 forget gate"} <= set(found["gates"])


def test_a_video_can_be_given(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_gesture(tmp_path / "left.mp4", "left", 1)
    assert edgecap("doctor", "demo", "--data", tmp_path / "left.mp4", "--frames", "10") == 0
    out = capfd.readouterr().out
    assert "recipe int8: 10 frames" in out
    assert "same answers as the float twin" in out
    assert "as it is" in out


def test_what_cannot_be_examined_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "no such file" in refused(capfd, "doctor", tmp_path / "nothing.tflite").lower()
    (tmp_path / "empty").mkdir()
    assert "edgecap train" in refused(capfd, "doctor", tmp_path / "empty")
    line = refused(capfd, "doctor", tmp_path / "empty", "--data", tmp_path)
    assert "a run has frames of its own" in line


@pytest.mark.slow
def test_a_run_is_examined_once_it_is_converted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, run = tmp_path / "tiny.toml", tmp_path / "run"
    config.write_text(TINY)
    assert edgecap("train", "synthetic:", "--out", run, "--config", config) == 0
    assert "edgecap convert" in refused(capfd, "doctor", run)
    assert edgecap("convert", run, "--out", tmp_path / "m.tflite", "--recipe", "int8-full") == 0
    found = answered(capfd, "doctor", run, "--frames", "30")
    assert (found["recipe"], found["reference"]) == ("int8-full", "the float network")
    assert "all but the weights" in {row["part"] for row in found["put_back"]}
    float_file = tmp_path / "f.tflite"
    assert edgecap("convert", run, "--out", float_file, "--recipe", "float16") == 0
    assert "rounds nothing" in refused(capfd, "doctor", float_file)
