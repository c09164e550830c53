"""What is found of what convert, tune and train write when the disk is full.

    python benchmarks/full_disk.py [--count 12] [--verbs convert tune train] [--seed 0]
                                   [--keep FOLDER] [--json FILE]

Each verb runs once with room enough; how much it takes is looked at meanwhile. Then, from the same
state of files, on a small disk of its own that also holds the cache and temporary files, it runs
so often with less room: none, next to none, and shares of what it took, drawn from a seed. Then:

* it must end by itself, with status 1 and one line, or with all that it was to write;
* the files are read as a user would, by the judges of :mod:`kills_verbs`: nothing or old, as if it
  had not run, or new; anything else is broken;
* nothing temporary may be left, but for what TensorFlow's own AutoGraph leaves in TMPDIR;
* with room again, the same command must leave what an unbroken run leaves.

Exit status 1 if anything was broken; such states are copied to ``--keep``. Needs the extra
'convert', and Linux with user namespaces.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import record
import small_disk
from kills import temporary
from kills_verbs import NEW, BrokenError, Convert, Train, Tune, Verb, called

_VERBS = ("convert", "tune", "train")
_DISK_MB = 512
_LIMIT_S = 600.0
_LOOK_S = 0.01
# Before anything can be written; before anything of a page of a disk can.
_LEAST = (1, 5000)
_BROKEN = "broken"
# AutoGraph's, which TensorFlow itself uses when it saves a model; it removes them at a good end.
_FOREIGN = "__autograph_generated_file"


def run(words: list[str], state: Path) -> subprocess.CompletedProcess[str]:
    """A verb in a state; all that it writes is on the state's disk."""
    for name in ("cache", "tmp"):
        (state / name).mkdir(exist_ok=True)
    return subprocess.run(
        called(words),
        cwd=state,
        env=os.environ | {"EDGECAP_CACHE": str(state / "cache"), "TMPDIR": str(state / "tmp")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        timeout=_LIMIT_S,
    )


class Taken(threading.Thread):
    """The most that was taken of a disk."""

    def __init__(self, disk: Path) -> None:
        super().__init__(daemon=True)
        self._disk, self._ended = disk, threading.Event()
        self._before = small_disk.free(disk)
        self.most = 0

    def run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self.most = max(self.most, self._before - small_disk.free(self._disk))

    def end(self) -> int:
        self._ended.set()
        self.join()
        return self.most


def attack(verb: Verb, arguments: argparse.Namespace, disk: Path) -> dict[str, Any]:
    """Runs a verb with ever other room; what came of it."""
    state, taken = _fresh(verb, disk), Taken(disk)
    taken.start()
    _succeed(run(verb.command(), state))
    verb.learn(state)
    # What is written beside, to be renamed, is seldom seen.
    needed = taken.end() + max(p.stat().st_size for p in state.rglob("*") if p.is_file())
    _say(f"{verb.name}: takes {needed / 1e6:.2f} MB")
    rng = random.Random(f"{arguments.seed} {verb.name}")
    drawn = sorted(rng.uniform(0, 1.0) for _ in range(max(0, arguments.count - len(_LEAST))))
    rows = []
    for room in (*_LEAST, *(round(share * needed) for share in drawn)):
        row = _one(verb, disk, room)
        rows.append(row)
        _say(f"{verb.name}: {row}")
        if row["outcome"] == _BROKEN and arguments.keep is not None:
            shutil.copytree(disk / "state", arguments.keep / f"{verb.name}-{room}")
    return {
        "runs": len(rows),
        "bytes_needed": needed,
        "outcomes": dict(sorted(Counter(row["outcome"] for row in rows).items())),
        "told": dict(Counter(row["told"] for row in rows if row["told"]).most_common()),
        "next_runs_whole": sum(row["next_whole"] for row in rows),
        "rows": rows,
    }


def _one(verb: Verb, disk: Path, room: int) -> dict[str, Any]:
    state = _fresh(verb, disk)
    small_disk.fill(disk, leave=room)
    row: dict[str, Any] = {"room": room, "outcome": _BROKEN, "told": "", "next_whole": False}
    began_s = time.monotonic()
    try:
        done = run(verb.command(), state)
        row["seconds"] = round(time.monotonic() - began_s, 1)
        # Judges and the next run have room.
        small_disk.empty(disk)
        outcome = verb.judge(state)
        _look(done, state, outcome)
        row["told"] = _told(done, state)
        _succeed(run(verb.command(), state))
        verb.judge_next(state)
        row |= {"outcome": outcome, "next_whole": True}
    # A reader that raises something else has found something broken too.
    except Exception as error:
        row["broken"] = f"{type(error).__name__}: {error}"[-1500:]
    finally:
        small_disk.empty(disk)
    return row


def _look(done: subprocess.CompletedProcess[str], state: Path, outcome: str) -> None:
    """Whether it ended as it should, and left nothing beside.

    Raises:
      BrokenError: it did not.
    """
    if done.returncode not in (0, 1):
        raise BrokenError(f"ended with status {done.returncode}: {done.stderr[-1000:]}")
    if done.returncode == 0 and outcome != NEW:
        raise BrokenError(f"ended well, and leaves what is {outcome}")
    if done.returncode == 1 and ("Traceback" in done.stderr or not _told(done, state)):
        raise BrokenError(f"not told in one line: {done.stderr[-1000:]}")
    left = [str(Path(entry.path).relative_to(state)) for entry in temporary(state)]
    left += [f"tmp/{p.name}" for p in (state / "tmp").iterdir() if not p.name.startswith(_FOREIGN)]
    if left:
        raise BrokenError(f"left: {', '.join(sorted(left))}")


def _told(done: subprocess.CompletedProcess[str], state: Path) -> str:
    """The last line, if it is the one of an error."""
    *_, last = done.stderr.splitlines() or [""]
    if done.returncode == 0 or not last.startswith("edgecap: "):
        return ""
    return last.replace(str(state), "…")


def _succeed(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise BrokenError(f"ended with status {done.returncode}: {done.stderr[-1000:]}")


def _fresh(verb: Verb, disk: Path) -> Path:
    state = disk / "state"
    if state.exists():
        shutil.rmtree(state)
    shutil.copytree(verb.template, state)
    return state


def _verbs(names: list[str], folder: Path, disk: Path) -> Any:
    if "tune" in names:
        yield Tune(folder)
    if not {"train", "convert"} & set(names):
        return
    train = Train(folder)
    if "train" in names:
        yield train
    if "convert" in names:
        state = _fresh(train, disk)
        _succeed(run(train.command(), state))
        convert = Convert(folder, state)
        _succeed(run(convert.old_command, convert.template))
        convert.learn_old()
        yield convert


def _say(text: str) -> None:
    print(f"full disk: {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--count", type=int, default=12, help="runs of each verb")
    parser.add_argument("--verbs", nargs="+", choices=_VERBS, default=list(_VERBS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="states of files that are broken go there")
    arguments = parser.parse_args()
    if arguments.count < 1:
        parser.error("--count: expected 1 or more")
    disk = small_disk.small_disk(_DISK_MB)
    if disk is None:
        parser.error("needs a disk of its own, which this system does not give (user namespaces)")
    with tempfile.TemporaryDirectory() as folder:
        found = {
            verb.name: attack(verb, arguments, disk)
            for verb in _verbs(arguments.verbs, Path(folder), disk)
        }
    broken = sum(each["outcomes"].get(_BROKEN, 0) for each in found.values())
    runs = sum(each["runs"] for each in found.values())
    record.publish(
        {"seed": arguments.seed, "runs": runs, "broken": broken, "verbs": found}, arguments
    )
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
