"""Whether a Raspberry Pi's firmware slows it, and why."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from edgecap.sysfs import integer, number, numbered, text

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled; 16 bits higher stand
# the same, "has occurred".
FLAGS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
OCCURRED = " has occurred"

_TIMEOUT_S = 5.0


def throttled(root: Path = Path("/")) -> tuple[str, ...] | None:
    """The flags that are set, by name; ``None`` where there is no such firmware.

    What has occurred counts since the start of the board where ``vcgencmd`` tells, and since the
    kernel last asked, some seconds ago, where only the kernel's file does.
    """
    for ask in (_vcgencmd, _kernel, _voltage_alarm):
        bits = ask(root)
        if bits is not None:
            break
    else:
        return None
    now = [flag for n, flag in enumerate(FLAGS) if bits >> n & 1]
    then = [f"{flag}{OCCURRED}" for n, flag in enumerate(FLAGS) if bits >> (16 + n) & 1]
    return (*now, *then)


def _kernel(root: Path) -> int | None:
    # Hexadecimal without 0x (drivers/firmware/raspberrypi.c of Raspberry Pi's kernel). The folder
    # has the address of the bus in its name on newer boards.
    platform = root / "sys/devices/platform"
    try:
        files = sorted(platform.glob("soc*/soc*firmware/get_throttled"))
    except OSError:
        return None
    for file in files:
        found = integer(text(file), 16)
        if found is not None:
            return found
    return None


def _voltage_alarm(root: Path) -> int | None:
    """Of kernels without that file (drivers/hwmon/raspberrypi-hwmon.c): it tells of one flag only,
    so that without an alarm nothing is known."""
    for folder in numbered(root / "sys/class/hwmon", "hwmon"):
        if text(folder / "name") == "rpi_volt" and number(folder / "in0_lcrit_alarm") == 1:
            return 1 << 16
    return None


def _vcgencmd(root: Path) -> int | None:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = root / folder.lstrip("/") / "vcgencmd"
        if not os.access(program, os.X_OK):
            continue
        try:
            done = subprocess.run(
                [program, "get_throttled"],
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        # ``throttled=0x50000``; a user who may not ask gets a sentence.
        return integer(done.stdout.decode("utf-8", "replace").partition("=")[2].strip(), 16)
    return None
