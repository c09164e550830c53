"""The terminal view: a line for each camera that lives, and one that stays for each event."""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from edgecap import terminal
from edgecap.health import Health
from edgecap.notices import Notice
from edgecap.predictions import (
    CaptionPrediction,
    ClassPrediction,
    MultiLabelPrediction,
    RegressionPrediction,
)
from edgecap.sinks.base import Result, RunInfo, Sink

# A person does not read faster.
_DRAW_EVERY_S = 0.1
_HEALTH_EVERY_S = 1.0
_BAR_COLUMNS, _CURVE_COLUMNS, _LEAST_CURVE = 10, 24, 6
# One column of the curve: the highest score of so many seconds.
_COLUMN_S = 0.25
# One update for the terminal, where it knows the word; and lines that are cut and not wrapped.
_BEGIN, _END = "\x1b[?2026h\x1b[?7l", "\x1b[?7h\x1b[?2026l"
_WARNING = ("lost", "gap", "slow", "clock", "corrupt", "truncated", "sink")


@dataclass
class _Camera:
    """What is known of one camera."""

    name: str
    result: Result | None = None
    # Of each label, from events: what is under way.
    active: dict[str, None] = field(default_factory=dict)
    curve: deque[float] = field(default_factory=lambda: deque(maxlen=_CURVE_COLUMNS))
    column: int | None = None
    lost: bool = False

    def take(self, result: Result) -> None:
        self.result, self.lost = result, False
        prediction = result.prediction
        for event in prediction.events:
            if event.kind == "start":
                self.active[event.label] = None
            else:
                self.active.pop(event.label, None)
        if isinstance(prediction, (ClassPrediction, MultiLabelPrediction)):
            column = math.floor(result.frame.timestamp_s / _COLUMN_S)
            if column == self.column and self.curve:
                self.curve[-1] = max(self.curve[-1], prediction.score)
                return
            # Frames that were missing leave a hole, a clock that was set does not.
            missing = column - self.column - 1 if self.column is not None else 0
            if missing >= 4:
                self.curve.extend([0.0] * min(missing, _CURVE_COLUMNS))
            self.curve.append(prediction.score)
            self.column = column


class LiveLine(Sink):
    """Rewrites one line per camera on a terminal; elsewhere prints events and notices only.

    Args:
      labels: the model's.
      stream: where to; standard error by default, so that standard output stays free for data.
    """

    uses_images = False

    def __init__(self, labels: Sequence[str], stream: TextIO | None = None) -> None:
        self._labels = labels
        self._stream = stream or sys.stderr
        self._rich = terminal.is_rich(self._stream)
        # Below Python's buffer: a thread that hangs there, as the terminal was stopped by Ctrl-S,
        # would hold its lock when the process ends.
        self._fd: int | None = None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._stream.flush()
            self._fd = self._stream.fileno()
        self._cameras: dict[str, _Camera] = {}
        self._widest_name = 0
        self._health: Callable[[], Health] | None = None
        self._shown_health, self._health_due_s = "", 0.0
        self._live = False
        self._above: list[str] = []
        # Lines on the screen that are written over next time, by their width.
        self._drawn: list[int] = []
        self._draw_due_s = 0.0

    def begin(self, run: RunInfo) -> None:
        self._health = run.health
        for name in run.cameras:
            self._camera(name)

    def write(self, result: Result) -> None:
        camera = self._camera(result.camera)
        self._live = result.latency_ms is not None
        camera.take(result)
        captions = isinstance(result.prediction, CaptionPrediction)
        for event in result.prediction.events:
            if captions and event.kind == "end":
                # The next one tells.
                continue
            mark = "▶" if event.kind == "start" else "■"
            self._say(
                f"{self._told_time(event.timestamp_s)}  {mark} {self._prefix(camera)}{event.label}"
                f"{'' if captions else f' {event.kind}'} ({event.score:.2f})",
                terminal.GREEN if event.kind == "start" else "",
            )
        self._draw(now=bool(self._above))

    def notice(self, notice: Notice) -> None:
        camera = self._cameras.get(notice.camera)
        if camera is not None and notice.kind in ("lost", "back"):
            camera.lost = notice.kind == "lost"
        prefix = "" if camera is None else self._prefix(camera)
        color = terminal.YELLOW if notice.kind in _WARNING else terminal.DIM
        self._say(f"{self._told_time(notice.timestamp_s)}  ! {prefix}{notice.told}", color)
        self._draw(now=True)

    def close(self) -> None:
        if self._drawn:
            self._out(self._back() + "\x1b[J")
            self._drawn = []

    def _camera(self, name: str) -> _Camera:
        if name not in self._cameras:
            self._cameras[name] = _Camera(name)
            self._widest_name = max(terminal.width(other) for other in self._cameras)
        return self._cameras[name]

    def _told_time(self, timestamp_s: float) -> str:
        """The time of day of what is live, whose timestamps are monotonic; else into the film."""
        if not self._live:
            return f"{timestamp_s:9.2f} s"
        wall_s = time.time() - (time.monotonic() - timestamp_s)
        return time.strftime("%H:%M:%S", time.localtime(wall_s))

    def _prefix(self, camera: _Camera) -> str:
        return f"{camera.name}: " if len(self._cameras) > 1 else ""

    def _say(self, text: str, color: str) -> None:
        """A line that stays."""
        # What a name may hold must not move the cursor.
        text = "".join(c if c.isprintable() else "?" for c in text)
        if not self._rich:
            self._out(text + "\n")
        else:
            self._above.append(f"{color}{text}{terminal.RESET}" if color else text)

    def _draw(self, *, now: bool) -> None:
        now_s = time.monotonic()
        if not self._rich or (not now and now_s < self._draw_due_s):
            return
        self._draw_due_s = now_s + _DRAW_EVERY_S
        columns = self._columns()
        lines = [
            self._line(camera, columns - 1)
            for camera in self._cameras.values()
            if camera.result is not None or camera.lost
        ]
        health = self._told_health(now_s)
        if health and lines:
            lines.append(terminal.cut(health, columns - 1))
        # Written over and not erased first, and all at once: nothing flickers.
        back = self._back()
        above = "".join(f"{line}\x1b[K\n" for line in self._above)
        below = "\n".join(f"{line}\x1b[K" for line in lines)
        # Lines that stay are longer than the screen is wide now and then; those may wrap.
        self._out(f"{back}{above}{_BEGIN}{below}\x1b[J{_END}")
        self._above.clear()
        self._drawn = [terminal.width(line) for line in lines]

    def _back(self) -> str:
        """To the first column of what is to be written over."""
        columns = self._columns()
        # A terminal that was made narrower has broken each line into several.
        rows = sum(max(1, -(-width // columns)) for width in self._drawn)
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "")

    def _columns(self) -> int:
        try:
            columns = os.get_terminal_size(-1 if self._fd is None else self._fd).columns
        except OSError:
            columns = shutil.get_terminal_size().columns
        return max(columns, 8)

    def _out(self, text: str) -> None:
        if self._fd is None:
            self._stream.write(text)
            self._stream.flush()
            return
        left = text.encode(self._stream.encoding or "utf-8", "replace")
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                select.select([], [self._fd], [])

    def _line(self, camera: _Camera, columns: int) -> str:
        """What is seen by a camera; where it is narrow, what matters least is left out."""
        name = ""
        if len(self._cameras) > 1:
            name = f"{camera.name}{' ' * (self._widest_name - terminal.width(camera.name))}  "
        lost = f"{terminal.YELLOW}no frames{terminal.RESET}"
        if camera.result is None:
            return terminal.cut(f"{name}{lost}", columns)
        result, prediction = camera.result, camera.result.prediction
        parts = [f"{name}{self._told_time(prediction.timestamp_s)}"]
        if camera.lost:
            return terminal.cut(f"{parts[0]}  {lost} since then", columns)
        at = len(parts)
        color = terminal.BLUE
        if isinstance(prediction, RegressionPrediction):
            parts += [
                f"{label} {color}{value:>10.4g}{terminal.RESET}"
                for label, value in zip(self._labels, prediction.values.tolist(), strict=True)
            ]
        elif isinstance(prediction, CaptionPrediction):
            parts.append(f"{color}{prediction.text or '…'}{terminal.RESET}")
        else:
            assert isinstance(prediction, (ClassPrediction, MultiLabelPrediction))
            at, color = self._scores(camera, prediction, parts, columns)
        times = f"{result.step_ms:.2f} ms"
        if result.latency_ms is not None:
            times = f"{result.latency_ms:.0f} ms"
        room = columns - terminal.width("  ".join([*parts, times])) - 2
        if room >= 0:
            parts.append(f"{terminal.DIM}{times}{terminal.RESET}")
        else:
            room += len(times) + 2
        room = min(room - 2, _CURVE_COLUMNS)
        if room >= _LEAST_CURVE and camera.curve:
            curve = terminal.curve(camera.curve, columns=room)
            parts.insert(at, f"{color}{curve}{terminal.RESET}")
        return terminal.cut("  ".join(parts), columns)

    def _scores(
        self,
        camera: _Camera,
        prediction: ClassPrediction | MultiLabelPrediction,
        parts: list[str],
        columns: int,
    ) -> tuple[int, str]:
        """Adds label, score and what is under way; returns where a curve fits, and its colour."""
        active = list(camera.active)
        if isinstance(prediction, MultiLabelPrediction):
            active = list(prediction.active)
        color = terminal.GREEN if active else terminal.BLUE
        widest = max(terminal.width(label) for label in self._labels)
        label = prediction.label + " " * (widest - terminal.width(prediction.label))
        bar = terminal.bar(prediction.score, columns=_BAR_COLUMNS)
        parts.append(f"{color}{bar}{terminal.RESET} {prediction.score:.2f} {label}")
        at = len(parts)
        if active:
            parts.append(f"{terminal.GREEN}▶ {', '.join(active)}{terminal.RESET}")
            if terminal.width("  ".join(parts)) > columns:
                parts[1] = f"{prediction.score:.2f}"
        return at, color

    def _told_health(self, now_s: float) -> str:
        if self._health is not None and now_s >= self._health_due_s:
            self._health_due_s = now_s + _HEALTH_EVERY_S
            health = self._health()
            told = [f"{health.fps:.1f} frames/s"]
            if health.dropped:
                told.append(f"{health.dropped} dropped")
            if health.latency_ms:
                told.append(f"p99 {health.latency_ms[2]:.0f} ms")
            if health.restarts:
                told.append(f"{health.restarts} restart(s)")
            if health.temperature_c is not None:
                told.append(f"{health.temperature_c:.0f} °C")
            if health.memory_mb is not None:
                told.append(f"{health.memory_mb:.0f} MB")
            self._shown_health = f"{terminal.DIM}{' · '.join(told)}{terminal.RESET}"
        return self._shown_health
