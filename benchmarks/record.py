"""How every benchmark is called and what it leaves: a result with its command and environment."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edgecap.benchmark.environment import Watch

# Made when a script begins, so that what happened to the machine while it ran is in its result.
_WATCH = Watch()


def parser(documentation: str | None) -> argparse.ArgumentParser:
    """A parser with ``--json FILE``, described by the first line of the script's docstring."""
    made = argparse.ArgumentParser(description=(documentation or "").partition("\n")[0])
    made.add_argument("--json", type=Path, help="write the result here too")
    return made


def edgecap(*arguments: str) -> tuple[dict[str, Any], float]:
    """Runs a verb with ``--json``; returns its answer and the seconds it took."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "edgecap", *arguments, "--json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer, time.perf_counter() - began


def publish(result: Any, arguments: argparse.Namespace) -> None:
    """Prints the result with its command and environment; writes it where ``--json`` says."""
    script, *rest = sys.argv
    if "--json" in rest:
        at = rest.index("--json")
        del rest[at : at + 2]
    document = {
        "command": shlex.join(["python", f"benchmarks/{Path(script).name}", *map(_shown, rest)]),
        "result": result,
        "environment": describe(),
    }
    text = json.dumps(document, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


def _shown(argument: str) -> str:
    """An argument without where somebody keeps their files."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def describe() -> dict[str, Any]:
    """Processor, system and versions; the machine before and after, and what disturbed the script
    between: see ``edgecap.benchmark.report.Environment``."""
    environment = _WATCH.environment()
    return dataclasses.asdict(environment) | {"load_1min": environment.after.load}
