"""Where results go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgecap.health import Health
from edgecap.notices import Notice
from edgecap.predictions import Prediction
from edgecap.sources.base import Frame
from edgecap.spec import ModelSpec


@dataclass(frozen=True)
class Result:
    """A processed frame and what it was answered with.

    Attributes:
      frame: its image is nobody else's: a sink may keep it, and must not write to it.
      prediction: the answer.
      step_ms: time of the step: preprocessing, graph and decision.
      camera: which camera, by the name of its source.
      latency_ms: from the frame's timestamp to the answer; ``None`` where the source is not live.
    """

    frame: Frame
    prediction: Prediction
    step_ms: float
    camera: str = ""
    latency_ms: float | None = None


@dataclass(frozen=True)
class RunInfo:
    """What a sink is told of a run before its first result.

    Attributes:
      spec: the model's.
      cameras: names of the sources, as ``Result.camera`` and ``Notice.camera`` have them.
      health: how the run does now; may be called from any thread, at any time.
    """

    spec: ModelSpec
    cameras: tuple[str, ...]
    health: Callable[[], Health]


class Sink:
    """Takes results; all calls come from one thread.

    A sink that may block belongs behind a queue; see ``edgecap.sinks.background``, which also tells
    what else a sink may say of itself.
    """

    def begin(self, run: RunInfo) -> None:
        """Called once, before the first result."""

    def write(self, result: Result) -> None:
        """Takes a processed frame.

        Raises:
          SinkError: it cannot be written.
        """
        raise NotImplementedError

    def notice(self, notice: Notice) -> None:
        """Takes what the run has to tell beside its results."""

    def check(self) -> None:
        """Called about twice a second while there is nothing to write.

        Raises:
          SinkError: nobody reads any more, or what was handed over could not be written.
        """

    def close(self) -> None:
        """Called once, also after a failure: writes what is left and gives everything back."""
