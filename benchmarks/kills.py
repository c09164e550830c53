"""What is found of what convert, tune, run and train write when they are killed (SIGKILL) anywhere.

    python benchmarks/kills.py [--count 50] [--verbs convert tune record train] [--again 5]
                               [--seed 0] [--keep FOLDER] [--json FILE]

Each verb runs once without a stop; then, from the same state of files, in a session of its own that
is killed as a whole, so often, at moments drawn from a seed: of ten, four anywhere in the work
proper, three in its last tenth, where results are written, and three within a few milliseconds
after a temporary file has come up. A run that ends before its moment is judged too, and another
moment drawn. After each kill the files are read as a user would (:mod:`kills_verbs`):

* before_writing: no file has changed. * nothing: no result yet. * old: the result from before.
* new: the result that an unbroken run leaves. * broken: anything else; must not be.

After ``--again`` of the kills, evenly spread, the same command is run once more, to its end, and
must leave what an unbroken run leaves. Exit status 1 if anything was broken; such states are moved
to ``--keep``.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import record
from kills_verbs import NEW, BrokenError, Convert, Record, Train, Tune, Verb, called

_VERBS = ("convert", "tune", "record", "train")
_ANYWHERE, _END, _WRITING = "anywhere", "end", "writing"
_AIMS = (*[_ANYWHERE] * 4, *[_END] * 3, *[_WRITING] * 3)
_LAST = 0.1
# A temporary file lives for some milliseconds.
_LOOK_S, _AFTER_WRITING_S = 0.0005, 0.004
_BEFORE, _BROKEN = "before_writing", "broken"
_OUTCOMES = (_BEFORE, "nothing", "old", NEW, _BROKEN)


@dataclass
class Unbroken:
    """A run without a stop: seconds in all and of its work proper, and files it wrote beside."""

    seconds: float
    work_s: float
    writes: int


@dataclass
class Tally:
    """What came of the kills of one verb."""

    outcomes: Counter[str] = field(default_factory=Counter)
    aims: Counter[str] = field(default_factory=Counter)
    kills: list[dict[str, Any]] = field(default_factory=list)
    broken: list[dict[str, Any]] = field(default_factory=list)
    ended_first: int = 0
    next_runs: list[dict[str, Any]] = field(default_factory=list)


class Child:
    """A verb that is running in a state."""

    def __init__(self, words: list[str], state: Path, errors: Path) -> None:
        with errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                called(words),
                cwd=state,
                env=os.environ | {"EDGECAP_CACHE": str(state / "cache")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        self._errors = errors
        self.began_s = time.monotonic()

    def wait_until(self, holds: Callable[[], bool]) -> bool:
        """Whether it came to hold before the process ended."""
        while not holds():
            if self.process.poll() is not None:
                return holds()
            time.sleep(_LOOK_S)
        return True

    def kill(self) -> bool:
        """Whether it was killed, and had not ended by itself."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def finish(self) -> None:
        """Waits for its end, which must be a good one."""
        if self.process.wait():
            told = self._errors.read_text("utf-8", "replace")[-2000:]
            raise BrokenError(f"ended with status {self.process.returncode}: {told}")


def temporary(state: Path) -> Iterator[os.DirEntry[str]]:
    """The files that somebody writes, or was writing, beside the final ones."""
    folders = [os.fspath(state)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith(".") and entry.name.endswith(".tmp"):
                        yield entry
                    elif entry.is_dir():
                        folders.append(entry.path)
        except FileNotFoundError:
            # Removed just now.
            continue


def looks(state: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file but those of the cache."""
    found = {}
    for path in state.rglob("*"):
        name = path.relative_to(state)
        if path.is_file() and name.parts[0] != "cache":
            status = path.stat()
            found[str(name)] = (status.st_size, status.st_mtime_ns)
    return found


class Sightings:
    """How many temporary files have come up since this was made."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._seen: set[str] = set()

    def count(self) -> int:
        self._seen |= {entry.path for entry in temporary(self._state)}
        return len(self._seen)


def unbroken(verb: Verb, folder: Path) -> Unbroken:
    """Runs the verb to its end and lets it learn what that leaves."""
    state = _fresh(verb, folder)
    child = Child(verb.command(), state, folder / "stderr.txt")
    if not child.wait_until(lambda: verb.begun(state)):
        child.finish()
    begun_s = time.monotonic()
    sightings = Sightings(state)
    while child.process.poll() is None:
        sightings.count()
        time.sleep(_LOOK_S)
    ended_s = time.monotonic()
    child.finish()
    verb.learn(state)
    return Unbroken(ended_s - child.began_s, ended_s - begun_s, sightings.count())


def strike(
    verb: Verb, state: Path, errors: Path, aim: str, whole: Unbroken, rng: random.Random
) -> dict[str, Any]:
    """Starts the verb and kills it; what was drawn, and whether the kill came before the end."""
    child = Child(verb.command(), state, errors)
    try:
        child.wait_until(lambda: verb.begun(state))
        drawn: dict[str, Any] = {"aim": aim}
        if aim == _WRITING and whole.writes:
            number = rng.randint(1, whole.writes)
            sightings = Sightings(state)
            child.wait_until(lambda: sightings.count() >= number)
            drawn["write"] = number
            time.sleep(rng.uniform(0, _AFTER_WRITING_S))
        else:
            begun_s, work_s = time.monotonic(), whole.work_s
            delay_s = rng.uniform(0 if aim == _ANYWHERE else (1 - _LAST) * work_s, work_s)
            drawn["work_s"] = round(delay_s, 3)
            try:
                child.process.wait(delay_s)
            except subprocess.TimeoutExpired:
                pass
            else:
                # The machine has less to do now: moments are drawn by that.
                whole.work_s = min(work_s, time.monotonic() - begun_s)
        return drawn | {"killed": child.kill()}
    finally:
        child.kill()


def attack(verb: Verb, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Kills one verb again and again; the counts."""
    whole = unbroken(verb, folder)
    if isinstance(verb, Record):
        # Now there is something from before; that is another beginning.
        whole = _timed_again(verb, folder, whole)
    work_s = whole.work_s
    _say(f"{verb.name}: unbroken {whole.seconds:.1f} s, {whole.writes} files written beside")
    rng, tally = random.Random(f"{arguments.seed} {verb.name}"), Tally()
    again = _spread(arguments.again, arguments.count)
    attempts = 0
    while len(tally.kills) < arguments.count and attempts < 5 * arguments.count:
        attempts += 1
        aim = _AIMS[rng.randrange(len(_AIMS))]
        _one(verb, folder, aim, whole, rng, tally, again, arguments.keep)
        _say(f"{verb.name}: {len(tally.kills)} of {arguments.count}, {dict(tally.outcomes)}")
    return _told(whole, work_s, tally)


def _one(
    verb: Verb,
    folder: Path,
    aim: str,
    whole: Unbroken,
    rng: random.Random,
    tally: Tally,
    again: set[int],
    keep: Path | None,
) -> None:
    state = _fresh(verb, folder)
    before = looks(state)
    struck = strike(verb, state, folder / "stderr.txt", aim, whole, rng)
    left = [entry.stat().st_size for entry in temporary(state)]
    outcome, told = _BEFORE, ""
    try:
        outcome = verb.judge(state)
        if not struck["killed"]:
            _require_new(outcome)
        elif looks(state) == before:
            outcome = _BEFORE
    # A reader that raises something else has found something broken too.
    except Exception as error:
        outcome, told = _BROKEN, f"{type(error).__name__}: {error}"
    row = struck | {"outcome": outcome, "temporary": len(left), "temporary_bytes": sum(left)}
    if struck["killed"]:
        tally.kills.append(row)
        tally.outcomes[outcome] += 1
        tally.aims[aim] += 1
    else:
        tally.ended_first += 1
    if not told and struck["killed"] and len(tally.kills) in again:
        told = _go_on(verb, state, folder / "stderr.txt", len(left), tally)
    if told:
        tally.broken.append(row | {"told": told[-600:]})
        _say(f"{verb.name}: BROKEN: {told}")
        if keep is not None:
            shutil.copytree(state, keep / f"{verb.name}-{len(tally.broken)}")


def _go_on(verb: Verb, state: Path, errors: Path, left: int, tally: Tally) -> str:
    """The next run; what is wrong with what it leaves."""
    told = ""
    try:
        Child(verb.command(), state, errors).finish()
        verb.judge_next(state)
    except Exception as error:
        told = f"the next run: {type(error).__name__}: {error}"
    still = sum(1 for _ in temporary(state))
    tally.next_runs.append({"whole": not told, "temporary": [left, still]})
    return told


def _told(whole: Unbroken, work_s: float, tally: Tally) -> dict[str, Any]:
    leavers = [row for row in tally.kills if row["temporary"]]
    return {
        "kills": len(tally.kills),
        "unbroken_seconds": round(whole.seconds, 1),
        "work_seconds": round(work_s, 1),
        "files_written_beside": whole.writes,
        "outcomes": {name: tally.outcomes[name] for name in _OUTCOMES},
        "aims": dict(sorted(tally.aims.items())),
        "ended_before_the_kill": tally.ended_first,
        "temporary_files": {
            "kills_that_left_some": len(leavers),
            "files": sum(row["temporary"] for row in leavers),
            "bytes_most": max((row["temporary_bytes"] for row in leavers), default=0),
        },
        "next_runs": {
            "tried": len(tally.next_runs),
            "whole": sum(row["whole"] for row in tally.next_runs),
            "temporary_files_before": sum(row["temporary"][0] for row in tally.next_runs),
            "temporary_files_after": sum(row["temporary"][1] for row in tally.next_runs),
        },
        "broken": tally.broken,
        "drawn": tally.kills,
    }


def _timed_again(verb: Record, folder: Path, first: Unbroken) -> Unbroken:
    """The work of a run that goes on with old lines begins with the first new one."""
    state = _fresh(verb, folder)
    child = Child(verb.command(), state, folder / "stderr.txt")
    child.wait_until(lambda: verb.begun(state))
    begun_s = time.monotonic()
    child.finish()
    ended_s = time.monotonic()
    return Unbroken(ended_s - child.began_s, ended_s - begun_s, first.writes)


def _fresh(verb: Verb, folder: Path) -> Path:
    state = folder / "state"
    if state.exists():
        shutil.rmtree(state)
    shutil.copytree(verb.template, state)
    return state


def _require_new(outcome: str) -> None:
    if outcome != NEW:
        raise BrokenError(f"it came to its end and leaves what is {outcome}")


def _spread(wanted: int, count: int) -> set[int]:
    """After the how-many-th kills there is a next run."""
    return {round((number + 1) * count / wanted) for number in range(min(wanted, count))}


def _say(text: str) -> None:
    print(f"kills: {text}", file=sys.stderr, flush=True)


def _verbs(names: list[str], folder: Path) -> Iterator[Verb]:
    if "tune" in names:
        yield Tune(folder)
    if "record" in names:
        yield Record(folder)
    if not {"train", "convert"} & set(names):
        return
    train = Train(folder)
    if "train" in names:
        yield train
    if "convert" in names:
        state = _fresh(train, folder)
        Child(train.command(), state, folder / "stderr.txt").finish()
        convert = Convert(folder, state)
        Child(convert.old_command, convert.template, folder / "stderr.txt").finish()
        convert.learn_old()
        yield convert


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--verbs", nargs="+", choices=_VERBS, default=list(_VERBS))
    parser.add_argument("--again", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="states of files that are broken go there")
    arguments = parser.parse_args()
    if arguments.count < 1 or arguments.again < 0:
        parser.error("--count, --again: expected 1 or more, and 0 or more")
    with tempfile.TemporaryDirectory() as folder:
        found = {
            verb.name: attack(verb, arguments, Path(folder))
            for verb in _verbs(arguments.verbs, Path(folder))
        }
    kills = sum(each["kills"] for each in found.values())
    broken = sum(len(each["broken"]) for each in found.values())
    result = {"seed": arguments.seed, "kills": kills, "broken": broken, "verbs": found}
    record.publish(result, arguments)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
