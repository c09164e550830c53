"""A camera that does not wait, through the capture, the pipeline and the model of a real run."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

from edgecap.benchmark.frames import size_name
from edgecap.benchmark.report import OpenLoop
from edgecap.benchmark.times import times
from edgecap.errors import ConfigError, SourceError
from edgecap.masking import mask_url
from edgecap.notices import Notice
from edgecap.pipeline import Pipeline
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sources import open_source
from edgecap.streaming import Stream

BUILT_IN = "built-in"
# An interval needs two answers.
_LEAST_ANSWERS = 2
# After the first answer: the camera's first frames are as old as this side took to be ready.
_WARM_UP_S = 0.5
_TELL_S = 0.5


def measure_open(
    stream: Stream[Any],
    *,
    seconds: float,
    source: str | None = None,
    camera_hz: float = 30.0,
    size: tuple[int, int],
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[OpenLoop, tuple[str, ...]]:
    """Streams a camera for so long, as ``edgecap run`` does where nobody looks at the pictures.

    The camera has a process of its own, and brings its frames to the model's size there; the model
    takes them at its own rate, so most frames of a faster camera are seen and left out, which is
    no drop. The first half second is not counted.

    Args:
      source: a camera, as for ``edgecap.open_source``; by default pictures at ``camera_hz``, of
        ``size`` (height, width), from a process like that of a camera.
      progress: told now and then how far it is.

    Returns:
      What was found, and what a person should know of the run: a camera that was lost, or slow.

    Raises:
      ConfigError: the source is no camera.
      SourceError: it does not open, is lost for good, or gives too few frames.
    """
    name = f"python:edgecap.benchmark.camera:Pictures:{size_name(size)}:{camera_hz:g}"
    told = BUILT_IN if source is None else mask_url(source)
    spec = stream.model.spec
    clock = _Clock(seconds, progress)
    progress("open loop: opening the camera")
    with open_source(
        source or name,
        size=(spec.input.height, spec.input.width),
        rate_hz=spec.rate_hz,
        resize_to=spec.input,
    ) as camera:
        if not camera.live:
            raise ConfigError(
                f"the open loop needs a camera; {told} waits to be read. A recording is played as "
                "a camera by live:FILE"
            )
        pipeline = Pipeline([camera], [stream], [clock])
        in_time = _run(pipeline, seconds + _WARM_UP_S)
        if not (in_time or getattr(camera, "ended", True)):
            # A pipeline that is interrupted ends as if there were nothing more to do.
            raise KeyboardInterrupt
    if len(clock.ages_us) < _LEAST_ANSWERS:
        raise SourceError(
            f"{told}: {len(clock.ages_us)} frame(s) to measure in {seconds:.1f} s; expected a "
            "camera that gives frames all the time"
        )
    deadline_us = 1e6 / spec.rate_hz
    after, before = pipeline.health(), clock.before
    dropped = after.dropped - before.dropped
    found = OpenLoop(
        source=told,
        seconds=round(clock.seconds, 3),
        camera_hz=round(clock.camera_hz, 2),
        model_hz=spec.rate_hz,
        given=after.frames - before.frames + dropped,
        answered=after.processed - before.processed,
        dropped=dropped,
        deadline_ms=round(deadline_us / 1e3, 3),
        missed=sum(age_us > deadline_us for age_us in clock.ages_us),
        capture=times(clock.captures_us),
        age=times(clock.ages_us),
        interval=times(clock.intervals_us),
    )
    return found, tuple(clock.notices)


def _run(pipeline: Pipeline, seconds: float) -> bool:
    """Runs it for so long; whether the time was used up."""
    over = threading.Event()

    def stop() -> None:
        over.set()
        pipeline.stop()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        pipeline.run()
    finally:
        timer.cancel()
        # It may be at it just now, and the camera is closed next.
        timer.join()
    return over.is_set()


class _Clock(Sink):
    """Notes how old each frame is when its answer comes, and where that time went.

    Attributes:
      ages_us, captures_us, intervals_us: of all answers after the one that ended the warm-up.
      before: how the run did at that one.
    """

    def __init__(self, seconds: float, progress: Callable[[str], None]) -> None:
        self.ages_us, self.captures_us, self.intervals_us = array("d"), array("d"), array("d")
        self.notices: list[str] = []
        self._seconds, self._progress = seconds, progress
        self._warm_s: float | None = None
        self._began_s: float | None = None
        self._told_s = self._answered_s = 0.0

    def begin(self, run: RunInfo) -> None:
        self._health = run.health

    def write(self, result: Result) -> None:
        now_s = time.monotonic()
        at = (result.frame.index, result.frame.timestamp_s)
        if self._warm_s is None:
            self._warm_s = now_s + _WARM_UP_S
        if self._began_s is None:
            if now_s < self._warm_s:
                return
            self._began_s = self._told_s = self._answered_s = now_s
            self._first = self._last = at
            self.before = self._health()
            return
        assert result.latency_ms is not None, "of a live source"
        self.ages_us.append(result.latency_ms * 1e3)
        self.captures_us.append((result.latency_ms - result.step_ms) * 1e3)
        self.intervals_us.append((now_s - self._answered_s) * 1e6)
        self._answered_s, self._last = now_s, at
        if now_s >= self._told_s:
            self._told_s = now_s + _TELL_S
            self._progress(f"open loop: {self.seconds:.0f} of {self._seconds:.0f} s")

    def notice(self, notice: Notice) -> None:
        self.notices.append(f"open loop: {notice.told}")

    @property
    def seconds(self) -> float:
        """From the end of the warm-up to the last answer."""
        return self._answered_s - (self._began_s or 0.0)

    @property
    def camera_hz(self) -> float:
        """What the camera gave, by its own counting and clock."""
        (first, first_s), (last, last_s) = self._first, self._last
        return (last - first) / max(last_s - first_s, 1e-9)
