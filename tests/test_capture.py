"""A camera in a process of its own: the newest frame, whole, in time, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import edgecap
from edgecap.capture.device import Opener
from edgecap.errors import SourceError
from edgecap.health import memory_mb
from edgecap.preprocess import resize
from edgecap.sources.base import Frame
from edgecap.sources.live import LiveSource
from edgecap.spec import CAMERA_SCALE, InputSpec, TensorSpec
from tests.fake_cameras import SIZE, Control
from tests.processes import LIMIT_S, children, descriptors, is_alive, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="cameras need Linux or macOS")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path / "camera.json")


def opened(control: Control, **options: object) -> LiveSource:
    source = edgecap.open_source(control.name, **options)
    assert isinstance(source, LiveSource)
    return source


def took(source: LiveSource) -> Frame:
    frame = source.take(LIMIT_S)
    assert frame is not None
    return frame


def test_frames_come_in_order_whole_and_with_the_time_they_were_taken(control: Control) -> None:
    with opened(control) as source:
        assert source.live is True
        began_s, last = time.monotonic(), None
        for number, frame in enumerate(source):
            assert frame.image.shape == (*SIZE, 3)
            assert (frame.image == (frame.index + 1) % 256).all(), "torn, or another frame"
            assert frame.timestamp_s <= time.monotonic()
            if last is not None:
                assert frame.index > last.index
                assert frame.timestamp_s > last.timestamp_s
                assert frame.timestamp_s > began_s
            last = frame
            if number == 50:
                break


def test_a_slow_reader_sees_the_newest_frame_and_drops_are_counted(control: Control) -> None:
    control.set(rate_hz=300.0)
    with opened(control) as source:
        first = took(source)
        seen, fresh = 1, 0
        # A frame that has waited for us is a fifth of a second old each time. One that has not may
        # be, where the camera's process does not get the processor: so some are enough.
        while fresh < 3 or source.dropped <= 50:
            assert seen < 100, f"{fresh} fresh frames, {source.dropped} dropped"
            time.sleep(0.2)
            now_s = time.monotonic()
            last = took(source)
            seen += 1
            fresh += last.timestamp_s > now_s - 0.1
        assert source.dropped == last.index - first.index + 1 - seen + first.index


def test_no_frame_is_ever_torn_at_ten_times_the_models_rate(control: Control) -> None:
    control.set(rate_hz=1000.0, size=(480, 640))
    with opened(control) as source:
        for _ in range(150):
            image = took(source).image
            assert image.min() == image.max()


def test_a_frame_taken_stays_as_it_was(control: Control) -> None:
    with opened(control) as source:
        kept = [took(source) for _ in range(12)]
    for frame in kept:
        assert (frame.image == (frame.index + 1) % 256).all()
        frame.image[:] = 0


def test_asking_without_waiting_does_not_wait(control: Control) -> None:
    control.set(mode="silent")
    with opened(control) as source:
        began_s = time.monotonic()
        assert source.take(0) is None
        assert source.take() is None
        # Until the camera counts as lost, ten seconds go by.
        assert time.monotonic() - began_s < 8
        control.set(mode="ok")
        wait_for(lambda: source.take(0))
        assert not source.ended


def test_after_a_timeout_the_newest_frame_is_given_and_not_the_one_that_was_late(
    control: Control,
) -> None:
    control.set(mode="silent")
    fresh = False
    with opened(control) as source:
        # The one that was late is half a second old each time; the newest only where the camera's
        # process does not get the processor. So one that is fresh is enough.
        for _ in range(20):
            while source.take(0.1) is not None:
                pass
            control.set(mode="ok")
            time.sleep(0.5)
            now_s = time.monotonic()
            fresh = took(source).timestamp_s > now_s - 0.2
            if fresh:
                break
            control.set(mode="silent")
    assert fresh


@pytest.mark.parametrize("mode", ["ok", "silent", "hang", "hang_blocking"])
def test_stop_ends_the_frames_at_once(control: Control, mode: str) -> None:
    with opened(control) as source:
        took(source)
        control.set(mode=mode)
        stopped: list[float] = []

        def stop() -> None:
            time.sleep(0.2)
            stopped.append(time.monotonic())
            source.stop()

        threading.Thread(target=stop).start()
        for _ in source:
            pass
        # Until the camera counts as lost, ten seconds go by.
        assert time.monotonic() - stopped[0] < 8
        assert source.take(5.0) is None
        assert source.ended


@pytest.mark.parametrize("mode", ["ok", "silent", "hang", "hang_blocking"])
def test_close_ends_the_process_and_waits_for_no_camera(
    control: Control, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Waited for where the system is slow to end what was killed.
    monkeypatch.setattr("edgecap.capture.process._KILL_S", LIMIT_S)
    source = opened(control)
    took(source)
    pid = source.pid
    assert pid is not None
    assert is_alive(pid)
    control.set(mode=mode)
    time.sleep(0.1)
    began_s = time.monotonic()
    source.close()
    # Those that hang do so for an hour.
    assert time.monotonic() - began_s < 30
    assert not is_alive(pid)
    source.close()
    assert list(source) == []


def test_closing_from_another_thread_lets_the_reader_go(control: Control) -> None:
    control.set(mode="silent")
    source = opened(control)
    threading.Timer(0.1, source.close).start()
    assert list(source) == []


SCRIPT = """
import os, signal, sys, time, edgecap
source = edgecap.open_source(sys.argv[1])
"""


@pytest.mark.parametrize("mode", ["ok", "hang", "hang_blocking"])
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "fork"])
@linux
def test_no_process_outlives_its_parent(control: Control, mode: str, how: str) -> None:
    """Killed, it has no time to clean up; and a fork of it holds all that it held."""
    if how == "fork" and mode == "hang_blocking":
        pytest.skip("a fork keeps the lifeline, and a GIL that is held keeps the other check")
    script = SCRIPT + (
        "fork = os.fork() if sys.argv[2] == 'fork' else -1\n"
        "if fork == 0:\n"
        "    time.sleep(600)\n"
        "    os._exit(0)\n"
        "print(source.pid, fork, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, control.name, how], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid, fork = map(int, parent.stdout.readline().split())
    try:
        control.set(mode=mode)
        time.sleep(0.1)
        assert is_alive(pid)
        os.kill(parent.pid, signal.SIGTERM if how == "SIGTERM" else signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        wait_for(lambda: not is_alive(pid))
    finally:
        if fork > 0:
            os.kill(fork, signal.SIGKILL)


def test_a_signal_handler_may_stop_a_source_that_hangs(control: Control) -> None:
    control.set(mode="silent")
    script = SCRIPT + (
        "signal.signal(signal.SIGTERM, lambda *_: source.stop())\n"
        "print(source.pid, flush=True)\n"
        "frames = len(list(source))\n"
        "source.close()\n"
        "print(frames, 'done', flush=True)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script, control.name], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    pid = int(run.stdout.readline())
    time.sleep(0.1)
    began_s = time.monotonic()
    run.send_signal(signal.SIGTERM)
    assert run.wait(LIMIT_S) == 0
    # Until the camera counts as lost, ten seconds go by.
    assert time.monotonic() - began_s < 8
    with run.stdout:
        assert run.stdout.read() == "0 done\n"
    assert not is_alive(pid)


@linux
def test_ctrl_c_while_opening_leaves_no_process(control: Control) -> None:
    control.set(mode="hang_open")
    script = (
        # A shell's background job ignores SIGINT, and its children do.
        "import signal, sys, edgecap\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try: edgecap.open_source(sys.argv[1])\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script, control.name], stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: children(run.pid))
    time.sleep(0.5)
    (pid,) = children(run.pid)
    run.send_signal(signal.SIGINT)
    assert run.wait(LIMIT_S) == 0
    assert run.stdout is not None
    with run.stdout:
        assert run.stdout.read() == "interrupted\n"
    wait_for(lambda: not is_alive(pid))


@linux
def test_nothing_of_the_source_can_be_seen_by_others(control: Control) -> None:
    """Neither in /dev/shm, nor a secret in the process's arguments or environment."""
    before = set(Path("/dev/shm").iterdir())
    with opened(control) as source:
        took(source)
        assert set(Path("/dev/shm").iterdir()) <= before
        for what in ("cmdline", "environ"):
            assert str(control.path) not in Path(f"/proc/{source.pid}/{what}").read_text()


@linux
def test_thousands_of_frames_leave_memory_threads_and_descriptors_as_they_were(
    control: Control,
) -> None:
    control.set(rate_hz=2000.0, size=(120, 160))
    idle = descriptors()
    with opened(control) as source:
        worker = Path(f"/proc/{source.pid}/statm")

        def sizes() -> tuple[float, float]:
            return memory_mb() or 0.0, int(worker.read_text().split()[1]) * 4096 / 1e6

        for _ in range(500):
            took(source)
        before, threads, open_before = sizes(), threading.active_count(), descriptors()
        for _ in range(5000):
            took(source)
        after = sizes()
        assert (threading.active_count(), descriptors()) == (threads, open_before)
        # A frame is 0.06 MB: keeping one in fifty would show.
        assert after[0] - before[0] < 4.0
        assert after[1] - before[1] < 4.0
    assert descriptors() == idle


@linux
def test_opening_and_restarting_leaves_no_descriptors(control: Control) -> None:
    idle = descriptors()
    for _ in range(3):
        with opened(control) as source:
            took(source)
    control.set(mode="absent")
    with pytest.raises(SourceError):
        opened(control)
    assert descriptors() == idle


def test_a_recording_can_be_played_as_if_it_were_a_camera() -> None:
    began_s = time.monotonic()
    with edgecap.open_source("live:synthetic:seed=4,gestures=1,width=64,height=48,rate=60") as live:
        assert live.live is True
        assert live.rate_hz == 60.0
        frames = list(live)
    with edgecap.open_source("synthetic:seed=4,gestures=1,width=64,height=48,rate=60") as scene:
        expected = list(scene)
    for frame in frames:
        assert frame.image.tobytes() == expected[frame.index].image.tobytes()
    assert frames[-1].index == len(expected) - 1, "the last frame is not lost at the end"
    # None comes before its time. Any may come late, where the camera does not get the processor.
    assert all(frame.timestamp_s > began_s + frame.index / 60 for frame in frames)


@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("method", ["linear", "area"])
def test_resizing_in_the_cameras_process_is_what_the_model_would_do(fit: str, method: str) -> None:
    pytest.importorskip("cv2")
    scene = "synthetic:seed=4,gestures=1,width=320,height=200,rate=30"
    tensor = TensorSpec("image", (1, 48, 40, 3), "int8", CAMERA_SCALE)
    spec = InputSpec(tensor, resize=method, fit=fit)
    with edgecap.open_source(scene) as source:
        expected = [frame.image for frame in source]
    with edgecap.open_source(f"live:{scene}", resize_to=spec) as live:
        frame = next(iter(live))
    assert frame.image.tobytes() == resize(expected[frame.index], spec).tobytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("live:none.mp4", "no such file or folder to play"),
        ("live:0", "no such file or folder to play"),
        ("live:", "no such file or folder to play"),
        ("python:tests.fake_cameras:Nothing", "cannot be imported"),
        ("python:no_such_module:Camera", "cannot be imported"),
        ("python:", "cannot be imported"),
        ("/dev/video77", "there is no /dev/video77"),
        ("77", "there is no /dev/video77"),
        ("picamera:speed=1", "unknown option 'speed'; expected picamera:"),
        ("picamera:width=x", "width expects a number"),
    ],
)
@linux
def test_what_is_no_camera_is_refused_at_once(name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        edgecap.open_source(name)


def test_a_camera_that_is_not_there_is_an_error_and_not_a_wait(control: Control) -> None:
    control.set(mode="absent")
    with pytest.raises(SourceError, match="there is no camera of this name"):
        opened(control)


def test_a_camera_that_hangs_while_it_opens_is_an_error(control: Control) -> None:
    control.set(mode="hang_open")
    with pytest.raises(SourceError, match=r"does not open within 1\.5 s"):
        LiveSource(
            Opener("python", control.name.removeprefix("python:")),
            open_timeout_s=1.5,
        )
