"""What is written over pictures, and the window that shows it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edgecap.drawing import Captions, Overlay, draw, enlarged, fitted, plain
from edgecap.errors import MissingDependencyError, ReaderGoneError, SinkError
from edgecap.notices import Notice
from edgecap.predictions import MultiLabelPrediction, RegressionPrediction
from edgecap.sinks.background import Background
from edgecap.sinks.window import Window, has_windows, mosaic
from tests.processes import wait_for
from tests.runs import END, LABELS, START, result, run_info

cv2 = pytest.importorskip("cv2", reason="needs the extra 'camera'")
GREEN, BLUE, YELLOW = (60, 210, 130), (95, 175, 255), (255, 205, 90)


def pixels(image: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((image == color).all(axis=2).sum())


def grey(height: int = 360, width: int = 640) -> np.ndarray:
    return np.full((height, width, 3), 120, np.uint8)


def test_drawing_leaves_the_frame_as_it_was() -> None:
    image = grey()
    drawn = draw(image, result(0, score=0.5), LABELS, Overlay())
    assert (image == 120).all()
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    # Only the strip at the top is drawn on.
    assert (drawn[80:] == 120).all() and not (drawn[:20] == 120).all()


@pytest.mark.parametrize("score", [0.0, 0.25, 0.5, 1.0])
def test_the_bar_is_as_long_as_the_score(score: float) -> None:
    drawn = draw(grey(), result(0, score=score), LABELS, Overlay())
    whole = pixels(draw(grey(), result(0, score=1.0), LABELS, Overlay()), BLUE)
    assert pixels(drawn, BLUE) == pytest.approx(score * whole, rel=0.01)


def test_events_and_notices_stay_for_some_seconds_and_then_go() -> None:
    captions = Captions()
    assert captions.take(result(0, START)).recent == (("öffnen start", True),)
    captions.notice(Notice("lost", "no frame for 5 s", 0.5, "door"))
    shown = captions.take(result(10, END)).recent
    assert shown == (("öffnen start", True), ("no frame for 5 s", False), ("öffnen end", False))
    drawn = draw(grey(), result(10), LABELS, Overlay(shown))
    assert pixels(drawn, GREEN) > 0 and pixels(drawn, YELLOW) > pixels(drawn, GREEN)
    assert captions.take(result(200)).recent == ()


def test_the_rate_is_that_of_the_frames_and_begins_anew_after_a_jump() -> None:
    captions = Captions()
    for index in range(20):
        overlay = captions.take(result(index))
    assert overlay.rate == "10.0 fps"
    assert captions.take(result(21, timestamp_s=-500.0)).rate == ""


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (96, 96), (240, 320), (1080, 1920)])
def test_any_size_can_be_drawn_on(size: tuple[int, int]) -> None:
    long = "a label that is far longer than any picture of a camera is wide, and then some " * 3
    one = result(0)
    overlay = Overlay(((long, True),) * 3, "15.0 fps", long)
    regression = RegressionPrediction(0.0, (), np.arange(20, dtype=np.float32))
    several = MultiLabelPrediction(0.0, (), "a", 0.5, np.array([0.5, 0.5], np.float32), (long,))
    for prediction in (one.prediction, regression, several):
        given = dataclasses.replace(one, prediction=prediction)
        image = np.zeros((*size, 3), np.uint8)
        assert draw(image, given, [long] * 20, overlay).shape == image.shape


def test_text_is_readable_on_a_frame_of_the_models_size() -> None:
    large = enlarged(grey(96, 96))
    assert large.shape == (672, 672, 3)
    assert enlarged(grey()).shape == (360, 640, 3)


def test_a_fitted_picture_keeps_its_aspect() -> None:
    tall = fitted(np.full((100, 50, 3), 255, np.uint8), (60, 60))
    assert tall.shape == (60, 60, 3)
    assert (tall[30] == 255).all(axis=1).sum() == 30
    assert (tall[:, 0] == 0).all()


def test_a_letter_that_cannot_be_drawn_loses_its_accent_first() -> None:
    assert plain("öffnen, Straße, Łódź, 手") == "offnen, Strasse, Lodz, ?"


def test_cameras_stand_side_by_side() -> None:
    pictures = [np.full((20, 30, 3), value, np.uint8) for value in (1, 2, 3)]
    assert mosaic(pictures[:1], 1).shape == (20, 30, 3)
    both = mosaic(pictures[:2], 2)
    assert both.shape == (20, 60, 3) and (both[:, 30:] == 2).all()
    assert mosaic(pictures, 3).shape == (40, 60, 3)
    # A camera that has given nothing yet has its place.
    assert mosaic(pictures[:1], 4).shape == (40, 60, 3)


def test_an_opencv_without_windows_is_told_by_the_packages_name() -> None:
    assert not has_windows("  Video I/O:\n  GUI:                           NONE\n")
    assert has_windows("\n  GUI:                           QT5\n    QT: YES\n")
    if has_windows(cv2.getBuildInformation()):
        pytest.skip("this OpenCV has windows")
    with pytest.raises(MissingDependencyError, match="pip install opencv-python"):
        Window(LABELS)


@pytest.mark.parametrize("display", ["", ":987", "127.0.0.1:987.0"])
def test_without_a_screen_there_is_an_error_and_the_process_lives_on(
    monkeypatch: pytest.MonkeyPatch, display: str
) -> None:
    if sys.platform in ("win32", "darwin"):
        pytest.skip("there is always a screen")
    monkeypatch.setattr("edgecap.sinks.window.has_windows", lambda _: True)
    monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(SinkError, match="cannot show a window"):
        Window(LABELS)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A screen that nobody sees."""
    if not has_windows(cv2.getBuildInformation()):
        pytest.skip("needs opencv-python, the one with windows")
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("needs Xvfb")
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [server, "-displayfd", str(writing), "-screen", "0", "1280x960x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as told:
        display = f":{told.readline().strip()}"
    monkeypatch.setenv("DISPLAY", display)
    yield display
    process.kill()
    process.wait()


def press(key: str) -> None:
    if shutil.which("xdotool") is None:
        pytest.skip("needs xdotool")
    # A window without a window manager has the keyboard when the mouse is over it.
    subprocess.run(["xdotool", "mousemove", "200", "200", "key", key], check=True)


def test_a_key_in_the_window_ends_the_run(screen: str) -> None:
    keys: list[str] = []
    background = Background(Window(LABELS, keys.append), name="window")
    background.begin(run_info("0", "1"))
    for index in range(30):
        for camera in ("0", "1"):
            background.write(result(index, START, camera=camera, size=(240, 320)))
        time.sleep(0.01)
    wait_for(lambda: background._sink._open)  # type: ignore[attr-defined]
    press("r")
    wait_for(lambda: keys == ["r"])
    press("q")
    wait_for(lambda: background._failure is not None)
    with pytest.raises(ReaderGoneError, match="the window was closed"):
        background.check()
    background.close()
