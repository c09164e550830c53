"""Any sink behind a queue, in a thread of its own: it may be slow, or dead."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from edgecap.errors import ReaderGoneError, ResultRefusedError, SinkError
from edgecap.notices import Notice
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sinks.queue import Item, Losses, ResultQueue

_log = logging.getLogger(__name__)

DEFAULT_CAPACITY = 256
DEFAULT_MAX_BYTES = 48_000_000
DEFAULT_CLOSE_S = 1.0
# A sink that failed is tried again after the first of these, then after twice as long, and so on.
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.5, 30.0
# Losses are told so long after the first, then at twice the interval, and so on.
_FIRST_TOLD_S, _LONGEST_TOLD_S = 1.0, 3600.0
_IDLE_S = 0.05
# Of sinks that show the latest only.
_LATEST = 8
_NO_IMAGE = np.zeros((0, 0, 3), np.uint8)


class Background(Sink):
    """Hands everything to another sink in a daemon thread; :meth:`write` never waits.

    What the sink raises decides what becomes of it:

    * :class:`~edgecap.errors.ReaderGoneError`: nobody is there to read. The next call of
      :meth:`write` or :meth:`check` raises it, which ends the run in good order.
    * :class:`~edgecap.errors.ResultRefusedError`: this one is lost, and counted; on with the next.
    * any other :class:`~edgecap.errors.SinkError` (disk full, broker away): told once; the same
      result is tried again with growing pauses, until it works, which is told too. Meanwhile the
      queue fills. ``essential`` sinks end the run instead: the next call raises the error.
    * anything else is a fault in the sink: it is logged and told, and the sink is given up.

    A sink may say more of itself by attributes, all of them optional:

    * ``uses_images`` (``True``): whether it wants the pictures. Without, results are queued with an
      empty image and take next to no memory.
    * ``only_events`` (``False``): results without events are not queued at all.
    * ``latest_only`` (``False``): a few results wait at most, and those lost without events are not
      told: what was not shown in time is not worth showing.
    * ``longest_retry_s`` (30): the longest pause between two tries.
    * ``idle()``: called about 20 times a second while there is nothing to write; may raise as
      ``write`` does.

    Args:
      sink: whose methods are called in one thread, in the order of the calls here.
      name: what notices call it.
      capacity: results and notices that may wait; see :class:`~edgecap.sinks.queue.ResultQueue`.
      max_bytes: of pictures that may wait.
      essential: whether the run is pointless without it.
      told: called with notices about the sink, in the thread that calls this object's methods;
        ``None``: they go to the log.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        name: str,
        capacity: int = DEFAULT_CAPACITY,
        max_bytes: int = DEFAULT_MAX_BYTES,
        essential: bool = False,
        told: Callable[[Notice], None] | None = None,
    ) -> None:
        self.name, self.told = name, told
        self._sink, self._essential = sink, essential
        self._images: bool = getattr(sink, "uses_images", True)
        self._only_events: bool = getattr(sink, "only_events", False)
        self._latest_only: bool = getattr(sink, "latest_only", False)
        self._longest_s: float = getattr(sink, "longest_retry_s", _LONGEST_RETRY_S)
        capacity = min(capacity, _LATEST) if self._latest_only else capacity
        self._queue = ResultQueue(capacity, max_bytes)
        self._run: RunInfo | None = None
        self._failure: Exception | None = None
        self._given_up = False
        self._refused = Losses()
        self._in_hand: Item | None = None
        # What the thread has to tell, until a call comes that can.
        self._to_tell: deque[str] = deque(maxlen=100)
        self._last_s = 0.0
        self._told_losses, self._tell_at_s, self._interval_s = 0, 0.0, _FIRST_TOLD_S
        self._thread = threading.Thread(target=self._work, name=f"sink {name}", daemon=True)
        self._started = self._over = False

    @property
    def losses(self) -> Losses:
        """What the sink never got, or refused."""
        a, b = self._queue.losses, self._refused
        return Losses(a.results + b.results, a.events + b.events, a.notices + b.notices)

    def begin(self, run: RunInfo) -> None:
        self._run = run
        self._start()

    def write(self, result: Result) -> None:
        """Queues a result; O(1), never waits.

        Raises:
          ReaderGoneError: nobody reads what the sink writes.
          SinkError: the sink is essential and has failed.
        """
        self._start()
        self._last_s = result.frame.timestamp_s
        if not self._given_up and (result.prediction.events or not self._only_events):
            if not self._images:
                result = replace(result, frame=replace(result.frame, image=_NO_IMAGE))
            self._queue.put(result)
        self.check()

    def notice(self, notice: Notice) -> None:
        # Nothing is told from here: it could come back as a notice.
        self._start()
        self._last_s = notice.timestamp_s
        if not self._given_up:
            self._queue.put(notice)

    def check(self) -> None:
        """Tells what the sink has met; for whoever waits long between two results.

        Raises:
          ReaderGoneError, SinkError: as :meth:`write` does.
        """
        while self._to_tell:
            self._tell(self._to_tell.popleft())
        self._tell_losses()
        if self._failure is not None and not self._over:
            self._over = True
            raise self._failure

    def finish(self) -> None:
        """Lets the sink come to its end; does not wait for it."""
        self._start()
        self._queue.close()

    def close(self, timeout_s: float = DEFAULT_CLOSE_S) -> None:
        """Waits until everything is written and the sink closed, but no longer than the timeout.

        A sink that hangs is left behind in its thread, which ends with the process; what it has
        not taken is told as lost.
        """
        self.finish()
        self._thread.join(timeout_s)
        hangs = self._thread.is_alive()
        if hangs:
            self._given_up = True
            self._lose(self._in_hand)
            self._queue.clear()
            self._to_tell.append(f"{self.name}: did not end within {timeout_s:.1f} s, left behind")
        failure, raised = self._failure, self._over
        if failure is not None and not raised and not isinstance(failure, ReaderGoneError):
            self._to_tell.append(f"{self.name}: {failure}")
        self._over = True
        self.check()
        self._tell_losses(at_last=True)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._thread.start()

    def _tell(self, told: str) -> None:
        if self.told is None:
            _log.warning("%s", told)
        else:
            self.told(Notice("sink", told, self._last_s))

    def _tell_losses(self, *, at_last: bool = False) -> None:
        losses = self.losses
        count = losses.results + losses.notices
        if count == self._told_losses or (self._latest_only and not losses.events):
            return
        now_s = time.monotonic()
        if self._tell_at_s == 0.0:
            self._tell_at_s = now_s + self._interval_s
        if at_last or now_s >= self._tell_at_s:
            self._told_losses = count
            self._interval_s = min(self._interval_s * 2, _LONGEST_TOLD_S)
            self._tell_at_s = now_s + self._interval_s
            self._tell(f"{self.name}: {losses}")

    # From here on: in the thread.

    def _work(self) -> None:
        try:
            if self._run is not None:
                run = self._run
                self._insist(lambda: self._sink.begin(run))
            idle = getattr(self._sink, "idle", None)
            while not self._given_up:
                item = self._queue.get(_IDLE_S if idle is not None else None)
                if item is not None:
                    self._insist(lambda item=item: self._give(item), item)  # type: ignore[misc]
                elif self._queue.closed:
                    break
                elif idle is not None:
                    self._insist(idle)
        except Exception as error:
            self._given_up = True
            if isinstance(error, SinkError):
                self._failure = error
            else:
                _log.exception("%s", self.name)
                self._to_tell.append(f"{self.name}: given up: {type(error).__name__}: {error}")
            self._queue.clear()
        finally:
            try:
                self._sink.close()
            except SinkError as error:
                self._to_tell.append(f"{self.name}: {error}")
            except Exception:
                _log.exception("%s", self.name)

    def _give(self, item: Item) -> None:
        self._in_hand = item
        if isinstance(item, Notice):
            self._sink.notice(item)
        else:
            self._sink.write(item)
        self._in_hand = None

    def _insist(self, call: Callable[[], None], item: Item | None = None) -> None:
        """Tries until it works, it is refused, or there is no more time."""
        pause_s, failed = _FIRST_RETRY_S, False
        while True:
            # Once closing has begun, there is one more try.
            last = self._queue.closed
            try:
                call()
            except ReaderGoneError:
                raise
            except ResultRefusedError as error:
                self._to_tell.append(f"{self.name}: {error}")
                self._lose(item)
                return
            except SinkError as error:
                if self._essential:
                    raise
                if not failed:
                    failed = True
                    self._to_tell.append(f"{self.name}: {error}; trying again")
                if last or self._given_up:
                    self._lose(item)
                    self._queue.clear()
                    return
                self._queue.pause(pause_s)
                pause_s = min(pause_s * 2, self._longest_s)
            else:
                if failed:
                    self._to_tell.append(f"{self.name}: works again")
                return

    def _lose(self, item: Item | None) -> None:
        self._in_hand = None
        if item is not None:
            self._refused.add(item)


def close_all(sinks: Iterable[Sink], timeout_s: float = DEFAULT_CLOSE_S) -> None:
    """Closes sinks side by side: together they take no longer than the timeout."""
    sinks = tuple(sinks)
    behind = [sink for sink in sinks if isinstance(sink, Background)]
    for sink in behind:
        sink.finish()
    until_s = time.monotonic() + timeout_s
    for sink in behind:
        sink.close(max(0.0, until_s - time.monotonic()))
    for other in sinks:
        if not isinstance(other, Background):
            other.close()
