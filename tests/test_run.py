"""`edgecap run` as a process of its own: cameras, sinks and signals that come at a bad moment."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_cameras import Control
from tests.processes import LIMIT_S, children, is_alive, wait_for

pytest.importorskip("cv2", reason="cameras need the extra 'camera'")
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks at processes in /proc"
)

_ROOT = Path(__file__).parent.parent
# The run promises to leave in two seconds, in good order or not: after so long it ends itself. On a
# busy machine it is the good order that would suffer, so it is given ten times as long here. A
# camera that hangs does so for an hour: a run that waited for one would not end in time.
_PATIENT = """
import edgecap.cli.outputs, edgecap.flight.recorder, edgecap.shutdown
edgecap.shutdown.GRACE_S = 20.0
edgecap.cli.outputs._CLOSE_S = edgecap.flight.recorder._CLOSE_S = 15.0
from edgecap.cli import main
main()
"""
_LEAVES_S = 18.0


class Run:
    """A running command; lines of JSON go to a file."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        stdout: Any = subprocess.DEVNULL,
        patient: bool = True,
    ) -> None:
        self.jsonl, self._told = folder / "lines.jsonl", folder / "stderr.txt"
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(_ROOT), *sys.path]))
        program = ("-c", _PATIENT) if patient else ("-m", "edgecap")
        self.process = subprocess.Popen(
            [sys.executable, *program, "run", "demo", *options],
            cwd=_ROOT,
            env=environment,
            stdout=stdout,
            stderr=self._told.open("w"),
        )

    @property
    def told(self) -> str:
        return self._told.read_text()

    def lines(self, path: Path | None = None) -> list[dict[str, Any]]:
        """All whole lines; one that is none fails."""
        path = path or self.jsonl
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def kinds(self) -> list[str]:
        return [line["notice"] for line in self.lines() if "notice" in line]

    def answers(self) -> int:
        return sum("frame" in line for line in self.lines())

    def until_answers(self, count: int) -> None:
        wait_for(lambda: self.answers() >= count or self.process.poll() is not None)
        assert self.process.poll() is None, self.told

    def leave(self, number: int = signal.SIGTERM) -> float:
        """Sends a signal; how long it took to end."""
        family = [self.process.pid, *children(self.process.pid)]
        began_s = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(LIMIT_S)
        took_s = time.monotonic() - began_s
        wait_for(lambda: not any(is_alive(pid) for pid in family))
        return took_s


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Any]:
    """Starts runs, and ends what is left of them."""
    started: list[Run] = []

    def start(*options: str, **how: Any) -> Run:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        log = ["--jsonl", str(folder / "lines.jsonl")] if "--jsonl" not in options else []
        started.append(Run(folder, *options, *log, **how))
        return started[-1]

    yield start
    for run in started:
        with contextlib.suppress(ProcessLookupError):
            run.process.kill()
        run.process.wait()


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path / "camera.json", rate_hz=24.0, size=(96, 96))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_in_good_order(running: Any, control: Control, number: int) -> None:
    run = running("--source", control.name, "--view", "none")
    run.until_answers(5)
    assert run.leave(number) < _LEAVES_S
    assert run.process.returncode == 0, run.told
    assert "frames processed" in run.told
    # Nothing that was written is lost, and no half line stands at the end.
    assert run.jsonl.read_text().endswith("\n")
    assert [line["frame"] for line in run.lines()] == sorted(
        {line["frame"] for line in run.lines()}
    )


def test_a_signal_at_any_moment_leaves_nothing_behind(running: Any, control: Control) -> None:
    for pause_s in (0.05, 0.3, 0.6, 0.9, 1.2):
        run = running("--source", control.name, "--view", "none")
        time.sleep(pause_s)
        assert run.leave() < _LEAVES_S
        assert "Traceback" not in run.told
        run.lines()


@pytest.mark.parametrize("mode", ["silent", "hang", "hang_blocking"])
def test_a_run_ends_in_time_while_the_camera_hangs(
    running: Any, control: Control, mode: str
) -> None:
    run = running("--source", control.name, "--view", "none")
    run.until_answers(3)
    control.set(mode=mode)
    time.sleep(0.5)
    assert run.leave() < _LEAVES_S
    assert run.process.returncode == 0, run.told


def test_a_camera_that_is_lost_and_back_is_in_the_lines(running: Any, control: Control) -> None:
    run = running("--source", control.name, "--view", "none", "--stall", "0.5")
    run.until_answers(3)
    control.set(mode="hang_blocking")
    wait_for(lambda: "lost" in run.kinds())
    answered = run.answers()
    control.set(mode="ok")
    wait_for(lambda: "back" in run.kinds())
    run.until_answers(answered + 5)
    run.leave()
    assert run.process.returncode == 0, run.told


def test_a_killed_worker_is_replaced(running: Any, control: Control) -> None:
    run = running("--source", control.name, "--view", "none")
    run.until_answers(3)
    (worker,) = children(run.process.pid)
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: "back" in run.kinds())
    run.until_answers(run.answers() + 3)
    run.leave()


def test_a_killed_run_takes_its_worker_along(running: Any, control: Control) -> None:
    run = running("--source", control.name, "--view", "none")
    run.until_answers(3)
    control.set(mode="hang_blocking")
    time.sleep(0.3)
    run.leave(signal.SIGKILL)


def test_a_bounded_number_of_retries_ends_the_run_with_one_line(
    running: Any, control: Control
) -> None:
    run = running("--source", control.name, "--quiet", "--retries", "1")
    run.until_answers(3)
    control.set(mode="absent")
    (worker,) = children(run.process.pid)
    os.kill(worker, signal.SIGKILL)
    assert run.process.wait(LIMIT_S) == 1
    last = run.told.splitlines()[-1]
    assert last.startswith("edgecap: ")
    assert "is lost" in last


def test_a_slow_camera_and_a_fast_one_are_resampled_and_told(
    running: Any, control: Control
) -> None:
    control.set(rate_hz=120.0)
    run = running("--source", control.name, "--view", "none")
    run.until_answers(30)
    times = [line["timestamp_s"] for line in run.lines() if "frame" in line]
    rate_hz = (len(times) - 1) / (times[-1] - times[0])
    # Twelve at most. Fewer may be answered where the run does not get the processor.
    assert 0.5 < rate_hz < 13
    control.set(rate_hz=3.0)
    wait_for(lambda: "slow" in run.kinds())
    run.leave()


def test_a_sink_that_blocks_holds_nothing_up(
    running: Any, control: Control, tmp_path: Path
) -> None:
    pipe = tmp_path / "nobody-reads"
    os.mkfifo(pipe)
    # A reader that opens and never reads; a page of memory is full after some twenty lines.
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    size = fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    run = running("--source", control.name, "--view", "none", "--jsonl", str(pipe), patient=False)

    def blocks() -> bool:
        waiting = fcntl.ioctl(reader, termios.FIONREAD, bytes(4))
        assert run.process.poll() is None, run.told
        return int.from_bytes(waiting, sys.byteorder) > 0.8 * size

    wait_for(blocks)
    time.sleep(4)
    assert run.process.poll() is None, run.told
    run.leave()
    held = os.read(reader, size).count(b"\n")
    os.close(reader)
    processed = int(run.told.rpartition(" of ")[0].split()[-1])
    # Had the run waited for the pipe, one more at most.
    assert processed > held + 2


def test_a_full_disk_is_told_and_the_run_goes_on(running: Any, control: Control) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    run = running("--source", control.name, "--view", "none", "--jsonl", "/dev/full")
    wait_for(lambda: "No space left" in run.told)
    assert run.process.poll() is None
    assert run.leave() < _LEAVES_S
    assert run.process.returncode == 0


def test_a_reader_that_leaves_ends_the_run_in_good_order(running: Any, control: Control) -> None:
    run = running("--source", control.name, "--quiet", "--jsonl", "-", stdout=subprocess.PIPE)
    assert run.process.stdout is not None
    for _ in range(3):
        assert json.loads(run.process.stdout.readline())
    run.process.stdout.close()
    assert run.process.wait(LIMIT_S) == 0, run.told
    assert "Traceback" not in run.told


def test_two_cameras_one_of_which_fails(running: Any, control: Control, tmp_path: Path) -> None:
    other = Control(tmp_path / "other.json", rate_hz=24.0, size=(96, 96))
    run = running(
        "--source", control.name, "--source", other.name, "--view", "none", "--stall", "0.5"
    )
    run.until_answers(10)
    other.set(mode="hang")
    wait_for(lambda: "lost" in run.kinds())
    before = run.answers()
    run.until_answers(before + 10)
    cameras = {line["camera"] for line in run.lines()[-5:]}
    assert cameras == {control.name}
    assert run.leave() < _LEAVES_S


def test_the_page_is_served_and_a_viewer_may_leave(running: Any, control: Control) -> None:
    run = running("--source", control.name, "--view", "web", "--listen", "127.0.0.1:0")
    run.until_answers(3)
    url = run.told.split("watch at ")[1].split()[0]
    for _ in range(5):
        with urllib.request.urlopen(url, timeout=LIMIT_S) as page:
            assert b"<html" in page.read()
    viewer = urllib.request.urlopen(url + "live?after=0", timeout=LIMIT_S)
    viewer.close()
    run.until_answers(run.answers() + 3)
    assert run.leave() < _LEAVES_S
    assert run.process.returncode == 0, run.told


def test_a_signal_writes_what_the_flight_recorder_has_and_it_replays(
    running: Any, control: Control, tmp_path: Path
) -> None:
    tapes = tmp_path / "tapes"
    run = running("--source", control.name, "--view", "none", "--record", str(tapes))
    run.until_answers(10)
    run.process.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    run.leave()
    (tape,) = tapes.glob("*.edgetape")
    # What is written at the very end is told all the same.
    assert run.kinds() == ["recorded"]
    replayed = subprocess.run(
        [sys.executable, "-m", "edgecap", "replay", str(tape), "--model", "demo"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def test_a_recording_is_read_without_drops_whatever_the_sinks(running: Any, tmp_path: Path) -> None:
    run = running(
        "--source", "synthetic:seed=4,gestures=20", "--quiet", "--record", str(tmp_path / "t")
    )
    assert run.process.wait(LIMIT_S) == 0, run.told
    numbers = [line["frame"] for line in run.lines() if "frame" in line]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 300


def test_systemd_hears_that_it_is_ready_alive_and_stopping(
    running: Any, control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        told: list[bytes] = []

        def listen() -> None:
            with contextlib.suppress(OSError):
                while not told or told[-1] != b"STOPPING=1":
                    told.append(manager.recv(100))

        # All the time, as systemd does: what does not fit its queue is gone.
        manager.settimeout(LIMIT_S)
        listening = threading.Thread(target=listen)
        listening.start()
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        run = running("--source", control.name, "--view", "none", "--stall", "30")
        wait_for(lambda: len(told) > 1)
        # Also while the camera gives nothing.
        control.set(mode="silent")
        time.sleep(1)
        before = len(told)
        wait_for(lambda: len(told) >= before + 6)
        run.leave()
        listening.join()
        first, *fed, last = told
        assert (first, set(fed), last) == (b"READY=1", {b"WATCHDOG=1"}, b"STOPPING=1")
