"""The Pi's camera, against a stand-in of picamera2's face: sizes, colours, times, buffers.

Not seen on a Pi: these tests show that the calls fit its documented interface, no more.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import edgecap
from edgecap.errors import MissingDependencyError, SourceError

pytest.importorskip("cv2")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the Pi runs Linux")
STAND_IN = Path(__file__).parent / "pi_stand_in"


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STAND_IN))


@pytest.mark.usefixtures("pi")
def test_the_small_stream_has_the_models_size_and_its_colours_are_right() -> None:
    colors = ((220, 40, 40), (40, 200, 40), (40, 40, 220), (128, 128, 128))
    with edgecap.open_source("picamera:rate=50", size=(96, 96)) as source:
        assert source.live is True
        assert source.rate_hz == 50.0
        frame = next(iter(source))
    assert frame.image.shape == (96, 96, 3)
    for number, color in enumerate(colors):
        seen = frame.image[48, number * 24 + 12]
        np.testing.assert_allclose(seen, color, atol=4)


@pytest.mark.usefixtures("pi")
def test_a_frames_time_is_when_the_sensor_took_it() -> None:
    with edgecap.open_source("picamera:width=64,height=48,rate=50") as source:
        times = []
        for _, frame in zip(range(12), source, strict=False):
            times.append(frame.timestamp_s)
            # The stand-in's sensor is done 20 ms before a frame is there.
            assert 0.02 <= time.monotonic() - frame.timestamp_s < 60
    assert frame.image.shape == (48, 64, 3)
    assert all(b > a for a, b in pairwise(times))


@pytest.mark.usefixtures("pi")
def test_odd_sizes_are_rounded_up() -> None:
    with edgecap.open_source("picamera:", size=(97, 95)) as source:
        assert next(iter(source)).image.shape == (98, 96, 3)


@pytest.mark.usefixtures("pi")
def test_a_pi_without_this_camera_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"Pi camera 3 does not open.*connected"):
        edgecap.open_source("picamera:camera=3")


def test_without_picamera2_one_line_says_how_to_get_it() -> None:
    with pytest.raises(MissingDependencyError, match="sudo apt install python3-picamera2") as error:
        edgecap.open_source("picamera:")
    assert "\n" not in str(error.value)
