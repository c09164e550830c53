"""What ``soak_faults.py`` puts around a run: cameras, receivers, viewers, and what it says."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import small_disk
from soak import count, resident

from tests.fake_cameras import Control
from tests.processes import children
from tests.rtsp_server import RtspServer
from tests.test_mqtt import Broker
from tests.test_webhook import Receiver
from tests.viewers import Viewer

ROOT = Path(__file__).parents[1]
RATE_HZ, SIZE, LARGER = 24.0, (96, 96), (144, 192)
CAMERAS = ("door", "yard", "gate")
SINKS = ("JSON lines", "video", "webhook", "mqtt", "flight recorder")
# What a limit of the size of files leaves room for: next to nothing.
_FILE_BYTES = 4096
_LINE = re.compile(r"(\S+ \S+) (DEBUG|INFO|WARNING|ERROR|CRITICAL) (\S+): (.*)")
_NOTICES = "edgecap.notices"
_POLL_S = 1.0
_START_S = 180.0


@dataclass(frozen=True)
class Said:
    """A notice, as it stands in the run's log.

    Attributes:
      at_s: when it was read.
      who: a camera, a sink, or empty.
      text: what was told.
    """

    at_s: float
    who: str
    text: str


class Page(threading.Thread):
    """A viewer who looks on all the time; keeps the run's health."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.told: dict[str, Any] = {}
        self.told_s = 0.0
        self.failures = 0
        self._stopping = threading.Event()

    def run(self) -> None:
        page: Any = SimpleNamespace(port=self.port)
        viewer = Viewer(page, "soak")
        while not self._stopping.wait(_POLL_S):
            try:
                told = viewer.live(size="small")
            # Whatever it is that another fault does to this viewer, it asks again.
            except Exception:
                self.failures += 1
                viewer = Viewer(page, "soak")
            else:
                self.told, self.told_s = told, time.monotonic()

    def stop(self) -> None:
        self._stopping.set()
        self.join(10)


@dataclass
class World:
    """A run of the command, its cameras and receivers, and what is known of it.

    Args:
      folder: for whatever has to be somewhere.
      disk: a small file system that may be filled; ``None`` where there is none.
    """

    folder: Path
    disk: Path | None
    said: list[Said] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    samples: list[dict[str, float]] = field(default_factory=list)

    def start(self) -> None:
        """Starts all of it; returns when every camera's frames are on the page."""
        self.pool = ThreadPoolExecutor(2)
        self.controls = {
            name: Control(self.folder / f"{name}.json", rate_hz=RATE_HZ, size=SIZE)
            for name in ("door", "yard")
        }
        self.rtsp = RtspServer(rate_hz=RATE_HZ)
        self.receiver = Receiver()
        self.start_receiver()
        self.broker = Broker(self.folder)
        self.has_broker = True
        try:
            self.broker.start()
        except pytest.skip.Exception:
            self.has_broker = False
        self.tapes = self.folder / "tapes"
        self.process = subprocess.Popen(
            self._command(),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdout=subprocess.DEVNULL,
            # A pipe: a file could not be written while the fault is that none can.
            stderr=subprocess.PIPE,
            text=True,
        )
        self._names = dict(zip(self._sources(), CAMERAS, strict=True))
        self._found: threading.Event = threading.Event()
        threading.Thread(target=self._read_log, daemon=True).start()
        if not self._found.wait(_START_S):
            raise RuntimeError(f"the run has not begun: {self.others}")
        self.page = Page(self._port)
        self.page.start()

    def _sources(self) -> list[str]:
        of_ones_own = [
            f"python:soak_cameras:Gestures:{control.path}" for control in self.controls.values()
        ]
        return [*of_ones_own, self.rtsp.url]

    def _command(self) -> list[str]:
        files = self.disk or self.folder
        options = {
            "--stall": 3,
            "--view": "web",
            "--listen": "127.0.0.1:0",
            "--jsonl": files / "lines.jsonl",
            "--jsonl-mb": 2,
            "--video": files / "seen.mkv",
            "--video-segment": 20,
            "--video-keep": 2,
            "--webhook": self.receiver.url,
            **({"--mqtt": self.broker.url} if self.has_broker else {}),
            "--record": self.tapes,
            "--record-seconds": 3,
        }
        command = [sys.executable, "-m", "edgecap", "run", "demo", "-v"]
        for source in self._sources():
            command += ["--source", source]
        for name, value in options.items():
            command += [name, str(value)]
        return command

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            address = re.match(r"watch at http://127\.0\.0\.1:(\d+)/", line)
            if address:
                self._port = int(address[1])
                self._found.set()
                continue
            found = _LINE.match(line)
            if found is None or found[2] in ("ERROR", "CRITICAL"):
                # Also each line of a traceback; the last line of all is the summary.
                if " frames processed in " not in line:
                    self.others.append(line.rstrip()[:300])
            elif found[3] == _NOTICES:
                self.said.append(self._parsed(found[4]))

    def _parsed(self, text: str) -> Said:
        who = ""
        for name, camera in self._names.items():
            if text.startswith(f"{name}: "):
                who, text = camera, text[len(name) + 2 :]
        for sink in SINKS:
            if text.startswith(f"{sink}: "):
                who, text = sink, text[len(sink) + 2 :]
        if text.endswith(".edgetape"):
            who = "flight recorder"
        for name, camera in self._names.items():
            text = text.replace(name, camera)
        for folder in filter(None, (self.folder, self.disk)):
            text = text.replace(str(folder), "…")
        return Said(time.monotonic(), who, text)

    # What can be done to it.

    def start_receiver(self) -> None:
        self.receiver.start()
        # Who has left in the middle of an answer is no news.
        self.receiver._server.handle_error = lambda *_: None  # type: ignore[union-attr,method-assign]

    def fill(self) -> None:
        """Leaves no room on the disk; to be repeated, as the run deletes old files."""
        assert self.disk is not None
        small_disk.fill(self.disk)

    def empty(self) -> None:
        assert self.disk is not None
        small_disk.empty(self.disk)

    def limit_files(self, *, limited: bool) -> None:
        """The kernel lets no file grow, as in the tests; of a running process, from outside."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        soft = _FILE_BYTES if limited else hard
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def kill_broker(self) -> None:
        self.broker.stop()

    def start_broker(self) -> None:
        # It takes seconds, in which the others go on.
        self.pool.submit(self._start_broker)

    def _start_broker(self) -> None:
        try:
            self.broker.start()
        except (AssertionError, OSError) as error:
            # Nobody else would hear of it: it is the stand-in's fault, not the run's.
            self.others.append(f"the broker does not start: {error}")

    def signal_broker(self, number: int) -> None:
        assert self.broker._process is not None
        self.broker._process.send_signal(number)

    # What is known of it.

    def frames_come(self, cameras: tuple[str, ...] = CAMERAS, *, since_s: float = 0.0) -> bool:
        """Whether the page, asked later than that, shows frames of now."""
        if self.page.told_s <= since_s or not self.page.told:
            return False
        shown = dict(zip(CAMERAS, self.page.told["cameras"], strict=True))
        return all(
            shown[name]["lost"] is None and (shown[name]["idle_s"] or 0) < 1.0 for name in cameras
        )

    def sample(self, active: int) -> None:
        pid = self.process.pid
        health = self.page.told.get("health", {})
        latency = health.get("latency_ms") or (0.0, 0.0, 0.0)
        taken = {
            "at_s": time.monotonic(),
            "memory": resident(pid),
            "threads": count(f"/proc/{pid}/task"),
            "files": count(f"/proc/{pid}/fd"),
            "children": len(children(pid)),
            "latency_p50_ms": latency[0],
            "latency_p99_ms": latency[2],
            "fps": health.get("fps", 0.0),
            "faults": active,
        }
        self.samples.append(taken)

    def end(self) -> dict[str, Any]:
        """Ends the run as systemd would, and looks at what it has left."""
        self.page.stop()
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            status = None
        return {"exit_status": status, "seconds_to_leave": round(time.monotonic() - began_s, 2)}

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError, AttributeError):
            self.process.kill()
            self.process.wait()
        self.receiver.gate.set()
        self.pool.shutdown()
        self.receiver.stop()
        self.broker.stop()
        self.rtsp.close()
