"""RTSP and HTTP cameras on loopback, spoken to by the real decoder: stalls, restarts, secrets."""

from __future__ import annotations

import functools
import http.server
import logging
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import edgecap
from edgecap.errors import SourceError
from edgecap.notices import Notice
from edgecap.sources.base import Frame
from edgecap.sources.live import LiveSource

cv2 = pytest.importorskip("cv2")
np = pytest.importorskip("numpy")
from tests.processes import LIMIT_S  # noqa: E402
from tests.rtsp_server import SIZE, RtspServer  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="cameras need Linux or macOS")


def opened(url: str, stall_s: float = LIMIT_S) -> tuple[LiveSource, list[Notice]]:
    source = edgecap.open_source(url, stall_s=stall_s)
    assert isinstance(source, LiveSource)
    notices: list[Notice] = []
    source.told = notices.append
    return source, notices


def took(source: LiveSource) -> Frame:
    frame = source.take(LIMIT_S)
    assert frame is not None
    return frame


def until(source: LiveSource, notices: list[Notice], kind: str) -> None:
    end_s = time.monotonic() + LIMIT_S
    while kind not in [notice.kind for notice in notices]:
        source.take(0.05)
        assert time.monotonic() < end_s, f"{kind} is never told; {notices}"


def test_an_rtsp_cameras_frames_are_new_and_in_order() -> None:
    with RtspServer() as server, opened(server.url)[0] as source:
        assert source.rate_hz == pytest.approx(30.0)
        frames = [took(source) for _ in range(15)]
    shades = [float(frame.image.mean()) for frame in frames]
    assert all(frame.image.shape == (*SIZE, 3) for frame in frames)
    # A grey level a frame, and black again after white: none is older than the one before (by up
    # to a second), and none comes twice. How many are left out is the machine's doing.
    assert all(0.5 < (b - a) % 256 < 226 for a, b in pairwise(shades))


def test_an_rtsp_camera_that_stalls_and_goes_on() -> None:
    with RtspServer() as server:
        source, notices = opened(server.url, stall_s=1.0)
        with source:
            took(source)
            server.stalled = True
            until(source, notices, "lost")
            server.stalled = False
            until(source, notices, "back")
            took(source)
        assert server.clients >= 2


def test_an_rtsp_server_that_is_started_again() -> None:
    with RtspServer() as server:
        source, notices = opened(server.url)
        took(source)
    with source:
        until(source, notices, "lost")
        for _ in range(5):
            assert source.take(0.1) is None
        with RtspServer(server.port):
            until(source, notices, "back")
            took(source)
    assert source.restarts == 1


def test_an_rtsp_camera_that_changes_its_resolution() -> None:
    with RtspServer() as server:
        source, notices = opened(server.url)
        with source:
            took(source)
            server.size = (96, 128)
            until(source, notices, "resized")
            assert took(source).image.shape == (96, 128, 3)


def test_a_password_is_used_and_never_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), RtspServer(password="geheim") as server:
        url = server.url.replace("//", "//admin:geheim@")
        source, notices = opened(f"{url}?token=s3cret", stall_s=1.0)
        with source:
            assert source.name == url.replace("geheim", "***") + "?token=***"
            took(source)
            server.stalled = True
            until(source, notices, "lost")
        with pytest.raises(SourceError, match="401") as error:
            edgecap.open_source(url.replace("geheim", "wr0ng"))
    for text in (caplog.text, str(error.value), repr(notices)):
        assert not any(secret in text for secret in ("geheim", "s3cret", "wr0ng"))


@pytest.mark.parametrize("url", ["rtsp://127.0.0.1:1/x", "http://127.0.0.1:1/x"])
def test_where_nothing_listens_the_reason_is_told(url: str) -> None:
    with pytest.raises(SourceError, match=r"does not open.*Connection refused"):
        edgecap.open_source(url)


class Mjpeg(http.server.BaseHTTPRequestHandler):
    """``multipart/x-mixed-replace``, as most network cameras serve it."""

    stalled = broken = False

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        try:
            while True:
                time.sleep(0.02)
                if type(self).stalled:
                    continue
                image = np.full((*SIZE, 3), number % 256, np.uint8)
                data = cv2.imencode(".jpg", image)[1].tobytes()
                if type(self).broken and number % 3:
                    data = data[:30] + bytes(len(data) - 30)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                number += 1
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mjpeg() -> Iterator[str]:
    Mjpeg.stalled = Mjpeg.broken = False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/video"
        server.shutdown()


def test_an_http_camera_that_stalls_and_goes_on(mjpeg: str) -> None:
    source, notices = opened(mjpeg, stall_s=1.0)
    with source:
        first, second = took(source), took(source)
        assert first.image.shape == (*SIZE, 3)
        # A grey level a frame.
        assert abs(second.image.mean() - first.image.mean()) > 0.5
        Mjpeg.stalled = True
        until(source, notices, "lost")
        Mjpeg.stalled = False
        until(source, notices, "back")


def test_a_recording_on_a_server_is_no_camera(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, SIZE[::-1]
    )
    for number in range(20):
        writer.write(np.full((*SIZE, 3), number, np.uint8))
    writer.release()
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(SourceError, match="is a recording, not a camera: download it"):
            edgecap.open_source(f"http://127.0.0.1:{server.server_address[1]}/clip.mp4")
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_broken_pictures_in_an_http_stream_are_survived(mjpeg: str) -> None:
    source, _ = opened(mjpeg)
    with source:
        took(source)
        Mjpeg.broken = True
        for _ in range(10):
            took(source)
        Mjpeg.broken = False
        for _ in range(10):
            took(source)
    assert source.ended
