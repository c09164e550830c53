"""What viewers see: the newest frame of each camera, and bounded rings of what was before."""

from __future__ import annotations

import itertools
import math
import re
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from edgecap.errors import SinkError
from edgecap.notices import Notice
from edgecap.predictions import CaptionPrediction, RegressionPrediction, Values
from edgecap.preprocess import Image
from edgecap.sinks.base import Result, RunInfo

#: So much of the past is drawn.
HISTORY_S = 30.0
_MOST_ROWS = 3600
_EVENTS, _NOTICES = 200, 50
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")


class Row(NamedTuple):
    """One answer: its number, the camera's clock, and ``(labels,)`` probabilities or values."""

    number: int
    clock_s: float
    values: Values


class Told(NamedTuple):
    """An event or a notice, ready for JSON."""

    number: int
    told: dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """A camera as it is at one instant.

    Attributes:
      rows: that are new, oldest first.
      image: the newest frame, if it is new.
      number: of the newest frame.
      active: labels whose events are under way.
      live: whether frames come at their own pace.
      lost, slow: what a notice has told of it, until another told the contrary.
      idle_s: since the newest frame; ``None`` before the first.
    """

    rows: tuple[Row, ...]
    image: Image | None
    number: int
    active: tuple[str, ...]
    live: bool
    lost: str | None
    slow: str | None
    idle_s: float | None


@dataclass(frozen=True)
class Snapshot:
    """What has changed since a number; ``number`` is where the next one goes on."""

    number: int
    cameras: tuple[Seen, ...]
    events: tuple[Told, ...]
    notices: tuple[Told, ...]


@dataclass
class _Camera:
    index: int
    rows: deque[Row]
    image: Image | None = None
    number: int = 0
    active: list[str] = field(default_factory=list)
    live: bool = False
    lost: str | None = None
    slow: str | None = None
    clock_s: float = 0.0
    frame_s: float | None = None
    written_s: float | None = None

    def advance(self, timestamp_s: float) -> None:
        """A clock that never goes backwards, whatever happens to that of the frames."""
        if self.frame_s is not None and math.isfinite(timestamp_s):
            self.clock_s += min(max(0.0, timestamp_s - self.frame_s), HISTORY_S)
        if math.isfinite(timestamp_s):
            self.frame_s = timestamp_s


class Board:
    """Written by the loop, read by the server; memory is bounded.

    Args:
      run: the run's cameras and model.

    Attributes:
      number: of the latest change; may be read at any time.
    """

    def __init__(self, run: RunInfo) -> None:
        rows = min(math.ceil(run.spec.rate_hz * HISTORY_S) + 1, _MOST_ROWS)
        names = run.cameras or ("",)
        self.names = tuple(_PASSWORD.sub("…@", name) for name in names)
        self._cameras = {name: _Camera(i, deque(maxlen=rows)) for i, name in enumerate(names)}
        if len(names) == 1:
            # What names no camera is of the only one.
            self._cameras.setdefault("", self._cameras[names[0]])
        self._events: deque[Told] = deque(maxlen=_EVENTS)
        self._notices: deque[Told] = deque(maxlen=_NOTICES)
        self._lock = threading.Lock()
        self.number = 0

    def write(self, result: Result) -> None:
        """Takes a result.

        Raises:
          SinkError: it is of a camera that the run has not named.
        """
        camera = self._cameras.get(result.camera)
        if camera is None:
            raise SinkError(
                f"the web page: expected one of the cameras {', '.join(self.names)}; "
                f"got a result of {_PASSWORD.sub('…@', result.camera)!r}"
            )
        prediction: Any = result.prediction
        values = shown_values(prediction)
        with self._lock:
            self.number += 1
            camera.advance(result.frame.timestamp_s)
            camera.rows.append(Row(self.number, camera.clock_s, values))
            camera.image, camera.number = result.frame.image, self.number
            camera.live = result.latency_ms is not None
            camera.lost, camera.written_s = None, time.monotonic()
            for event in prediction.events:
                if event.label in camera.active:
                    camera.active.remove(event.label)
                if event.kind == "start":
                    camera.active.append(event.label)
                self._tell(
                    self._events,
                    camera.index,
                    event.timestamp_s,
                    clock_s=round(camera.clock_s, 3),
                    label=event.label,
                    kind=event.kind,
                    score=round(event.score, 3),
                )

    def notice(self, notice: Notice) -> None:
        """Takes what the run has to tell."""
        # A notice may name what is no camera of the page; then it is of the whole run.
        camera = self._cameras.get(notice.camera)
        with self._lock:
            self.number += 1
            if camera is not None:
                self._follow(camera, notice)
            told = _PASSWORD.sub("…@", notice.told)
            index = camera.index if camera is not None and notice.camera else None
            self._tell(self._notices, index, notice.timestamp_s, kind=notice.kind, told=told)

    @staticmethod
    def _follow(camera: _Camera, notice: Notice) -> None:
        told = _PASSWORD.sub("…@", notice.told)
        if notice.kind == "lost":
            camera.lost = told
        elif notice.kind == "back":
            camera.lost = None
        elif notice.kind == "slow":
            camera.slow = told
        elif notice.kind == "steady":
            camera.slow = None
        elif notice.kind == "gap":
            # The state was reset, and with it what was under way; nobody tells of an end.
            camera.active.clear()

    def _tell(self, ring: deque[Told], camera: int | None, timestamp_s: float, **told: Any) -> None:
        moment = {"camera": camera, "time_s": round(timestamp_s, 3), "at_s": round(time.time(), 3)}
        ring.append(Told(self.number, moment | told))

    def since(self, number: int) -> Snapshot:
        """What came after a number; everything after −1."""
        with self._lock:
            now_s = time.monotonic()
            cameras = {camera.index: camera for camera in self._cameras.values()}
            return Snapshot(
                self.number,
                tuple(_seen(cameras[i], number, now_s) for i in range(len(cameras))),
                _newer(self._events, number),
                _newer(self._notices, number),
            )


def shown_values(prediction: Any) -> Values:
    """What is drawn over time: probabilities, values, or how sure a sentence is."""
    if isinstance(prediction, RegressionPrediction):
        return prediction.values
    if isinstance(prediction, CaptionPrediction):
        return np.array([prediction.score], np.float32)
    found: Values = prediction.probabilities
    return found


def _seen(camera: _Camera, number: int, now_s: float) -> Seen:
    return Seen(
        rows=_newer(camera.rows, number),
        image=camera.image if camera.number > number else None,
        number=camera.number,
        active=tuple(camera.active),
        live=camera.live,
        lost=camera.lost,
        slow=camera.slow,
        idle_s=None if camera.written_s is None else now_s - camera.written_s,
    )


_Item = TypeVar("_Item", Row, Told)


def _newer(ring: deque[_Item], number: int) -> tuple[_Item, ...]:
    newest: Iterable[_Item] = itertools.takewhile(lambda x: x.number > number, reversed(ring))
    return tuple(newest)[::-1]
