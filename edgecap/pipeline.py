"""source → stream → sinks: the live loop."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence

from edgecap import systemd
from edgecap.errors import ConfigError
from edgecap.health import Health, Monitor
from edgecap.lane import DEFAULT_MAX_GAP_S, FrameStream, Lane
from edgecap.notices import Notice
from edgecap.sinks.base import RunInfo, Sink
from edgecap.sources.base import Frame, Source
from edgecap.sources.merged import LOOK_S, Merged

__all__ = ["DEFAULT_MAX_GAP_S", "Pipeline", "run"]

_log = logging.getLogger(__name__)
#: The logger that notices go to.
NOTICES = "edgecap.notices"
_notices = logging.getLogger(NOTICES)


class Pipeline:
    """Streams sources through models until they end or it is stopped.

    Args:
      sources: opened; closed by the caller. Their names tell the cameras apart.
      streams: one for each source, each of its own; they may be of one model.
      sinks: told of every processed frame, in order; closed by the caller.
      max_frames: stop after so many processed frames.
      max_gap_s: after a longer pause between frames, and one of more than three frame periods, the
        state is reset.

    Raises:
      ConfigError: as many streams as sources are needed, and at least one of each.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        streams: Sequence[FrameStream],
        sinks: Sequence[Sink] = (),
        *,
        max_frames: int | None = None,
        max_gap_s: float = DEFAULT_MAX_GAP_S,
    ) -> None:
        if not sources or len(sources) != len(streams):
            raise ConfigError(
                "expected at least one source, and a stream for each; got "
                f"{len(sources)} source(s) and {len(streams)} stream(s)"
            )
        self._sources, self._sinks = tuple(sources), tuple(sinks)
        self._max_frames = max_frames
        self._monitor = Monitor()
        self._merged = Merged(sources) if len(sources) > 1 else None
        self._stopping = False
        names = camera_names([source.name for source in sources])
        self._lanes = [
            Lane(
                name,
                stream,
                live=source.live,
                max_gap_s=max_gap_s,
                monitor=self._monitor,
                tell=self.tell,
            )
            for name, source, stream in zip(names, sources, streams, strict=True)
        ]
        self._spec = streams[0].model.spec
        self._watched_s, self._next_beat_s = systemd.watchdog_period_s(), 0.0

    @property
    def cameras(self) -> tuple[str, ...]:
        """What the sources are called in results and notices."""
        return tuple(lane.name for lane in self._lanes)

    def health(self) -> Health:
        """How it does; from any thread."""
        return self._monitor.health()

    def stop(self) -> None:
        """Ends the run soon; from any thread, but not from a signal's handler."""
        self._stopping = True
        if self._merged is not None:
            self._merged.stop()
        for source in self._sources:
            source.stop()

    def run(self) -> Monitor:
        """Runs to the end.

        Returns:
          What was done; also after ``KeyboardInterrupt``, which ends the run in good order.

        Raises:
          SourceError: a source failed, and no other one is left.
          SinkError: a sink cannot be written to.
        """
        monitor = self._monitor
        info = RunInfo(self._spec, self.cameras, self.health)
        for sink in self._sinks:
            sink.begin(info)
        began = time.perf_counter()
        try:
            for number, item in self._items():
                self._heartbeat()
                if item is None:
                    for sink in self._sinks:
                        sink.check()
                    continue
                if isinstance(item, Notice):
                    self.tell(dataclasses.replace(item, camera=self._lanes[number].name))
                    continue
                result = self._lanes[number].take(item)
                if result is not None:
                    for sink in self._sinks:
                        sink.write(result)
                    if monitor.processed == self._max_frames:
                        break
                if self._stopping:
                    break
        except KeyboardInterrupt:
            _log.info("stopped by the user")
        monitor.seconds = time.perf_counter() - began
        return monitor

    def tell(self, notice: Notice) -> None:
        """Hands a notice to the log and to all sinks; in the thread of the run."""
        if notice.kind == "back":
            self._monitor.restarts += 1
        level = logging.INFO if notice.kind in ("steady", "back", "recorded") else logging.WARNING
        where = f"{notice.camera}: " if notice.camera else ""
        _notices.log(level, "%s%s", where, notice.told)
        for sink in self._sinks:
            sink.notice(notice)

    def _items(self) -> Iterator[tuple[int, Frame | Notice | None]]:
        """What comes from which source; ``None`` where nothing comes for a while."""
        if self._merged is not None:
            yield from self._merged
            return
        (source,) = self._sources
        source.told = self.tell
        take = getattr(source, "take", None)
        if take is None:
            for frame in source:
                yield 0, frame
            return
        while not source.ended:  # type: ignore[attr-defined]  # of sources that can be waited for
            yield 0, take(LOOK_S)

    def _heartbeat(self) -> None:
        """Tells systemd, where it listens, that the loop turns."""
        if self._watched_s is None:
            return
        now_s = time.monotonic()
        if now_s >= self._next_beat_s:
            self._next_beat_s = now_s + self._watched_s
            systemd.notify("WATCHDOG=1")


def run(
    source: Source,
    stream: FrameStream,
    sinks: Sequence[Sink] = (),
    *,
    max_frames: int | None = None,
    max_gap_s: float = DEFAULT_MAX_GAP_S,
) -> Monitor:
    """Streams one source through a model until it ends; see :class:`Pipeline`."""
    return Pipeline([source], [stream], sinks, max_frames=max_frames, max_gap_s=max_gap_s).run()


def camera_names(names: Sequence[str]) -> list[str]:
    """The names, made unique: two cameras of one name get numbers."""
    found: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in found:
            number += 1
            unique = f"{name} #{number}"
        found.append(unique)
    return found
