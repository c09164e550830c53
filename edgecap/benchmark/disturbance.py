"""What speaks against a run's figures, from readings before and after it: plain sentences."""

from __future__ import annotations

from collections.abc import Iterator

from edgecap.benchmark.firmware import FLAGS, OCCURRED
from edgecap.benchmark.occupancy import Quota
from edgecap.benchmark.reading import Reading

# Of two cores this is a fifth of one: a benchmark of one thread still finds a core free nearly
# always, but shares caches and memory with the others' work. A desktop at rest takes 1 to 3 %.
OTHERS_SHARE = 0.1
# A neighbour's time slice is some ms: at 2 % one of the first hundred steps meets it.
STEAL_SHARE = 0.02
# Turbo steps are finer than this, throttling's are coarser (Raspberry Pi 4: 1800 → 1500 or less).
FREQUENCY_RATIO = 0.9
# Raspberry Pi's firmware begins to slow the processor here, and most phones before.
HOT_C = 80.0

# They set the lowest frequency and let the processor choose by itself; elsewhere ``powersave``
# stands for the lowest frequency, always.
_ACTIVE_DRIVERS = {"intel_pstate", "amd-pstate", "amd-pstate-epp"}
_SLOW_TO_RISE = {"ondemand", "conservative", "schedutil", "interactive", "powersave"}


def disturbances(before: Reading, after: Reading, cores: int) -> tuple[str, ...]:
    """Sentences on what disturbed the run between two readings; empty where nothing is known to.

    Args:
      after: with ``busy`` and ``steal`` of the time between. cores: how many may be used.
    """
    return (*_held_back(before, after), *_heat(before, after), *_others(before, after, cores))


def notes(before: Reading, after: Reading, cores: int) -> tuple[str, ...]:
    """Sentences on what does not speak against the figures, but must be known to judge them."""
    return tuple(_notes(before, after, cores))


def _held_back(before: Reading, after: Reading) -> Iterator[str]:
    was, now = before.moment.throttled, after.moment.throttled
    for flag in FLAGS:
        at = [
            word
            for word, flags in (("before", was), ("after", now))
            if flags is not None and flag in flags
        ]
        if at:
            yield f"the firmware reports {flag} {' and '.join(at)} the run"
        elif now is not None and flag + OCCURRED in set(now) - set(was or ()):
            yield f"the firmware reports {flag} during the run"
    yield from _frequency(before, after)
    held = _newly_throttled(before.quota, after.quota)
    if after.quota and held > 0:
        yield f"the container's limit of {after.quota.cores:g} processors held it back {held} times"


def _frequency(before: Reading, after: Reading) -> Iterator[str]:
    was, now = before.moment.frequencies_mhz, after.moment.frequencies_mhz
    if not any(was) or not any(now):
        return
    told = before.speed is not None and after.speed is not None
    ratio = (after.speed or 0) / (before.speed or 1) if told else max(now) / max(was)
    values = f"from {max(was):.0f} to {max(now):.0f} MHz"
    if ratio < FREQUENCY_RATIO:
        yield f"the processor's frequency fell {values}"
    elif ratio > 1 / FREQUENCY_RATIO:
        yield f"the processor's frequency rose {values}: the beginning was slower"


def _heat(before: Reading, after: Reading) -> Iterator[str]:
    for name, step in after.cooling.items():
        yield f"the kernel holds the processor back because of heat ({name} at step {step})"
    if after.heat_throttles is not None:
        # It counts: then how hot it is decides nothing.
        count = after.heat_throttles - (before.heat_throttles or 0)
        if count > 0:
            yield f"the processor slowed itself because of heat {count} times"
        return
    hot = [
        (zone.temperature_c, zone.name, zone.passive_c or HOT_C)
        for zone in (*before.zones, *after.zones)
        if zone.temperature_c >= (zone.passive_c or HOT_C)
    ]
    if hot:
        temperature_c, name, limit_c = max(hot)
        yield f"{name} was at {temperature_c:.0f} °C, and is slowed from {limit_c:.0f} °C on"


def _others(before: Reading, after: Reading, cores: int) -> Iterator[str]:
    of = "the processor's time" if cores == 1 else f"the time of {cores} processors"
    busy, steal = after.moment.busy, after.moment.steal
    if busy is not None and busy > OTHERS_SHARE:
        yield f"other processes took {busy:.0%} of {of}"
    if busy is None and _loaded(before, cores):
        yield _load_before(before, cores)
    if steal is not None and steal > STEAL_SHARE:
        yield f"the hypervisor took {steal:.0%} of {of}"


def _loaded(before: Reading, cores: int) -> bool:
    return before.moment.load is not None and before.moment.load > cores / 2


def _load_before(before: Reading, cores: int) -> str:
    return f"the load of the minute before was {before.moment.load:.1f} on {cores} processors"


def _notes(before: Reading, after: Reading, cores: int) -> Iterator[str]:
    # It may be over, and what there was during the run is known better.
    if after.moment.busy is not None and _loaded(before, cores):
        yield _load_before(before, cores)
    if after.moment.busy is None:
        yield "what other processes took is not known: too short a run, or the system does not tell"
    earlier = [
        flag
        for flag in FLAGS
        if {flag + OCCURRED}
        <= set(before.moment.throttled or ()) & set(after.moment.throttled or ())
    ]
    if earlier:
        yield (
            f"before this run the firmware had reported {', '.join(earlier)}: "
            "whether again during it is not known"
        )
    for governor in after.moment.governors:
        if governor == "powersave" and not set(after.drivers) & _ACTIVE_DRIVERS:
            yield "the governor powersave keeps the processor at its lowest frequency"
        elif governor in _SLOW_TO_RISE:
            yield f"with the governor {governor} the first steps after a rest are slow"
    if after.quota and after.quota.cores < cores:
        yield f"the container may use {after.quota.cores:g} of {cores} processors"
    if before.on_battery or after.on_battery:
        yield "a battery feeds it: many systems are slower then"


def _newly_throttled(before: Quota | None, after: Quota | None) -> int:
    if before is None or after is None:
        return 0
    return (after.throttled or 0) - (before.throttled or 0)
