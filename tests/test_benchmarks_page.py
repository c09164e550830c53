"""The page of all results: it says what they say, and nothing else."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.benchmark.report import (
    Bench,
    ClosedLoop,
    ColdStart,
    Compute,
    Environment,
    Memory,
    Model,
    Moment,
    OpenLoop,
    Runtime,
    Steady,
)
from edgecap.benchmark.times import times

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
_AGAIN = "it is no longer made of benchmarks/results: run `python benchmarks/page.py`"


@pytest.fixture(scope="module")
def imported() -> Iterator[Any]:
    """Imports a module of ``benchmarks``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module
    for name in [name for name in sys.modules if name.split("_")[0] == "page"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def page(imported: Any) -> Any:
    pytest.importorskip("matplotlib", reason="needs the extra 'convert'")
    return imported("page")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_result_tells_its_command_and_its_environment(path: Path) -> None:
    document = json.loads(path.read_text("utf-8"))
    command = document["command"].split()
    if command[0] == "python":
        assert (ROOT / command[1]).is_file(), f"{path.name}: {command[1]} is gone"
    else:
        assert command[:2] == ["edgecap", "bench"]
    told = document["environment"]
    assert told["cpu"]
    assert told["cores"] >= 1
    assert told["machine"]
    assert told["versions"]["numpy"]


def test_the_page_is_made_of_the_committed_results(page: Any) -> None:
    text, pictures = page.made(page.Results(RESULTS))
    assert PAGE.read_text("utf-8") == text, _AGAIN
    shown = set(re.findall(r"\]\(benchmarks/(\w+)\.svg\)", text))
    assert shown == set(pictures)
    assert {path.stem for path in PAGE.with_suffix("").glob("*.svg")} == shown, _AGAIN
    for name, picture in pictures.items():
        drawn = (PAGE.with_suffix("") / f"{name}.svg").read_text("utf-8")
        assert picture.digest in drawn, f"{name}.svg: {_AGAIN}"


def test_every_link_of_the_page_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text("utf-8")):
        assert (PAGE.parent / target).exists(), target


def test_another_figure_makes_another_page(page: Any, tmp_path: Path) -> None:
    shutil.copy(RESULTS / "soak.json", tmp_path)
    before, pictures = page.made(page.Results(tmp_path))
    document = json.loads((tmp_path / "soak.json").read_text("utf-8"))
    document["result"]["frame_us"]["change_percent"] = 7.65
    document["result"]["passed"]["time"] = False
    document["result"]["series"]["frame_us"][0] += 1
    (tmp_path / "soak.json").write_text(json.dumps(document))
    after, others = page.made(page.Results(tmp_path))
    assert "+7.65 %" in after
    assert "+7.65 %" not in before
    assert "does not hold" in after
    assert "does not hold" not in before
    assert pictures["soak"].digest != others["soak"].digest


def test_what_was_not_measured_is_said_with_its_command(page: Any, tmp_path: Path) -> None:
    shutil.copy(RESULTS / "startup.json", tmp_path)
    text, pictures = page.made(page.Results(tmp_path))
    assert not pictures
    for script in ("peers", "scaling", "throughput", "soak", "gate"):
        assert f"*Not measured yet: `python benchmarks/{script}.py" in text
    assert "No figure here was taken on one" in text


def test_a_figure_from_a_pi_is_known_as_one(page: Any, tmp_path: Path) -> None:
    document = json.loads((RESULTS / "startup.json").read_text("utf-8"))
    document["environment"] |= {"board": "Raspberry Pi 4 Model B", "machine": "aarch64"}
    (tmp_path / "startup.json").write_text(json.dumps(document))
    text, _ = page.made(page.Results(tmp_path))
    assert "No figure here was taken on one" not in text
    assert "Raspberry Pi 4 Model B" in text


def test_a_result_without_a_command_is_refused_by_name(page: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"result": 1, "environment": {}}')
    with pytest.raises(ValueError, match=r"mine\.json: expected a result with command"):
        page.Results(tmp_path)


def test_a_picture_is_on_a_light_card_and_the_same_when_drawn_again(
    page: Any, tmp_path: Path
) -> None:
    shutil.copy(RESULTS / "soak.json", tmp_path)
    results = page.Results(tmp_path)
    first, again = (page.write(results, tmp_path / f"{n}.md") and tmp_path / n for n in "ab")
    drawn = (first / "soak.svg").read_text("utf-8")
    assert drawn == (again / "soak.svg").read_text("utf-8")
    assert importlib.import_module("page_pictures").CARD in drawn
    assert "<dc:date>" not in drawn
    # A second run leaves the folder as it is.
    page.write(results, tmp_path / "a.md")
    assert [path.name for path in first.iterdir()] == ["soak.svg"]


def bench_of(stages_us: dict[str, float]) -> Bench:
    """What ``edgecap bench`` writes, with these medians."""
    rng = np.random.default_rng(0)

    def around(middle_us: float) -> Any:
        return times(middle_us * (1 + rng.uniform(-0.01, 0.01, 2001)))

    return Bench(
        command="edgecap bench demo",
        taken="2026-01-01T00:00:00Z",
        model=Model("a.tflite", "a", "0" * 64, 9, "int8", "classification", "96x96", 12.0, 7 << 20),
        runtime=Runtime("litert", "2.3.0", "xnnpack", 1),
        environment=Environment(
            cpu="a processor",
            features=(),
            cores=4,
            machine="aarch64",
            system="Linux",
            board="Raspberry Pi 5",
            memory_mb=None,
            python="3.11",
            versions={},
            before=Moment(),
            after=Moment(load=0.5),
            disturbed=("throttled",),
        ),
        closed=ClosedLoop(
            "640x480",
            1.0,
            9.0,
            around(sum(stages_us.values())),
            {name: around(value) for name, value in stages_us.items()},
            (),
        ),
        steady=Steady(30.0, 100.0, 101.0, 1.01),
        memory=Memory(20.0, 30.0, 31.0, 32.0),
        compute=Compute(7 << 20, 70.0, 370.0, 0.19),
        cold=ColdStart(5, 11.0, 80.0, 4.0, 0.2, 110.0),
        open=OpenLoop(
            "built-in",
            9.0,
            30.0,
            12.0,
            270,
            108,
            3,
            83.0,
            1,
            around(9.0),
            around(700.0),
            around(8e4),
        ),
    )


@pytest.mark.parametrize(
    ("preprocess_us", "share", "said"), [(30.0, "12", "holds"), (90.0, "27", "**does not hold**")]
)
def test_what_bench_finds_stands_on_the_page_and_its_bar_is_judged(
    page: Any, tmp_path: Path, preprocess_us: float, share: str, said: str
) -> None:
    stages = {"preprocess": preprocess_us, "set": 3.0, "invoke": 400.0, "get": 3.0, "post": 12.0}
    document = bench_of(stages).to_dict()
    (tmp_path / "bench_demo.json").write_text(json.dumps(document))
    text, pictures = page.made(page.Results(tmp_path))
    assert list(pictures) == ["stages"]
    (row,) = [line for line in text.splitlines() if line.startswith("| around the graph")]
    assert f"| {share}." in row
    assert f"| {said} |" in row
    assert "Raspberry Pi 5, a processor, 4 cores" in text
    assert "(throttled)" in text
    assert "1 of 108" in text
