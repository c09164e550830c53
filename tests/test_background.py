"""Background sinks: the loop never waits for one, and events are not lost for pictures."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import edgecap
from edgecap.errors import ReaderGoneError, ResultRefusedError, SinkError
from edgecap.notices import Notice
from edgecap.pipeline import run
from edgecap.sinks.background import Background, close_all
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sinks.jsonl import JsonLines
from edgecap.sinks.queue import ResultQueue
from edgecap.streaming import StreamingModel
from tests.processes import LIMIT_S, wait_for
from tests.runs import LABELS, START, result, run_info

NOTICE = Notice("gap", "no frame for 3 s", 1.0, "door")


class Kept(Sink):
    """Keeps what it is given, and does with each result what it is told to."""

    def __init__(self) -> None:
        self.given: list[str | int] = []
        self.images: list[int] = []
        self.thread: set[int] = set()
        self.closed = False
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def begin(self, run: RunInfo) -> None:
        self.given.append("begin")

    def write(self, result: Result) -> None:
        self.gate.wait()
        self.thread.add(threading.get_ident())
        if self.error is not None:
            raise self.error
        self.given.append(result.frame.index)
        self.images.append(result.frame.image.size)

    def notice(self, notice: Notice) -> None:
        self.given.append(notice.kind)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def sink() -> Iterator[Kept]:
    kept = Kept()
    yield kept
    kept.gate.set()


def told_of(background: Background) -> list[str]:
    told: list[str] = []
    background.told = lambda notice: told.append(notice.told)
    return told


def test_everything_arrives_in_order_in_one_thread(sink: Kept) -> None:
    background = Background(sink, name="kept")
    background.begin(run_info())
    for index in range(5):
        background.write(result(index))
        if index == 2:
            background.notice(NOTICE)
    background.close(LIMIT_S)
    assert sink.given == ["begin", 0, 1, 2, "gap", 3, 4]
    assert sink.thread != {threading.get_ident()} and len(sink.thread) == 1
    assert sink.closed
    assert background.losses.results == 0


def test_write_does_not_wait_for_a_sink_that_blocks_and_events_outlive_pictures(
    sink: Kept,
) -> None:
    background = Background(sink, name="slow", capacity=20)
    told = told_of(background)
    sink.gate.clear()
    background.write(result(0))
    wait_for(lambda: background._in_hand is not None)
    took_s = []
    for index in range(1, 2001):
        began_s = time.perf_counter()
        background.write(result(index, *((START,) if index % 200 == 7 else ())))
        took_s.append(time.perf_counter() - began_s)
    # All have come back while the sink is still at its first, and none of them waited a while for
    # it either. That one or other is long is the machine's doing: it takes the processor away.
    assert sink.given == []
    assert np.median(took_s) < 5e-3
    sink.gate.set()
    background.close(LIMIT_S)
    events = list(range(7, 2001, 200))
    # The ten events, and of the rest the newest.
    assert sink.given == sorted([0, *events, *range(1991, 2001)])
    assert background.losses.results == 1980
    assert background.losses.events == 0
    assert told[-1] == "slow: results lost: 1980, with events: 0"


def test_losses_are_told_at_growing_intervals(sink: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: now_s)
    monkeypatch.setattr("edgecap.sinks.background.time", clock)
    background = Background(sink, name="slow", capacity=1)
    told: list[float] = []
    background.told = lambda notice: told.append(now_s)
    sink.gate.clear()
    background.write(result(0))
    wait_for(lambda: background._in_hand is not None)
    # One waits, and each from here on is the loss of one.
    background.write(result(1))
    for index in range(2, 42):
        now_s = float(index)
        background.write(result(index))
    # 1, 3, 7, 15 and 31 s after the first.
    assert told == [3, 5, 9, 17, 33]
    sink.gate.set()
    background.close(LIMIT_S)


def test_a_full_queue_of_events_loses_the_oldest() -> None:
    queue = ResultQueue(capacity=3, max_bytes=1 << 20)
    for index in range(5):
        queue.put(result(index, START))
    queue.put(result(5))
    assert [queue.get(0).frame.index for _ in range(3)] == [2, 3, 4]  # type: ignore[union-attr]
    assert (queue.losses.results, queue.losses.events) == (3, 2)


def test_pictures_take_no_more_memory_than_allowed(sink: Kept) -> None:
    picture = 100 * 100 * 3
    queue = ResultQueue(capacity=1000, max_bytes=5 * picture)
    for index in range(50):
        queue.put(result(index, size=(100, 100)))
        assert queue._bytes <= 5 * picture
    assert len(queue) == 5
    while queue.get(0) is not None:
        pass
    assert queue._bytes == 0
    # A picture larger than the limit is let through alone.
    queue.put(result(0, size=(400, 400)))
    assert len(queue) == 1


def test_a_sink_without_use_for_pictures_is_given_none(sink: Kept) -> None:
    sink.uses_images = False  # type: ignore[attr-defined]
    background = Background(sink, name="kept")
    background.write(result(0))
    background.close(LIMIT_S)
    assert sink.images == [0]


def test_a_failing_sink_is_told_once_and_gets_everything_when_it_works_again(
    sink: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecap.sinks.background._FIRST_RETRY_S", 0.01)
    background = Background(sink, name="file")
    told = told_of(background)
    sink.error = SinkError("cannot write out.jsonl: No space left on device")
    for index in range(10):
        background.write(result(index))
    wait_for(lambda: told or background._to_tell)
    assert sink.given == []
    sink.error = None
    wait_for(lambda: len(sink.given) == 10)
    background.close(LIMIT_S)
    assert sink.given == list(range(10))
    assert told == [
        "file: cannot write out.jsonl: No space left on device; trying again",
        "file: works again",
    ]


def test_a_refused_result_is_counted_and_the_next_one_written(sink: Kept) -> None:
    background = Background(sink, name="hook")
    told = told_of(background)
    sink.error = ResultRefusedError("HTTP 400")
    background.write(result(0, START))
    wait_for(lambda: background.losses.events)
    sink.error = None
    background.write(result(1))
    background.close(LIMIT_S)
    assert sink.given == [1]
    assert told[0] == "hook: HTTP 400"
    assert told[-1] == "hook: results lost: 1, with events: 1"


def test_a_reader_that_has_gone_ends_the_run(sink: Kept) -> None:
    background = Background(sink, name="lines")
    sink.error = ReaderGoneError("gone")
    background.write(result(0))
    wait_for(lambda: sink.closed)
    with pytest.raises(ReaderGoneError):
        background.check()
    # Once is enough: the way out must not be barred.
    background.write(result(1))
    background.close(LIMIT_S)


def test_an_essential_sink_that_fails_ends_the_run(sink: Kept) -> None:
    background = Background(sink, name="file", essential=True)
    sink.error = SinkError("full")
    background.write(result(0))
    wait_for(lambda: sink.closed)
    with pytest.raises(SinkError, match="full"):
        background.write(result(1))
    background.close(LIMIT_S)


def test_an_essential_sink_that_fails_at_the_very_end_is_told(sink: Kept) -> None:
    background = Background(sink, name="file", essential=True)
    told = told_of(background)
    sink.gate.clear()
    background.write(result(0))
    sink.error = SinkError("full")
    sink.gate.set()
    background.close(LIMIT_S)
    assert "file: full" in told


def test_a_fault_in_a_sink_gives_that_sink_up_and_nothing_else(sink: Kept) -> None:
    background = Background(sink, name="kept")
    told = told_of(background)
    sink.error = ZeroDivisionError("oops")
    background.write(result(0))
    wait_for(lambda: sink.closed)
    for index in range(1, 100):
        background.write(result(index))
    assert told[0] == "kept: given up: ZeroDivisionError: oops"
    assert len(background._queue) == 0
    background.close(LIMIT_S)


def test_a_sink_is_called_while_there_is_nothing_to_write(sink: Kept) -> None:
    calls: list[int] = []
    sink.idle = lambda: calls.append(threading.get_ident())  # type: ignore[attr-defined]
    background = Background(sink, name="window")
    background.begin(run_info())
    wait_for(lambda: len(calls) >= 3)
    background.write(result(0))
    background.close(LIMIT_S)
    assert set(calls) == sink.thread


def test_a_view_shows_the_latest_and_does_not_complain_of_the_rest(sink: Kept) -> None:
    sink.latest_only = True  # type: ignore[attr-defined]
    background = Background(sink, name="window")
    told = told_of(background)
    sink.gate.clear()
    for index in range(100):
        background.write(result(index))
    sink.gate.set()
    background.close(LIMIT_S)
    assert sink.given[-3:] == [97, 98, 99] and len(sink.given) < 12
    assert told == []


def test_results_without_events_are_not_queued_for_a_sink_of_events(sink: Kept) -> None:
    sink.only_events = True  # type: ignore[attr-defined]
    background = Background(sink, name="hook")
    for index in range(10):
        background.write(result(index, *((START,) if index == 7 else ())))
    background.close(LIMIT_S)
    assert sink.given == [7] and background.losses.results == 0


def test_a_pipe_that_nobody_reads_holds_up_nothing(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    background = Background(JsonLines(str(pipe), LABELS), name="pipe", capacity=10)
    told = told_of(background)
    began_s = time.monotonic()
    for index in range(100):
        background.write(result(index, START))
    wait_for(lambda: background._in_hand is not None)
    background.close(0.2)
    # For ever, if anything waited for the pipe.
    assert time.monotonic() - began_s < LIMIT_S
    assert told == [
        "pipe: did not end within 0.2 s, left behind",
        "pipe: results lost: 100, with events: 100",
    ]
    # Let the thread go.
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))


def test_a_peer_that_never_reads_holds_up_nothing() -> None:
    ours, theirs = socket.socketpair()

    class ToSocket(Sink):
        def write(self, result: Result) -> None:
            ours.sendall(bytes(1 << 20))

    background = Background(ToSocket(), name="socket", capacity=10)
    told = told_of(background)
    began_s = time.monotonic()
    for index in range(100):
        background.write(result(index))
    wait_for(lambda: background._in_hand is not None)
    close_all([background], 0.2)
    assert time.monotonic() - began_s < LIMIT_S
    assert told[-1] == "socket: results lost: 100, with events: 0"
    theirs.close()
    ours.close()


def test_several_hanging_sinks_take_no_longer_to_close_than_one() -> None:
    sinks = [Kept() for _ in range(60)]
    behind = [Background(sink, name="kept") for sink in sinks]
    for sink, background in zip(sinks, behind, strict=True):
        sink.gate.clear()
        background.write(result(0))
    good = Background(kept := Kept(), name="good")
    good.write(result(7))
    began_s = time.monotonic()
    close_all([*behind, good], 0.5)
    # One after the other, they would take half a minute.
    assert time.monotonic() - began_s < 15
    wait_for(lambda: kept.closed)
    assert kept.given == [7]
    for sink in sinks:
        sink.gate.set()


def test_a_run_writes_the_same_lines_through_a_queue_as_without(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    written = []
    for behind in (False, True):
        path = tmp_path / f"{behind}.jsonl"
        sink: Sink = JsonLines(str(path), demo_model.labels)
        sink = Background(sink, name="lines", capacity=1000) if behind else sink
        with edgecap.open_source("synthetic:seed=5", size=(96, 96), rate_hz=15.0) as source:
            run(source, demo_model.stream(), [sink], max_frames=150)
        close_all([sink], LIMIT_S)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert written[0].count(b"\n") == 150
