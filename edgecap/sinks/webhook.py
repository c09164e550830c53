"""Events as HTTP requests to an address of one's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.request
import uuid
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import edgecap
from edgecap.errors import ResultRefusedError, SinkError
from edgecap.masking import mask_url
from edgecap.notices import Notice
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sinks.records import event_records, notice_record

DEFAULT_TIMEOUT_S = 5.0
# So often is one event sent to a server that answers with a failure of its own.
_TRIES = 8
# "Not now": these, and 5xx, are tried again; any other refusal is final.
_NOT_NOW = (408, 425, 429)


class Webhook(Sink):
    """POSTs one JSON object per event; belongs behind a queue, as a request takes its time.

    The object has ``id``, ``model``, ``event`` (the label), ``kind`` (``start`` or ``end``),
    ``score``, ``camera``, ``frame``, ``timestamp_s`` and ``time`` (UTC, ``null`` where the source
    is not live).

    Each event is delivered at least once, unless it is refused: it is sent again until the server
    takes it with a 2xx. The ``id``, also in the header ``Idempotency-Key``, stays the same, so that
    a receiver can tell an event that came twice. No answer at all is waited out for as long as it
    takes; an answer of 5xx is tried eight times; other answers refuse the event. Redirects are not
    followed, and certificates are checked.

    Args:
      url: ``http`` or ``https``; ``user:password@`` is sent as basic authentication. Never told
        with its secrets.
      secret: signs each request: the header ``X-Edgecap-Signature`` is ``sha256=`` and the
        hexadecimal HMAC-SHA256 of the body.
      notices: whether notices are sent too, as ``id``, ``model``, ``notice``, ``told``,
        ``timestamp_s`` and ``camera``.
      timeout_s: for the connection and for each part of the answer.

    Raises:
      SinkError: the address is malformed; and when writing: nobody answers, or not now.
      ResultRefusedError: when writing: the server does not want this event.
    """

    uses_images, only_events = False, True
    longest_retry_s = 30.0

    def __init__(
        self,
        url: str,
        *,
        secret: str | None = None,
        notices: bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self._told_as = mask_url(url)
        self._secret, self._notices, self._timeout_s = secret, notices, timeout_s
        self._url, self._headers = _address(url, self._told_as)
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._model = ""
        # With this and its number an event has a name of its own, over all runs and devices.
        self._run, self._number = uuid.uuid4(), 0
        # The requests of the result under way, and how often the first of them was tried.
        self._source: Result | Notice | None = None
        self._left: list[bytes] = []
        self._tries = 0

    def begin(self, run: RunInfo) -> None:
        self._model = run.spec.name

    def write(self, result: Result) -> None:
        if result.prediction.events:
            self._deliver(result, event_records(result))

    def notice(self, notice: Notice) -> None:
        if self._notices:
            self._deliver(notice, [notice_record(notice)])

    def _deliver(self, source: Result | Notice, records: list[dict[str, Any]]) -> None:
        """Sends what of a result was not sent when it was tried before."""
        if source is not self._source:
            self._source, self._tries = source, 0
            self._left = [self._body(record) for record in records]
        while self._left:
            self._tries += 1
            try:
                self._post(self._left[0])
            except ResultRefusedError:
                self._left.clear()
                raise
            self._left.pop(0)
            self._tries = 0

    def _body(self, record: dict[str, Any]) -> bytes:
        self._number += 1
        name = str(uuid.uuid5(self._run, str(self._number)))
        record = {"id": name, "model": self._model, **record}
        return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")

    def _post(self, body: bytes) -> None:
        headers = self._headers | {"Idempotency-Key": json.loads(body)["id"]}
        if self._secret is not None:
            digest = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Edgecap-Signature"] = f"sha256={digest}"
        # The scheme was checked when the address was read.
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                return
        except urllib.error.HTTPError as error:
            error.close()
            told = f"{self._told_as} answered {error.code} {error.reason}".rstrip()
            later = error.code >= 500 or error.code in _NOT_NOW
            if not later or self._tries >= _TRIES:
                raise ResultRefusedError(f"{told}; the event is not sent again") from None
            raise SinkError(told) from None
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            told = mask_url(str(cause)) or type(cause).__name__
            raise SinkError(f"{self._told_as} cannot be reached: {told}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, without its body, and look like a success."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _address(url: str, told_as: str) -> tuple[str, dict[str, str]]:
    """The URL without user and password, and the headers of a request to it."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        raise SinkError(
            f"webhook: expected an address like https://host/path, in ASCII; got {told_as!r}"
        )
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"edgecap/{edgecap.__version__}",
    }
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(user).decode()}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path or "/", parts.query, "")), headers
