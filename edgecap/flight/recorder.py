"""Keeps the last seconds of streams, and writes them when something happens."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgecap.errors import FlightError
from edgecap.flight.cut import Cut
from edgecap.flight.folder import TapeFolder
from edgecap.flight.memory import pack_snapshot
from edgecap.flight.stream_recorder import Settings, StreamRecorder
from edgecap.notices import Notice
from edgecap.sinks.base import Result, Sink
from edgecap.streaming import Stream

_log = logging.getLogger(__name__)

_LOOK_S = 0.25
# A recording that is being written and one that waits; more are given up, so that a slow disk
# does not fill the memory.
_MOST_WAITING = 2
_MOST_ASKED = 8
_CLOSE_S = 1.5


class FlightRecorder(Sink):
    """The last seconds of streams, written to a folder when something happens.

    It watches the streams that are attached to it, and as a sink it hears of the run's notices.
    What it keeps in memory is bounded by ``longest_s`` and ``key_s``; writing happens in a thread
    of its own. A recording that cannot be written is told of once, and recording goes on.

    Args:
      folder: made if it does not exist.
      settings: what is kept, and when it is written.
      max_files, max_bytes: how much the folder may hold; the oldest recordings are removed.
      patient: steps wait for the disk where recordings come faster than it takes them, instead of
        giving recordings up; for files and folders, which lose no frame by it.
      told: called with what was written or could not be, by :meth:`write` and :meth:`close`, so
        in their thread; ``None``: it goes to the log.

    Raises:
      FlightError: the folder cannot be made or written to, or a setting is out of range.
    """

    def __init__(
        self,
        folder: str | Path,
        settings: Settings | None = None,
        *,
        max_files: int = 50,
        max_bytes: int = 1_000_000_000,
        patient: bool = False,
        told: Callable[[Notice], None] | None = None,
    ) -> None:
        if max_files < 1:
            raise FlightError(f"flight recorder: expected max_files of 1 or more; got {max_files}")
        self.settings = settings or Settings()
        self.folder = TapeFolder(folder, max_files=max_files, max_bytes=max_bytes)
        self.told = told
        self._patient = patient
        self._telling = False
        self._streams: tuple[StreamRecorder, ...] = ()
        # Of all queues, this one may be put into from a signal handler.
        self._inbox: queue.SimpleQueue[Cut | str | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Notice] = queue.SimpleQueue()
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._failing = False
        self._closing = False
        self._writer = threading.Thread(target=self._work, name="edgecap-flight", daemon=True)
        self._writer.start()

    def attach(self, stream: Stream[Any], camera: str = "") -> None:
        """Records a stream from now on.

        Args:
          stream: has no observer yet.
          camera: name of its source, as ``Notice.camera`` has it.

        Raises:
          FlightError: the stream is observed already, or remembers what no tape can hold.
        """
        if stream.observer is not None:
            raise FlightError("flight recorder: the stream has an observer already")
        recorded = StreamRecorder(
            stream, camera, self.settings, hand_over=self._hand_over, wake=self._wake
        )
        # Said now, not when the first recording is wanted.
        pack_snapshot(stream.snapshot(), recorded.fresh, [])
        self._streams = (*self._streams, recorded)
        stream.observer = recorded

    def trigger(self, told: str = "asked for") -> None:
        """Records what was before and comes after; from any thread or signal handler."""
        # Where a disk hangs, nobody reads them.
        if self._inbox.qsize() < _MOST_ASKED:
            self._inbox.put(told)

    def write(self, result: Result) -> None:
        """Tells what the writer has done; frames come from the streams themselves."""
        self._tell_news()

    def notice(self, notice: Notice) -> None:
        """Notes it, and records if it is of the kinds that were asked for."""
        # What it tells itself comes back to it, as to all sinks.
        if notice.kind == "recorded" or self._telling:
            return
        begins = notice.kind in self.settings.notices
        for recorded in self._streams:
            if notice.camera in ("", recorded.camera):
                recorded.tell("notice", f"{notice.kind}: {notice.told}", begins)

    def close(self) -> None:
        """Writes what is being recorded, as far as it has come; may be called twice."""
        if self._closing:
            return
        self._closing = True
        until_s = time.monotonic() + _CLOSE_S
        for recorded in self._streams:
            if recorded.stream.observer is recorded:
                recorded.stream.observer = None
            cut = recorded.flush()
            if cut is not None:
                self._hand_over(cut, until_s)
        self._inbox.put(None)
        self._writer.join(max(0.0, until_s - time.monotonic()))
        if self._writer.is_alive():
            self._news.put(Notice("sink", "flight recorder: the disk is too slow to wait for", 0.0))
        self._tell_news()

    def _wake(self) -> None:
        """The writer has something to look after now and then."""
        if self._inbox.empty():
            self._inbox.put("")

    def _hand_over(self, cut: Cut, until_s: float | None = None) -> None:
        longest_s = None if until_s is None else max(0.0, until_s - time.monotonic())
        if self._waiting.acquire(self._patient, longest_s if self._patient else None):
            self._inbox.put(cut)
        else:
            self._fail(cut, "the disk is too slow, it is still writing earlier ones")

    def _work(self) -> None:
        while True:
            recording = any(recorded.is_recording for recorded in self._streams)
            try:
                item = self._inbox.get(timeout=_LOOK_S if recording else None)
            except queue.Empty:
                item = ""
            if item is None:
                return
            if isinstance(item, Cut):
                try:
                    self._write(item)
                finally:
                    self._waiting.release()
            elif item:
                for recorded in self._streams:
                    recorded.tell("asked", item, True)
            now_s = time.monotonic()
            for recorded in self._streams:
                cut = recorded.overdue(now_s)
                if cut is not None:
                    self._write(cut)

    def _write(self, cut: Cut) -> None:
        try:
            tape = cut.tape()
            path = self.folder.write(cut.reason, tape.nbytes, tape.write)
        # The thread must live on, whatever a state or a disk comes with.
        except Exception as error:
            _log.debug("flight recorder", exc_info=True)
            self._fail(cut, getattr(error, "strerror", None) or str(error))
            return
        self._failing = False
        first_s, last_s = cut.records[0].timestamp_s, cut.records[-1].timestamp_s
        self._news_of(
            cut, "recorded", f"{cut.reason}: {last_s - first_s:.1f} s written to {path.name}"
        )

    def _fail(self, cut: Cut, why: str) -> None:
        if not self._failing:
            self._failing = True
            self._news_of(cut, "sink", f"flight recorder: {cut.reason!r} is not written: {why}")

    def _news_of(self, cut: Cut, kind: str, told: str) -> None:
        notice = Notice(kind, told, cut.records[-1].timestamp_s, cut.camera)
        if self.told is not None:
            self._news.put(notice)
        elif kind == "recorded":
            _log.info("%s", told)
        else:
            _log.warning("%s", told)

    def _tell_news(self) -> None:
        self._telling = True
        try:
            while not self._news.empty():
                notice = self._news.get()
                if self.told is not None:
                    self.told(notice)
        finally:
            self._telling = False
