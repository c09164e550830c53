"""The live line: what is seen now, and a line for each event."""

from __future__ import annotations

import sys
from typing import TextIO

from edgecap import terminal
from edgecap.sinks.base import Result

_BAR_COLUMNS = 16


class LiveLine:
    """Rewrites one line per frame on a terminal; elsewhere prints events only.

    Args:
      stream: where to; standard error by default, so that standard output stays free for data.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._rich = terminal.is_rich(self._stream)
        self._open = False

    def write(self, result: Result) -> None:
        prediction = result.prediction
        if prediction.event is not None:
            event = prediction.event
            self._erase()
            mark = "▶" if event.kind == "start" else "■"
            self._stream.write(
                f"{event.timestamp_s:9.2f} s  {mark} {event.label} {event.kind} "
                f"({event.score:.2f})\n"
            )
        if self._rich:
            bar = terminal.bar(prediction.score, columns=_BAR_COLUMNS)
            self._erase()
            self._stream.write(
                f"{prediction.timestamp_s:9.2f} s  {terminal.BLUE}{bar}{terminal.RESET} "
                f"{prediction.score:.2f} {prediction.label}  "
                f"{terminal.DIM}{result.step_ms:.2f} ms{terminal.RESET}"
            )
            self._open = True
        self._stream.flush()

    def close(self) -> None:
        self._erase()
        self._stream.flush()

    def _erase(self) -> None:
        if self._open:
            self._stream.write("\r\x1b[2K")
            self._open = False
