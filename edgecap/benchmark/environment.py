"""Where a benchmark ran, and what disturbed it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import edgecap
from edgecap.benchmark import cpu
from edgecap.benchmark.disturbance import disturbances, notes
from edgecap.benchmark.reading import read
from edgecap.benchmark.report import Environment
from edgecap.sysfs import integer, lines

#: Packages whose versions are named where they are installed.
PACKAGES = (
    "edgecap",
    "ai-edge-litert",
    "tflite-runtime",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "picamera2",
    "tensorflow",
    "tf-keras",
    "ai-edge-quantizer",
    "onnxruntime",
    "tf2onnx",
)


class Watch:
    """Reads the machine when it is made, and again when it is asked for the environment.

    Nothing is raised where a system does not tell something: then it is ``None``, empty or left
    out. Reading takes a tenth of a second at most.

    Args:
      root: under which ``proc``, ``sys`` and ``etc`` are looked for.
      cores: the processors that may be used, by number; those of this process if not given.
    """

    def __init__(self, root: Path = Path("/"), *, cores: frozenset[int] | None = None) -> None:
        self._root = root
        self._cores = cpu.usable_cores() if cores is None else cores
        self._before = read(root, self._cores)

    def environment(self) -> Environment:
        """The machine, before (when this watch was made) and now, and what disturbed it between.

        ``busy`` of the moment after is what processes other than this one and its children took of
        the usable processors between. May be called again: it tells of the longer time then.
        """
        root, cores = self._root, self._cores
        after = read(root, cores)
        busy, steal = after.occupancy.since(self._before.occupancy)
        moment = dataclasses.replace(after.moment, busy=busy, steal=steal)
        after = dataclasses.replace(after, moment=moment)
        return Environment(
            cpu=cpu.cpu_name(root),
            features=cpu.cpu_features(root),
            cores=len(cores),
            machine=_machine(),
            system=", ".join(_system(root)),
            board=cpu.board(root),
            memory_mb=_memory_mb(root),
            python=platform.python_version(),
            versions=versions(),
            before=self._before.moment,
            after=moment,
            disturbed=disturbances(self._before, after, len(cores)),
            notes=notes(self._before, after, len(cores)),
        )


def versions() -> dict[str, str]:
    """Of the packages that matter here, where installed; ``edgecap`` always."""
    found = {"edgecap": edgecap.__version__}
    for package in PACKAGES:
        try:
            found.setdefault(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _machine() -> str:
    machine = platform.machine() or "unknown"
    # Raspberry Pi OS of 32 bits runs on a kernel of 64.
    if sys.maxsize < 2**32 and "64" in machine:
        return f"{machine}, Python of 32 bits"
    return machine


def _system(root: Path) -> Iterator[str]:
    """Kernel, distribution and C library."""
    # The rest of a release names a build, which says nothing of speed and much of whose it is.
    release = ".".join(platform.release().split(".")[:2])
    yield f"{platform.system()} {release}".strip() or sys.platform
    for path in ("etc/os-release", "usr/lib/os-release"):
        entries = dict(line.partition("=")[::2] for line in lines(root / path))
        if pretty := entries.get("PRETTY_NAME", "").strip("\"'"):
            yield pretty
            break
    if hasattr(sys, "getandroidapilevel"):
        yield f"Android API {sys.getandroidapilevel()}"
    if version := platform.mac_ver()[0]:
        yield f"macOS {version}"
    # Reads the program's file, and finds nothing on musl.
    if any(libc := platform.libc_ver()):
        yield " ".join(libc).strip()


def _memory_mb(root: Path) -> float | None:
    for line in lines(root / "proc/meminfo"):
        key, _, value = line.partition(":")
        if key == "MemTotal":
            kilobytes = integer(value.removesuffix("kB").strip())
            return None if kilobytes is None else round(kilobytes * 1024 / 1e6, 1)
    try:
        # macOS.
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    except (AttributeError, ValueError, OSError):
        return None
