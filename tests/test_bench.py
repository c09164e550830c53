"""What ``edgecap bench`` measures in this process and in new ones: real models, real times."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import edgecap
from edgecap import __version__
from edgecap.benchmark.children import run_python
from edgecap.benchmark.closed import measure_closed, steady
from edgecap.benchmark.cold import measure_cold
from edgecap.benchmark.control import Control
from edgecap.benchmark.frames import scene_frames
from edgecap.benchmark.memory import measure_memory
from edgecap.benchmark.reference import Reference
from edgecap.benchmark.report import Block, ClosedLoop
from edgecap.benchmark.stages import STAGES, StagedModel
from edgecap.benchmark.threads import measure_threads
from edgecap.benchmark.times import times
from edgecap.bundle import Bundle, read_bundle
from edgecap.errors import BackendError
from edgecap.health import memory_mb
from edgecap.steps import WholeStep

# What a slow stage is made slower by: far more than all others take, on a slow machine too.
SLEEP_S = 0.01


class SlowStage(StagedModel):
    """A model of which one stage sleeps."""

    def __init__(self, bundle: Bundle, stage: str) -> None:
        super().__init__(bundle)
        if stage == "preprocess":
            self._preprocess = later(self._preprocess)  # type: ignore[assignment]
        elif stage == "post":
            self._activation = later(self._activation)
        else:
            assert isinstance(self._step, WholeStep)
            self._step.interpreter = SlowInterpreter(self._step.interpreter, stage)


class SlowInterpreter:
    def __init__(self, inner: Any, stage: str) -> None:
        self.set_tensor, self.invoke, self.get_tensor = (
            inner.set_tensor,
            inner.invoke,
            inner.get_tensor,
        )
        method = {"set": "set_tensor", "invoke": "invoke", "get": "get_tensor"}[stage]
        setattr(self, method, later(getattr(inner, method)))


def later(what: Callable[..., Any]) -> Callable[..., Any]:
    def slept(*arguments: Any) -> Any:
        time.sleep(SLEEP_S)
        return what(*arguments)

    return slept


@pytest.fixture(scope="module")
def bundle(demo_path: Path) -> Bundle:
    return read_bundle(demo_path)


@pytest.fixture(scope="module")
def small() -> tuple[npt.NDArray[np.uint8], ...]:
    """Frames of the packaged model's own size."""
    return scene_frames(96, 96)


@pytest.fixture(scope="module")
def closed(bundle: Bundle, small: tuple[npt.NDArray[np.uint8], ...]) -> ClosedLoop:
    return measure_closed(
        StagedModel(bundle), small, seconds=1.0, reference=Reference(), control=Control()
    )


def test_the_stages_of_a_step_add_up_to_the_step(closed: ClosedLoop) -> None:
    assert tuple(closed.stages) == STAGES
    medians = {name: taken.p50_us for name, taken in closed.stages.items()}
    assert all(median is not None and median > 0 for median in medians.values())
    whole = closed.whole.p50_us
    # The marks cost about a microsecond; the rest of the room is for a busy machine.
    assert whole is not None
    assert 0.5 < sum(filter(None, medians.values())) / whole < 2
    assert max(medians, key=lambda name: medians[name] or 0) == "invoke"


def test_every_step_of_the_blocks_is_counted_once(closed: ClosedLoop) -> None:
    assert closed.frame == "96x96"
    assert sum(block.steps for block in closed.blocks) == closed.whole.count
    assert min(block.steps for block in closed.blocks) >= 8
    assert len({taken.count for taken in closed.stages.values()}) == 1
    begins = [block.at_s for block in closed.blocks]
    assert begins == sorted(begins)
    assert begins[0] == 0
    assert begins[-1] < closed.seconds
    assert closed.seconds >= 1
    assert closed.fps == pytest.approx(1e6 / closed.whole.mean_us, rel=0.01)
    for block in closed.blocks:
        assert closed.whole.min_us <= block.step_us + 0.01
        assert block.step_us <= closed.whole.max_us + 0.01
        assert block.reference_us > 0


@pytest.mark.parametrize("slow", STAGES)
def test_time_that_is_lost_in_a_stage_appears_in_that_stage(
    bundle: Bundle, small: tuple[npt.NDArray[np.uint8], ...], slow: str
) -> None:
    found = measure_closed(
        SlowStage(bundle, slow), small, seconds=0.2, reference=Reference(), control=Control()
    )
    medians = {name: taken.p50_us or 0.0 for name, taken in found.stages.items()}
    assert medians[slow] >= SLEEP_S * 1e6
    # Beside it, and not a time of its own: a busy machine makes all of them longer.
    assert all(medians[name] < 0.7 * medians[slow] for name in STAGES if name != slow), medians
    assert found.whole.min_us >= SLEEP_S * 1e6
    # However slow: enough steps for medians, in enough blocks to tell two runs apart.
    assert len(found.blocks) >= 3


def test_a_step_that_is_taken_apart_gives_the_same_answer(
    bundle: Bundle, frames: npt.NDArray[np.uint8]
) -> None:
    model = StagedModel(bundle)
    whole, apart = model.stream(), model.stream()
    for frame in frames:
        expected = whole.step(frame)
        with model.taken_apart() as marks:
            found = apart.step(frame)
        assert found.probabilities.tobytes() == expected.probabilities.tobytes()
        assert 0 < marks.set_s < marks.invoke_s < marks.invoked_s < marks.got_s
    marks.clear()
    whole.step(frames[0])
    assert marks.invoke_s == 0, "the interpreter is still looked at"


def made(blocks: list[Block], seconds: float) -> ClosedLoop:
    return ClosedLoop("96x96", seconds, 1.0, times([1.0]), {}, tuple(blocks))


@pytest.mark.parametrize(("seconds", "window_s"), [(90.0, 30.0), (60.0, 30.0), (30.0, 10.0)])
def test_a_machine_that_slows_down_is_seen_between_begin_and_end(
    seconds: float, window_s: float
) -> None:
    at_s = np.arange(0, seconds, 0.1)
    step_us = np.where(at_s < seconds / 2, 100.0, 130.0)
    blocks = [Block(float(a), 10, float(s), 45.0) for a, s in zip(at_s, step_us, strict=True)]
    found = steady(made(blocks, seconds))
    assert dataclasses.astuple(found) == (window_s, 100.0, 130.0, 1.3)


def test_a_single_block_is_begin_and_end_at_once() -> None:
    found = steady(made([Block(0.0, 8, 100.0, 45.0)], 50.0))
    assert (found.first_us, found.last_us, found.ratio) == (100.0, 100.0, 1.0)


def test_the_frames_move_and_are_the_same_each_time() -> None:
    found = scene_frames(48, 64)
    assert [frame.shape for frame in found] == [(48, 64, 3)] * len(found)
    assert len({frame.tobytes() for frame in found}) == len(found) >= 4
    again = scene_frames(48, 64)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    assert scene_frames(8, 20)[0].shape == (8, 20, 3)


def test_a_cold_start_is_the_sum_of_its_parts_and_more(demo_path: Path) -> None:
    found = measure_cold(demo_path, runs=1)
    parts = (found.import_ms, found.load_ms, found.first_ms)
    assert found.runs == 1
    assert min(parts) > 0
    assert found.python_ms > 0
    assert sum(parts) < found.total_ms


def test_a_process_that_fails_says_why_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"ModelFileError: .*none.tflite: no such file") as told:
        measure_cold(tmp_path / "none.tflite", runs=1)
    assert "\n" not in str(told.value)


def test_another_edgecap_is_not_measured_by_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edgecap.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "bin"), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BackendError, match="imports another edgecap"):
        run_python("print('measured')")


@pytest.mark.skipif(memory_mb() is None, reason="the system does not tell memory through /proc")
def test_memory_is_that_of_a_program_that_only_streams(demo_path: Path) -> None:
    # A process that hands its peak down would make it that of the model.
    held = np.ones(200 << 20, np.uint8)
    found = measure_memory(demo_path, seconds=0.1)
    here = memory_mb()
    del held
    parts = (found.before_mb, found.loaded_mb, found.steady_mb, found.peak_mb)
    assert here is not None
    assert None not in parts
    before, loaded, steady_mb, peak = (part or 0.0 for part in parts)
    assert 5 < before < loaded <= peak
    assert before < steady_mb <= peak < min(here, 200)


def test_threads_are_compared_in_turns(
    bundle: Bundle, small: tuple[npt.NDArray[np.uint8], ...]
) -> None:
    said: list[str] = []
    rows = measure_threads(bundle, small, up_to=2, seconds=0.1, progress=said.append)
    assert [row.threads for row in rows] == [1, 2]
    assert rows[0].speed == 1
    assert all(row.p50_us > 0 and row.speed > 0 for row in rows)
    assert len(said) >= 3


def test_a_new_process_does_not_take_the_package_that_lies_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a checkout whose package is installed elsewhere."""
    (tmp_path / "edgecap").mkdir()
    (tmp_path / "edgecap" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "bin"), *sys.path])
    lines, _ = run_python("import edgecap\nprint(edgecap.__version__)")
    assert lines == [__version__]


def test_a_new_process_takes_the_checkout_that_this_one_was_started_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As under ``python -m edgecap`` in a checkout, though the package is installed too."""
    installed = tmp_path / "edgecap"
    installed.mkdir()
    (installed / "__init__.py").write_text("raise SystemExit('the wrong one')")
    root = Path(edgecap.__file__).resolve().parent.parent
    monkeypatch.setattr(sys, "path", [str(root), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lines, _ = run_python("import edgecap\nprint(edgecap.__version__)")
    assert lines == [__version__]
