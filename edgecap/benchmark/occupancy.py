"""Who had the processors: this program, others, a hypervisor; and how much a container may have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgecap.sysfs import integer, lines, number, numbered, real, text

# Of a shorter time the kernel's ticks, of 10 ms, tell nothing.
_SHORTEST_S = 0.1


@dataclass(frozen=True)
class Occupancy:
    """Counters since the start of the system; ``None`` where it does not tell.

    Attributes:
      total_s, busy_s, steal_s: of the usable processors together: all time, time somebody
        computed here, time that a hypervisor gave to others.
      own_s: what this process and its children, living ones and ended ones, computed.
    """

    total_s: float | None
    busy_s: float | None
    steal_s: float | None
    own_s: float

    def since(self, before: Occupancy) -> tuple[float | None, float | None]:
        """The shares of the processor time that others and that a hypervisor took since then.

        Returns:
          Shares from 0 to 1; ``None`` where the system does not tell, or the time was too short.
        """
        if None in (self.total_s, before.total_s):
            return None, None
        total_s = (self.total_s or 0) - (before.total_s or 0)
        if total_s < _SHORTEST_S:
            return None, None
        others_s = (self.busy_s or 0) - (before.busy_s or 0) - (self.own_s - before.own_s)
        steal_s = (self.steal_s or 0) - (before.steal_s or 0)
        return _share(others_s, total_s), _share(steal_s, total_s)


def occupancy(root: Path, cores: frozenset[int]) -> Occupancy:
    """Of now, of the processors with these numbers."""
    own_s = sum(os.times()[:4]) + _living_children_s(root)
    ticks = list(_ticks(root, cores))
    if not ticks:
        return Occupancy(None, None, None, own_s)
    # user nice system idle iowait irq softirq steal; guests' time is in user's already.
    total, idle, steal = (
        sum(sum(row[:8]) for row in ticks),
        sum(sum(row[3:5]) for row in ticks),
        sum(row[7] for row in ticks),
    )
    per_s = _ticks_per_s()
    return Occupancy(total / per_s, (total - idle - steal) / per_s, steal / per_s, own_s)


def load(root: Path = Path("/")) -> float | None:
    """How many processes wanted a processor, on average over the last minute."""
    found = real((text(root / "proc/loadavg") or "").partition(" ")[0])
    if found is not None or root != Path("/"):
        return found
    try:
        # macOS has no such file.
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


@dataclass(frozen=True)
class Quota:
    """What a container may use.

    Attributes:
      cores: processors' worth of time. throttled: how often it was held back; ``None`` where the
        system does not tell.
    """

    cores: float
    throttled: int | None


def quota(root: Path = Path("/")) -> Quota | None:
    """The tightest limit of the groups that this process is in; ``None`` where there is none.

    Of both versions of control groups: ``cpu.max`` (Documentation/admin-guide/cgroup-v2.rst) and
    ``cpu.cfs_quota_us`` (Documentation/scheduler/sched-bwc.rst).
    """
    found = [limit for folder in _groups(root) if (limit := _limit(folder)) is not None]
    return min(found, key=lambda limit: limit.cores, default=None)


def _ticks(root: Path, cores: frozenset[int]) -> Iterator[list[int]]:
    for line in lines(root / "proc/stat"):
        name, _, rest = line.partition(" ")
        if name.startswith("cpu") and integer(name.removeprefix("cpu")) in cores:
            row = [integer(value) or 0 for value in rest.split()]
            if len(row) >= 8:
                yield row


def _living_children_s(root: Path) -> float:
    """What the descendants that still live computed, and theirs that ended."""
    parents: dict[int, int] = {}
    spent: dict[int, int] = {}
    for folder in numbered(root / "proc", ""):
        # The name of the program, in brackets, may hold anything.
        fields = (text(folder / "stat") or "").rpartition(")")[2].split()
        try:
            # Fields 4 and 14 to 17 of proc_pid_stat(5): the parent; user and system time, own and
            # of ended children.
            parents[int(folder.name)] = int(fields[1])
            spent[int(folder.name)] = sum(int(field) for field in fields[11:15])
        except (ValueError, IndexError):
            continue
    family = {os.getpid()}
    total = 0
    while found := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= found
        total += sum(spent.get(pid, 0) for pid in found)
    return total / _ticks_per_s()


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the groups that may limit this process, from the innermost outwards."""
    for line in lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        kinds, _, name = rest.partition(":")
        if kinds and "cpu" not in kinds.split(","):
            continue
        mounted = root / "sys/fs/cgroup"
        tops = [mounted / kinds, mounted / "cpu"] if kinds else [mounted, mounted / "unified"]
        for top in tops:
            # A container may see its own group as the root, and be told the outer name.
            inside = PurePosixPath(name.lstrip("/"))
            if ".." in inside.parts:
                inside = PurePosixPath()
            for part in (inside, *inside.parents):
                yield top / part


def _limit(folder: Path) -> Quota | None:
    new = (text(folder / "cpu.max") or "").split()
    if len(new) == 2:
        # ``max`` stands for no limit.
        given, period = integer(new[0]), integer(new[1])
    else:
        given, period = number(folder / "cpu.cfs_quota_us"), number(folder / "cpu.cfs_period_us")
    if not given or not period or given < 0 or period < 0:
        return None
    counts = dict(line.split(" ")[:2] for line in lines(folder / "cpu.stat") if " " in line)
    return Quota(given / period, integer(counts.get("nr_throttled")))


def _share(part_s: float, total_s: float) -> float:
    return round(min(max(part_s / total_s, 0.0), 1.0), 4)


def _ticks_per_s() -> int:
    return os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
