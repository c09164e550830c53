"""How cost grows: the benchmark must see what grows, and not see what does not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.streaming import Stream, StreamingModel
from tests import handmade

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
_MODULES = (
    *("record", "streams", "scaling", "scaling_turns", "scaling_streams", "scaling_networks"),
    "throughput",
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a benchmark by its name, as ``python benchmarks/NAME.py`` would."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in _MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def made_streams(monkeypatch: pytest.MonkeyPatch) -> list[Stream[Any]]:
    """Every stream that the packaged model makes meanwhile."""
    made: list[Stream[Any]] = []
    stream = StreamingModel.stream

    def noted(model: StreamingModel, *given: Any, **options: Any) -> Stream[Any]:
        made.append(stream(model, *given, **options))
        return made[-1]

    monkeypatch.setattr(StreamingModel, "stream", noted)
    return made


class Clock:
    """Stands for both clocks; only steps take time, so no other load of the machine is measured.

    Attributes:
      now_s: what it shows.
      step_s: what the step of a stream takes; given how long the stream is already.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.step_s: Callable[[int], float] = lambda frames: 1e-4

    def perf_counter(self) -> float:
        return self.now_s

    process_time = perf_counter


@pytest.fixture
def tiny_path(tmp_path: Path) -> Path:
    """A model whose steps take microseconds: thousands of them come and go."""
    path = tmp_path / "tiny.tflite"
    handmade.model(path, "classification")
    return path


@pytest.fixture
def clock(script: Any, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """For runs of the tiny model."""
    made, step = Clock(), Stream.step

    def timed(stream: Stream[Any], *given: Any) -> Any:
        made.now_s += made.step_s(stream.frames)
        return step(stream, *given)

    monkeypatch.setattr(script("scaling_turns"), "time", made)
    monkeypatch.setattr(Stream, "step", timed)
    # Scenes have 16 pixels a side at least.
    monkeypatch.setattr(
        script("scaling_streams"), "images_for", lambda _, n=100: list(handmade.images(n))
    )
    return made


def busy(runs: int) -> Any:
    """A side whose step is so many products of matrices."""
    matrix = np.random.default_rng(0).normal(size=(64, 64))

    def block() -> int:
        for _ in range(5 * runs):
            matrix @ matrix
        return 5

    return lambda: block


def test_ten_times_the_work_is_seen_as_about_ten_times_the_time(script: Any) -> None:
    """On the real clocks; so much that no load of the machine hides it."""
    turns = script("scaling_turns")
    found = turns.in_turns({"one": busy(10), "other": busy(10), "ten": busy(100)}, rounds=40)
    ten = turns.beside(found["ten"], found["one"])
    same = turns.beside(found["other"], found["one"])
    assert 4 < ten["cpu_ratio"] < 25
    assert 0.5 < same["cpu_ratio"] < 2
    assert ten["cpu_ratio_95"][0] <= ten["cpu_ratio"] <= ten["cpu_ratio_95"][1]


def test_the_interval_of_a_median_holds_it_about_19_times_of_20(script: Any) -> None:
    interval = script("scaling_turns").interval
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        low, high = interval(rng.lognormal(0.0, 0.3, 60))
        held += low <= 1.0 <= high
    assert 0.92 < held / 400 < 0.995


def test_streams_are_as_long_as_their_point_says(
    script: Any, tiny_path: Path, made_streams: list[Stream[Any]], clock: Clock
) -> None:
    scaling = script("scaling_streams")
    found = scaling.length(tiny_path, lengths=(100, 1000), rounds=2)
    assert [point["frames"] for point in found["points"]] == [100, 1000]
    lengths = sorted({stream.frames for stream in made_streams})
    assert lengths == [100, 1000]
    assert all(point["cpu_ratio"] == point["ratio"] == 1.0 for point in found["points"])
    assert found["fresh_us"] == pytest.approx(100.0)
    assert found["holds"]


def test_a_stream_that_becomes_slower_is_not_called_flat(
    script: Any, tiny_path: Path, clock: Clock
) -> None:
    # Like a list that is searched at every frame: after 1,000 frames, a tenth more.
    clock.step_s = lambda frames: 1e-4 + 1e-8 * frames
    scaling = script("scaling_streams")
    found = scaling.length(tiny_path, lengths=(100, 1000), rounds=2)
    first, last = found["points"]
    # Beside new streams, whose hundred frames are 49.5 old on average.
    assert first["cpu_ratio"] == pytest.approx(1.0)
    assert last["cpu_ratio"] == pytest.approx((1 + 0.0949) / (1 + 0.00495), abs=0.006)
    assert not found["holds"]


def test_more_streams_share_the_steps(
    script: Any, tiny_path: Path, made_streams: list[Stream[Any]], clock: Clock
) -> None:
    scaling = script("scaling_streams")
    found = scaling.streams(tiny_path, counts=(1, 4), rounds=5, with_memory=False)
    one, four = found["points"]
    assert one["times_one"] == 1.0
    assert four["times_one"] == pytest.approx(4.0, abs=0.01)
    assert four["cpu_ratio"] == pytest.approx(1.0)
    assert found["holds"]
    frames = [stream.frames for stream in made_streams[:5]]
    assert frames[0] == sum(frames[1:]) == 4 * frames[1]


def test_an_unknown_curve_is_refused_with_the_names_of_all(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling.py", "--only", "streams,width"])
    with pytest.raises(SystemExit):
        script("scaling").main()
    error = capsys.readouterr().err.splitlines()[-1]
    assert "length, streams, threads, size, alpha, units, attention; got width" in error


def test_a_curve_needs_each_network_once(script: Any) -> None:
    networks = script("scaling_networks")
    shapes = networks.shapes_of(["size", "units"])
    assert len(shapes) == len(set(shapes)) == 9
    assert networks.Shape() in shapes


@pytest.mark.slow
def test_an_untrained_network_is_converted_and_streams(script: Any) -> None:
    pytest.importorskip("tensorflow", reason="needs the extra 'convert'")
    networks = script("scaling_networks")
    shape = networks.Shape(size=64, attention=4)
    model = networks.opened(networks.made([shape])[shape])
    assert model.spec.input.width == 64
    assert sorted(state.name for state in model.spec.states) == ["c", "h", "window"]
    stream = model.stream()
    images = script("scaling_streams").images_for(model, 20)
    answers = [stream.step(image).probabilities for image in images]
    assert np.isfinite(answers).all()


def test_a_stage_s_speed_is_that_of_its_steps_alone(script: Any) -> None:
    pytest.importorskip("tqdm", reason="needs the extra 'convert'")
    throughput = script("throughput")
    config = importlib.import_module("edgecap_convert.training.config")
    stage = config.StageConfig(100, 8, 12, 1e-3, 100, 0)
    # 30 s once, and a quarter of a second a step.
    seconds = ({"joint": 30.0 + 2.5}, {"joint": 30.0 + 10.0})
    found = throughput.speeds({"joint": stage}, {"joint": (10, 40)}, seconds)["joint"]
    assert found["steps_per_second"] == 4.0
    assert found["clips_per_second"] == 32.0
    assert found["frames_per_second"] == 384.0
    assert found["once_seconds"] == 30.0
    with pytest.raises(ValueError, match=r"joint: 40 steps took .* Run it again"):
        throughput.speeds({"joint": stage}, {"joint": (10, 40)}, seconds[::-1])
