"""How cost grows: the benchmark must see what grows, and not see what does not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.streaming import Stream, StreamingModel

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


def busy(runs: int) -> Any:
    """A side whose step is so many products of matrices."""
    matrix = np.random.default_rng(0).normal(size=(64, 64))

    def block() -> int:
        for _ in range(5 * runs):
            matrix @ matrix
        return 5

    return lambda: block


def test_twice_the_work_is_seen_as_about_twice_the_time(script: Any) -> None:
    turns = script("scaling_turns")
    found = turns.in_turns({"one": busy(20), "other": busy(20), "two": busy(40)}, rounds=40)
    two = turns.beside(found["two"], found["one"])
    same = turns.beside(found["other"], found["one"])
    assert 1.4 < two["cpu_ratio"] < 2.8
    assert 0.7 < same["cpu_ratio"] < 1.4
    assert two["cpu_ratio_95"][0] <= two["cpu_ratio"] <= two["cpu_ratio_95"][1]


def test_the_interval_of_a_median_holds_it_about_19_times_of_20(script: Any) -> None:
    interval = script("scaling_turns").interval
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        low, high = interval(rng.lognormal(0.0, 0.3, 60))
        held += low <= 1.0 <= high
    assert 0.92 < held / 400 < 0.995


def test_streams_are_as_long_as_their_point_says(
    script: Any, demo_path: Path, made_streams: list[Stream[Any]]
) -> None:
    scaling = script("scaling_streams")
    found = scaling.length(demo_path, lengths=(100, 1000), rounds=2)
    assert [point["frames"] for point in found["points"]] == [100, 1000]
    lengths = sorted({stream.frames for stream in made_streams})
    assert lengths == [100, 1000]
    assert all(0.4 < point["cpu_ratio"] < 2.5 for point in found["points"])


def test_a_stream_that_becomes_slower_is_not_called_flat(
    script: Any, demo_path: Path, made_streams: list[Stream[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Stream.step

    def slower(stream: Stream[Any], *given: Any) -> Any:
        # Like a list that is searched at every frame.
        sum(range(5 * stream.frames))
        return step(stream, *given)

    monkeypatch.setattr(Stream, "step", slower)
    scaling = script("scaling_streams")
    found = scaling.length(demo_path, lengths=(100, 1000), rounds=3)
    assert found["points"][1]["cpu_ratio"] > 1.1
    assert not found["holds"]


def test_more_streams_share_the_steps(
    script: Any, demo_path: Path, made_streams: list[Stream[Any]]
) -> None:
    scaling = script("scaling_streams")
    found = scaling.streams(demo_path, counts=(1, 4), rounds=15, with_memory=False)
    one, four = found["points"]
    assert one["times_one"] == 1.0
    assert four["times_one"] == pytest.approx(4 * four["ratio"], abs=0.01)
    # In processor time: on the clock, others may have had the machine.
    assert 0.5 < four["cpu_ratio"] < 2.0
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
