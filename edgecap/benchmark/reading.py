"""All that is read of the machine at one instant."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from edgecap import thermal
from edgecap.benchmark import cpu, firmware
from edgecap.benchmark.occupancy import Occupancy, Quota, load, occupancy, quota
from edgecap.benchmark.report import Moment
from edgecap.sysfs import number, text

# An idle processor runs slowly and rises within some ticks: its frequency is read after so long a
# time of computing, or readings before and after a run would tell how idle it had been.
_WARM_UP_S = 0.05


@dataclass(frozen=True)
class Reading:
    """The machine at one instant.

    Attributes:
      moment: what is reported. occupancy: counters of the processors' time.
      speed: frequency as a share of the highest; see :func:`edgecap.benchmark.cpu.speed`.
      zones, cooling: see :mod:`edgecap.thermal`.
      heat_throttles: how often the processor was slowed by heat; ``None`` where it does not count.
      quota: what a container may use. drivers: what sets the frequency.
      on_battery: whether a battery feeds it.
    """

    moment: Moment
    occupancy: Occupancy
    speed: float | None
    zones: tuple[thermal.Zone, ...]
    cooling: dict[str, int]
    heat_throttles: int | None
    quota: Quota | None
    drivers: tuple[str, ...]
    on_battery: bool


def read(root: Path, cores: frozenset[int]) -> Reading:
    """Now, of the processors with these numbers."""
    # First, before the reading's own work: that after a run is no part of it.
    taken = occupancy(root, cores)
    load_now = load(root)
    if cpu.governors(root, cores):
        _warm_up()
    frequencies_mhz, speed = cpu.frequencies_mhz(root, cores), cpu.speed(root, cores)
    zones = tuple(thermal.zones(root))
    return Reading(
        moment=Moment(
            frequencies_mhz=frequencies_mhz,
            governors=cpu.governors(root, cores),
            temperature_c=max((zone.temperature_c for zone in zones), default=None),
            throttled=firmware.throttled(root),
            load=load_now,
        ),
        occupancy=taken,
        speed=speed,
        zones=zones,
        cooling=thermal.cooling(root),
        heat_throttles=cpu.heat_throttles(root, cores),
        quota=quota(root),
        drivers=cpu.drivers(root, cores),
        on_battery=_on_battery(root),
    )


def _warm_up() -> None:
    end = time.perf_counter() + _WARM_UP_S
    while time.perf_counter() < end:
        pass


def _on_battery(root: Path) -> bool:
    folder = root / "sys/class/power_supply"
    # Named at will: BAT0, battery, AC, ADP1.
    try:
        supplies = sorted(folder.iterdir())
    except OSError:
        return False
    if any(number(supply / "online") == 1 for supply in supplies):
        return False
    return any(
        text(supply / "type") == "Battery"
        and text(supply / "status") == "Discharging"
        # Of a mouse or a pen: "Device".
        and text(supply / "scope") != "Device"
        for supply in supplies
    )
