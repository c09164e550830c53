"""A model that kills the runtime is told of in one line, by a process that lives on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgecap
from edgecap.bundle import Golden, read_bundle, write_bundle
from edgecap.errors import BackendError
from edgecap.probe import ANSWER, Limits, probe, probe_once
from edgecap.streaming import StreamingModel

# A runtime that is imported as LiteRT and dies, hangs or takes memory when it is given a model.
_STAND_IN = """
import os, signal, sys, time
class OpResolverType:
    AUTO = BUILTIN_WITHOUT_DEFAULT_DELEGATES = BUILTIN_REF = 0
class Interpreter:
    def __init__(self, **given):
        {does}
"""
_DOES = {
    "segfault": "os.kill(os.getpid(), signal.SIGSEGV)",
    "chatter": "os.write(1, b'hello\\n'); raise ValueError('no such model')",
    "abort": "os.kill(os.getpid(), signal.SIGABRT)",
    "exit": "sys.exit(7)",
    "hang": "time.sleep(600)",
    "spin": "\n        while True: pass",
    "memory": "self.taken = [bytearray(1 << 28) for _ in range(64)]",
}


@pytest.fixture
def copied(tmp_path: Path, demo_path: Path) -> Path:
    """A model that did not come with the package."""
    path = tmp_path / "model.tflite"
    path.write_bytes(demo_path.read_bytes())
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGECAP_CACHE", str(folder))
    return folder / "known"


def stand_in(folder: Path, does: str) -> str:
    """Where a runtime lies that does so."""
    package = folder / "site" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '0.0'\n")
    (package / "interpreter.py").write_text(_STAND_IN.format(does=_DOES[does]))
    return str(package.parent)


def command(*arguments: str | Path, paths: str = "", **given: str) -> tuple[int, str, str]:
    found = os.pathsep.join(filter(None, [paths, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-m", "edgecap", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | {"PYTHONPATH": found} | given,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("verb", [["verify"], ["run", "--max-frames", "3"]], ids=lambda v: v[0])
@pytest.mark.parametrize(("does", "told"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_runtime_that_dies_is_one_line_and_exit_status_1(
    copied: Path, cache: Path, tmp_path: Path, verb: list[str], does: str, told: str
) -> None:
    code, out, err = command(verb[0], copied, *verb[1:], paths=stand_in(tmp_path, does))
    assert (code, out) == (1, "")
    assert err.startswith("edgecap: ")
    assert err.count("\n") == 1
    assert "the runtime died of signal" in err
    assert told in err
    assert str(copied) in err
    assert not cache.exists()


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("exit", "ended with status 7"),
        ("chatter", "cannot run this model: no such model"),
        ("hang", "not done with this model after 2 s"),
        ("spin", r"SIGXCPU\).*it had used 1 s of processor time"),
        ("memory", "more than 1024 MiB of memory"),
    ],
)
def test_what_else_a_runtime_can_do_is_bounded(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, told: str
) -> None:
    monkeypatch.syspath_prepend(stand_in(tmp_path, does))
    cpu_s, wall_s = (1 if does == "spin" else 300), (2.0 if does == "hang" else 300.0)
    limits = Limits(memory_bytes=1 << 30, cpu_s=cpu_s, wall_s=wall_s)
    with pytest.raises(BackendError, match=told):
        probe(copied, read_bundle(copied), limits=limits)


def test_a_real_runtime_short_of_memory_is_an_error_and_not_the_end(copied: Path) -> None:
    with pytest.raises(BackendError):
        probe(copied, read_bundle(copied), limits=Limits(1 << 12, 300, 300.0))


def test_a_probe_tells_what_the_model_does_here(copied: Path, demo_model: StreamingModel) -> None:
    found = probe(copied, read_bundle(copied), kernels="builtin")
    assert found.passed
    assert found.backend["kernels"] == "builtin"
    assert found.backend["version"] == demo_model.backend.version


def test_an_unknown_model_is_tried_once(
    copied: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edgecap.load(copied, probe=True)
    (mark,) = cache.iterdir()
    assert mark.name.startswith(read_bundle(copied).spec.digests["model"])
    monkeypatch.setattr("edgecap.probe.run_in_child", lambda *_, **__: pytest.fail("it is known"))
    edgecap.load(copied, probe=True)
    with pytest.raises(pytest.fail.Exception):
        # Other kernels are other native code.
        edgecap.load(copied, probe=True, kernels="reference")


def test_where_nothing_can_be_remembered_it_is_tried_each_time(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file in the folder's place cannot be written into by anybody, not even by root.
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("EDGECAP_CACHE", str(tmp_path / "no folder"))
    bundle = read_bundle(copied)
    tried: list[str] = []
    monkeypatch.setattr("edgecap.probe.run_in_child", lambda path, *_, **__: tried.append(path))
    for _ in range(2):
        probe_once(copied, bundle)

    def nobodys(*_: object) -> None:
        raise RuntimeError("Could not determine home directory.")

    # As of a service's user, who has no home or may not look into it.
    monkeypatch.setattr("edgecap.probe._folder", nobodys)
    probe_once(copied, bundle)

    def anothers(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edgecap.probe._folder", lambda: copied.parent)
    monkeypatch.setattr(Path, "exists", anothers)
    probe_once(copied, bundle)
    assert len(tried) == 4


def test_the_packaged_model_needs_no_child(
    cache: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecap.probe.run_in_child", lambda *_, **__: pytest.fail("packaged"))
    edgecap.load(demo_path, probe=True)
    assert not cache.exists()


def test_a_file_that_changes_meanwhile_is_refused(copied: Path, tmp_path: Path) -> None:
    from tests import handmade

    bundle = read_bundle(copied)
    handmade.model(copied, "regression")
    with pytest.raises(edgecap.EdgecapError, match="has changed while it was looked at"):
        probe(copied, bundle)


@pytest.mark.parametrize("python", ["/no/python", "", None])
def test_where_no_child_can_be_started_it_runs_here_and_the_log_says_so(
    python: str | None,
    copied: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    assert probe(copied, read_bundle(copied)).passed
    assert "no child process can be started" in caplog.text


def test_a_program_that_is_packed_with_its_python_is_not_started_again(
    copied: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There ``sys.executable`` is the program itself, which would load the model again."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    probe_once(copied, read_bundle(copied))
    assert "no child process can be started" in caplog.text


def test_a_model_without_recorded_frames_is_tried_on_black_ones(
    copied: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_bundle(copied)
    none = Golden(bundle.golden.frames[:0], {})
    write_bundle(copied, model=bundle.model, spec=bundle.spec, golden=none, card=bundle.card)
    probe_once(copied, read_bundle(copied))
    assert list(cache.iterdir())


def test_nothing_is_imported_from_the_folder_that_one_stands_in(
    copied: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = tmp_path / "downloads"
    stranger.mkdir()
    for module in ("json.py", "numpy.py", "edgecap.py"):
        (stranger / module).write_text("raise SystemExit(9)")
    monkeypatch.chdir(stranger)
    probe_once(copied, read_bundle(copied))
    assert list(cache.iterdir())


@pytest.mark.parametrize("answer", ["", "edgecap.probe []", "noise"])
def test_a_child_that_answers_nothing_is_an_error(
    answer: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecap.probe._CHILD", f"print({answer!r})")
    with pytest.raises(BackendError, match="ended with status 0"):
        probe(copied, read_bundle(copied))


def test_a_child_that_names_another_error_than_edgecaps_is_not_followed(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ANSWER + json.dumps({"error": "annotations", "message": "as it says"})
    monkeypatch.setattr("edgecap.probe._CHILD", f"print({told!r})")
    with pytest.raises(BackendError, match="as it says"):
        probe(copied, read_bundle(copied))


def test_verify_says_as_json_what_the_child_measured(copied: Path) -> None:
    code, out, err = command("verify", copied, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["passed"] is True
