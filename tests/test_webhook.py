"""Webhooks against a real server: slow, failing, gone and back, silent."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edgecap.errors import ResultRefusedError, SinkError
from edgecap.notices import Notice
from edgecap.sinks.background import Background
from edgecap.sinks.webhook import Webhook
from tests.processes import LIMIT_S, wait_for
from tests.runs import END, START, result, run_info


class Receiver:
    """An HTTP server on loopback that keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[int], int] = lambda number: 204
        # How many have asked, answered or not; no answer comes while the gate is closed.
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def do_GET(self) -> None:
                receiver.take(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.asked += 1
        assert self.gate.wait(LIMIT_S)
        self.requests.append(({**request.headers, ":path": request.path}, body))
        request.send_response(self.answer(len(self.requests)))
        request.send_header("Location", f"{self.url}/elsewhere")
        request.end_headers()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    server.start()
    yield server
    server.stop()


def test_an_event_is_posted_with_all_that_a_receiver_needs(receiver: Receiver) -> None:
    hook = Webhook(receiver.url)
    hook.begin(run_info())
    hook.write(result(0))
    hook.write(result(1, START))
    (headers, body), *more = receiver.requests
    assert not more
    sent = json.loads(body)
    assert headers["Idempotency-Key"] == sent.pop("id")
    assert headers["Content-Type"] == "application/json"
    assert headers[":path"] == "/hook"
    assert sent == {
        "model": run_info().spec.name,
        "event": "öffnen",
        "kind": "start",
        "score": 0.625,
        "camera": "door",
        "frame": 1,
        "timestamp_s": 0.1,
        "time": None,
    }


def test_a_live_event_says_when_it_was_however_late_it_is_told(receiver: Receiver) -> None:
    hook = Webhook(receiver.url)
    before_s, hour_ago_s = time.time(), time.monotonic() - 3600
    hook.write(result(1, START, latency_ms=20.0, timestamp_s=hour_ago_s))
    told = receiver.bodies[0]["time"]
    assert told.endswith("Z")
    told_s = datetime.fromisoformat(told.replace("Z", "+00:00")).timestamp()
    assert before_s - 3601 < told_s < time.time() - 3599


@pytest.mark.parametrize("timestamp_s", [1e18, -1e18, 1e15])
def test_an_event_of_a_time_that_no_calendar_has_is_sent_without_it(
    receiver: Receiver, timestamp_s: float
) -> None:
    """As of a camera of one's own that counts nanoseconds: the sink must outlive it."""
    Webhook(receiver.url).write(result(1, START, latency_ms=20.0, timestamp_s=timestamp_s))
    (sent,) = receiver.bodies
    assert (sent["event"], sent["time"]) == ("öffnen", None)


def test_a_signature_proves_who_sent_it(receiver: Receiver) -> None:
    Webhook(receiver.url, secret="s3cret").write(result(1, START))
    headers, body = receiver.requests[0]
    expected = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert headers["X-Edgecap-Signature"] == f"sha256={expected}"


def test_user_and_password_are_sent_as_such_and_not_told(receiver: Receiver) -> None:
    url = f"http://me:p%40ss@127.0.0.1:{receiver.port}/hook?token=abc123"
    hook = Webhook(url)
    receiver.answer = lambda number: 403
    with pytest.raises(ResultRefusedError) as refused:
        hook.write(result(1, START))
    headers, _ = receiver.requests[0]
    assert headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert headers[":path"] == "/hook?token=abc123"
    receiver.stop()
    with pytest.raises(SinkError, match="cannot be reached") as gone:
        hook.write(result(2, START))
    for error in (refused.value, gone.value):
        assert "me:***@127.0.0.1" in str(error)
        assert "p%40ss" not in str(error) and "abc123" not in str(error)


def test_notices_are_sent_when_asked_for(receiver: Receiver) -> None:
    notice = Notice("lost", "no frame for 5 s", 7.0, "door")
    Webhook(receiver.url).notice(notice)
    assert receiver.requests == []
    Webhook(receiver.url, notices=True).notice(notice)
    (sent,) = receiver.bodies
    assert (sent["notice"], sent["camera"]) == ("lost", "door")


def test_what_failed_is_sent_again_under_the_same_id_and_what_went_through_is_not(
    receiver: Receiver,
) -> None:
    hook = Webhook(receiver.url)
    receiver.answer = lambda number: 500 if number == 2 else 200
    both = result(1, START, END)
    with pytest.raises(SinkError, match="500"):
        hook.write(both)
    hook.write(both)
    kinds = [body["kind"] for body in receiver.bodies]
    ids = [body["id"] for body in receiver.bodies]
    assert kinds == ["start", "end", "end"]
    assert ids[1] == ids[2] != ids[0]


def test_an_event_that_the_server_always_fails_over_does_not_bar_the_way(
    receiver: Receiver,
) -> None:
    hook = Webhook(receiver.url)
    receiver.answer = lambda number: 503
    poison = result(1, START)
    for _ in range(7):
        with pytest.raises(SinkError) as later:
            hook.write(poison)
        assert not isinstance(later.value, ResultRefusedError)
    with pytest.raises(ResultRefusedError, match="503"):
        hook.write(poison)
    receiver.answer = lambda number: 200
    hook.write(result(2, END))
    assert receiver.bodies[-1]["kind"] == "end"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404])
def test_a_redirect_or_a_refusal_is_final(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda number: status
    with pytest.raises(ResultRefusedError, match=str(status)):
        Webhook(receiver.url).write(result(1, START))
    assert len(receiver.requests) == 1


def test_too_many_requests_is_for_later(receiver: Receiver) -> None:
    receiver.answer = lambda number: 429
    with pytest.raises(SinkError, match="429") as later:
        Webhook(receiver.url).write(result(1, START))
    assert not isinstance(later.value, ResultRefusedError)


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hook = Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.1)
        with pytest.raises(SinkError, match="timed out"):
            hook.write(result(1, START))


def test_what_is_no_http_is_a_sink_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def answer() -> None:
            peer, _ = other.accept()
            peer.recv(10_000)
            peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            peer.close()

        threading.Thread(target=answer, daemon=True).start()
        hook = Webhook(f"http://127.0.0.1:{other.getsockname()[1]}/")
        with pytest.raises(SinkError, match="cannot be reached"):
            hook.write(result(1, START))


def test_a_slow_server_does_not_slow_the_loop(receiver: Receiver) -> None:
    receiver.gate.clear()
    background = Background(Webhook(receiver.url, timeout_s=LIMIT_S), name="webhook")
    for index in range(10):
        background.write(result(index, START))
    assert receiver.asked <= 1
    assert receiver.requests == []
    receiver.gate.set()
    background.close(LIMIT_S)
    assert [body["frame"] for body in receiver.bodies] == list(range(10))


def test_events_of_the_time_without_a_server_arrive_when_it_is_back(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecap.sinks.background._FIRST_RETRY_S", 0.05)
    background = Background(Webhook(receiver.url), name="webhook")
    told: list[str] = []
    background.told = lambda notice: told.append(notice.told)
    background.write(result(0, START))
    # Also its answer must have come, or it is sent again.
    wait_for(lambda: receiver.requests and background._in_hand is None)
    receiver.stop()
    for index in range(1, 500):
        background.write(result(index, *((START,) if index % 50 == 0 else ())))
    wait_for(lambda: told or background._to_tell)
    receiver.start()
    wait_for(lambda: len(receiver.requests) == 10)
    background.close(LIMIT_S)
    assert [body["frame"] for body in receiver.bodies] == list(range(0, 500, 50))
    assert len({body["id"] for body in receiver.bodies}) == 10
    assert "cannot be reached" in told[0] and told[-1] == "webhook: works again"


@pytest.mark.parametrize(
    "url",
    ["", "host/path", "ftp://host/", "file:///etc/passwd", "http://", "http://h:x/", "http://ä/"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SinkError, match="expected an address like https://host/path"):
        Webhook(url)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Any) -> None:
    import shutil
    import ssl
    import subprocess

    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem "
        "-out cert.pem -days 1 -subj /CN=localhost"
    )
    subprocess.run(
        command.split(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with pytest.raises(SinkError, match="CERTIFICATE_VERIFY_FAILED"):
        Webhook(f"https://localhost:{server.server_address[1]}/").write(result(1, START))
    server.shutdown()
    server.server_close()
