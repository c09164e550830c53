"""Frames on standard input: every one, in order; a cut is told; nobody is kept waiting."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import edgecap
from edgecap.errors import SourceError
from edgecap.notices import Notice
from edgecap.sources.raw import RawFrames
from tests.processes import descriptors

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Linux or macOS")
HEIGHT, WIDTH = 6, 8


@pytest.fixture
def pipe() -> Iterator[tuple[int, Callable[[bytes], None]]]:
    """The end to read, and what writes to the other and, of nothing, closes it."""
    ours, theirs = os.pipe()
    open_ends = {ours, theirs}

    def write(data: bytes) -> None:
        if data:
            os.write(theirs, data)
        elif theirs in open_ends:
            open_ends.remove(theirs)
            os.close(theirs)

    yield ours, write
    for end in open_ends:
        os.close(end)


def pictures(number: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (number, HEIGHT, WIDTH, 3), dtype=np.uint8)


def test_every_frame_comes_in_order_at_its_rate(pipe: tuple[int, Callable[[bytes], None]]) -> None:
    given = pictures(20)
    descriptor, write = pipe
    write(given.tobytes())
    write(b"")
    with RawFrames(HEIGHT, WIDTH, rate_hz=25.0, descriptor=descriptor) as source:
        assert source.live is False
        frames = list(source)
    assert np.stack([frame.image for frame in frames]).tobytes() == given.tobytes()
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.timestamp_s for frame in frames] == pytest.approx([i / 25 for i in range(20)])


def test_without_a_rate_a_frames_time_is_its_arrival(
    pipe: tuple[int, Callable[[bytes], None]],
) -> None:
    descriptor, write = pipe
    with RawFrames(HEIGHT, WIDTH, descriptor=descriptor) as source:
        assert source.live is True
        frames = iter(source)
        for _ in range(3):
            before_s = time.monotonic()
            write(pictures(1).tobytes())
            assert before_s <= next(frames).timestamp_s <= time.monotonic()


@pytest.mark.parametrize("format", ["rgb24", "bgr24", "gray", "yuv420"])
def test_every_format_becomes_rgb(format: str, pipe: tuple[int, Callable[[bytes], None]]) -> None:
    (rgb,) = pictures(1)
    expected = rgb
    if format == "rgb24":
        data = rgb
    elif format == "bgr24":
        data = rgb[:, :, ::-1]
    elif format == "gray":
        data = rgb[:, :, 0]
        expected = np.repeat(data[:, :, None], 3, axis=2)
    else:
        cv2 = pytest.importorskip("cv2")
        # One colour, so that halving the resolution of the colours loses nothing.
        expected = np.full_like(rgb, (200, 90, 30))
        data = cv2.cvtColor(expected, cv2.COLOR_RGB2YUV_I420)
    descriptor, write = pipe
    write(np.ascontiguousarray(data).tobytes())
    write(b"")
    with RawFrames(HEIGHT, WIDTH, format=format, descriptor=descriptor) as source:
        (frame,) = list(source)
    assert frame.image.shape == (HEIGHT, WIDTH, 3)
    assert frame.image.flags.c_contiguous
    np.testing.assert_allclose(frame.image, expected, atol=3 if format == "yuv420" else 0)


def test_a_last_frame_that_is_cut_is_told_of_and_left_out(
    pipe: tuple[int, Callable[[bytes], None]],
) -> None:
    notices: list[Notice] = []
    descriptor, write = pipe
    write(pictures(3).tobytes()[:-1])
    write(b"")
    with RawFrames(HEIGHT, WIDTH, descriptor=descriptor) as source:
        source.told = notices.append
        assert len(list(source)) == 2
    assert [notice.kind for notice in notices] == ["truncated"]
    assert "frame 2 ends after 143 of 144 bytes" in notices[0].told


def test_less_than_a_frame_is_an_error(pipe: tuple[int, Callable[[bytes], None]]) -> None:
    descriptor, write = pipe
    write(b"")
    with (
        RawFrames(HEIGHT, WIDTH, descriptor=descriptor) as source,
        pytest.raises(SourceError, match="not one whole frame"),
    ):
        list(source)


def test_stop_lets_go_who_waits_for_input(pipe: tuple[int, Callable[[bytes], None]]) -> None:
    descriptor, write = pipe
    write(pictures(1).tobytes() + b"half a frame")
    before = descriptors()
    with RawFrames(HEIGHT, WIDTH, descriptor=descriptor) as source:
        threading.Timer(0.2, source.stop).start()
        began_s = time.monotonic()
        assert len(list(source)) == 1
        # For ever, if it went on waiting for input.
        assert time.monotonic() - began_s < 60
    assert descriptors() == before


def test_it_reads_from_another_program(tmp_path: Path) -> None:
    script = (
        "import sys, edgecap\n"
        "with edgecap.open_source(f'raw:{sys.argv[1]},format=bgr24,rate=10') as source:\n"
        "    print(sum(int(frame.image[0, 0, 0]) for frame in source))\n"
    )
    given = pictures(50)
    result = subprocess.run(
        [sys.executable, "-c", script, f"{WIDTH}x{HEIGHT}"],
        input=given.tobytes(),
        capture_output=True,
        check=True,
        timeout=300,
    )
    assert int(result.stdout) == int(given[:, 0, 0, 2].astype(int).sum())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raw:", r"expected raw:WIDTHxHEIGHT"),
        ("raw:640", r"expected raw:WIDTHxHEIGHT"),
        ("raw:0x480", "sides of 1 to"),
        ("raw:99999x480", "sides of 1 to"),
        ("raw:640x480,format=jpeg", "format of rgb24"),
        ("raw:640x480,size=3", "unknown option 'size'; expected raw:"),
        ("raw:640x480,rate=fast", "rate expects a number"),
        ("raw:640x480,rate=0", "a rate above 0"),
        ("raw:640x480,rate=nan", "rate expects 0 or more"),
        ("raw:641x480,format=yuv420", "even sides"),
    ],
)
def test_a_wrong_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        edgecap.open_source(name)
