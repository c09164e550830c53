"""Which processor this is, what it can, and how much of it may be used."""

from __future__ import annotations

import os
import platform
from collections import Counter
from pathlib import Path

from edgecap.sysfs import integer, lines, number, numbered, real, text

#: What the kernels of TFLite runtimes ask for, by the names that Linux gives them.
_FEATURES = (
    # x86: XNNPACK and ruy choose by these.
    *("avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "amx_int8"),
    # Arm: SIMD, float16, the dot product of int8, matrix products of int8, vectors of any length.
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "sve"),
)

# Implementer → part → name, of computers that may run this (MIDR_EL1; the numbers as Linux lists
# them in arch/arm64/include/asm/cputype.h and util-linux in lscpu-arm.c).
_ARM = {
    0x41: {
        0xB76: "ARM1176",
        0xC05: "Cortex-A5",
        0xC07: "Cortex-A7",
        0xC08: "Cortex-A8",
        0xC09: "Cortex-A9",
        0xC0D: "Cortex-A17",
        0xC0E: "Cortex-A17",
        0xC0F: "Cortex-A15",
        0xD01: "Cortex-A32",
        0xD02: "Cortex-A34",
        0xD03: "Cortex-A53",
        0xD04: "Cortex-A35",
        0xD05: "Cortex-A55",
        0xD06: "Cortex-A65",
        0xD07: "Cortex-A57",
        0xD08: "Cortex-A72",
        0xD09: "Cortex-A73",
        0xD0A: "Cortex-A75",
        0xD0B: "Cortex-A76",
        0xD0C: "Neoverse-N1",
        0xD0D: "Cortex-A77",
        0xD0E: "Cortex-A76AE",
        0xD40: "Neoverse-V1",
        0xD41: "Cortex-A78",
        0xD42: "Cortex-A78AE",
        0xD44: "Cortex-X1",
        0xD46: "Cortex-A510",
        0xD47: "Cortex-A710",
        0xD48: "Cortex-X2",
        0xD49: "Neoverse-N2",
        0xD4B: "Cortex-A78C",
        0xD4C: "Cortex-X1C",
        0xD4D: "Cortex-A715",
        0xD4E: "Cortex-X3",
        0xD4F: "Neoverse-V2",
        0xD80: "Cortex-A520",
        0xD81: "Cortex-A720",
        0xD82: "Cortex-X4",
        0xD85: "Cortex-X925",
        0xD87: "Cortex-A725",
    },
    0x46: {0x001: "A64FX"},
    0x48: {0xD01: "Kunpeng 920", 0xD40: "Cortex-A76"},
    0x4E: {0x000: "Denver", 0x003: "Denver 2", 0x004: "Carmel"},
    0x51: {
        0x001: "Oryon",
        0x200: "Kryo",
        0x800: "Kryo 2xx Gold",
        0x801: "Kryo 2xx Silver",
        0x802: "Kryo 3xx Gold",
        0x803: "Kryo 3xx Silver",
        0x804: "Kryo 4xx Gold",
        0x805: "Kryo 4xx Silver",
    },
    0x61: {
        0x022: "Icestorm (M1)",
        0x023: "Firestorm (M1)",
        0x032: "Blizzard (M2)",
        0x033: "Avalanche (M2)",
    },
    0xC0: {0xAC3: "Ampere-1", 0xAC4: "Ampere-1A"},
}

_Block = dict[str, str]


def usable_cores() -> frozenset[int]:
    """The processors that this process may run on, by number."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cpu_name(root: Path = Path("/")) -> str:
    """The model; on Arm all kinds of cores, as ``4× Cortex-A55 + 4× Cortex-A76``.

    Never empty: ``unknown`` where nothing tells.
    """
    blocks = _cpuinfo(root)
    kinds = Counter(
        (block["CPU implementer"], block["CPU part"])
        for block in blocks
        if {"CPU implementer", "CPU part"} <= block.keys()
    )
    # An Arm kernel of 32 bits also tells a model name, but of the architecture only.
    if len(kinds) == 1:
        return _arm_name(*next(iter(kinds)))
    if kinds:
        return " + ".join(f"{count}× {_arm_name(*kind)}" for kind, count in kinds.items())
    # x86, RISC-V, MIPS.
    for key in ("model name", "uarch", "cpu model"):
        for block in blocks:
            if block.get(key):
                return block[key]
    return platform.processor() or platform.machine() or "unknown"


def cpu_features(root: Path = Path("/")) -> tuple[str, ...]:
    """Of the features that matter to the kernels, those that every core has."""
    told = [
        frozenset((block.get("flags") or block.get("Features") or "").split())
        for block in _cpuinfo(root)
        if "flags" in block or "Features" in block
    ]
    every = frozenset.intersection(*told) if told else frozenset[str]()
    return tuple(feature for feature in _FEATURES if feature in every)


def board(root: Path = Path("/")) -> str | None:
    """The computer's name as its device tree or its Android tells; ``None`` where none does."""
    for path in ("proc/device-tree/model", "sys/firmware/devicetree/base/model"):
        if found := text(root / path):
            return found
    for block in _cpuinfo(root):
        if block.get("Model"):
            return block["Model"]
    for line in lines(root / "system/build.prop"):
        key, _, value = line.partition("=")
        if key in ("ro.product.model", "ro.product.system.model") and value.strip():
            return value.strip()
    return None


def frequencies_mhz(root: Path, cores: frozenset[int]) -> tuple[float, ...]:
    """Of the usable cores, in their order; empty where the system does not tell."""
    found = [number(folder / "cpufreq/scaling_cur_freq") for folder in _folders(root, cores)]
    if any(value is not None for value in found):
        # In kHz.
        return tuple(round(value / 1000, 1) for value in found if value and value > 0)
    told = {integer(b.get("processor")): real(b.get("cpu MHz")) for b in _cpuinfo(root)}
    in_order = [told.get(core) for core in sorted(cores)]
    return tuple(round(value, 1) for value in in_order if value and value > 0)


def speed(root: Path, cores: frozenset[int]) -> float | None:
    """The frequency of the core that is nearest to the highest it can, as a share of that.

    So it does not matter which of unlike cores computes and which is asleep. ``None`` where the
    system does not tell.
    """
    shares = []
    for folder in _folders(root, cores):
        now = number(folder / "cpufreq/scaling_cur_freq")
        highest = number(folder / "cpufreq/cpuinfo_max_freq")
        if now and highest and min(now, highest) > 0:
            shares.append(now / highest)
    return max(shares, default=None)


def governors(root: Path, cores: frozenset[int]) -> tuple[str, ...]:
    """The different ones of the usable cores."""
    told = (text(folder / "cpufreq/scaling_governor") for folder in _folders(root, cores))
    return tuple(sorted({governor for governor in told if governor}))


def drivers(root: Path, cores: frozenset[int]) -> tuple[str, ...]:
    """What sets the frequency of the usable cores: ``cpufreq-dt``, ``intel_pstate``, …"""
    told = (text(folder / "cpufreq/scaling_driver") for folder in _folders(root, cores))
    return tuple(sorted({driver for driver in told if driver}))


def heat_throttles(root: Path, cores: frozenset[int]) -> int | None:
    """How often the usable cores were slowed by heat since the start; told on Intel's."""
    told = (number(f / "thermal_throttle/core_throttle_count") for f in _folders(root, cores))
    counts = [count for count in told if count is not None]
    return sum(counts) if counts else None


def _folders(root: Path, cores: frozenset[int]) -> list[Path]:
    folders = numbered(root / "sys/devices/system/cpu", "cpu")
    return [folder for folder in folders if int(folder.name.removeprefix("cpu")) in cores]


def _cpuinfo(root: Path) -> list[_Block]:
    """The file's paragraphs: one a core, and on 32-bit Arm one of the board."""
    blocks = []
    for paragraph in (text(root / "proc/cpuinfo") or "").split("\n\n"):
        pairs = (line.partition(":") for line in paragraph.splitlines())
        block = {key.strip(): value.strip() for key, colon, value in pairs if colon}
        if block:
            blocks.append(block)
    return blocks


def _arm_name(implementer: str, part: str) -> str:
    parts = _ARM.get(integer(implementer, 16) or 0, {})
    return parts.get(integer(part, 16) or 0, f"Arm implementer {implementer}, part {part}")
