"""Instructions of a frame, counted under valgrind: what the code costs, whatever the machine does.

    python benchmarks/instructions.py [--python PYTHON]… [--json FILE]
    python benchmarks/instructions.py --against benchmarks/results/instructions.json

The counts of one environment are the same to the instruction from run to run, on a busy machine
too. Another Python or NumPy has other counts, so what is held is counted in yardsticks: fixed work
in Python and NumPy that runs beside (``instructions_counted.py``). Each PYTHON (its path; with the
extra ``camera``) is counted on its own, 20 s each.

With ``--against``, exit status 1 where something costs more than is recorded there, with little
room for what was recorded in this very environment, and more room for another; 2 where nothing can
be held: no valgrind, or no figure for this kind of machine.

Instructions are not time: caches, page faults and the system's own work are not in them, and a
vector instruction counts as one. Callgrind shows no AVX-512 to the code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import record
from instructions_callgrind import CountError, Counts, count

#: What is held → what it is made of: the first, less the others.
HELD = {
    # Stream.step on a frame of the model's size, beyond set, invoke and get.
    "step": ("step", "bare_step"),
    # On a camera's frame (640×480), beyond these and cv2.resize.
    "camera_step": ("camera_step", "bare_step", "resize"),
    # Frame → image tensor: at the model's size, and from 640×480, beyond cv2.resize (below 0 where
    # the frame is brought to its size with less).
    "prepare": ("prepare",),
    "camera_prepare": ("camera_prepare", "resize"),
    # Outputs → prediction and events.
    "decide": ("decide",),
}

# The same environment repeats its counts exactly. This is for what moves a little with the code:
# the length of a path, the layout of a dictionary, where a block of memory begins.
SAME_SHARE = 0.02
# Another build of the same minor version of Python, or other libraries: two builds of 3.11, one
# optimised and one not, differ by 0 to 5 % in yardsticks (and by 5 to 8 % in instructions).
MINOR_SHARE = 0.10
# Another minor version of Python: 3.11 to 3.13 differ by 6 to 20 % in yardsticks. Better than to
# rely on this is to record each that is used.
OTHER_SHARE = 0.25
# Below this many instructions, shares mean nothing: some calls of a C function.
LEAST = 500.0


@dataclass(frozen=True)
class Held:
    """One figure beside the recorded one, both in yardsticks.

    Attributes:
      name: one of ``HELD``. found, recorded: yardsticks. room: yardsticks above ``recorded`` that
        are allowed.
    """

    name: str
    found: float
    recorded: float
    room: float

    @property
    def holds(self) -> bool:
        return self.found <= self.recorded + self.room

    @property
    def is_cheaper(self) -> bool:
        """Whether the record no longer describes the code: it should be renewed."""
        return self.found < self.recorded - self.room

    def verdict(self) -> str:
        said = "holds" if self.holds else "COSTS MORE"
        if self.is_cheaper:
            said = "costs less: renew the figures"
        return (
            f"{self.name:15} {self.found:8.4f} yardsticks; recorded {self.recorded:.4f} "
            f"± {self.room:.4f}: {said}"
        )


@dataclass(frozen=True)
class Gate:
    """What was counted, held against a recorded result.

    Attributes:
      share: of the recorded figures, the room that was given.
      differences: how the environment differs from that of the record; empty where the same.
    """

    held: tuple[Held, ...]
    share: float
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return all(one.holds for one in self.held)

    @property
    def is_stale(self) -> bool:
        return any(one.is_cheaper for one in self.held)

    def report(self) -> str:
        where = "in this very environment"
        if self.differences:
            where = f"with {', '.join(self.differences)}"
        beside = f"recorded {where}; room: {self.share:.0%}"
        return "\n".join((beside, *(one.verdict() for one in self.held)))


def figures(counts: Counts) -> dict[str, float]:
    """Instructions of one frame of what is held."""
    found = counts.per_frame
    return {
        name: round(found[first] - sum(found[other] for other in others), 1)
        for name, (first, *others) in HELD.items()
    }


def hold(counts: Counts, recorded: Sequence[Counts]) -> Gate:
    """Holds counts against those recorded in the environment that is nearest.

    Raises:
      CountError: nothing was recorded on such a machine.
    """
    here = counts.environment
    of_kind = [one for one in recorded if one.environment["machine"] == here["machine"]]
    if not of_kind:
        raise CountError(
            f"no figures for {here['machine']}: nothing is held. Record some with --json"
        )
    nearest = min(of_kind, key=lambda one: _distance(here, one.environment))
    differences = tuple(
        f"{name} {nearest.environment.get(name)} (here {value})"
        for name, value in here.items()
        if nearest.environment.get(name) != value
    )
    share = SAME_SHARE
    if differences:
        share = MINOR_SHARE if _minor(here) == _minor(nearest.environment) else OTHER_SHARE
    yard, yard_then = counts.per_frame["yardstick"], nearest.per_frame["yardstick"]
    then = figures(nearest)
    return Gate(
        tuple(
            Held(
                name,
                found / yard,
                then[name] / yard_then,
                max(share * abs(then[name]), LEAST) / yard_then,
            )
            for name, found in figures(counts).items()
        ),
        share,
        differences,
    )


def _distance(here: dict[str, str], there: dict[str, str]) -> tuple[bool, int]:
    """First the minor version of Python, which moves counts most; then how much else differs."""
    differing = sum(there.get(name) != value for name, value in here.items())
    return _minor(here) != _minor(there), differing


def _minor(environment: dict[str, str]) -> str:
    return environment["python"].rpartition(".")[0]


def read(path: Path) -> list[Counts]:
    """What ``--json`` wrote.

    Raises:
      CountError: the file is missing or something else.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
        return [
            Counts(one["environment"], one["instructions"], one["spread"])
            for one in document["result"]["counts"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CountError(
            f"{path}: expected what --json of this script writes; got {type(error).__name__}: "
            f"{error}"
        ) from error


def described(counts: Counts) -> dict[str, Any]:
    yard = counts.per_frame["yardstick"]
    return {
        "environment": counts.environment,
        "instructions": counts.per_frame,
        "spread": counts.spread,
        "held": {
            name: {"instructions": value, "yardsticks": round(value / yard, 5)}
            for name, value in figures(counts).items()
        },
    }


def apart(found: Sequence[Counts]) -> dict[str, float]:
    """How far the environments are apart in yardsticks: largest over smallest, less one."""
    rows = [{n: v / one.per_frame["yardstick"] for n, v in figures(one).items()} for one in found]
    return {
        name: round(max(row[name] for row in rows) / min(row[name] for row in rows) - 1, 4)
        for name in HELD
    }


def main() -> None:
    parser: argparse.ArgumentParser = record.parser(__doc__)
    parser.add_argument(
        "--python", action="append", metavar="PYTHON", help="count under this one; may be repeated"
    )
    parser.add_argument("--against", type=Path, metavar="FILE", help="hold it against this result")
    arguments = parser.parse_args()
    try:
        recorded = read(arguments.against) if arguments.against else []
        found = [count(python) for python in arguments.python or [sys.executable]]
        gates = [hold(counts, recorded) for counts in found] if arguments.against else []
    except CountError as error:
        print(f"instructions: {error}", file=sys.stderr)
        sys.exit(2)
    for gate in gates:
        print(gate.report(), flush=True)
    if arguments.json or not arguments.against:
        result: dict[str, Any] = {"counts": [described(counts) for counts in found]}
        if len(found) > 1:
            result["environments_apart"] = apart(found)
        record.publish(result, arguments)
    sys.exit(0 if all(gate.passed for gate in gates) else 1)


if __name__ == "__main__":
    main()
