"""Counts instructions between the marks of a program, under valgrind's callgrind."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).with_name("instructions_counted.py")
_PROJECT = Path(__file__).resolve().parent.parent
_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
# It takes a fifth of a minute; what takes so long hangs.
_LIMIT_S = 600


class CountError(Exception):
    """Instructions cannot be counted here; the message says why, and what to do."""


@dataclass(frozen=True)
class Counts:
    """Instructions of one frame, in one environment.

    Attributes:
      environment: the versions and such that the counts depend on, by name.
      per_frame: what was counted → instructions of one frame, the median over rounds.
      spread: what was counted → the largest difference of a round from that, in instructions.
    """

    environment: dict[str, str]
    per_frame: dict[str, float]
    spread: dict[str, float]


def count(python: str = sys.executable, *, first: Path | None = None) -> Counts:
    """Counts what ``instructions_counted.py`` lists.

    Args:
      python: whose Python, with the extra ``camera`` installed; edgecap itself is this checkout's.
      first: a program that is run in the same process before, for tests.

    Raises:
      CountError: no valgrind, or the program failed under it.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CountError("expected valgrind, which counts; install it: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        order, dumps = Path(folder, "order.json"), Path(folder, "counts")
        command = [valgrind, "--tool=callgrind", "--dump-before=getppid"]
        command += [f"--callgrind-out-file={dumps}", python, "-s"]
        command += _program(order, first)
        done = subprocess.run(
            command,
            # Little and always the same: hashes and addresses follow from it.
            env={
                "PATH": os.environ.get("PATH", ""),
                "PYTHONPATH": os.pathsep.join((str(_PROJECT), str(_SCRIPT.parent))),
                "PYTHONHASHSEED": "0",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
        )
        if done.returncode or not order.exists():
            said = [line for line in done.stderr.splitlines() if not line.startswith("==")]
            raise CountError(
                f"{python} under valgrind: expected exit status 0; got {done.returncode}: "
                f"{said[-1] if said else 'it said nothing'}"
            )
        told = json.loads(order.read_text("utf-8"))
        return _read(told, dumps, _version(valgrind))


def _program(order: Path, first: Path | None) -> list[str]:
    if first is None:
        return [str(_SCRIPT), str(order)]
    run = "import runpy, sys; sys.argv[0] = ''; runpy.run_path({!r}); runpy.run_path({!r}, {})"
    return ["-c", run.format(str(first), str(_SCRIPT), "run_name='__main__'"), str(order)]


def _read(told: dict[str, Any], dumps: Path, valgrind: str) -> Counts:
    blocks, frames = told["blocks"], told["frames"]
    # A mark dumps what was counted since the one before; what lies before the first is the start.
    paths = [dumps.with_name(f"{dumps.name}.{number + 2}") for number in range(len(blocks))]
    found = len(list(dumps.parent.glob(f"{dumps.name}.*")))
    if found < len(blocks) + 1:
        raise CountError(
            f"callgrind: expected a dump for each of {len(blocks) + 1} marks; got {found}. Does "
            "it find the name 'getppid' in this libc?"
        )
    totals: dict[tuple[str, int], list[int]] = {}
    for (name, times), path in zip(blocks, paths, strict=True):
        match = _TOTALS.search(path.read_text("utf-8", "replace"))
        if match is None:
            raise CountError(f"callgrind: expected a line 'totals: …' in {path.name}")
        totals.setdefault((name, times), []).append(int(match[1]))
    # The first round warms up.
    slopes = {
        name: [(twice - once) / frames for once, twice in _pairs(totals, name)][1:]
        for name, _ in blocks
    }
    per_frame = {name: statistics.median(found) for name, found in slopes.items()}
    return Counts(
        told["environment"] | {"valgrind": valgrind},
        {name: round(value, 1) for name, value in per_frame.items()},
        {
            name: round(max(abs(one - per_frame[name]) for one in found), 1)
            for name, found in slopes.items()
        },
    )


def _pairs(totals: dict[tuple[str, int], list[int]], name: str) -> Sequence[tuple[int, int]]:
    return list(zip(totals[name, 1], totals[name, 2], strict=True))


def _version(valgrind: str) -> str:
    done = subprocess.run([valgrind, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().removeprefix("valgrind-")
