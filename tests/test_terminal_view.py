"""The terminal view, as a terminal shows it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecap import terminal
from edgecap.events import Event
from edgecap.health import Health, Monitor
from edgecap.notices import Notice
from edgecap.sinks import terminal as view
from edgecap.sinks.terminal import LiveLine
from tests.processes import wait_for
from tests.runs import END, LABELS, START, result, run_info

pyte = pytest.importorskip("pyte", reason="needs pyte, a terminal emulator")


class Screen:
    """A real pseudo-terminal, and what a terminal shows of what is written to it."""

    def __init__(self, columns: int, lines: int = 12) -> None:
        self._master, slave = os.openpty()
        # As the kernel does it for a person: a line feed returns the carriage too.
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self.seen = pyte.Screen(columns, lines)
        self._into = pyte.ByteStream(self.seen)
        self.bytes = b""
        self._resize(columns, lines)

        self._marks = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int, lines: int = 12) -> None:
        self.lines()
        self._resize(columns, lines)

    def _resize(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        self.seen.resize(lines, columns)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65536):
                self._into.feed(data)
                self.bytes += data

    def lines(self) -> list[str]:
        """The lines with something in them, once all has arrived that was written."""
        self._marks += 1
        mark = f"\x1b]2;{self._marks}\x07".encode()
        os.write(self.stream.fileno(), mark)
        wait_for(lambda: mark in self.bytes)
        return [line.rstrip() for line in self.seen.display if line.strip()]

    def close(self) -> None:
        self.stream.close()
        self._reader.join(20)
        os.close(self._master)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(view, "_DRAW_EVERY_S", 0.0)
    made = Screen(100)
    yield made
    made.close()


def health() -> Health:
    monitor = Monitor(frames=100, processed=90, dropped=10, restarts=1)
    for _ in range(10):
        monitor.processed_one(1.5, 20.0)
    return monitor.health()


def test_a_line_lives_and_each_event_stays_above_it(screen: Screen) -> None:
    live = LiveLine(LABELS, screen.stream)
    for index in range(50):
        event = {10: START, 20: END}.get(index)
        live.write(result(index, *filter(None, [event]), score=index / 50))
    first, second, alive = screen.lines()
    assert first == "     0.10 s  ▶ öffnen start (0.62)"
    assert second == "     0.20 s  ■ öffnen end (0.25)"
    assert alive.startswith("     4.90 s  █████████▊ 0.98 öffnen")
    assert alive.endswith("1.50 ms")
    # The curve rises.
    found = re.search(r"[▁▂▃▄▅▆▇█]{10,}", alive)
    assert found is not None
    heights = ["▁▂▃▄▅▆▇█".index(c) for c in found.group()]
    assert heights == sorted(heights) and heights[-1] == 7
    live.close()
    assert len(screen.lines()) == 2


def test_several_cameras_have_a_line_each_and_the_health_is_below(screen: Screen) -> None:
    live = LiveLine(LABELS, screen.stream)
    live.begin(run_info("door", "yard", health=health))
    for index in range(10):
        live.write(result(index, camera="door", latency_ms=21.4))
        live.write(result(index, camera="yard"))
    live.notice(Notice("lost", "no frame for 5.0 s: opening it again", 0.9, "yard"))
    notice, door, yard, told = screen.lines()
    assert notice == "     0.90 s  ! yard: no frame for 5.0 s: opening it again"
    assert door.startswith("door       0.90 s  ███████▌") and door.endswith("21 ms")
    assert yard.startswith("yard       0.90 s  no frames")
    assert "10 dropped · p99 20 ms · 1 restart(s)" in told
    live.notice(Notice("back", "frames again", 2.0, "yard"))
    assert "no frames" not in screen.lines()[-2]


@pytest.mark.parametrize("columns", [9, 20, 40, 60, 80, 200])
def test_no_line_is_ever_broken(screen: Screen, columns: int) -> None:
    screen.resize(columns)
    live = LiveLine(LABELS, screen.stream)
    live.begin(run_info("door", "a camera with a long name", health=health))
    long = Event("öffnen", "start", 0.0, 0.9)
    live.write(result(0, long))
    for index in range(1, 30):
        live.write(result(index, latency_ms=20.0))
        live.write(result(index, camera="a camera with a long name"))
    lines = screen.lines()
    # Of what lives there are three lines at the bottom, each cut.
    assert [line[:3] for line in lines[-3:-1]] == ["doo", "a c"]
    assert "doo" not in [line[:3] for line in lines[:-3]]
    assert all(terminal.width(line) <= columns for line in lines)
    live.close()


def test_a_terminal_made_narrower_or_wider_shows_nothing_twice(screen: Screen) -> None:
    live = LiveLine(LABELS, screen.stream)
    live.begin(run_info("door", "yard"))
    for columns in (100, 60, 30, 120):
        screen.resize(columns)
        for index in range(5):
            live.write(result(index, camera="door"))
            live.write(result(index, camera="yard"))
        lines = screen.lines()
        assert [line[:4] for line in lines if line[:4] in ("door", "yard")] == ["door", "yard"]
    live.close()
    assert screen.lines() == []


def test_nothing_is_erased_before_it_is_written_over(screen: Screen) -> None:
    live = LiveLine(LABELS, screen.stream)
    for index in range(20):
        live.write(result(index))
        screen.lines()
    assert b"\x1b[2K" not in screen.bytes and b"\x1b[2J" not in screen.bytes
    # Each update is one, for terminals that know the word.
    assert screen.bytes.count(b"\x1b[?2026h") == screen.bytes.count(b"\x1b[?2026l") == 20
    live.close()


def test_a_person_is_not_shown_more_than_can_be_read(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "_DRAW_EVERY_S", 60.0)
    live = LiveLine(LABELS, screen.stream)
    for index in range(1000):
        live.write(result(index, *([START] if index == 500 else [])))
    screen.lines()
    # The first, and the event at once.
    assert screen.bytes.count(b"\x1b[?2026h") == 2
    live.close()


def test_what_a_name_holds_does_not_move_the_cursor(screen: Screen) -> None:
    live = LiveLine(LABELS, screen.stream)
    live.notice(Notice("lost", "camera \x1b[2J\r\n gone", 1.0, "door"))
    assert screen.lines() == ["     1.00 s  ! camera ?[2J?? gone"]
    live.close()


_STOPPED = """
import sys
from edgecap.sinks.background import Background
from edgecap.sinks.terminal import LiveLine
from tests.runs import LABELS, START, result
behind = Background(LiveLine(LABELS), name="terminal", told=lambda notice: None)
for index in range(20000):
    behind.write(result(index, START))
behind.close(0.2)
print("ended")
"""


def test_a_terminal_that_was_stopped_does_not_keep_the_process_from_its_end() -> None:
    # Nobody reads what is written to it, as after Ctrl-S.
    master, slave = os.openpty()
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", _STOPPED],
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "TERM": "xterm"},
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ended\n")
    os.close(master)
    os.close(slave)


def test_widths_are_those_of_a_terminal() -> None:
    assert terminal.width(f"{terminal.RED}öffnen{terminal.RESET}") == 6
    assert terminal.width("手を振る") == 8
    assert terminal.cut("手を振る", 5) == "手を…"
    colored = f"{terminal.RED}abcdef{terminal.RESET}"
    assert terminal.cut(colored, 4) == f"{terminal.RED}abc…{terminal.RESET}"
    assert terminal.cut(colored, 6) == colored


def test_a_curve_is_as_wide_as_asked_and_ends_with_the_latest() -> None:
    assert terminal.curve([0.0, 0.5, 1.0], columns=5) == "   ▄█"
    assert terminal.curve([1.0] * 10 + [0.0], columns=3) == "██ "
    assert terminal.curve([], columns=3) == "   "
