"""Serves the page to any number of browsers, in one thread, without ever waiting for one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import socket
import threading
import time
from pathlib import Path

from edgecap.errors import SinkError
from edgecap.health import Health
from edgecap.sinks.base import RunInfo
from edgecap.sinks.web import message
from edgecap.sinks.web.access import Access
from edgecap.sinks.web.board import Board
from edgecap.sinks.web.pictures import SIZES, Pictures
from edgecap.sinks.web.wire import HEAD_BYTES, Answer, RefusedError, Request, parse, plain

_log = logging.getLogger(__name__)

#: So many may look on at once.
MOST_VIEWERS = 16
# A browser opens several connections for one page.
_MOST_CONNECTIONS = 4 * MOST_VIEWERS
# While there is no room, the next one is told so after this time: whoever come by the hundred wait
# in the system's queue, and take neither files nor the processor from the loop.
_NEXT_S = 0.005
# What cannot be accepted for want of files is tried again.
_ACCEPT_AGAIN_S = 0.5
# A viewer who has not asked for so long is gone.
_VIEWER_S = 5.0
# A connection ends when the next request takes longer than this, or when an answer does.
_REQUEST_S, _ANSWER_S = 10.0, 20.0
# An answer comes after this time at the latest: health changes without frames too.
_TICK_S = 1.0
_STOP_S = 0.8
# While somebody waits, it is looked for news so often.
_LOOK_S = 0.012
_VIEWER = re.compile(r"[A-Za-z0-9]{1,32}")
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def load_files() -> dict[str, Answer]:
    """Path → the page's files."""
    folder = Path(__file__).with_name("assets")
    files = {
        f"/{file.name}": Answer(200, _KINDS[file.suffix], file.read_bytes())
        for file in folder.iterdir()
        if file.suffix in _KINDS
    }
    return files | {"/": files["/index.html"]}


class Server:
    """Answers requests in a thread of its own, which never keeps the loop waiting.

    ``/live?run=…&after=N`` waits until something is newer than N, or a second, and gives all that
    is, with the newest pictures. So each viewer sets the pace: one on a slow line sees fewer
    pictures, always the newest, and no queue exists that could grow.

    Args:
      listener: a listening socket; closed by :meth:`stop`.
      access: who may see what.
      pictures: the encoder.
      run: what is shown.
    """

    def __init__(
        self, listener: socket.socket, access: Access, pictures: Pictures, run: RunInfo
    ) -> None:
        self._listener, self._access, self._pictures, self._info = listener, access, pictures, run
        self.board = Board(run)
        self._about = message.about(run.spec, self.board)
        self._run = secrets.token_hex(8)
        self._files = load_files()
        self._viewers: dict[str, float] = {}
        self._polling = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._health: tuple[float, Health] | None = None
        self._waiting = 0
        # Made in the thread, before the loop is known to the others.
        self._stopping: asyncio.Event
        self._news: asyncio.Event
        self._wanted: asyncio.Event
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="edgecap-web", daemon=True)

    def start(self) -> None:
        """Begins to answer.

        Raises:
          SinkError: it cannot be started.
        """
        self._thread.start()
        self._started.wait()
        if self._loop is None:
            raise SinkError("the web page cannot be served; the log says why")

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._tasks)

    def stop(self) -> None:
        """Ends all connections and the thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)
        # The loop that closes us must not hang on a thread that does.
        self._thread.join(_STOP_S)

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:
            _log.exception("the web page has ended")
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._stopping, self._news, self._wanted = (asyncio.Event() for _ in range(3))
        self._listener.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._started.set()
        own = [asyncio.create_task(self._watch()), asyncio.create_task(self._accept())]
        await self._stopping.wait()
        for task in own:
            task.cancel()
        await asyncio.wait(own)
        # More than once: before Python 3.12, wait_for() loses a cancellation that comes in the
        # very moment in which what it waits for is there.
        while tasks := tuple(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.05)

    async def _accept(self) -> None:
        """Takes connections, as many as there is room for.

        Not by asyncio's own server, which accepts all that come before it asks whether it may.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                _log.debug("the web page cannot accept a connection: %s", error)
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            if len(self._tasks) < _MOST_CONNECTIONS:
                task = loop.create_task(self._connected(peer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                # Others have their turn before the next one.
                await asyncio.sleep(0)
            else:
                _turn_away(peer)
                await asyncio.sleep(_NEXT_S)

    async def _connected(self, peer: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=HEAD_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, peer)
        except BaseException as error:
            peer.close()
            if isinstance(error, OSError):
                return
            raise
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        # An answer counts as sent when the system has taken all of it.
        writer.transport.set_write_buffer_limits(0)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            # They have left, or are too slow.
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
        except Exception:
            _log.exception("a viewer of the web page was lost")
            writer.transport.abort()
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether another may follow."""
        request: Request | None = None
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _REQUEST_S)
            request = parse(head)
            answer = self._access.check(request) or await self._answer(request)
        except asyncio.LimitOverrunError:
            answer = plain(431, f"expected a head of at most {HEAD_BYTES} bytes")
        except RefusedError as refused:
            allow = ("Allow: GET, HEAD",) if refused.status == 405 else ()
            answer = plain(refused.status, refused.line, *allow)
        keep_alive = request is not None and request.keep_alive and answer.status < 400
        head_only = request is not None and request.method == "HEAD"
        await self._send(writer, answer, keep_alive=keep_alive, head_only=head_only)
        return keep_alive

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        answer: Answer,
        *,
        keep_alive: bool = False,
        head_only: bool = False,
    ) -> None:
        writer.writelines(answer.parts(keep_alive=keep_alive, head_only=head_only))
        await asyncio.wait_for(writer.drain(), _ANSWER_S)

    async def _answer(self, request: Request) -> Answer:
        if request.path == "/live":
            return await self._live(request)
        if request.path not in self._files:
            raise RefusedError(404, "there is nothing here")
        return self._files[request.path]

    async def _live(self, request: Request) -> Answer:
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise RefusedError(403, "another site's page may not ask for this")
        query = request.query
        size, viewer = query.get("size", "large"), query.get("viewer", "someone")
        after = query.get("after", "-1")
        known = query.get("run") == self._run
        if size not in SIZES or not _VIEWER.fullmatch(viewer) or not re.fullmatch(r"-?\d+", after):
            raise RefusedError(400, "expected /live?run=ID&after=NUMBER&viewer=ID&size=large")
        wanted = {int(n) for n in re.findall(r"\d+", query.get("cameras", "")[:256])}
        self._admit(viewer)
        number = int(after) if known else -1
        self._polling += 1
        try:
            if known and request.method == "GET":
                await self._news_after(number)
            return await self._message(number, wanted, size)
        finally:
            self._polling -= 1
            self._viewers[viewer] = time.monotonic()

    def _admit(self, viewer: str) -> None:
        now_s = time.monotonic()
        for known, seen_s in tuple(self._viewers.items()):
            if now_s - seen_s > _VIEWER_S:
                del self._viewers[known]
        full = viewer not in self._viewers and len(self._viewers) >= MOST_VIEWERS
        if full or self._polling >= 2 * MOST_VIEWERS:
            raise RefusedError(503, f"{MOST_VIEWERS} viewers are here already; try again later")
        self._viewers[viewer] = now_s

    async def _watch(self) -> None:
        """Wakes whoever waits for news, soon after they came.

        It looks by itself: to be woken would cost the loop a system call for each frame, and at
        times its turn.
        """
        seen = -1
        while True:
            if not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            await asyncio.sleep(_LOOK_S)
            if self.board.number != seen:
                seen = self.board.number
                self._news.set()
                self._news = asyncio.Event()

    async def _news_after(self, number: int) -> None:
        ends_s = time.monotonic() + _TICK_S
        self._waiting += 1
        self._wanted.set()
        try:
            while self.board.number <= number and (left_s := ends_s - time.monotonic()) > 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._news.wait(), left_s)
        finally:
            self._waiting -= 1

    async def _message(self, number: int, wanted: set[int], size: str) -> Answer:
        snapshot = self.board.since(number)
        pictures = []
        for index, seen in enumerate(snapshot.cameras):
            picture = b""
            if seen.image is not None and (index in wanted or not wanted):
                picture = await self._pictures.jpeg(index, seen.number, seen.image, size)
            pictures.append(picture)
        body = message.pack(
            snapshot,
            pictures,
            run=self._run,
            about=self._about if number < 0 else None,
            viewers=len(self._viewers),
            health=self._health_now(),
            task=self._info.spec.task,
        )
        return Answer(200, "application/octet-stream", body)

    def _health_now(self) -> Health:
        """Once a second for all viewers."""
        now_s = time.monotonic()
        if self._health is None or now_s - self._health[0] >= _TICK_S:
            self._health = now_s, self._info.health()
        return self._health[1]


def _turn_away(peer: socket.socket) -> None:
    """Says that there is no room, as far as the system takes it at once, and closes."""
    answer = plain(503, "too many connections; try again later")
    with peer, contextlib.suppress(OSError):
        peer.setblocking(False)
        peer.send(b"".join(answer.parts(keep_alive=False, head_only=False)))
        # What was asked already and not read would take the answer away again.
        peer.recv(HEAD_BYTES)
