"""How hot a processor is, from where on the kernel slows it, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgecap.sysfs import number, numbered, text

# Zones of other parts, which may be hotter than the processor or say nothing of it.
_OTHERS = ("batt", "nvme", "wifi", "wlan", "charg", "usb", "modem", "pmic", "pm8", "skin", "quiet")
# Devices that lower the frequency of the processor (not fans, displays or charging).
_COOLING = ("thermal-cpufreq", "cpufreq", "Processor")
# Beyond these a sensor is absent or broken.
_LOWEST_C, _HIGHEST_C = -40.0, 150.0


@dataclass(frozen=True)
class Zone:
    """A thermal zone.

    Attributes:
      passive_c: from here on the kernel slows the processor; ``None`` where none is set.
    """

    name: str
    temperature_c: float
    passive_c: float | None


def zones(root: Path = Path("/")) -> list[Zone]:
    """The processor's zones as Linux tells them; none elsewhere.

    See Documentation/driver-api/thermal/sysfs-api.rst: temperatures in thousandths of a degree.
    """
    return [Zone(name, value, _passive_c(folder)) for folder, name, value in _measured(root)]


def temperature_c(root: Path = Path("/")) -> float | None:
    """Of the hottest zone of the processor; ``None`` where the system does not tell."""
    return max((value for _, _, value in _measured(root)), default=None)


def _measured(root: Path) -> Iterator[tuple[Path, str, float]]:
    """The processor's zones: folder, name and °C."""
    for folder in numbered(root / "sys/class/thermal", "thermal_zone"):
        name = text(folder / "type") or folder.name
        if any(other in name.lower() for other in _OTHERS):
            continue
        value = number(folder / "temp")
        # A zone without a sensor reads −273 °C or 0.
        if value and _LOWEST_C < value / 1000 < _HIGHEST_C:
            yield folder, name, value / 1000


def _passive_c(folder: Path) -> float | None:
    limits = []
    # A zone has at most 12 trip points in practice; the first that is missing ends them.
    for n in range(32):
        kind = text(folder / f"trip_point_{n}_type")
        if kind is None:
            break
        limit = number(folder / f"trip_point_{n}_temp")
        # 0 and −274 °C stand for one that is switched off.
        if kind == "passive" and limit is not None and limit > 0:
            limits.append(limit / 1000)
    return min(limits, default=None)


def cooling(root: Path = Path("/")) -> dict[str, int]:
    """What the kernel does about heat to the processor now: the devices that hold it back, and the
    step they are at; empty where none does or the system does not tell."""
    found: dict[str, int] = {}
    for folder in numbered(root / "sys/class/thermal", "cooling_device"):
        name, step = text(folder / "type") or "", number(folder / "cur_state")
        if name.startswith(_COOLING) and step is not None and step > 0:
            found[name] = max(step, found.get(name, 0))
    return found
