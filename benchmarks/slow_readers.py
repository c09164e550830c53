"""The viewers of ``slow_viewers.py``, in a process of their own: slow, silent, leaving; two honest.

Connections come again as soon as they are refused or cut. There are five kinds: ``drip`` asks and
reads a byte a second, ``never`` asks and does not read, ``header`` sends its request a byte a
second, ``silent`` sends nothing, ``again`` asks, leaves in the middle of the answer and returns.
Beside them two look on as the page does, from before the others come.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import http.client
import json
import os
import random
import re
import socket
import statistics
import sys
import threading
import time
from typing import Any

from edgecap.sinks.web import server
from tests.viewers import unpack

_KINDS = ("drip", "never", "header", "silent", "again")
_HONEST = 2
_ASK = "GET /live?viewer={} HTTP/1.1\r\nHost: localhost\r\n\r\n"
# More answers than the sockets of both ends hold.
_ASKED_AT_ONCE = 8
# Whoever is one too many is told so within this time, before having asked.
_GREETING_S, _PAUSE_S = 0.3, 0.7


class Readers:
    """All connections, in one thread; counts what becomes of each."""

    def __init__(self, port: int, seconds: float, connections: int) -> None:
        self._port, self._connections = port, connections
        self._ends_s = time.monotonic() + seconds
        self._rng = random.Random(1)
        self._open = self._most = 0
        self._number = 0
        self._fates: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self._lived_s: dict[str, list[float]] = collections.defaultdict(list)

    async def run(self) -> dict[str, Any]:
        tasks = [
            asyncio.create_task(self._keep_coming(_KINDS[n % len(_KINDS)]))
            for n in range(self._connections)
        ]
        await asyncio.gather(*tasks)
        return {
            "open_at_once": self._most,
            "attempts": sum(fates.total() for fates in self._fates.values()),
            "fates": {kind: dict(fates.most_common()) for kind, fates in self._fates.items()},
            "seconds_until": {
                fate: {
                    "count": len(lived),
                    "median": round(statistics.median(lived), 2),
                    "most": round(max(lived), 2),
                }
                for fate, lived in sorted(self._lived_s.items())
            },
        }

    async def _keep_coming(self, kind: str) -> None:
        # Not all in the same instant, now and later.
        await asyncio.sleep(self._rng.uniform(0, 2 * _PAUSE_S))
        while time.monotonic() < self._ends_s:
            began_s = time.monotonic()
            peer = socket.socket()
            peer.setblocking(False)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with peer:
                fate = await self._live(kind, peer)
            if time.monotonic() < self._ends_s:
                self._fates[kind][fate] += 1
                self._lived_s[fate].append(time.monotonic() - began_s)
                await asyncio.sleep(self._rng.uniform(0.5, 1.5) * _PAUSE_S)
            else:
                self._fates[kind]["there to the end"] += 1

    async def _live(self, kind: str, peer: socket.socket) -> str:
        """One connection, from the first to the last; returns what became of it."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.sock_connect(peer, ("127.0.0.1", self._port)), 10)
        except (OSError, asyncio.TimeoutError) as error:
            return f"no connection: {type(error).__name__}"
        self._open += 1
        self._most = max(self._most, self._open)
        began_s = time.monotonic()
        try:
            told = await _received(loop, peer, _GREETING_S)
            if told is None:
                told = await getattr(self, f"_{kind}")(loop, peer)
        except OSError:
            # What came before the end can still be read.
            told = b""
            with contextlib.suppress(OSError):
                told = peer.recv(4096)
        finally:
            self._open -= 1
        return _rule(kind, told, time.monotonic() - began_s)

    def _asked(self, times: int = 1) -> bytes:
        self._number += 1
        return (_ASK.format(f"v{self._number}") * times).encode()

    async def _never(self, loop: asyncio.AbstractEventLoop, peer: socket.socket) -> bytes:
        await loop.sock_sendall(peer, self._asked(_ASKED_AT_ONCE))
        while time.monotonic() < self._ends_s:
            await asyncio.sleep(1)
            # Who reads nothing is not told of the end; who sends, is.
            await loop.sock_sendall(peer, b"G")
        return b""

    async def _drip(self, loop: asyncio.AbstractEventLoop, peer: socket.socket) -> bytes:
        told = b""
        await loop.sock_sendall(peer, self._asked(_ASKED_AT_ONCE))
        try:
            while time.monotonic() < self._ends_s:
                await asyncio.sleep(1)
                told += await _received(loop, peer, 0.1, most=1) or b""
                await loop.sock_sendall(peer, b"G")
        except OSError:
            with contextlib.suppress(OSError):
                told += peer.recv(4096)
        return told

    async def _header(self, loop: asyncio.AbstractEventLoop, peer: socket.socket) -> bytes:
        for byte in self._asked():
            await loop.sock_sendall(peer, bytes([byte]))
            told = await _received(loop, peer, 1.0)
            if told is not None or time.monotonic() > self._ends_s:
                return told or b""
        return b""

    async def _silent(self, loop: asyncio.AbstractEventLoop, peer: socket.socket) -> bytes:
        return await _received(loop, peer, max(0.0, self._ends_s - time.monotonic())) or b""

    async def _again(self, loop: asyncio.AbstractEventLoop, peer: socket.socket) -> bytes:
        await loop.sock_sendall(peer, self._asked(2))
        told = await _received(loop, peer, 10.0)
        if self._rng.random() < 0.5:
            # Reset instead of an orderly end.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return told or b"nothing"


async def _received(
    loop: asyncio.AbstractEventLoop, peer: socket.socket, wait_s: float, *, most: int = 4096
) -> bytes | None:
    """What has come; empty at the end of the connection, ``None`` where nothing comes in time."""
    try:
        return await asyncio.wait_for(loop.sock_recv(peer, most), wait_s)
    except asyncio.TimeoutError:
        return None


def _rule(kind: str, told: bytes, lived_s: float) -> str:
    """By which rule of the server a connection ended."""
    for line in (b"too many connections", b"viewers are here already"):
        if line in told:
            return f"refused: {line.decode()}"
    status = re.match(rb"HTTP/1.1 (\d+)", told)
    if status and status[1] == b"503":
        # Its line was still to come.
        return "refused: 503"
    if kind == "again":
        return "left in the middle" if status else "no answer in 10 s"
    if status and status[1] != b"200":
        return f"refused: {status[1].decode()}"
    # The limits, with what a busy machine adds; nothing else of the server ends a connection.
    for limit_s, rule in (
        (server._ANSWER_S, "cut: the answer was not taken in time"),
        (server._REQUEST_S, "cut: the request did not come in time"),
    ):
        if lived_s >= limit_s - 0.5:
            return rule
    return "cut: at once"


class Honest(threading.Thread):
    """Looks on as the page does, and was there before the others."""

    def __init__(self, port: int, name: str, ends_s: float) -> None:
        super().__init__(daemon=True)
        self._port, self._name, self._ends_s = port, name, ends_s
        self.answers, self.failures, self.waits_s = 0, collections.Counter[str](), [0.0]

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        run, number, asked_s = "", -1, time.monotonic()
        while time.monotonic() < self._ends_s:
            try:
                connection.request("GET", f"/live?run={run}&after={number}&viewer={self._name}")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    told = unpack(body)
                    run, number = told["run"], told["number"]
                    self.answers += 1
                    self.waits_s.append(time.monotonic() - asked_s)
                    asked_s = time.monotonic()
                else:
                    self.failures[str(answer.status)] += 1
                    time.sleep(0.5)
            except (OSError, http.client.HTTPException) as error:
                self.failures[type(error).__name__] += 1
                connection.close()
                time.sleep(0.5)
            time.sleep(0.033)
        connection.close()


def read(port: int, seconds: float, connections: int) -> None:
    """The process of all viewers; tells what became of them on standard output."""
    # They stand for other machines: the processor here is for what is measured.
    os.nice(19)
    honest = [Honest(port, f"honest{n}", time.monotonic() + seconds) for n in range(_HONEST)]
    for viewer in honest:
        viewer.start()
    time.sleep(1)
    found = asyncio.run(Readers(port, seconds - 1, connections).run())
    for viewer in honest:
        viewer.join(60)
    found["honest"] = [
        {
            "answers": viewer.answers,
            "failures": dict(viewer.failures),
            "longest_wait_s": round(max(viewer.waits_s), 2),
        }
        for viewer in honest
    ]
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    read(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
