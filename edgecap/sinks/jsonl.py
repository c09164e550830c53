"""One JSON object per processed frame."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecap.errors import ReaderGoneError, SinkError
from edgecap.predictions import ClassPrediction, MultiLabelPrediction, RegressionPrediction
from edgecap.sinks.base import Result, Sink


class JsonLines(Sink):
    """Writes ``frame``, ``timestamp_s`` and the answer; a reader sees each line at once.

    * Classification: ``label``, ``score``, ``probabilities`` (label → number) and ``event``,
      which is ``null`` or an object with ``label``, ``kind`` and ``score``.
    * Multi-label: ``label``, ``score``, ``probabilities``, ``active`` (the labels under way) and
      ``events``, a list of such objects.
    * Regression: ``values`` (label → number).

    Args:
      path: a file, replaced if it exists, or ``-`` for standard output.
      labels: the model's.

    Raises:
      SinkError: the file cannot be opened, or, when writing, not be written.
      ReaderGoneError: when writing: whoever read our standard output has gone.
    """

    def __init__(self, path: str, labels: Sequence[str]) -> None:
        self._path = path
        self._labels = labels
        self._own = path != "-"
        if not self._own and sys.stdout is None:
            raise SinkError("cannot write to standard output: it is closed")
        try:
            # Closed by close(): a sink outlives this call.
            self._file = (
                Path(path).open("w", encoding="utf-8")  # noqa: SIM115
                if self._own
                else sys.stdout
            )
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from error

    def write(self, result: Result) -> None:
        line = json.dumps(to_record(result, self._labels), ensure_ascii=False)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError("the reader of the JSON lines has gone") from error
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from error

    def close(self) -> None:
        if self._own:
            # What could not be written was reported when it was.
            with contextlib.suppress(OSError):
                self._file.close()


def to_record(result: Result, labels: Sequence[str]) -> dict[str, Any]:
    """A result as plain data."""
    prediction = result.prediction
    record: dict[str, Any] = {
        "frame": result.frame.index,
        "timestamp_s": round(result.frame.timestamp_s, 4),
    }
    if isinstance(prediction, RegressionPrediction):
        # A number of any size: significant digits, not decimals.
        values = (float(f"{value:.7g}") for value in prediction.values.tolist())
        return record | {"values": dict(zip(labels, values, strict=True))}
    assert isinstance(prediction, (ClassPrediction, MultiLabelPrediction))
    record |= {
        "label": prediction.label,
        "score": round(prediction.score, 4),
        "probabilities": {
            label: round(p, 4)
            for label, p in zip(labels, prediction.probabilities.tolist(), strict=True)
        },
    }
    events = [
        {"label": event.label, "kind": event.kind, "score": round(event.score, 4)}
        for event in prediction.events
    ]
    if isinstance(prediction, MultiLabelPrediction):
        return record | {"active": list(prediction.active), "events": events}
    return record | {"event": events[0] if events else None}
