"""An arm64 Debian userland under qemu: a Raspberry Pi for correctness, never for speed.

``arm64_setup.py`` makes one, without root. In its folder:

    debian/   Debian's packages, unpacked          bin/    qemu, unless it is installed
    site/     Python's wheels for aarch64          cpus/   a view on debian/ for each processor
    userland.json   the versions of all that; written last

Emulation is some hundred times slower than the machine below.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: qemu's name → what /proc/cpuinfo says of it. LiteRT's libcpuinfo crashes on that of the host.
CPUS = {
    # Raspberry Pi 4.
    "cortex-a72": ("0xd08", "fp asimd evtstrm crc32 cpuid"),
    # Raspberry Pi 5: the instructions for dot products of 8 bits.
    "cortex-a76": (
        "0xd0b",
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc "
        "dcpop asimddp",
    ),
}

# That of Raspberry Pi OS of 2023 to 2025, and the oldest whose glibc LiteRT's wheels load with.
SUITE, PYTHON = "bookworm", "3.11"
QEMU = "qemu-aarch64-static"
# What edgecap imports to load and run a model.
WHEELS = ("ai-edge-litert", "numpy")
# Raised when what an older version has set up will not do.
_LAYOUT = 1
COMPLETE = "userland.json"


class UserlandError(Exception):
    """The userland cannot be set up or used; the message says why, and what to do."""


@dataclass(frozen=True)
class Userland:
    """A complete userland.

    Attributes:
      root: its folder. qemu: the emulator. versions: of what is in it, by name.
    """

    root: Path
    qemu: Path
    versions: dict[str, str]

    def run(
        self,
        cpu: str,
        arguments: Sequence[str | Path],
        *,
        python_path: Sequence[Path] = (),
        write_bytecode: bool = False,
    ) -> str:
        """Runs the emulated Python; returns what it printed.

        Args:
          cpu: one of ``CPUS``.
          arguments: of Python: a script and its own, or ``-c`` and a program.
          python_path: where modules are looked for, before the userland's own.
          write_bytecode: whether Python may keep compiled modules.

        Raises:
          UserlandError: no such processor, or the program failed.
        """
        if cpu not in CPUS:
            raise UserlandError(f"cpu: expected one of {', '.join(CPUS)}; got {cpu!r}")
        # Nothing of the host's environment (LD_PRELOAD, PYTHONHOME, …) reaches the emulated one.
        environment = {
            "PYTHONPATH": os.pathsep.join(map(str, (*python_path, self.root / "site"))),
            "TMPDIR": tempfile.gettempdir(),
            **({} if write_bytecode else {"PYTHONDONTWRITEBYTECODE": "1"}),
        }
        prefix = self.root / "cpus" / cpu
        python = prefix / "usr" / "bin" / f"python{PYTHON}"
        # Without site, which would look into the host's folders where the userland has none.
        command = [self.qemu, "-cpu", cpu, "-L", prefix, python, "-S", "-s", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserlandError(
                f"emulated {cpu}: expected exit status 0; got {done.returncode}: {last_line(done)}"
            )
        return done.stdout


def open_userland(root: Path) -> Userland:
    """A userland that was prepared before.

    Raises:
      UserlandError: it is not complete, of other versions than are installed here, or there is no
        emulator.
    """
    root = root.resolve()
    found = read_versions(root)
    if found is None:
        raise UserlandError(f"{root}: expected a prepared userland; {_how(root)}")
    for name, version in wanted_versions().items():
        if found.get(name) != version:
            raise UserlandError(
                f"{root}: expected {name} {version}, as here; got {found.get(name)}. {_how(root)}"
            )
    own, installed = root / "bin" / QEMU, shutil.which(QEMU)
    if not own.exists() and installed is None:
        raise UserlandError(f"{QEMU} was removed since {root} was prepared; remove that folder")
    return Userland(root, own if own.exists() else Path(str(installed)), found)


def wanted_versions() -> dict[str, str]:
    """What a userland must be of: the versions that are compared must be the same on both sides."""
    try:
        wheels = {name: importlib.metadata.version(name) for name in WHEELS}
    except importlib.metadata.PackageNotFoundError as error:
        raise UserlandError(f"expected {error.name} installed here, to compare with") from error
    return {"layout": str(_LAYOUT), "suite": SUITE, **wheels}


def read_versions(root: Path) -> dict[str, str] | None:
    """What a folder holds; ``None`` if it is no complete userland."""
    try:
        found: dict[str, str] = json.loads((root / COMPLETE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Why a command failed, in its own words."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1].rstrip(".") if lines else "it said nothing"


def _how(root: Path) -> str:
    return f"run: python benchmarks/arm64_setup.py {root}"
