"""What :mod:`kills` kills: four verbs that write files, and what a user would find afterwards.

A verb works in a folder of its own, the state, which is a copy of a template for each kill. All
paths are relative to it, so that two runs of the same command write the same bytes. What is judged
is compared with what an unbroken run has left there.
"""

from __future__ import annotations

import abc
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import resume

import edgecap
from edgecap.assets import resolve_model
from edgecap.errors import EdgecapError
from edgecap.flight.replay import replay
from edgecap.flight.tape import read_tape
from edgecap.golden import check_golden

#: What may be found: nothing there yet, the file from before, the one that was to be written.
NOTHING, OLD, NEW = "nothing", "old", "new"

# Every stage, as small as a network that still passes the gates of a conversion.
_CONFIG = """
variants = 2
checkpoint_s = 0.5
audit_frames = 120
[encoder]
name = "mobilenet_v1"
alpha = 0.25
height = 32
width = 32
stride = 8
[neck]
channels = 8
features = 16
[lstm]
units = 16
[pretrain]
steps = 60
batch = 16
[recurrent]
steps = 60
batch = 8
length = 8
validate_every = 20
[joint]
steps = 10
batch = 2
length = 6
validate_every = 5
[qat]
steps = 20
batch = 2
length = 6
validate_every = 5
"""
_RUN_JSON = ("config.json", "split.json", "history.json", "metrics.json", "parity.json")
_RUN_PAGES = ("report.html", "parity.html")
_RECORDED, _GESTURES = "away", 60


class BrokenError(Exception):
    """A user would find something that is neither old nor new."""


class Verb(abc.ABC):
    """One verb, its template, and how its outcome is judged."""

    name: str

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.template = shared / f"{self.name}-template"
        self.template.mkdir(parents=True)

    @abc.abstractmethod
    def command(self) -> list[str]:
        """What follows ``edgecap``; the same command once more is the next run."""

    def begun(self, state: Path) -> bool:
        """Whether the work proper has begun, as far as it shows in files."""
        return True

    @abc.abstractmethod
    def learn(self, state: Path) -> None:
        """Remembers what an unbroken run leaves."""

    @abc.abstractmethod
    def judge(self, state: Path) -> str:
        """What is found: ``NOTHING``, ``OLD`` or ``NEW``.

        Raises:
          BrokenError: none of these.
        """

    def judge_next(self, state: Path) -> None:
        """After the next run: all must be there.

        Raises:
          BrokenError: it is not.
        """
        found = self.judge(state)
        _require(found == NEW, f"the next run leaves what is {found}")


class Train(Verb):
    """``edgecap train … --resume`` into a new folder."""

    name = "train"

    def __init__(self, shared: Path) -> None:
        super().__init__(shared)
        self.clips = shared / "clips"
        resume.make_clips(self.clips)
        (self.template / "config.toml").write_text(_CONFIG)
        self._expected: dict[str, Any] = {}

    def command(self) -> list[str]:
        return ["train", str(self.clips), "--out", "run", "--config", "config.toml", "--resume"]

    def begun(self, state: Path) -> bool:
        return (state / "run" / "config.json").exists()

    def learn(self, state: Path) -> None:
        self._expected = _trained(state / "run")

    def judge(self, state: Path) -> str:
        run = state / "run"
        _check_run(run)
        if not (run / "metrics.json").exists():
            return NOTHING
        # What has metrics is taken for whole.
        for name, value in _trained(run).items():
            _require(value == self._expected[name], f"{name} is not that of an unbroken run")
        return NEW


class Convert(Verb):
    """``edgecap convert`` over the file of another recipe."""

    name, out = "convert", "model.tflite"

    def __init__(self, shared: Path, trained: Path) -> None:
        super().__init__(shared)
        shutil.copytree(trained, self.template, dirs_exist_ok=True)
        self.old_command = [*self._called(), "--recipe", "int8-full", "--name", "old"]
        self._old: dict[str, Any] = {}
        self._new: dict[str, Any] = {}

    def _called(self) -> list[str]:
        return ["convert", "run", "--out", self.out]

    def command(self) -> list[str]:
        return [*self._called(), "--name", "new", "--resume"]

    def begun(self, state: Path) -> bool:
        return (state / "run" / "checkpoints" / "recipe.txt").exists()

    def learn_old(self) -> None:
        """The template has been converted by ``old_command``."""
        self._old = _converted(self.template, self.out)

    def learn(self, state: Path) -> None:
        self._new = _converted(state, self.out)
        _require(self._old["graph"] != self._new["graph"], "both recipes give the same graph")

    def judge(self, state: Path) -> str:
        run = state / "run"
        _check_run(run)
        found = _converted(state, self.out)
        pair = found["recipe"], found["quantized"]
        known = [(each["recipe"], each["quantized"]) for each in (self._old, self._new)]
        absent = [(recipe, None) for recipe, _ in known]
        _require(pair in known + absent, "parity.json and quantized.npz are of two conversions")
        if found["graph"] == self._old["graph"] and found["name"] == "old":
            return OLD
        _require(found["graph"] == self._new["graph"], "the graph is neither the old nor the new")
        _require(found["name"] == "new", "the spec is not that of the graph")
        _require(pair == known[1], "a new file, and the record of another in the run")
        return NEW


class Tune(Verb):
    """``edgecap tune`` in place, with figures and a curve over older ones."""

    name, model = "tune", "model.tflite"

    def __init__(self, shared: Path) -> None:
        super().__init__(shared)
        self._old = resolve_model("demo").read_bytes()
        self._new = b""
        (self.template / self.model).write_bytes(self._old)
        (self.template / "tuning.json").write_text('{"old": true}')
        (self.template / "curve.svg").write_text("<svg></svg>\n")

    def command(self) -> list[str]:
        scenes = ["--data", "synthetic:gestures=40", "--background", "synthetic:minutes=3"]
        figures = ["--json", "tuning.json", "--plot", "curve.svg"]
        return ["tune", self.model, *scenes, "--false-events-per-hour", "40", *figures]

    def learn(self, state: Path) -> None:
        self._new = (state / self.model).read_bytes()
        _require(self._new != self._old, "nothing was tuned")

    def judge(self, state: Path) -> str:
        told = _json(state / "tuning.json")
        _require((state / "curve.svg").read_text().endswith("</svg>\n"), "half a curve")
        data = (state / self.model).read_bytes()
        _check_model(state / self.model)
        if data == self._old:
            return OLD
        _require(data == self._new, "the model is neither the old nor the new")
        _require("chosen" in told, "a new model beside old figures")
        return NEW


class Record(Verb):
    """``edgecap run`` with the flight recorder and JSON lines, beside what an older run left."""

    name, lines, tapes = "record", "lines.jsonl", "tapes"

    def __init__(self, shared: Path) -> None:
        super().__init__(shared)
        self._model = edgecap.load(resolve_model("demo"))
        self._old_lines, self._old_tapes = b"", set[str]()
        self._frames = 0

    def command(self) -> list[str]:
        decide = ["--enter", "1", "--label", f"{_RECORDED}:enter=0.6"]
        record = ["--record", self.tapes, "--record-seconds", "2"]
        return [
            *("run", "demo", "--source", f"synthetic:seed=7,gestures={_GESTURES}", *decide),
            *(*record, "--jsonl", self.lines, "--append", "--quiet", "--view", "none"),
        ]

    def begun(self, state: Path) -> bool:
        path = state / self.lines
        return path.exists() and path.stat().st_size > len(self._old_lines)

    def learn(self, state: Path) -> None:
        """What it leaves is also what the runs to be killed go on with: a tape, and all lines."""
        self._old_lines = (state / self.lines).read_bytes()
        records = [json.loads(line) for line in self._old_lines.splitlines()]
        self._frames = sum("frame" in told for told in records)
        first, *more = sorted((state / self.tapes).glob("*.edgetape"))
        _require(bool(more), "too few recordings to kill between them")
        (self.template / self.tapes).mkdir()
        shutil.copy2(first, self.template / self.tapes)
        (self.template / self.lines).write_bytes(self._old_lines)
        self._old_tapes = {first.name}

    def judge(self, state: Path) -> str:
        lines, half = self._read(state)
        frames = self._count(lines)
        _require(len(frames) <= 1, "lines of more than one run")
        if half:
            _require(half.startswith(b"{"), "a last line that is no beginning of one")
        return NEW if self._check_tapes(state, lines) > len(self._old_tapes) else OLD

    def judge_next(self, state: Path) -> None:
        lines, half = self._read(state)
        _require(not half, "half a line is left")
        _require(self._count(lines)[-1] == self._frames, "the next run wrote fewer lines")
        self._check_tapes(state, lines)
        left = list((state / self.tapes).glob(".*"))
        _require(not left, f"the next run left {len(left)} temporary files")

    def _read(self, state: Path) -> tuple[list[dict[str, Any]], bytes]:
        """What was written behind the old lines, and half a line at the end."""
        data = (state / self.lines).read_bytes()
        _require(data.startswith(self._old_lines), "the lines of the run before have changed")
        *whole, half = data[len(self._old_lines) :].split(b"\n")
        try:
            return [json.loads(line) for line in whole], half
        except ValueError as error:
            raise BrokenError(f"a line in the middle is not whole: {error}") from error

    @staticmethod
    def _count(lines: list[dict[str, Any]]) -> list[int]:
        """Of each run, how many frames it told of.

        Raises:
          BrokenError: one is missing.
        """
        runs: list[int] = []
        for told in lines:
            if "frame" not in told:
                continue
            if told["frame"] == 0:
                runs.append(0)
            _require(bool(runs) and told["frame"] == runs[-1], "a frame is missing")
            runs[-1] += 1
        return runs

    def _check_tapes(self, state: Path, lines: list[dict[str, Any]]) -> int:
        """How many recordings there are; all can be replayed."""
        paths = sorted((state / self.tapes).glob("*.edgetape"))
        names = {path.name for path in paths}
        _require(self._old_tapes <= names, "an old recording is gone")
        for told in lines:
            if told.get("notice") == "recorded":
                name = told["told"].rpartition(" ")[2]
                _require(name in names, f"{name} was told of and is not there")
        for path in paths:
            try:
                equal = replay(read_tape(path), self._model).equal
            except EdgecapError as error:
                raise BrokenError(f"{path.name}: {error}") from error
            _require(equal, f"{path.name} replays to other answers")
        return len(paths)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenError(otherwise)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenError(f"{path.name}: {error}") from error


def _arrays(path: Path) -> str:
    """Digest of the arrays in an ``.npz`` file."""
    digest = hashlib.sha256()
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in sorted(file.files):
                array = file[name]
                digest.update(f"{name} {array.shape} {array.dtype}".encode())
                digest.update(array.tobytes())
    # A damaged archive fails in many ways.
    except Exception as error:
        raise BrokenError(f"{path.name}: {error}") from error
    return digest.hexdigest()


def _check_run(run: Path) -> None:
    """What is there of a run's folder can be read."""
    for name in _RUN_JSON:
        if (run / name).exists():
            _json(run / name)
    for name in _RUN_PAGES:
        if (run / name).exists():
            text = (run / name).read_text("utf-8").rstrip()
            _require(text.endswith("</html>"), f"half of {name}")
    for path in (*run.glob("*.npz"), *run.glob("checkpoints/*.npz")):
        _arrays(path)
    for path in run.glob("features/**/*.npy"):
        try:
            np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BrokenError(f"{path.name}: {error}") from error


def _trained(run: Path) -> dict[str, Any]:
    """What two trainings must have in common; see ``benchmarks/resume.py``."""
    metrics = _json(run / "metrics.json")
    _require((run / "report.html").exists(), "metrics without a report")
    return {
        "metrics": {name: metrics[name] for name in ("stages", "validation", "data")},
        "history": _json(run / "history.json"),
        "weights": _arrays(run / "weights.npz"),
    }


def _check_model(path: Path) -> Any:
    try:
        model = edgecap.load(path)
        passed = check_golden(model).passed
    except EdgecapError as error:
        raise BrokenError(str(error)) from error
    _require(passed, f"{path.name} computes something else")
    return model


def _converted(state: Path, out: str) -> dict[str, Any]:
    """What a conversion has left: the file, and its record in the run."""
    model = _check_model(state / out)
    quantized = state / "run" / "quantized.npz"
    return {
        "graph": hashlib.sha256(model.bundle.model).hexdigest(),
        "name": model.spec.name,
        "recipe": _json(state / "run" / "parity.json")["recipe"],
        "quantized": _arrays(quantized) if quantized.exists() else None,
    }


def called(words: list[str]) -> list[str]:
    """The command line of a child process."""
    return [sys.executable, "-m", "edgecap", *words]
