"""Several sources as one: fair, in order, and one that fails does not end the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgecap.errors import SourceError
from edgecap.notices import Notice
from edgecap.pipeline import Pipeline, camera_names
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sources.base import ClosingSource, Frame
from edgecap.sources.merged import Merged
from edgecap.sources.synthetic import SyntheticSource
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from tests.processes import LIMIT_S, wait_for

_IMAGE = np.zeros((4, 4, 3), np.uint8)


class Given(ClosingSource):
    """A source whose frames a function gives."""

    rate_hz = None

    def __init__(
        self, name: str, frames: Callable[[Given], Iterator[Frame]], *, live: bool = False
    ) -> None:
        self.name, self.live, self._frames = name, live, frames
        self.stopped = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        return self._frames(self)

    def stop(self) -> None:
        self.stopped.set()


def counting(count: int, pause_s: float = 0.0) -> Callable[[Given], Iterator[Frame]]:
    def frames(_: Given) -> Iterator[Frame]:
        for index in range(count):
            time.sleep(pause_s)
            yield Frame(index, index / 10, _IMAGE)

    return frames


def lost(_: Given) -> Iterator[Frame]:
    yield Frame(0, 0.0, _IMAGE)
    raise SourceError("the cable is gone")


def hanging(source: Given) -> Iterator[Frame]:
    source.stopped.wait(60)
    return
    yield


def test_every_frame_of_every_recording_comes_in_order() -> None:
    found: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for number, item in Merged(
        [Given("a", counting(200)), Given("b", counting(50, 1e-3)), Given("c", counting(0))]
    ):
        assert isinstance(item, Frame)
        found[number].append(item.index)
    assert found == {0: list(range(200)), 1: list(range(50)), 2: []}


def test_of_sources_that_all_have_a_frame_each_has_its_turn() -> None:
    ready, taken = [0] * 4, [0] * 4

    def frames(number: int) -> Callable[[Given], Iterator[Frame]]:
        def given(_: Given) -> Iterator[Frame]:
            for index in range(100):
                yield Frame(index, index / 10, _IMAGE)
                # Asked for the next one: this one lies ready.
                ready[number] += 1

        return given

    counts = []
    for number, _ in Merged([Given(name, frames(n)) for n, name in enumerate("abcd")]):
        taken[number] += 1
        counts.append(tuple(taken))
        # Whose thread has the processor is the system's choice: what is fair is asked only where
        # every source has something to give.
        wait_for(
            lambda: all(r > t or t == 100 for r, t in zip(ready, taken, strict=True)), every_s=0
        )
    assert counts[-1] == (100,) * 4
    # The first came when the others were not there yet.
    assert max(max(seen) - min(seen) for seen in counts) <= 2


def test_of_a_live_source_the_newest_frame_wins() -> None:
    given, taken = threading.Semaphore(0), threading.Semaphore(0)

    def bursts(_: Given) -> Iterator[Frame]:
        for index in range(201):
            yield Frame(index, index / 10, _IMAGE)
            # Asked for the next one: all so far were handed over.
            if index % 100 == 0:
                if index:
                    given.release()
                assert taken.acquire(timeout=LIMIT_S)

    seen = []
    for _, item in Merged([Given("fast", bursts, live=True), Given("idle", counting(0))]):
        assert isinstance(item, Frame)
        seen.append(item.index)
        taken.release()
        if item.index < 200:
            assert given.acquire(timeout=LIMIT_S)
    assert seen == [0, 100, 200]


def test_a_source_that_fails_is_told_and_the_others_go_on() -> None:
    items = list(Merged([Given("broken", lost), Given("well", counting(30, 1e-3))]))
    notices = [item for _, item in items if isinstance(item, Notice)]
    assert [(n.kind, n.camera) for n in notices] == [("lost", "broken")]
    assert "the cable is gone; it is given up" in notices[0].told
    assert sum(number == 1 for number, _ in items) == 30


def test_when_none_is_left_the_error_is_raised() -> None:
    with pytest.raises(SourceError, match="the cable is gone"):
        list(Merged([Given("a", lost), Given("b", lost)]))


def test_a_bug_in_a_source_is_not_swallowed() -> None:
    def buggy(_: Given) -> Iterator[Frame]:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        list(Merged([Given("a", buggy), Given("b", counting(10**9))]))


def test_stopping_lets_go_of_whoever_waits_for_a_frame() -> None:
    merged = Merged([Given("a", hanging, live=True), Given("b", hanging, live=True)])
    timer = threading.Timer(0.1, merged.stop)
    timer.start()
    began = time.monotonic()
    assert list(merged) == []
    # Those hang for a minute.
    assert time.monotonic() - began < 30
    timer.join()


class Kept(Sink):
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.results: dict[str, list[Result]] = {}
        self.info: RunInfo | None = None

    def begin(self, run: RunInfo) -> None:
        self.info = run

    def write(self, result: Result) -> None:
        self.results.setdefault(result.camera, []).append(result)


def test_cameras_on_one_model_never_mix_their_states(demo_model: StreamingModel) -> None:
    def scene(seed: int) -> SyntheticSource:
        rate_hz = demo_model.spec.rate_hz
        return SyntheticSource(Scene(seed=seed, height=96, width=96, rate_hz=rate_hz, gestures=2))

    together = Kept()
    sources = [scene(seed) for seed in range(4)]
    streams = [demo_model.stream() for _ in sources]
    report = Pipeline(sources, streams, [together]).run()
    assert together.info is not None
    assert together.info.cameras == (
        "synthetic:",
        "synthetic: #2",
        "synthetic: #3",
        "synthetic: #4",
    )
    for seed, camera in enumerate(together.info.cameras):
        alone = Kept()
        Pipeline([scene(seed)], [demo_model.stream()], [alone]).run()
        (expected,) = alone.results.values()
        found = together.results[camera]
        assert len(found) == len(expected) > 20
        for one, other in zip(found, expected, strict=True):
            assert one.frame.index == other.frame.index
            assert (
                one.prediction.probabilities.tobytes() == other.prediction.probabilities.tobytes()
            )
            assert one.prediction.events == other.prediction.events
    assert report.processed == sum(map(len, together.results.values()))
    assert together.info.health().processed == report.processed


def test_cameras_of_one_name_are_told_apart() -> None:
    assert camera_names(["0", "yard", "0", "0"]) == ["0", "yard", "0 #2", "0 #3"]
