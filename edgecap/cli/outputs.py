"""Where ``edgecap run`` sends its results: options and sinks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgecap.cli.common import listen_address

if TYPE_CHECKING:
    from edgecap.flight.recorder import FlightRecorder
    from edgecap.notices import Notice
    from edgecap.sinks.background import Background
    from edgecap.sinks.base import Sink

_F = TypeVar("_F", bound=Callable[..., Any])

VIEWS = ("line", "window", "web", "none")
_LISTEN = ("127.0.0.1", 8080)
# What all sinks together get to write what is queued, when the run is over.
_CLOSE_S = 1.2

_OPTIONS = (
    click.option(
        "--view",
        type=click.Choice(VIEWS),
        default="line",
        show_default=True,
        help="A line on the terminal, a window, a page for browsers, or nothing.",
    ),
    click.option(
        "--listen",
        metavar="HOST:PORT",
        help="Where --view web is served; port 0 for any.  [default: 127.0.0.1:8080]",
    ),
    click.option(
        "--token",
        envvar="EDGECAP_WEB_TOKEN",
        help="What a browser must know, unless only this computer is served; made up if not given.",
    ),
    click.option("--jsonl", metavar="FILE", help="Write one JSON object per frame; - for stdout."),
    click.option("--append", is_flag=True, help="Go on with the file of --jsonl."),
    click.option(
        "--jsonl-mb",
        type=click.FloatRange(0, min_open=True),
        metavar="MB",
        help="Begin the file of --jsonl anew at this size, keeping three before it.",
    ),
    click.option("--video", metavar="FILE", help="Write the annotated frames (.mkv, .avi, .mp4)."),
    click.option(
        "--video-segment",
        type=click.FloatRange(1),
        metavar="SECONDS",
        help="Begin a new file of --video after so long.",
    ),
    click.option("--video-keep", type=click.IntRange(1), metavar="N", help="Keep so many of them."),
    click.option(
        "--webhook",
        metavar="URL",
        envvar="EDGECAP_WEBHOOK",
        help="POST each event there as JSON; signed with $EDGECAP_WEBHOOK_SECRET if that is set.",
    ),
    click.option(
        "--mqtt",
        metavar="URL",
        envvar="EDGECAP_MQTT",
        help="Publish events and health, as mqtt://user:password@host/topic.",
    ),
    click.option(
        "--record",
        metavar="FOLDER",
        type=click.Path(file_okay=False),
        help="Flight recorder: write the seconds around each event there, for 'edgecap replay'.",
    ),
    click.option(
        "--record-seconds",
        type=click.FloatRange(1, 600),
        default=20.0,
        show_default=True,
        help="How much from before the event.",
    ),
)


def output_options(function: _F) -> _F:
    """Attaches the options; the command gets them as :class:`Outputs` takes them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class Outputs:
    """The sinks of a run; a context manager that closes them all within a bounded time.

    Of a camera's results, what may block stands behind a queue: a slow or dead sink never slows the
    loop. A recording waits for its files instead, so that every result is in them.

    Args:
      labels: the model's.
      live: whether a camera is among the sources.
      options: see ``output_options``.

    Attributes:
      sinks: in the order in which they are told.
      recorder: the flight recorder, if there is one; streams are attached to it.
      url: where the page can be seen, if there is one.

    Raises:
      SinkError: one cannot be opened; those before it are closed.
      MissingDependencyError: a package is needed that is not installed.
      UsageError: options that do not go together.
    """

    def __init__(self, labels: Sequence[str], *, live: bool, **options: Any) -> None:
        self._labels, self._live, self._given = labels, live, options
        self._queued: list[Background] = []
        self.sinks: list[Sink] = []
        self.recorder: FlightRecorder | None = None
        self.url: str | None = None
        self._check()
        try:
            self._open_files()
            self._open_messages()
            self._open_recorder()
            self._open_view()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listen(self, told: Callable[[Notice], None]) -> None:
        """Sets who hears of sinks that fail."""
        for sink in self._queued:
            sink.told = told
        if self.recorder is not None:
            self.recorder.told = told

    def close(self) -> None:
        """Writes what is queued and closes all; one that hangs is left behind."""
        from edgecap.sinks.background import close_all

        if self.recorder is not None:
            # It may have something to tell the others.
            self.recorder.close()
        sinks, self.sinks, self._queued = self.sinks, [], []
        close_all(sinks, _CLOSE_S)

    def _check(self) -> None:
        given = self._given
        if given["view"] != "web" and given["listen"]:
            raise click.UsageError("--listen needs --view web")
        if given["jsonl"] is None and (given["append"] or given["jsonl_mb"]):
            raise click.UsageError("--append and --jsonl-mb need --jsonl FILE")
        if given["video"] is None and (given["video_segment"] or given["video_keep"]):
            raise click.UsageError("--video-segment and --video-keep need --video FILE")

    def _open_files(self) -> None:
        given = self._given
        if given["jsonl"] is not None:
            from edgecap.sinks.jsonl import JsonLines

            most = given["jsonl_mb"]
            max_bytes = None if most is None else max(1, round(most * 1e6))
            lines = JsonLines(
                given["jsonl"], self._labels, append=given["append"], max_bytes=max_bytes
            )
            self._add(lines, "JSON lines", queue=self._live)
        if given["video"] is not None:
            from edgecap.sinks.video import Video

            video = Video(
                given["video"],
                self._labels,
                segment_s=given["video_segment"],
                keep=given["video_keep"],
            )
            self._add(video, "video", queue=self._live)

    def _open_messages(self) -> None:
        given = self._given
        if given["webhook"] is not None:
            from edgecap.sinks.webhook import Webhook

            secret = os.environ.get("EDGECAP_WEBHOOK_SECRET")
            self._add(Webhook(given["webhook"], secret=secret), "webhook", queue=True)
        if given["mqtt"] is not None:
            from edgecap.sinks.mqtt import Mqtt

            self._add(Mqtt(given["mqtt"]), "mqtt", queue=True)

    def _open_recorder(self) -> None:
        if self._given["record"] is None:
            return
        from edgecap.flight.recorder import FlightRecorder
        from edgecap.flight.stream_recorder import Settings

        before_s = self._given["record_seconds"]
        settings = Settings(before_s=before_s, longest_s=max(60.0, 2 * before_s + 10))
        self.recorder = FlightRecorder(self._given["record"], settings, patient=not self._live)
        self.sinks.append(self.recorder)

    def _open_view(self) -> None:
        view = self._given["view"]
        if view == "line":
            from edgecap.sinks.terminal import LiveLine

            self._add(LiveLine(self._labels), "terminal", queue=self._live)
        elif view == "window":
            from edgecap.sinks.window import Window

            self._add(Window(self._labels, self._key), "window", queue=True)
        elif view == "web":
            from edgecap.sinks.web import WebPage

            host, port = listen_address(self._given["listen"], _LISTEN)
            page = WebPage(host, port, token=self._given["token"])
            self.url = page.url
            self.sinks.append(page)

    def _key(self, key: str) -> None:
        if key == "r" and self.recorder is not None:
            self.recorder.trigger("key r")

    def _add(self, sink: Sink, name: str, *, queue: bool) -> None:
        if queue:
            from edgecap.sinks.background import Background

            waiting = Background(sink, name=name)
            self._queued.append(waiting)
            sink = waiting
        self.sinks.append(sink)
