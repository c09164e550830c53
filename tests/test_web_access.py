"""The web page between strangers: who is let in, who is slow, who leaves, who attacks."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgecap.sinks.web.server as server_module
from edgecap.errors import ConfigError, SinkError
from edgecap.health import Monitor
from edgecap.sinks.base import Result, RunInfo
from edgecap.sinks.web import WebPage
from tests.processes import LIMIT_S, descriptors, wait_for
from tests.viewers import Seen, Viewer, get, result, served, spec

pytest.importorskip("cv2", reason="needs the extra 'camera'")
TOKEN = "a-token-of-the-test"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is cut off or forgotten for being slow, but where a test is about that."""
    for name in ("_REQUEST_S", "_ANSWER_S", "_VIEWER_S"):
        monkeypatch.setattr(server_module, name, 5 * LIMIT_S)


def connect(page: WebPage, sent: bytes = b"", *, buffer: int | None = None) -> socket.socket:
    peer = socket.socket()
    peer.settimeout(LIMIT_S)
    if buffer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    peer.connect(("127.0.0.1", page.port))
    peer.sendall(sent)
    return peer


def answered(page: WebPage, sent: bytes) -> bytes:
    """What comes back until the server closes the connection."""
    with connect(page, sent) as peer:
        parts = []
        while data := peer.recv(1 << 16):
            parts.append(data)
        return b"".join(parts)


def status(page: WebPage, sent: bytes) -> int:
    return int(answered(page, sent).split(b" ", 2)[1])


# --- who is let in ---------------------------------------------------------------------------


def test_away_from_loopback_a_token_is_needed_and_made() -> None:
    with served(host="0.0.0.0") as page, served(host="0.0.0.0") as other:
        assert page.token is not None and len(page.token) >= 32
        assert page.token != other.token
        assert page.url.endswith(f":{page.port}/?token={page.token}")
        assert "0.0.0.0" not in page.url
        for path in ("/", "/page.js", "/live", "/nothing"):
            seen = get(page, path)
            assert seen.status == 401
            assert b"token" in seen.body and page.token.encode() not in seen.body


def test_on_loopback_no_token_is_needed_but_one_that_is_given() -> None:
    with served() as page:
        assert page.token is None
        assert page.url == f"http://127.0.0.1:{page.port}/"
        assert get(page, "/live").status == 200
    with served(token=TOKEN) as page:
        assert get(page, "/live").status == 401


def test_the_token_in_the_address_becomes_a_cookie() -> None:
    with served(token=TOKEN) as page:
        seen = get(page, f"/?token={TOKEN}")
        assert (seen.status, seen.headers["Location"]) == (303, "./")
        cookie, *rules = seen.headers["Set-Cookie"].split("; ")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(rules)
        assert get(page, "/", Cookie=f"theme=dark; {cookie}").status == 200
        assert get(page, "/live", Cookie=cookie).status == 200
        assert get(page, "/live", Cookie=cookie + "x").status == 401
        assert get(page, "/live", Cookie="=;;\x7f").status in (400, 401)


def test_a_link_on_another_site_signs_in_without_a_redirect() -> None:
    with served(token=TOKEN) as page:
        seen = get(page, f"/?token={TOKEN}", sec_fetch_site="cross-site")
        assert (seen.status, seen.headers["Refresh"]) == (200, "0; url=./")
        assert "Set-Cookie" in seen.headers


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer", 401),
        ("Bearer ä", 401),
    ],
)
def test_a_program_shows_the_token_in_a_header(header: str, expected: int) -> None:
    with served(token=TOKEN) as page:
        sent = header.encode("utf-8").decode("latin-1")
        assert get(page, "/live", Authorization=sent).status in (expected, 400)
        assert (get(page, "/live", Authorization=sent).status == 200) == (expected == 200)


@pytest.mark.parametrize("token", ["", "short", "with space in it", "ünïcödé-token", "a;b=c,d:e"])
def test_a_token_that_is_too_weak_or_fits_no_address_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="expected 8 to 256 letters") as refused:
        WebPage(port=0, token=token)
    assert not token or token not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8080", 421),
        ("localhost.", 421),
        ("", 421),
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str, expected: int) -> None:
    with served() as page:
        assert get(page, "/", Host=host).status == expected
        assert get(page, "/live", Host=host).status == expected


def test_another_sites_page_may_not_ask() -> None:
    with served() as page:
        assert get(page, "/live", sec_fetch_site="cross-site").status == 403
        assert get(page, "/live", sec_fetch_site="same-site").status == 403
        assert get(page, "/live", sec_fetch_site="same-origin").status == 200


def test_every_answer_forbids_what_a_page_does_not_need() -> None:
    def check(seen: Seen) -> None:
        policy = seen.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert seen.headers["X-Content-Type-Options"] == "nosniff"
        assert seen.headers["Cache-Control"] == "no-store"
        assert seen.headers["Referrer-Policy"] == "no-referrer"
        assert not any(name.startswith("Access-Control") for name in seen.headers)

    with served() as page:
        for path in ("/", "/page.js", "/live", "/nothing", "/live?size=huge"):
            check(get(page, path, Origin="https://evil.example"))


# --- what is no request ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get"])
def test_only_get_and_head_are_answered(method: str) -> None:
    with served() as page:
        assert status(page, f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) == 405


def test_head_gives_the_head_alone() -> None:
    with served() as page:
        page.write(result(0))
        for path in ("/", "/live"):
            seen = get(page, path, method="HEAD")
            assert (seen.status, seen.body) == (200, b"")
            assert int(seen.headers["Content-Length"]) > 100


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"\r\n\r\n", 400),
        (b"\x00\xff\xfe\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 421),
        (b"GET /live?" + b"a=1&" * 20 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /live?after=1e9&run=x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /live?viewer=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, 431),
    ],
)
def test_what_is_no_request_is_refused_and_the_page_goes_on(sent: bytes, expected: int) -> None:
    with served() as page:
        try:
            assert status(page, sent) == expected
        except ConnectionResetError:
            # The answer is lost where the server closes before it has read everything.
            assert len(sent) > 8192
        assert get(page, "/").status == 200


def test_whoever_dawdles_over_a_request_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_REQUEST_S", 0.4)
    with served() as page, connect(page, b"GET / HTT") as idle, connect(page) as silent:
        began = time.monotonic()
        while time.monotonic() - began < LIMIT_S:
            try:
                # A byte now and then does not buy more time.
                idle.sendall(b"P")
            except OSError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("a byte now and then has bought more time")
        assert silent.recv(1) == b""


# --- who is slow, who leaves -------------------------------------------------------------------


def test_a_viewer_who_never_reads_slows_nobody_and_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    with served() as page, ExitStack() as stack:
        # Noise: its JPEG is larger than what the sockets hold.
        noise = rng.integers(0, 256, (720, 960, 3), np.uint8)

        def noisy(index: int) -> Result:
            one = result(index)
            return replace(one, frame=replace(one.frame, image=noise))

        page.write(noisy(0))
        ask = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with monkeypatch.context() as patch:
            patch.setattr(server_module, "_ANSWER_S", 0.5)
            slow = [stack.enter_context(connect(page, ask * 8, buffer=4096)) for _ in range(10)]
            # All their answers have begun: from here on, who reads has time to.
            assert all(peer.recv(1) for peer in slow)
            time.sleep(0.1)
        viewer, took = Viewer(page), []
        for index in range(1, 200):
            began = time.perf_counter()
            page.write(noisy(index))
            took.append(time.perf_counter() - began)
            if index % 50 == 0:
                assert viewer.live()["cameras"][0]["rows"][-1][0] == round(index / 12, 3)
        # Some have to wait for the processor, or for Python's own lock; not the quickest quarter.
        assert np.quantile(took, 0.25) < 1e-3

        def cut(peer: socket.socket) -> bool:
            try:
                return peer.send(b"x") == 0
            except OSError:
                return True

        wait_for(lambda: all(map(cut, slow)))
        assert viewer.live()["viewers"] >= 1


def come_and_leave(page: WebPage, times: int) -> None:
    ask = b"GET /live?viewer=v HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for n in range(times):
        with connect(page, (ask, ask[:20], b"", ask + ask)[n % 4]) as peer:
            if n % 8 == 0:
                peer.recv(100)
            if n % 3 == 0:
                # Reset instead of an orderly end.
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        page.write(result(n))


@pytest.mark.parametrize("times", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_viewers_who_leave_leave_nothing_behind(times: int) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("counts descriptors in /proc")
    with served() as page:
        come_and_leave(page, 20)
        viewer = Viewer(page)
        viewer.live()
        wait_for(lambda: page.connections == 0)
        before = descriptors(), threading.active_count()
        come_and_leave(page, times)
        viewer.live()
        wait_for(lambda: page.connections == 0)
        # What has ended may take a moment to go.
        wait_for(lambda: (descriptors(), threading.active_count()) == before)


def test_more_viewers_than_there_is_room_for_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as page:
        for n in range(16):
            assert get(page, f"/live?viewer=v{n}").status == 200
        late = get(page, "/live?viewer=late")
        assert late.status == 503
        assert late.body == b"16 viewers are here already; try again later\n"
        assert get(page, "/live?viewer=v3").status == 200
        monkeypatch.setattr(server_module, "_VIEWER_S", 0.0)
        assert get(page, "/live?viewer=late").status == 200


def test_more_connections_than_there_is_room_for_are_refused() -> None:
    with served() as page, ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(connect(page))
        wait_for(lambda: page.connections == 64)
        with connect(page) as late:
            assert b"503" in late.recv(100)
        stack.close()
        wait_for(lambda: page.connections == 0)
        assert get(page, "/").status == 200


def test_whoever_come_by_the_hundred_take_no_more_room_than_there_is() -> None:
    """A file each would take them from cameras and recordings, until none is left."""
    most, over = [0], threading.Event()

    def look(page: WebPage) -> None:
        while not over.is_set():
            most.append(page.connections)

    with served() as page, ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(connect(page))
        wait_for(lambda: page.connections == 64)
        looking = threading.Thread(target=look, args=(page,))
        looking.start()
        late = [stack.enter_context(connect(page)) for _ in range(50)]
        assert all(b"503" in peer.recv(100) for peer in late)
        over.set()
        looking.join()
    assert max(most) == 64


# --- beginning and end -------------------------------------------------------------------------


def test_a_port_that_is_taken_is_one_line() -> None:
    with served() as page:
        with pytest.raises(SinkError) as refused:
            WebPage(port=page.port)
        line = str(refused.value)
        assert f"127.0.0.1:{page.port}" in line
        assert "stop it, or choose another port" in line and "\n" not in line


@pytest.mark.parametrize(
    ("host", "port"), [("no.such.host.invalid", 0), ("192.0.2.1", 0), ("127.0.0.1", 99999)]
)
def test_an_address_that_cannot_be_had_is_one_line(host: str, port: int) -> None:
    with pytest.raises(SinkError, match="cannot serve the web page on") as refused:
        WebPage(host, port)
    assert "\n" not in str(refused.value)


def test_closing_waits_for_no_viewer_and_frees_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the viewers ask for would come in ten minutes.
    monkeypatch.setattr(server_module, "_TICK_S", 5 * LIMIT_S)
    # The thread is left behind if it takes longer than this.
    monkeypatch.setattr(server_module, "_STOP_S", LIMIT_S)
    with ExitStack() as stack:
        page = stack.enter_context(served())
        page.write(result(0))
        threads = threading.active_count()
        viewer = Viewer(page)
        viewer.live()
        ask = (
            f"GET /live?run={viewer.run}&after={viewer.number} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        peers = [stack.enter_context(connect(page, ask.encode())) for _ in range(8)]
        peers += [stack.enter_context(connect(page, b"GET / HT")) for _ in range(8)]
        wait_for(lambda: page.connections >= 16)
        began = time.monotonic()
        page.close()
        assert time.monotonic() - began < LIMIT_S / 2
        assert threading.active_count() < threads
        # At once, while the old connections still linger.
        with served(port=page.port) as again:
            assert get(again, "/").status == 200
        page.close()


def test_a_page_that_never_began_gives_its_port_back() -> None:
    page = WebPage(port=0)
    page.close()
    with served(port=page.port):
        pass


def test_an_ipv6_page_is_reached_by_its_url() -> None:
    try:
        page = WebPage("::1", 0)
    except SinkError:
        pytest.skip("this machine has no IPv6")
    try:
        page.begin(RunInfo(spec(), ("door",), Monitor().health))
        assert page.url == f"http://[::1]:{page.port}/"
        with socket.create_connection(("::1", page.port), timeout=LIMIT_S) as peer:
            peer.sendall(f"GET / HTTP/1.0\r\nHost: [::1]:{page.port}\r\n\r\n".encode())
            assert peer.recv(15) == b"HTTP/1.1 200 OK"
    finally:
        page.close()
