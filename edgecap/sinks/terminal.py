"""The live line: what is seen now, and a line for each event."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from edgecap import terminal
from edgecap.predictions import (
    ClassPrediction,
    MultiLabelPrediction,
    Prediction,
    RegressionPrediction,
)
from edgecap.sinks.base import Result, Sink

_BAR_COLUMNS = 16


class LiveLine(Sink):
    """Rewrites one line per frame on a terminal; elsewhere prints events only.

    Args:
      labels: the model's.
      stream: where to; standard error by default, so that standard output stays free for data.
    """

    def __init__(self, labels: Sequence[str], stream: TextIO | None = None) -> None:
        self._labels = labels
        self._stream = stream or sys.stderr
        self._rich = terminal.is_rich(self._stream)
        self._open = False

    def write(self, result: Result) -> None:
        prediction = result.prediction
        for event in prediction.events:
            self._erase()
            mark = "▶" if event.kind == "start" else "■"
            self._stream.write(
                f"{event.timestamp_s:9.2f} s  {mark} {event.label} {event.kind} "
                f"({event.score:.2f})\n"
            )
        if self._rich:
            self._erase()
            self._stream.write(
                f"{prediction.timestamp_s:9.2f} s  {self._told(prediction)}  "
                f"{terminal.DIM}{result.step_ms:.2f} ms{terminal.RESET}"
            )
            self._open = True
        self._stream.flush()

    def close(self) -> None:
        self._erase()
        self._stream.flush()

    def _told(self, prediction: Prediction) -> str:
        """What is seen in this frame, on one line."""
        if isinstance(prediction, RegressionPrediction):
            values = zip(self._labels, prediction.values.tolist(), strict=True)
            return "  ".join(
                f"{label} {terminal.BLUE}{value:>10.4g}{terminal.RESET}" for label, value in values
            )
        assert isinstance(prediction, (ClassPrediction, MultiLabelPrediction))
        bar = terminal.bar(prediction.score, columns=_BAR_COLUMNS)
        line = f"{terminal.BLUE}{bar}{terminal.RESET} {prediction.score:.2f} {prediction.label}"
        if isinstance(prediction, MultiLabelPrediction) and prediction.active:
            line += f"  {terminal.GREEN}▶ {', '.join(prediction.active)}{terminal.RESET}"
        return line

    def _erase(self) -> None:
        if self._open:
            self._stream.write("\r\x1b[2K")
            self._open = False
