"""Instructions of a frame, counted under valgrind: no dearer than recorded, and a copy is seen."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
_RECORDED = _BENCHMARKS / "results" / "instructions.json"

# One more copy of every frame that is prepared.
_WITH_A_COPY = """
from edgecap.preprocess import Preprocessor

plain = Preprocessor.__call__
Preprocessor.__call__ = lambda self, image: plain(self, image.copy())
"""


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """``benchmarks/instructions.py``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(_BENCHMARKS))
        import instructions

        yield instructions


@pytest.fixture(scope="module")
def count_both(
    benchmark: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], tuple[Any, Any]]:
    """Counts the code as it is, and the code with a needless copy of each frame."""
    if shutil.which("valgrind") is None:
        pytest.skip("needs valgrind, which counts: apt-get install valgrind")
    pytest.importorskip("cv2", reason="needs the extra 'camera'")
    copying = tmp_path_factory.mktemp("first") / "copying.py"
    copying.write_text(_WITH_A_COPY)

    def both() -> tuple[Any, Any]:
        # Side by side: what the machine does beside must not show.
        with ThreadPoolExecutor() as pool:
            plain = pool.submit(benchmark.count)
            copied = pool.submit(benchmark.count, first=copying)
            return plain.result(), copied.result()

    return both


@pytest.fixture(scope="module")
def counts(count_both: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
    """See ``count_both``."""
    return count_both()


@pytest.fixture
def made(benchmark: ModuleType) -> Any:
    """Counts as they could be."""
    per_frame = {
        "yardstick": 100_000.0,
        "bare_step": 5_000_000.0,
        "step": 5_100_000.0,
        "camera_step": 5_500_000.0,
        "resize": 380_000.0,
        "prepare": 15_000.0,
        "camera_prepare": 400_000.0,
        "decide": 70_000.0,
    }
    environment = {"python": "3.11.2", "numpy": "2.4.6", "machine": "x86_64"}
    return benchmark.Counts(environment, per_frame, {})


def dearer(counts: Any, share: float) -> Any:
    """The same with so much more work around each step."""
    work = counts.per_frame["step"] - counts.per_frame["bare_step"]
    step = counts.per_frame["step"] + share * work
    return dataclasses.replace(counts, per_frame=counts.per_frame | {"step": step})


def elsewhere(counts: Any, **changes: str) -> Any:
    return dataclasses.replace(counts, environment=counts.environment | changes)


@pytest.mark.slow
def test_a_frame_costs_no_more_instructions_than_recorded(
    benchmark: ModuleType, counts: tuple[Any, Any]
) -> None:
    gate = benchmark.hold(counts[0], benchmark.read(_RECORDED))
    if gate.differences or gate.is_stale:
        # Seen in the summary: what was held, and how loosely.
        warnings.warn(gate.report(), stacklevel=1)
    assert gate.passed, gate.report()


@pytest.mark.slow
def test_a_needless_copy_of_the_frame_is_seen(
    benchmark: ModuleType, counts: tuple[Any, Any]
) -> None:
    plain, copied = counts
    gate = benchmark.hold(copied, [plain])
    assert not gate.differences
    seen = {one.name for one in gate.held if not one.holds}
    assert seen == {"step", "camera_step", "prepare", "camera_prepare"}, gate.report()


@pytest.mark.slow
def test_what_was_not_touched_counts_the_same(
    counts: tuple[Any, Any], count_both: Callable[[], tuple[Any, Any]]
) -> None:
    """Where it is so in one of three tries: what is really dearer is that each time."""
    untouched = ("yardstick", "bare_step", "resize", "decide")
    for again in range(3):
        plain, copied = (one.per_frame for one in (count_both() if again else counts))
        if all(copied[n] == pytest.approx(plain[n], rel=0.005) for n in untouched):
            return
    pytest.fail(f"{[(n, plain[n], copied[n]) for n in untouched]}")


def test_the_recorded_figures_are_of_what_is_held(benchmark: ModuleType) -> None:
    recorded = benchmark.read(_RECORDED)
    assert recorded
    for counts in recorded:
        found = benchmark.figures(counts)
        assert set(found) == set(benchmark.HELD)
        gate = benchmark.hold(counts, recorded)
        assert gate.passed and not gate.differences and not gate.is_stale


def test_the_same_environment_has_little_room(benchmark: ModuleType, made: Any) -> None:
    assert benchmark.hold(dearer(made, 0.01), [made]).passed
    gate = benchmark.hold(dearer(made, 0.03), [made])
    assert [one.name for one in gate.held if not one.holds] == ["step"]
    assert "COSTS MORE" in gate.report()


def test_another_environment_is_held_in_yardsticks_and_says_so(
    benchmark: ModuleType, made: Any
) -> None:
    slower = {name: 1.4 * value for name, value in made.per_frame.items()}
    other = dataclasses.replace(elsewhere(made, python="3.11.9"), per_frame=slower)
    gate = benchmark.hold(other, [made])
    assert gate.passed
    assert "python 3.11.2 (here 3.11.9)" in gate.report()
    assert not benchmark.hold(dearer(other, 0.15), [made]).passed


def test_another_minor_version_does_not_disable_the_gate(benchmark: ModuleType, made: Any) -> None:
    other = elsewhere(made, python="3.13.0", numpy="2.5.5")
    assert benchmark.hold(dearer(other, 0.2), [made]).passed
    assert not benchmark.hold(dearer(other, 0.3), [made]).passed


def test_the_nearest_environment_is_held_against(benchmark: ModuleType, made: Any) -> None:
    new = dearer(elsewhere(made, python="3.13.0"), 0.5)
    gate = benchmark.hold(elsewhere(new, numpy="2.5.5"), [made, new])
    assert gate.differences == ("numpy 2.4.6 (here 2.5.5)",)
    assert gate.passed


def test_a_machine_without_figures_is_an_error_and_not_a_pass(
    benchmark: ModuleType, made: Any
) -> None:
    with pytest.raises(benchmark.CountError, match="no figures for aarch64: nothing is held"):
        benchmark.hold(elsewhere(made, machine="aarch64"), [made])


def test_figures_that_no_longer_describe_the_code_are_told(
    benchmark: ModuleType, made: Any
) -> None:
    gate = benchmark.hold(made, [dearer(made, 0.5)])
    assert gate.passed and gate.is_stale
    assert "renew the figures" in gate.report()


def test_no_valgrind_is_said_with_what_to_do(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(benchmark.CountError, match="apt-get install valgrind"):
        benchmark.count()


def test_a_result_of_something_else_is_refused(benchmark: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"result": {}}')
    with pytest.raises(benchmark.CountError, match="expected what --json"):
        benchmark.read(path)
