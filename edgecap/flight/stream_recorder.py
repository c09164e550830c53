"""One stream's ring, and what is being recorded of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from edgecap.errors import FlightError
from edgecap.flight.album import Album
from edgecap.flight.cut import Cut
from edgecap.flight.ring import Ring, Taken
from edgecap.flight.tape import Told
from edgecap.predictions import Prediction, RegressionPrediction
from edgecap.preprocess import Image
from edgecap.streaming import Snapshot, Stream

# Where frames stop coming, what is there is written after so long.
_IDLE_S = 2.0
_MOST_TOLD = 100


@dataclass(frozen=True)
class Settings:
    """What is kept, and when it is written.

    Attributes:
      before_s: how much is kept from before the event.
      after_s: how long recording goes on after it; another event meanwhile prolongs it.
      longest_s: a recording ends here, whatever happens.
      key_s: time between recorded states; so much more than ``before_s`` may be kept.
      labels: events of these begin a recording; ``None`` for all, empty for none.
      notices: notices of these kinds do.
    """

    before_s: float = 20.0
    after_s: float = 5.0
    longest_s: float = 60.0
    key_s: float = 2.0
    labels: Collection[str] | None = None
    notices: Collection[str] = ("gap", "lost")

    def __post_init__(self) -> None:
        for name in ("before_s", "longest_s", "key_s"):
            if not 0 < getattr(self, name) <= 3600:
                raise FlightError(
                    f"flight recorder: expected {name} above 0, at most 3600; "
                    f"got {getattr(self, name)}"
                )
        if not 0 <= self.after_s <= 3600 or self.before_s + self.after_s > self.longest_s:
            raise FlightError(
                "flight recorder: expected after_s of 0 or more, and longest_s to hold before_s "
                f"and after_s; got {self.before_s} + {self.after_s} > {self.longest_s}"
            )


@dataclass
class _Incident:
    reason: str
    from_s: float
    due_s: float
    after: Snapshot | None = None


class StreamRecorder:
    """One stream's ring, and what is being recorded of it; the stream's observer.

    Args:
      stream: whose.
      camera: name of its source.
      hand_over: called with what is to be written, in the thread that steps the stream.
      wake: called when a recording begins: from then on :meth:`overdue` is to be asked.
    """

    def __init__(
        self,
        stream: Stream[Any],
        camera: str,
        settings: Settings,
        *,
        hand_over: Callable[[Cut], None],
        wake: Callable[[], None],
    ) -> None:
        self.stream, self.camera = stream, camera
        fork = stream.fork()
        fork.reset()
        self.fresh = fork.snapshot()
        self._settings, self._hand_over, self._wake = settings, hand_over, wake
        rate_hz = stream.model.spec.rate_hz
        self._ring = Ring(keep_s=settings.before_s, key_s=settings.key_s, rate_hz=rate_hz)
        self._lock = threading.Lock()
        self._key: Snapshot | None = stream.snapshot()
        self._jump = True
        self._incident: _Incident | None = None
        self._album = Album()
        self._told: deque[tuple[int, Told]] = deque(maxlen=_MOST_TOLD)
        self._stepped_at_s = time.monotonic()

    @property
    def is_recording(self) -> bool:
        return self._incident is not None

    def stepped(self, image: Image, outputs: npt.NDArray[Any], prediction: Prediction) -> None:
        """See :class:`edgecap.streaming.StreamObserver`."""
        if isinstance(prediction, RegressionPrediction):
            values = prediction.values
        else:
            values = prediction.probabilities  # type: ignore[attr-defined]
        # The frame may live in a buffer of the camera's.
        image = self._album.keep(image)
        cut = None
        with self._lock:
            ring, incident = self._ring, self._incident
            self._stepped_at_s = time.monotonic()
            taken = Taken(
                number=ring.count,
                clock_s=ring.tick(prediction.timestamp_s),
                image=image,
                timestamp_s=prediction.timestamp_s,
                outputs=outputs,
                values=values,
                events=prediction.events,
                before=self._key,
                jump=self._jump,
            )
            ring.add(taken, incident.from_s if incident else None)
            self._key, self._jump = None, False
            if ring.wants_key:
                self._key = self.stream.snapshot()
            for event in prediction.events:
                wanted = self._settings.labels is None or event.label in self._settings.labels
                if wanted and event.kind == "start":
                    self._begin("event", event.label)
            if self._incident is not None:
                self._incident.after = self._key or self.stream.snapshot()
                if ring.clock_s >= self._incident.due_s:
                    cut = self._cut()
        if cut is not None:
            self._hand_over(cut)

    def jumped(self) -> None:
        """See :class:`edgecap.streaming.StreamObserver`."""
        with self._lock:
            self._key, self._jump = self.stream.snapshot(), True

    def tell(self, kind: str, told: str, begins: bool) -> None:
        """Notes something that is no answer of the stream's."""
        with self._lock:
            if begins:
                self._begin(kind, told)
            else:
                self._note(kind, told)

    def overdue(self, now_s: float) -> Cut | None:
        """What is to be written as no frame has come for long."""
        idle_s = max(_IDLE_S, self._settings.after_s)
        with self._lock:
            if self._incident is None or now_s - self._stepped_at_s < idle_s:
                return None
            return self._cut()

    def flush(self) -> Cut | None:
        """What is being recorded, as far as it has come."""
        with self._lock:
            return self._cut() if self._incident else None

    def _note(self, kind: str, told: str) -> None:
        self._told.append((self._ring.count - 1, Told(0, kind, told, self._ring.last_s)))

    def _begin(self, kind: str, told: str) -> None:
        self._note(kind, told)
        if not len(self._ring):
            return
        settings, now_s = self._settings, self._ring.clock_s
        if self._incident is None:
            from_s = now_s - settings.before_s
            self._incident = _Incident(f"{kind}: {told}", from_s, now_s + settings.after_s)
            self._wake()
        else:
            longest_s = self._incident.from_s + settings.longest_s
            self._incident.due_s = min(now_s + settings.after_s, longest_s)

    def _cut(self) -> Cut:
        incident = self._incident
        assert incident is not None
        self._incident = None
        records = self._ring.records(incident.from_s)
        return Cut(
            stream=self.stream,
            camera=self.camera,
            fresh=self.fresh,
            reason=incident.reason,
            records=records,
            after=incident.after,
            told=tuple(self._told),
        )
