"""The open loop of ``edgecap bench``: a camera that does not wait, in a process of its own."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgecap.benchmark.camera import Pictures
from edgecap.benchmark.live import measure_open
from edgecap.bundle import read_bundle
from edgecap.errors import ConfigError, SourceError
from edgecap.streaming import StreamingModel
from tests.fake_cameras import Control

SIZE = (96, 96)


class Slow(StreamingModel):
    """A model that takes twice the time that its rate leaves it."""

    def infer(self, image: npt.NDArray[np.uint8], states: Any) -> Any:
        time.sleep(2 / self.spec.rate_hz)
        return super().infer(image, states)


def test_every_frame_of_the_camera_is_answered_left_out_or_dropped(
    demo_model: StreamingModel,
) -> None:
    said: list[str] = []
    # Of four frames of this camera, the model's rate takes one, but on a busy machine some are
    # dropped before: then it is measured again.
    for _ in range(10):
        with contextlib.suppress(SourceError):
            found, notes = measure_open(
                demo_model.stream(), seconds=1.5, camera_hz=48.0, size=SIZE, progress=said.append
            )
            if found.given - found.answered - found.dropped > found.answered > 2:
                break
    else:
        pytest.fail(f"more frames are left out than answered; got {found}")
    assert found.source == "built-in"
    assert found.given >= found.answered + found.dropped
    assert 0.5 < found.seconds < 60
    assert 1 < found.camera_hz < 60
    assert found.model_hz == demo_model.spec.rate_hz
    assert found.deadline_ms == pytest.approx(1e3 / found.model_hz, abs=0.01)
    assert 0 <= found.missed <= found.answered
    assert found.age.count == found.capture.count == found.answered
    assert found.interval.count == found.answered
    assert 0 < found.capture.mean_us < found.age.mean_us
    assert found.interval.mean_us > 0.5e6 / found.model_hz
    assert said[-1].startswith("open loop: ")
    assert all(note.startswith("open loop: ") for note in notes)


def test_a_model_that_is_too_slow_misses_deadlines_and_drops_frames(demo_path: Path) -> None:
    model = Slow(read_bundle(demo_path))
    # Twenty frames to an answer: one is dropped however little of the processor the camera gets.
    found, _ = measure_open(model.stream(), seconds=2.0, camera_hz=120.0, size=SIZE)
    assert found.missed == found.answered > 0
    assert found.age.min_us > 2e6 / found.model_hz
    assert found.dropped > found.answered
    assert found.given >= found.answered + found.dropped


def test_a_camera_that_ends_ends_the_loop(demo_model: StreamingModel, tmp_path: Path) -> None:
    recording = Control(tmp_path / "camera")

    def end_soon(told: str) -> None:
        if told.startswith("open loop: 1 of"):
            recording.set(mode="end")

    found, _ = measure_open(
        demo_model.stream(), seconds=600.0, source=recording.name, size=SIZE, progress=end_soon
    )
    assert found.source == recording.name
    assert found.seconds < 300


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("synthetic:", ConfigError, "needs a camera; synthetic: waits.*live:FILE"),
        ("nowhere.mp4", SourceError, "no such file"),
        ("python:edgecap.benchmark.camera:Pictures:big", SourceError, "WIDTHxHEIGHT:HZ"),
    ],
)
def test_what_is_no_camera_is_refused(
    demo_model: StreamingModel, source: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        measure_open(demo_model.stream(), seconds=60.0, source=source, size=SIZE)


def test_a_camera_that_gives_nothing_is_no_measurement(
    demo_model: StreamingModel, tmp_path: Path
) -> None:
    silent = Control(tmp_path / "camera", mode="silent")
    with pytest.raises(SourceError, match="0 frame"):
        measure_open(demo_model.stream(), seconds=0.3, source=silent.name, size=SIZE)


def test_the_built_in_camera_keeps_its_pace_and_does_not_catch_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = [5.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now_s[0], sleep=sleep)
    monkeypatch.setattr("edgecap.benchmark.camera.time", clock)
    camera = Pictures("64x48:100")
    pictures = [camera.read() for _ in range(4)]
    assert {picture.image.shape for picture in pictures} == {(48, 64, 3)}
    assert len({picture.image.tobytes() for picture in pictures}) == 4
    assert pictures[-1].timestamp_s == pytest.approx(5.04)
    # Twenty frames are missed: the next one comes at once, and those after it in time.
    now_s[0] += 0.2
    times_s = [camera.read().timestamp_s for _ in range(11)]
    assert times_s == pytest.approx(np.arange(5.24, 5.345, 0.01))
    camera.close()
