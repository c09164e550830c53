"""Where results go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgecap.predictions import Prediction
from edgecap.sources.base import Frame


@dataclass(frozen=True)
class Result:
    """A processed frame: the frame, the answer, and the time of the step in milliseconds."""

    frame: Frame
    prediction: Prediction
    step_ms: float


class Sink(Protocol):
    """Takes results; ``close`` is called once, also after a failure."""

    def write(self, result: Result) -> None: ...

    def close(self) -> None: ...
