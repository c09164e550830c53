"""``edgecap verify`` and ``edgecap run`` as users call them: here, and on an emulated processor."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arm64_userland import Userland, UserlandError, last_line

PROJECT = Path(__file__).resolve().parent.parent
# A scene with gestures, drawn at the model's size: no resizing is compared.
_SOURCE = "synthetic:seed=7"


@dataclass(frozen=True)
class Commands:
    """What the two verbs said of a model.

    Attributes:
      verified: what ``edgecap verify --json`` says there; its exit status was 0.
      here, there: the lines of ``edgecap run --jsonl -``, one for each frame.
    """

    model: Path
    cpu: str
    verified: dict[str, Any]
    here: tuple[str, ...]
    there: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return self.here == self.there

    @property
    def events(self) -> int:
        """Begins and ends in the lines from here."""
        rows = [json.loads(line) for line in self.here]
        return sum(len(row.get("events") or ()) + bool(row.get("event")) for row in rows)

    def summary(self) -> dict[str, Any]:
        return {
            "model": self.model.stem,
            "cpu": self.cpu,
            "verify": self.verified,
            "run": {"frames": len(self.here), "events": self.events, "equal_lines": self.equal},
        }

    def verdict(self) -> str:
        said = f"equal: {len(self.here)} JSON lines with {self.events} events"
        if not self.equal:
            pairs = enumerate(zip(self.here, self.there, strict=False))
            first = next((n for n, (one, other) in pairs if one != other), len(self.there))
            said = f"DIFFERENT from line {first + 1} on"
        return (
            f"{self.model.stem} on {self.cpu}: verify passed, largest difference "
            f"{self.verified['largest']:g} steps; run {said}"
        )


def run_commands(model: Path, userland: Userland, cpu: str, *, frames: int) -> Commands:
    """Runs both verbs there, and ``run`` here.

    Args:
      frames: so many are streamed.

    Raises:
      UserlandError: a command failed; ``verify`` does where the recorded outputs are not repeated.
    """
    verify = ["-m", "edgecap", "verify", str(model.resolve()), "--json"]
    run = ["-m", "edgecap", "run", str(model.resolve()), "--source", _SOURCE, "--jsonl", "-"]
    run += ["--quiet", "--view", "none", "--max-frames", str(frames)]
    with tempfile.TemporaryDirectory() as folder:
        # Pure Python, so that the one from here does; the rest of its folder is for this processor.
        found = importlib.util.find_spec("click")
        if found is None or found.origin is None:
            raise UserlandError("expected click installed here, as edgecap needs")
        Path(folder, "click").symlink_to(Path(found.origin).parent)
        path = [PROJECT, Path(folder)]
        verified = json.loads(userland.run(cpu, verify, python_path=path))
        there = userland.run(cpu, run, python_path=path)
    here = run_here(run)
    return Commands(model, cpu, verified, tuple(here.splitlines()), tuple(there.splitlines()))


def run_here(arguments: Sequence[str]) -> str:
    """Runs this Python on the edgecap that the emulated side has; returns what it printed.

    Raises:
      UserlandError: the program failed.
    """
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserlandError(
            f"here: expected exit status 0; got {done.returncode}: {last_line(done)}"
        )
    return done.stdout
