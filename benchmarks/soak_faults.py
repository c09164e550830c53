"""An hour of `edgecap run` with a fault every few seconds, each of which must be told and be over.

    PYTHONPATH=.:convert python benchmarks/soak_faults.py [--minutes 60] [--seed 1] [--only WORDS]
                                                          [--json FILE] [--picture FILE.svg]

The command itself, with three cameras (two that play scenes, one network camera), the packaged
model, JSON lines, videos, the flight recorder, a webhook, a broker and the web page. Around it
stand the cameras and receivers of the tests, which are made to fail: at most one fault of each part
at a time, some of all parts together. Which and when is drawn from the seed.

A fault counts as told when the run's own log has said of it what it must (of viewers: when the
page shows it), and as recovered when it has said that it is over, or the page shows frames of now.
The bars: no fault that was not told or did not pass; no notice that no fault explains, but for
rates; no error in the log; threads, files and child processes at the end as at the beginning; no
slope of resident memory that can be told from zero, or one of less than 1 % of it in an hour; the
median latency of the last calm stretch within a quarter of the first's. (Its p99 is no bar: it
holds what cameras whose clock was set say of their frames.)

It takes the minutes, four more at most, and up to a gigabyte for recordings in the temporary
folder. Disks are filled where the system lets us have a small one of our own (user namespaces).
Needs the extras 'camera' and 'mqtt', and those for tests; Linux. The picture needs 'convert'.
"""

from __future__ import annotations

import collections
import itertools
import json
import random
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import record
from small_disk import small_disk
from soak import slope_of
from soak_kinds import Kind, kinds
from soak_world import Said, World

from edgecap.errors import FlightError
from edgecap.flight.tape import read_tape

_DISK_MB = 128
_EVERY_S = (1.0, 4.0)
_TICK_S, _SAMPLE_S, _PROGRESS_S = 0.2, 5.0, 60.0
# At the beginning and at the end nothing is injected.
_CALM_S, _WARM_S = 45.0, 15.0
# All parts together only so often, as the others must rest for it.
_EVERYTHING_S = 300.0
# So long after a fault is over, its part may still have something to tell of it.
_AFTERMATH_S = 60.0
# What is under way at the end gets its time.
_REST_S = 250.0
_MEMORY_BAR, _LATENCY_BAR = 0.01, 0.25
_STRETCHES = 20
_RATES = re.compile(r"the model was trained at|frames a second again")
_LOSSES = re.compile(r"results lost: ")
_RECORDED = re.compile(r"s written to \S+\.edgetape$")


@dataclass
class Fault:
    """One that was injected.

    Attributes:
      kind: of which kind.
      began_s, told_s, lifted_s, over_s: when; ``None``: not yet, or never.
      lift_s: when it is to be lifted.
      told: the words by which it was, of each sign.
    """

    kind: Kind
    began_s: float
    lift_s: float | None = None
    told_s: float | None = None
    lifted_s: float | None = None
    over_s: float | None = None
    ended_s: float | None = None
    told: dict[str, str] = field(default_factory=dict)

    @property
    def who(self) -> set[str]:
        return {sign.who for sign in self.kind.signs} | self.kind.touches

    def explains(self, said: Said) -> bool:
        """Whether a notice may come of this fault."""
        until_s = float("inf") if self.ended_s is None else self.ended_s + _AFTERMATH_S
        return said.who in self.who and self.began_s <= said.at_s <= until_s


class Campaign:
    """Injects, waits, lifts, and keeps the account.

    Args:
      world: that has started.
      by_part: kinds by where they strike.
      seed: of all that is drawn.
    """

    def __init__(self, world: World, by_part: dict[str, list[Kind]], seed: int) -> None:
        self._world, self._rng = world, random.Random(seed)
        # Every kind comes before any comes again.
        self._decks = {
            part: itertools.chain.from_iterable(self._shuffles(found))
            for part, found in by_part.items()
        }
        self._waiting = {part: next(deck) for part, deck in self._decks.items()}
        self._rests_s: dict[str, float] = collections.defaultdict(float)
        self._next_s = self._next_sample_s = self._next_progress_s = 0.0
        self._everything_s = time.monotonic() + _EVERYTHING_S / 2
        self.faults: list[Fault] = []
        self.active: list[Fault] = []

    def _shuffles(self, found: list[Kind]) -> Any:
        while True:
            yield self._rng.sample(found, len(found))

    def run(self, seconds: float, *, inject: bool) -> None:
        """Goes on for so long, or until the run has died."""
        ends_s = time.monotonic() + seconds
        while time.monotonic() < ends_s and self._world.process.poll() is None:
            self._turn(inject=inject)
            time.sleep(_TICK_S)

    def come_to_rest(self, longest_s: float) -> None:
        """Until nothing is under way."""
        ends_s = time.monotonic() + longest_s
        while self.active and time.monotonic() < ends_s and self._world.process.poll() is None:
            self._turn(inject=False)
            time.sleep(_TICK_S)

    def _turn(self, *, inject: bool) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_sample_s:
            self._next_sample_s = now_s + _SAMPLE_S
            self._world.sample(len(self.active))
        if now_s >= self._next_progress_s:
            self._next_progress_s = now_s + _PROGRESS_S
            self._tell_progress()
        for fault in tuple(self.active):
            self._follow(fault, now_s)
        if inject and now_s >= self._next_s:
            self._next_s = now_s + self._rng.uniform(*_EVERY_S)
            self._inject(now_s)

    def _tell_progress(self) -> None:
        over = [fault for fault in self.faults if fault.ended_s is not None]
        missed = [f.kind.name for f in over if f.told_s is None or f.over_s is None]
        print(
            f"{len(self.faults)} faults, {len(over)} over, not accounted for: {missed or 'none'}",
            file=sys.stderr,
            flush=True,
        )

    def _inject(self, now_s: float) -> None:
        taken = set().union(*(fault.kind.organs for fault in self.active))
        if "everything" in taken:
            return
        parts = [part for part in self._waiting if part != "everything"]
        if "everything" in self._waiting and now_s >= self._everything_s:
            if taken or any(rests_s > now_s for rests_s in self._rests_s.values()):
                # All others rest until it can come.
                return
            self._everything_s = now_s + _EVERYTHING_S
            parts = ["everything"]
        self._rng.shuffle(parts)
        for part in parts:
            kind = self._waiting[part]
            if kind.organs & taken or any(self._rests_s[o] > now_s for o in kind.organs):
                continue
            self._waiting[part] = next(self._decks[part])
            fault = Fault(kind, time.monotonic())
            if kind.lifts_s is not None:
                fault.lift_s = fault.began_s + kind.lifts_s
            kind.inject(self._world)
            self.faults.append(fault)
            self.active.append(fault)
            return

    def _follow(self, fault: Fault, now_s: float) -> None:
        kind, world = fault.kind, self._world
        if fault.told_s is None and self._is_told(fault):
            fault.told_s = now_s
            if fault.lift_s is None:
                fault.lift_s = now_s + self._rng.uniform(*kind.hold_s)
        if fault.lifted_s is None:
            kind.keep(world)
            if now_s >= (fault.lift_s or fault.began_s + kind.told_s):
                kind.lift(world)
                fault.lifted_s = time.monotonic()
            return
        if fault.over_s is None and self._is_over(fault):
            fault.over_s = now_s
        never_told = fault.told_s is None and now_s > fault.began_s + kind.told_s
        never_over = fault.over_s is None and now_s > fault.lifted_s + kind.over_s
        done = fault.told_s is not None and fault.over_s is not None
        if done or never_told or never_over:
            fault.ended_s = now_s
            self.active.remove(fault)
            for organ in kind.organs:
                self._rests_s[organ] = now_s + kind.rest_s

    def _is_told(self, fault: Fault) -> bool:
        kind = fault.kind
        if kind.shown is not None and kind.shown(self._world):
            fault.told["the page"] = "shown"
        for sign in kind.signs:
            for said in self._said_of(fault, sign.who):
                if sign.who not in fault.told and re.search(sign.bad, said.text):
                    fault.told[sign.who] = said.text
        wanted = {sign.who for sign in kind.signs} | ({"the page"} if kind.shown else set())
        return wanted <= set(fault.told)

    def _is_over(self, fault: Fault) -> bool:
        kind = fault.kind
        for sign in kind.signs:
            if sign.good is None:
                continue
            # The last of its words: a sink may have worked for a moment in between.
            verdicts = [
                re.search(sign.good, said.text) is not None
                for said in self._said_of(fault, sign.who)
                if re.search(f"{sign.good}|{sign.bad}", said.text)
            ]
            if not verdicts or not verdicts[-1]:
                return False
        return kind.over is None or kind.over(self._world)

    def _said_of(self, fault: Fault, who: str) -> list[Said]:
        # The newest are the last; long before the fault there is nothing to find.
        since = itertools.takewhile(
            lambda said: said.at_s >= fault.began_s, reversed(self._world.said)
        )
        return [said for said in since if said.who == who][::-1]


def account(faults: list[Fault]) -> dict[str, Any]:
    """By kind: how many were injected, told, over; and how soon."""
    rows: dict[str, Any] = {}
    for fault in sorted(faults, key=lambda fault: fault.kind.name):
        row = rows.setdefault(
            fault.kind.name,
            {"injected": 0, "told": 0, "recovered": 0, "unaccounted": 0, "tell": [], "recover": []},
        )
        row["injected"] += 1
        row["told"] += fault.told_s is not None
        row["recovered"] += fault.over_s is not None
        row["unaccounted"] += fault.told_s is None or fault.over_s is None
        if fault.told_s is not None:
            row["tell"].append(fault.told_s - fault.began_s)
            row["example"] = fault.told
        if fault.over_s is not None and fault.lifted_s is not None:
            row["recover"].append(fault.over_s - fault.lifted_s)
    for row in rows.values():
        for name, key in (("tell", "seconds_to_tell"), ("recover", "seconds_to_recover")):
            times = row.pop(name)
            if times:
                row[key] = {
                    "median": round(statistics.median(times), 1),
                    "most": round(max(times), 1),
                }
    return rows


def unaccounted(faults: list[Fault], world: World, began_s: float) -> list[dict[str, Any]]:
    """Each fault that was not told or is not over, with what was said meanwhile."""
    found = []
    for fault in faults:
        if fault.told_s is not None and fault.over_s is not None:
            continue
        until_s = (fault.ended_s or time.monotonic()) + 1.0
        found.append(
            {
                "kind": fault.kind.name,
                "who": sorted(fault.who),
                "at_s": round(fault.began_s - began_s, 1),
                "told": fault.told,
                "lifted": fault.lifted_s is not None,
                "recovered": fault.over_s is not None,
                "said": [
                    f"{said.at_s - began_s:.1f} {said.who}: {said.text}"
                    for said in world.said
                    if fault.began_s <= said.at_s <= until_s
                ][:40],
            }
        )
    return found


def notices(faults: list[Fault], said: list[Said], began_s: float) -> dict[str, Any]:
    """The way back: which notices are explained by which faults."""
    counts: collections.Counter[str] = collections.Counter()
    unexplained = []
    for one in said:
        if _RECORDED.search(one.text):
            counts["recordings"] += 1
        elif any(fault.explains(one) for fault in faults):
            counts["of a fault"] += 1
        elif _LOSSES.search(one.text) and any(
            one.who in fault.who and fault.began_s < one.at_s for fault in faults
        ):
            # Told ever more rarely, so perhaps long after.
            counts["of a fault"] += 1
        elif _RATES.search(one.text):
            counts["rates, as of a busy machine"] += 1
        else:
            counts["unexplained"] += 1
            unexplained.append(f"{one.at_s - began_s:.1f} {one.who}: {one.text}")
    return {"counts": dict(counts), "unexplained": unexplained[:50]}


def left(world: World) -> dict[str, Any]:
    """What the run has written: every line whole, every recording readable."""
    folder = world.disk or world.folder
    lines = broken = 0
    for path in folder.glob("lines.jsonl*"):
        for line in path.read_text("utf-8").splitlines():
            lines += 1
            try:
                json.loads(line, parse_constant=_refuse)
            except ValueError:
                broken += 1
    tapes, unreadable = sorted(world.tapes.glob("*.edgetape")), []
    for tape in tapes:
        try:
            read_tape(tape)
        except FlightError as error:
            unreadable.append(str(error).replace(str(tape), tape.name))
    sent = [body["id"] for body in world.receiver.bodies]
    return {
        "lines": lines,
        "lines_broken": broken,
        "recordings": len(tapes),
        "recordings_unreadable": unreadable,
        "half_written": len(list(world.tapes.glob(".*"))),
        "videos": len(list(folder.glob("*.mkv"))),
        "webhook_requests": len(sent),
        "webhook_events": len(set(sent)),
    }


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def resources(samples: list[dict[str, float]], calm: list[tuple[float, float]]) -> dict[str, Any]:
    """Memory, threads, files and latency: calm stretches before and after, and all between."""
    first, last = (
        [s for s in samples if begins_s <= s["at_s"] <= ends_s] or samples[-1:]
        for begins_s, ends_s in calm
    )

    def ends(name: str, *, least: bool = False) -> dict[str, float]:
        choose = min if least else statistics.median
        return {
            "first": round(choose(s[name] for s in first), 2),
            "last": round(choose(s[name] for s in last), 2),
            "most": round(max(s[name] for s in samples), 2),
        }

    # What waits in queues comes and goes; what stays is at the bottom.
    found: dict[str, Any] = {
        name: ends(name, least=True) for name in ("threads", "files", "children")
    }
    found |= {name: ends(name) for name in ("latency_p50_ms", "latency_p99_ms")}
    memory = ends("memory", least=True)
    found["memory_mb"] = {name: round(value / 1e6, 2) for name, value in memory.items()}
    # The first sixth fills what is kept of the past.
    begins_s = calm[0][1] + (calm[1][0] - calm[0][1]) / 6
    kept = [s for s in samples if s["at_s"] > begins_s]
    if len(kept) >= 3 * _STRETCHES:
        slope = slope_of(np.array([s["at_s"] for s in kept]), np.array([s["memory"] for s in kept]))
        an_hour = slope["slope_bytes_per_frame"] * 3600
        found["memory_mb"] |= {
            "slope_per_hour": round(an_hour / 1e6, 3),
            "interval_95": [round(end * 3600 / 1e6, 3) for end in slope["interval_95"]],
            "bounded": bool(
                slope["interval_95"][0] <= 0
                or an_hour < _MEMORY_BAR * statistics.mean(s["memory"] for s in kept)
            ),
        }
    return found


def measure(world: World, minutes: float, seed: int, only: str) -> dict[str, Any]:
    """The campaign."""
    world.start()
    began_s = time.monotonic()
    by_part = {
        part: chosen
        for part, found in kinds(disk=world.disk is not None, broker=world.has_broker).items()
        if (chosen := [kind for kind in found if only in kind.name])
    }
    campaign = Campaign(world, by_part, seed)
    while not world.frames_come() and time.monotonic() < began_s + 60:
        time.sleep(_TICK_S)
    time.sleep(_WARM_S)
    # What was told while it began is of no fault of ours.
    before = len(world.said)
    calm = [(time.monotonic(), time.monotonic() + _CALM_S)]
    campaign.run(_CALM_S, inject=False)
    campaign.run(max(minutes * 60 - 2 * _CALM_S, 1.0), inject=True)
    campaign.come_to_rest(_REST_S)
    calm.append((time.monotonic(), time.monotonic() + _CALM_S))
    campaign.run(_CALM_S, inject=False)
    health = world.page.told.get("health", {})
    died = world.process.poll() is not None
    ended = world.end() | {"died": died}
    table = account(campaign.faults)
    total = {
        name: sum(row[name] for row in table.values())
        for name in ("injected", "told", "recovered", "unaccounted")
    }
    found = {
        "seconds": round(time.monotonic() - began_s),
        "left_out": [
            *([] if world.disk else ["disk is full"]),
            *([] if world.has_broker else ["broker"]),
            "the system's clock is not set: that needs privileges; cameras' clocks are",
        ],
        "faults": total,
        "by_kind": table,
        "unaccounted": unaccounted(campaign.faults, world, began_s),
        "notices": notices(campaign.faults, world.said[before:], began_s),
        "log_errors": world.others[:50],
        "page_polls_failed": world.page.failures,
        "health_at_the_end": {
            name: health.get(name)
            for name in ("frames", "processed", "dropped", "resets", "restarts", "events")
        },
        "resources": resources(world.samples, calm),
        "end": ended,
        "left": left(world),
    }
    found["passed"] = judge(found)
    found["series"] = {
        name: [round(s[name] - (began_s if name == "at_s" else 0), 2) for s in world.samples]
        for name in world.samples[0]
    }
    found["injected_at_s"] = [round(fault.began_s - began_s, 1) for fault in campaign.faults]
    return found


def judge(found: dict[str, Any]) -> dict[str, bool]:
    """The bars."""
    held = found["resources"]
    latency = held["latency_p50_ms"]
    return {
        "faults": found["faults"]["unaccounted"] == 0,
        "notices": not found["notices"]["unexplained"],
        "log": not found["log_errors"],
        "memory": held["memory_mb"].get("bounded", False),
        **{name: held[name]["last"] <= held[name]["first"] for name in ("threads", "files")},
        "children": held["children"]["last"] == held["children"]["first"],
        "latency": latency["last"] <= latency["first"] * (1 + _LATENCY_BAR),
        "end": found["end"]["exit_status"] == 0,
        "left": not any(
            found["left"][name]
            for name in ("lines_broken", "recordings_unreadable", "half_written")
        ),
    }


def draw(found: dict[str, Any], path: Path) -> None:
    """Memory, handles, latency and the faults over time."""
    from matplotlib.ticker import FuncFormatter, NullFormatter
    from page_pictures import ACCENT, GREEN, WARM, Picture, titled

    series = found["series"]
    minutes = [at_s / 60 for at_s in series["at_s"]]
    picture = Picture(8.2, 5.0, series)
    (memory, handles), (latency, faults) = picture.axes(2, 2)
    memory.plot(minutes, [value / 1e6 for value in series["memory"]], color=ACCENT)
    titled(memory, "Resident memory, MB")
    for name, colour in (("files", ACCENT), ("threads", WARM), ("children", GREEN)):
        handles.plot(minutes, series[name], color=colour, label=name, linewidth=1.0)
    titled(handles, "Open files, threads, child processes")
    latency.plot(minutes, series["latency_p50_ms"], color=ACCENT, label="p50")
    latency.plot(minutes, series["latency_p99_ms"], color=WARM, label="p99", linewidth=1.0)
    latency.set_yscale("log")
    titled(latency, "Latency, ms")
    latency.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    latency.yaxis.set_minor_formatter(NullFormatter())
    # Two labels at least, and room for the legend.
    least, most = min(filter(None, series["latency_p50_ms"])), max(series["latency_p99_ms"])
    latency.set_ylim(10 ** np.floor(np.log10(least)), 10 ** np.ceil(np.log10(most) + 0.5))
    injected = [at_s / 60 for at_s in found["injected_at_s"]]
    faults.plot(injected, range(1, len(injected) + 1), color=ACCENT)
    titled(faults, "Faults injected, in all")
    memory.set_ylim(0, max(series["memory"]) / 1e6 * 1.2)
    handles.set_ylim(0, max(series["files"]) * 1.5)
    faults.set_ylim(0)
    for axes in (handles, latency):
        axes.legend(frameon=False, fontsize=8, ncol=3, loc="upper center")
    for axes in (memory, handles, latency, faults):
        axes.set_xlabel("minutes")
        axes.set_xlim(0, minutes[-1])
    picture.save(path)


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only kinds whose name has these words")
    parser.add_argument("--picture", type=Path, help="draw it (.svg or .png)")
    arguments = parser.parse_args()
    disk = small_disk(_DISK_MB)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), disk)
        try:
            found = measure(world, arguments.minutes, arguments.seed, arguments.only)
        finally:
            world.close()
    record.publish(found, arguments)
    if arguments.picture:
        draw(found, arguments.picture)


if __name__ == "__main__":
    main()
