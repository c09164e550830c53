"""``edgecap bench``: its files, its exit status, and one line for what it is wrongly given."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgecap.benchmark import Bench, from_dict
from edgecap.benchmark.reference import MACS
from edgecap.benchmark.report import Block
from edgecap.benchmark.stages import STAGES
from edgecap.cli import bench as verb
from edgecap.cli import cli
from tests import bench_documents, handmade
from tests.processes import INTERRUPTIBLE, LIMIT_S, children, is_alive, wait_for

SHORT = ("--seconds", "0.5", "--cold-runs", "0", "--no-open", "--threads-up-to", "1")


# Of two seconds' frames, a machine that is busy elsewhere may leave none to measure: that is said,
# and is no fault. Then it is measured again.
_STARVED, _TRIES = "frame(s) to measure", 5


def measured(python: str, *arguments: str, env: dict[str, str] | None = None) -> Bench:
    """What ``edgecap bench demo`` says in a process of its own."""
    for _ in range(_TRIES):
        done = subprocess.run(
            [python, "-m", "edgecap", "bench", "demo", *arguments, "--json", "-"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        if _STARVED not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    return from_dict(json.loads(done.stdout))


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["bench", *map(str, arguments)])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the files of a short run of everything, and what was told."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "link.json").symlink_to(folder / "bench.json")
    for _ in range(_TRIES):
        done = bench(
            "demo",
            *("--seconds", "1", "--threads-up-to", "2", "--camera-hz", "48", "--cold-runs", "1"),
            *("--json", folder / "link.json", "--html", folder / "bench.html"),
        )
        if _STARVED not in str(done.exception):
            break
    assert done.exit_code == 0, (done.output, done.exception)
    return folder, done.output


@pytest.fixture(scope="module")
def document(written: tuple[Path, str]) -> Bench:
    return from_dict(json.loads((written[0] / "bench.json").read_text("utf-8")))


def test_the_files_and_the_table_are_of_one_run(written: tuple[Path, str], document: Bench) -> None:
    folder, told = written
    assert document.model.name in told
    assert (folder / "link.json").is_symlink()
    page = (folder / "bench.html").read_text("utf-8")
    assert page.lower().startswith("<!doctype html")
    assert document.model.name in page
    assert sorted(file.name for file in folder.iterdir()) == [
        "bench.html",
        "bench.json",
        "link.json",
    ]


def test_the_document_holds_together(document: Bench) -> None:
    asked = "--seconds 1 --camera-hz 48 --threads-up-to 2 --cold-runs 1"
    assert document.command == f"edgecap bench demo {asked}"
    assert document.model.file == "gestures-demo.tflite"
    assert document.model.input == "96x96"
    assert document.runtime.threads == 1
    closed, compute, opened = document.closed, document.compute, document.open
    assert tuple(closed.stages) == STAGES
    assert sum(block.steps for block in closed.blocks) == closed.whole.count
    assert document.steady.window_s == pytest.approx(closed.seconds / 3, rel=0.01)
    assert document.steady.ratio > 0
    assert opened is not None
    assert opened.given >= opened.answered + opened.dropped
    assert document.cold is not None
    assert document.cold.total_ms > document.cold.load_ms > 0
    assert [row.threads for row in document.threads] == [1, 2]
    invoke_us = closed.stages["invoke"].p50_us
    assert invoke_us is not None
    assert compute.macs is not None
    assert compute.reached == pytest.approx(compute.macs / invoke_us / 1e3, rel=1e-3)
    reference_us = np.median([block.reference_us for block in closed.blocks])
    assert compute.peak == pytest.approx(MACS / reference_us / 1e3, rel=1e-3)
    assert compute.share == pytest.approx(compute.reached / compute.peak, rel=1e-2)


def test_json_on_standard_output_is_all_there_is() -> None:
    done = bench("demo", *SHORT, "--size", "96x96", "--json", "-")
    assert done.exit_code == 0, (done.output, done.exception)
    found = from_dict(json.loads(done.stdout))
    assert found.cold is found.open is None
    assert [row.threads for row in found.threads] in ([], [1])
    assert found.closed.frame == "96x96"


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_model_of_any_task_is_measured(tmp_path: Path, task: str) -> None:
    handmade.model(tmp_path / "made.tflite", task)
    done = bench(tmp_path / "made.tflite", *SHORT, "--json", "-")
    assert done.exit_code == 0, (done.output, done.exception)
    found = from_dict(json.loads(done.stdout))
    assert (found.model.task, found.model.input, found.model.rate_hz) == (task, "4x4", 10.0)
    assert found.command.startswith("edgecap bench made.tflite --seconds 0.5 ")
    assert found.memory.before_mb is None or found.memory.before_mb > 0


def test_it_needs_no_opencv(tmp_path: Path) -> None:
    # In this process, the camera's and those of the other measurements alike.
    (tmp_path / "cv2.py").write_text("raise ImportError('there is no OpenCV here')")
    paths = [str(tmp_path), *filter(None, sys.path)]
    asked = ("--seconds", "0.5", "--cold-runs", "1", "--threads-up-to", "1")
    found = measured(
        sys.executable, *asked, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    )
    assert found.closed.frame == found.model.input == "96x96"
    assert any("no OpenCV here" in note for note in found.notes)
    assert found.open is not None
    assert found.open.answered > 1


def cameras(pid: int) -> list[int]:
    """Children that have opened a camera and hold its frames."""
    found = []
    for child in children(pid):
        with contextlib.suppress(OSError):
            folder = Path("/proc") / str(child)
            command, maps = (folder / "cmdline").read_bytes(), (folder / "maps").read_text()
            if b"edgecap.capture.worker" in command and "memfd:" in maps:
                found.append(child)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_an_interrupted_run_ends_in_good_order(tmp_path: Path) -> None:
    asked = ["bench", "demo", "--seconds", "600", "--json", str(tmp_path / "bench.json")]
    running = subprocess.Popen(
        [*INTERRUPTIBLE, *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # The camera's process, and its first frame: the open loop is under way. Other children come
        # and go before, to ask the machine what it is.
        wait_for(lambda: cameras(running.pid))
        (camera,) = cameras(running.pid)
        running.send_signal(signal.SIGINT)
        told, complained = running.communicate(timeout=LIMIT_S)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130
    assert (told, complained) == ("", "edgecap: interrupted\n")
    wait_for(lambda: not is_alive(camera))
    assert not list(tmp_path.iterdir())


def made(path: Path, *, slower: float = 1.0, seed: int = 0) -> Path:
    """A document of a long run on a machine of some noise."""
    noise = np.random.default_rng(seed).normal(1.0, 0.02, (400, 2))
    blocks = tuple(
        Block(0.1 * n, 200, float(200.0 * slower * a), float(45.0 * b))
        for n, (a, b) in enumerate(noise)
    )
    whole = bench_documents.bench()
    closed = dataclasses.replace(whole.closed, seconds=40.0, blocks=blocks)
    path.write_text(json.dumps(dataclasses.replace(whole, closed=closed).to_dict()))
    return path


@pytest.mark.parametrize(("slower", "verdict", "status"), [(1.0, "no diff", 0), (1.5, "slower", 1)])
def test_two_runs_are_compared(tmp_path: Path, slower: float, verdict: str, status: int) -> None:
    pair = (made(tmp_path / "a.json"), made(tmp_path / "b.json", slower=slower, seed=1))
    compared = bench("--compare", *pair)
    assert compared.exit_code == 0, (compared.output, compared.exception)
    assert verdict in compared.output
    assert bench("--compare", *pair, "--fail-if-slower").exit_code == status
    assert bench("--compare", *reversed(pair), "--fail-if-slower").exit_code == 0
    as_json = json.loads(bench("--compare", *pair, "--json", "-").output)
    assert as_json["verdict"].startswith(verdict)
    bench("--compare", *pair, "--json", tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text("utf-8")) == as_json


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected MODEL"),
        (["demo", "--compare", "a", "b"], "does not go with demo"),
        (["--compare", "a", "b", "--quick"], "does not go with --quick"),
        (["--compare", "a", "b", "--html", "c"], "does not go with --html"),
        (["demo", "--fail-if-slower"], "--fail-if-slower goes with --compare"),
        (["demo", "--quick", "--seconds", "3"], "--quick and --seconds exclude"),
        (["demo", "--source", "0", "--no-open"], "does not go with --no-open"),
        (["demo", "--source", "0", "--camera-hz", "9"], "does not go with --camera-hz"),
        (["demo", "--size", "640*480"], "expected two sides of 16 to 4096"),
        (["demo", "--size", "640x4"], "expected two sides of 16 to 4096"),
        (["demo", "--seconds", "0"], "0.5<=x<=3600"),
        (["demo", "--html", "-"], "expected the name of a file"),
        (["demo", "--json", "a", "--html", "./a"], "expected two files"),
        (["demo", "--json", "nowhere/a.json"], "no such folder"),
        (["demo", "--html", "."], "expected the name of a file"),
        (["none.tflite"], "none.tflite: no such file"),
        (["demo", "--source", "synthetic:"], "the open loop needs a camera"),
        (["--compare", "none.json", "b"], "none.json: cannot be read"),
    ],
)
def test_what_is_wrongly_given_is_told_in_one_line(arguments: list[str], said: str) -> None:
    done = bench(*arguments)
    assert done.exit_code in (1, 2)
    assert said in done.output + str(done.exception)


@pytest.mark.parametrize(
    ("text", "said"), [("{", "Expecting"), ("[]", "schema 1"), ("{}", "got schema None")]
)
def test_a_file_that_is_no_document_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.json").write_text(text)
    done = bench("--compare", tmp_path / "a.json", tmp_path / "a.json")
    told = str(done.exception)
    assert "expected a document of 'edgecap bench --json'" in told
    assert said in told


def test_the_model_is_not_written_over(tmp_path: Path, demo_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(demo_path.read_bytes())
    (tmp_path / "link.json").symlink_to(model)
    done = bench(model, *SHORT, "--json", tmp_path / "link.json")
    assert done.exit_code == 2
    assert "is the model" in done.output
    assert model.read_bytes() == demo_path.read_bytes()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True)
    done = bench("--compare", made(tmp_path / "a.json"), tmp_path / "a.json", "--json", pipe)
    assert done.exit_code == 0, (done.output, done.exception)
    told, _ = reader.communicate(timeout=LIMIT_S)
    assert "verdict" in json.loads(told)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["/home/me/a.tflite", "--json", "/home/me/b.json"], "edgecap bench a.tflite"),
        (["demo", "--quick", "--size", "320x240"], "edgecap bench demo --quick --size 320x240"),
        (
            ["demo", "--threads", "2", "--seconds", "90"],
            "edgecap bench demo --seconds 90 --threads 2",
        ),
    ],
)
def test_the_document_says_how_to_repeat_it(arguments: list[str], command: str) -> None:
    assert repeated(arguments) == command


def test_no_password_stands_in_the_document() -> None:
    told = repeated(["demo", "--source", "rtsp://me:secret@door/stream"])
    assert "door" in told
    assert "secret" not in told


def repeated(arguments: list[str]) -> Any:
    with verb.command.make_context("bench", arguments):
        return verb._command()


@pytest.mark.tflite_runtime
def test_it_measures_on_tflite_runtime_too() -> None:
    python = os.environ.get("EDGECAP_TFLITE_RUNTIME_PYTHON")
    if not python:
        pytest.skip("set EDGECAP_TFLITE_RUNTIME_PYTHON to a Python with tflite-runtime 2.14")
    found = measured(python, "--seconds", "0.5", "--cold-runs", "1", "--threads-up-to", "1")
    assert (found.runtime.backend, found.runtime.version) == ("tflite-runtime", "2.14.0")
    assert tuple(found.closed.stages) == STAGES
    assert found.cold is not None
    assert found.open is not None
    assert found.open.answered > 1
