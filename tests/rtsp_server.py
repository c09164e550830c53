"""A small network camera: RTSP (RFC 2326) with JPEG over RTP (RFC 2435) inside the connection."""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np

SIZE = (48, 64)
_PAYLOAD = 1200


class RtspServer:
    """Serves grey frames that grow brighter by one each, at ``rate_hz``, on 127.0.0.1.

    Args:
      port: 0: any; to come back on the same one after ``close``, that one.
      password: asked for, of the user ``admin``.

    Attributes:
      stalled: while ``True``, connections stay open and nothing is sent.
      clients: how many have asked to play.
    """

    def __init__(self, port: int = 0, *, rate_hz: float = 30.0, password: str = "") -> None:
        self.rate_hz, self.stalled, self.clients, self.size = rate_hz, False, 0, SIZE
        self._login = base64.b64encode(f"admin:{password}".encode()).decode() if password else ""
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port), reuse_port=True)
        self.port = self._listener.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/stream"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends as a camera that loses its power does."""
        self._closing.set()
        for connection in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        lock, playing = threading.Lock(), threading.Event()
        with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
            while request := _request(lines.readline):
                method, headers = request
                known = not self._login or headers.get("authorization", "").endswith(self._login)
                status, extra, body = "200 OK", {}, ""
                if not known:
                    status, extra = "401 Unauthorized", {"WWW-Authenticate": 'Basic realm="cam"'}
                elif method == "OPTIONS":
                    extra = {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"}
                elif method == "DESCRIBE":
                    body = "v=0\r\ns=cam\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\n"
                    body += f"a=framerate:{self.rate_hz}\r\n"
                    extra = {"Content-Type": "application/sdp", "Content-Base": f"{self.url}/"}
                elif method == "SETUP":
                    extra = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"}
                elif method == "PLAY":
                    extra = {"Session": "1"}
                answer = [f"RTSP/1.0 {status}", f"CSeq: {headers.get('cseq', 0)}"]
                answer += [f"{name}: {value}" for name, value in extra.items()]
                answer += [f"Content-Length: {len(body)}", "", body]
                with lock:
                    connection.sendall("\r\n".join(answer).encode())
                if method == "PLAY" and known and not playing.is_set():
                    playing.set()
                    self.clients += 1
                    threading.Thread(
                        target=self._play, args=(connection, lock), daemon=True
                    ).start()
        self._open.discard(connection)
        connection.close()

    def _play(self, connection: socket.socket, lock: threading.Lock) -> None:
        sequence = index = 0
        with contextlib.suppress(OSError):
            while not self._closing.wait(1 / self.rate_hz):
                if self.stalled:
                    continue
                image = np.full((*self.size, 3), index % 256, np.uint8)
                for packet in _packets(image, sequence, int(time.monotonic() * 90_000)):
                    with lock:
                        connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                    sequence += 1
                index += 1


def _request(readline: Callable[[], bytes]) -> tuple[str, dict[str, str]] | None:
    first = readline().decode("latin-1").split()
    headers = {}
    while line := readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return (first[0], headers) if first else None


def _packets(image: np.ndarray, sequence: int, timestamp: int) -> list[bytes]:
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    tables, scan = b"", b""
    at = 2
    while at < len(jpeg):
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker == 0xDB:
            part = jpeg[at + 4 : at + 2 + length]
            tables += b"".join(part[i + 1 : i + 65] for i in range(0, len(part), 65))
        if marker == 0xDA:
            scan = jpeg[at + 2 + length : -2]
            break
        at += 2 + length
    height, width = image.shape[:2]
    packets = []
    for offset in range(0, len(scan), _PAYLOAD):
        part = scan[offset : offset + _PAYLOAD]
        last = offset + _PAYLOAD >= len(scan)
        rtp = struct.pack(
            ">BBHII",
            0x80,
            last << 7 | 26,
            (sequence + len(packets)) & 0xFFFF,
            timestamp & 0xFFFFFFFF,
            1,
        )
        # Type 1: colours at half the resolution both ways; 255: the tables come along.
        header = struct.pack(">IBBBB", offset, 1, 255, width // 8, height // 8)
        inline = struct.pack(">BBH", 0, 0, len(tables)) + tables if offset == 0 else b""
        packets.append(rtp + header + inline + part)
    return packets
