"""One JSON object per processed frame."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecap.errors import SinkError
from edgecap.sinks.base import Result


class JsonLines:
    """Writes ``frame``, ``timestamp_s``, ``label``, ``score``, ``probabilities``, ``event``.

    ``probabilities`` maps labels to numbers; ``event`` is ``null`` or an object with ``label``,
    ``kind`` and ``score``. Each line is flushed, so that a reader sees it at once.

    Args:
      path: a file, replaced if it exists, or ``-`` for standard output.
      labels: the model's.

    Raises:
      SinkError: the file cannot be written.
    """

    def __init__(self, path: str, labels: Sequence[str]) -> None:
        self._labels = labels
        self._own = path != "-"
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
        self._file.write(json.dumps(to_record(result, self._labels), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._own:
            self._file.close()


def to_record(result: Result, labels: Sequence[str]) -> dict[str, Any]:
    """A result as plain data."""
    prediction, event = result.prediction, result.prediction.event
    return {
        "frame": result.frame.index,
        "timestamp_s": round(result.frame.timestamp_s, 4),
        "label": prediction.label,
        "score": round(prediction.score, 4),
        "probabilities": {
            label: round(float(p), 4)
            for label, p in zip(labels, prediction.probabilities, strict=True)
        },
        "event": event
        and {"label": event.label, "kind": event.kind, "score": round(event.score, 4)},
    }
