"""What goes wrong with cameras, made to go wrong: survived, told, and no frame invented."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import edgecap
from edgecap.capture.device import Opener
from edgecap.errors import SourceError
from edgecap.notices import Notice
from edgecap.sources.base import Frame
from edgecap.sources.live import LiveSource
from tests.fake_cameras import Control
from tests.processes import LIMIT_S, is_alive, wait_for

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="asks /proc about processes"
)
# Where a test is about it; elsewhere a camera that does not get the processor shall not be lost.
STALL_S, PATIENT_S = 0.5, 60.0
PAUSES_S = (0.1, 0.4)


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path / "camera.json")


class Watched:
    """A source, and what it tells."""

    def __init__(self, control: Control, **options: object) -> None:
        options = {"stall_s": PATIENT_S, "pauses_s": PAUSES_S} | options
        opener = Opener("python", control.name.removeprefix("python:"))
        self.source = LiveSource(opener, **options)
        self.notices: list[Notice] = []
        self.source.told = self.notices.append

    @property
    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]

    def took(self) -> Frame:
        frame = self.source.take(LIMIT_S)
        assert frame is not None
        return frame

    def kill(self) -> None:
        """Kills the camera's process; it has gone when this returns."""
        pid = self.source.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid))

    def until(self, kind: str) -> Notice:
        """Takes frames until something is told of."""
        end_s = time.monotonic() + LIMIT_S
        while kind not in self.kinds:
            self.source.take(0.05)
            assert time.monotonic() < end_s, f"{kind} is never told; {self.kinds}"
        return next(n for n in self.notices if n.kind == kind)


@pytest.fixture
def watched(control: Control) -> Iterator[Watched]:
    made = Watched(control)
    yield made
    made.source.close()


def test_a_camera_unplugged_and_back(control: Control, watched: Watched) -> None:
    before = watched.took()
    control.set(mode="absent")
    watched.kill()
    lost = watched.until("lost")
    assert "SIGKILL" in lost.told
    assert lost.camera == watched.source.name
    # It is tried, and tried again, and that is not told each time.
    end_s = time.monotonic() + 1.5
    while time.monotonic() < end_s:
        assert watched.source.take(0.1) is None
    assert watched.kinds == ["lost"]
    assert watched.source.restarts == 0
    control.set(mode="ok")
    after = watched.took()
    assert watched.kinds == ["lost", "back"]
    assert watched.source.restarts == 1
    assert after.index > before.index
    assert after.timestamp_s > before.timestamp_s + 1.0


def test_a_camera_that_says_it_is_lost_is_opened_again(control: Control, watched: Watched) -> None:
    watched.took()
    control.set(mode="lost")
    assert "the cable is out" in watched.until("lost").told
    control.set(mode="ok")
    watched.until("back")


def test_a_bug_in_a_camera_of_ones_own_is_a_loss_and_not_the_end(
    control: Control, watched: Watched
) -> None:
    watched.took()
    control.set(mode="raises")
    assert "ZeroDivisionError: a bug" in watched.until("lost").told
    control.set(mode="ok")
    watched.until("back")


def test_a_camera_of_ones_own_that_gives_no_rgb_is_told_what_is_expected(
    control: Control, watched: Watched
) -> None:
    control.set(mode="gray")
    assert "expected shape (height, width, 3)" in watched.until("lost").told


def test_a_camera_of_ones_own_without_a_time_is_told_what_is_expected(
    control: Control, watched: Watched
) -> None:
    """No sink could say when it was: JSON has no NaN, and no calendar a day for it."""
    watched.took()
    control.set(mode="nan_clock")
    assert "expected a time on time.monotonic; got nan" in watched.until("lost").told
    control.set(mode="ok")
    watched.until("back")


def test_a_camera_that_opens_and_delivers_nothing(control: Control) -> None:
    control.set(mode="silent")
    watched = Watched(control, stall_s=STALL_S)
    with watched.source:
        assert "no frame for 0.5 s" in watched.until("lost").told
        assert watched.source.take(0.01) is None
        control.set(mode="ok")
        watched.until("back")
        assert watched.took().index < 50, "frames that never were have no numbers"


@pytest.mark.parametrize("mode", ["hang", "hang_blocking"])
def test_a_camera_that_hangs_inside_read_is_killed_and_opened_again(
    control: Control, mode: str
) -> None:
    watched = Watched(control, stall_s=STALL_S)
    with watched.source:
        watched.took()
        pid = watched.source.pid
        assert pid is not None
        control.set(mode=mode)
        assert "no frame for" in watched.until("lost").told
        wait_for(lambda: not is_alive(pid))
        control.set(mode="ok")
        watched.until("back")
        assert watched.source.pid != pid


def test_a_worker_that_is_killed_is_replaced(watched: Watched) -> None:
    for number in range(1, 4):
        before = watched.took()
        watched.kill()
        end_s = time.monotonic() + LIMIT_S
        while watched.source.restarts < number or watched.kinds[-1] != "back":
            watched.source.take(0.05)
            assert time.monotonic() < end_s
        assert watched.took().index > before.index
    assert watched.kinds == ["lost", "back"] * 3


def test_a_camera_of_one_frame_in_five_seconds_is_slow_and_not_lost(control: Control) -> None:
    """Where it states its rate, it is given the time of three frames."""
    control.set(rate_hz=1.0, stated_hz=0.1)
    watched = Watched(control, stall_s=0.2)
    with watched.source:
        frames = [watched.took() for _ in range(3)]
    assert all(a.index < b.index for a, b in pairwise(frames))
    assert watched.kinds == []
    assert frames[2].timestamp_s - frames[0].timestamp_s > 1.0, "slower than what would be a stall"


@pytest.mark.slow
def test_a_fifth_of_a_frame_a_second_is_survived_with_the_default_settings(
    control: Control,
) -> None:
    control.set(rate_hz=0.2)
    with edgecap.open_source(control.name) as source:
        assert isinstance(source, LiveSource)
        notices: list[Notice] = []
        source.told = notices.append
        times = [frame.timestamp_s for _, frame in zip(range(4), source, strict=False)]
    assert notices == []
    assert times[3] - times[0] > 10


def test_a_new_resolution_midway_is_told_and_every_frame_is_whole(
    control: Control, watched: Watched
) -> None:
    sizes = [(48, 64), (120, 160), (30, 40), (480, 640)]
    for size in sizes:
        control.set(size=size)
        end_s = time.monotonic() + LIMIT_S
        while (image := watched.took().image).shape[:2] != size:
            assert image.min() == image.max()
            assert time.monotonic() < end_s
        for _ in range(5):
            image = watched.took().image
            assert image.shape[:2] == size
            assert image.min() == image.max()
    assert watched.kinds == ["resized"] * 3
    assert "640 × 480" in watched.notices[-1].told
    assert watched.source.restarts == 0


def test_corrupt_frames_are_left_out_and_counted_apart_from_drops(
    control: Control, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecap.sources.live._TELL_AGAIN_S", 2 * LIMIT_S)
    control.set(rate_hz=20.0)
    watched.took()
    control.set(mode="some_corrupt")
    watched.until("corrupt")
    frames = [watched.took()]
    dropped = watched.source.dropped
    frames += [watched.took() for _ in range(6)]
    assert all(frame.image.min() == frame.image.max() for frame in frames)
    gaps = [b.index - a.index for a, b in pairwise(frames)]
    # Two further where none was dropped on the way, as by a busy machine.
    assert not any(gap % 2 for gap in gaps), "their numbers are missing"
    assert watched.source.dropped - dropped == sum(gap // 2 - 1 for gap in gaps)
    # All in one notice, and not one for each.
    assert watched.kinds == ["corrupt"]


def test_a_camera_of_nothing_but_corrupt_frames_is_opened_again(
    control: Control, watched: Watched
) -> None:
    watched.took()
    control.set(mode="corrupt", rate_hz=500.0)
    assert "31 frames in a row could not be decoded" in watched.until("lost").told
    control.set(mode="ok")
    watched.until("back")


def test_a_bounded_number_of_retries_ends_with_what_happened(control: Control) -> None:
    watched = Watched(control, retries=2)
    with watched.source:
        watched.took()
        control.set(mode="absent")
        watched.kill()
        with pytest.raises(SourceError, match=r"no camera of this name.*again 2 times"):
            for _ in watched.source:
                pass
        assert watched.source.ended
        assert watched.source.take(LIMIT_S) is None
        assert watched.source.pid is None


def test_without_retries_the_first_loss_is_the_end(control: Control) -> None:
    watched = Watched(control, retries=0)
    with watched.source:
        watched.took()
        control.set(mode="lost")
        with pytest.raises(SourceError, match=r"is lost: the cable is out$"):
            list(watched.source)


def test_pauses_grow_to_their_limit(
    control: Control, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.took()
    control.set(mode="absent")
    watched.kill()
    with caplog.at_level(logging.INFO, "edgecap.sources.live"):

        def tries() -> list[str]:
            watched.source.take(0.05)
            return [r.message for r in caplog.records if "again in" in r.message]

        wait_for(lambda: len(tries()) >= 3)
    assert [line.rpartition("again in ")[2] for line in tries()[:3]] == ["0.2 s", "0.4 s", "0.4 s"]


def test_stop_works_in_the_pause_before_a_restart(control: Control) -> None:
    watched = Watched(control, pauses_s=(30.0, 30.0))
    with watched.source:
        watched.took()
        control.set(mode="lost")
        watched.until("lost")
        began_s = time.monotonic()
        assert watched.source.take(0.1) is None
        watched.source.stop()
        assert list(watched.source) == []
        # The pause is half a minute.
        assert time.monotonic() - began_s < 15


def test_a_recordings_end_is_the_end_and_no_loss(control: Control, watched: Watched) -> None:
    watched.took()
    control.set(mode="end")
    list(watched.source)
    assert watched.source.ended
    assert watched.kinds == []


def test_what_native_code_writes_goes_to_the_log_without_secrets_and_never_blocks(
    control: Control, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "edgecap"):
        watched.took()
        control.set(mode="words")
        # Each frame writes more than a pipe holds.
        for _ in range(10):
            watched.took()
    assert "rtsp://admin:***@camera/" in caplog.text
    assert "geheim" not in caplog.text
    assert watched.kinds == []


def test_without_a_listener_a_loss_goes_to_the_log(
    control: Control, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.source.told = None
    watched.took()
    control.set(mode="lost")
    wait_for(lambda: watched.source.take(0.05) is None and "is lost" in caplog.text)


def test_what_native_code_says_only_when_it_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its buffers may be written after the camera's process has told that nothing opens."""
    (tmp_path / "capped.py").write_text(
        "import atexit, os, time\n"
        "from edgecap.errors import SourceError\n"
        "def late():\n"
        "    time.sleep(0.1)\n"
        "    os.write(1, b'the lens cap is on\\n')\n"
        "def camera(_):\n"
        "    atexit.register(late)\n"
        "    raise SourceError('it does not open')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SourceError, match=r"it does not open \(the lens cap is on\)"):
        LiveSource(Opener("python", "capped:camera"))
