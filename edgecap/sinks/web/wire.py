"""HTTP/1.1, as much of it as the page needs: the head of a request, and answers."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: A longer head of a request is refused.
HEAD_BYTES = 8192
_MOST_HEADERS, _MOST_FIELDS = 64, 8
_REASONS = {
    200: "OK",
    303: "See Other",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
# Nothing from elsewhere, nothing inline, in no frame, seen by no other page.
_ALWAYS = (
    "Cache-Control: no-store",
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options: nosniff",
    "X-Frame-Options: DENY",
    "Referrer-Policy: no-referrer",
    "Cross-Origin-Resource-Policy: same-origin",
    "Cross-Origin-Opener-Policy: same-origin",
)


class RefusedError(Exception):
    """A request that is answered with a status and one line.

    Attributes:
      status: of the answer.
      line: for the person who asked.
    """

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
      method: ``GET`` or ``HEAD``.
      path: as sent, without the query; not decoded.
      query: the last value of each field.
      headers: by lower-case name.
      keep_alive: whether the connection takes another request afterwards.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    keep_alive: bool


@dataclass(frozen=True)
class Answer:
    """What is sent back; ``headers`` are whole lines beside those that every answer has."""

    status: int
    kind: str
    body: bytes
    headers: tuple[str, ...] = ()

    def parts(self, *, keep_alive: bool, head_only: bool) -> Iterable[bytes]:
        """Head and body, to be written one after the other."""
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}",
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}",
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
            *_ALWAYS,
            *self.headers,
        ]
        yield ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if not head_only:
            yield self.body


def plain(status: int, line: str, *headers: str) -> Answer:
    """An answer of one line."""
    return Answer(status, "text/plain; charset=utf-8", f"{line}\n".encode(), headers)


def parse(head: bytes) -> Request:
    """Reads the head of a request, its empty line included.

    Raises:
      RefusedError: it is malformed, announces a body, or asks for more than ``GET`` or ``HEAD``.
    """
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise RefusedError(400, "expected an HTTP/1.1 request")
    method, target, version = words
    if method not in ("GET", "HEAD"):
        raise RefusedError(405, "expected GET or HEAD")
    if not target.startswith("/"):
        raise RefusedError(400, "expected a path")
    headers = _headers(lines)
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise RefusedError(400, "expected a request without a body")
    path, _, query = target.partition("?")
    try:
        fields = dict(urllib.parse.parse_qsl(query, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise RefusedError(400, f"expected at most {_MOST_FIELDS} fields in the query") from None
    keep_alive = version == "HTTP/1.1" and "close" not in headers.get("connection", "").lower()
    return Request(method, path, fields, headers, keep_alive)


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > _MOST_HEADERS:
        raise RefusedError(431, f"expected at most {_MOST_HEADERS} header lines")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or not value.isprintable():
            raise RefusedError(400, "a header line is malformed")
        if name == "host" and name in headers:
            raise RefusedError(400, "expected one Host")
        headers[name] = value.strip()
    return headers
