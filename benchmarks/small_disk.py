"""A small disk that only one script has, to be filled: a tmpfs in a namespace of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_VARIABLE = "EDGECAP_SMALL_DISK"
_BALLAST = "ballast"
_CHUNK, _CRUMB = bytes(1 << 20), bytes(512)


def small_disk(megabytes: int) -> Path | None:
    """Its folder; ``None`` where the system lets us have none (it takes user namespaces).

    The script is run again within the namespace; this process ends with that one's status.
    """
    there = os.environ.get(_VARIABLE)
    if there is not None:
        return Path(there)
    with tempfile.TemporaryDirectory() as folder:
        mount = f"mount -t tmpfs -o size={megabytes}m tmpfs {shlex.quote(folder)}"
        alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
        if (
            shutil.which("unshare") is None
            or subprocess.run([*alone, mount], check=False).returncode
        ):
            return None
        command = shlex.join([sys.executable, *sys.argv])
        status = subprocess.run(
            [*alone, f"{mount} && exec {command}"],
            check=False,
            env={**os.environ, _VARIABLE: folder},
        ).returncode
    sys.exit(status)


def fill(disk: Path, *, leave: int = 0) -> None:
    """Leaves so many bytes of room, or next to none."""
    with (
        contextlib.suppress(OSError),
        (disk / _BALLAST).open("ab", buffering=0) as ballast,
    ):
        while leave and (over := free(disk) - leave) > 0:
            ballast.write(_CHUNK[:over])
        while not leave and ballast.write(_CHUNK) == len(_CHUNK):
            pass
        while not leave and ballast.write(_CRUMB):
            pass


def empty(disk: Path) -> None:
    """Takes away what :func:`fill` has put there."""
    (disk / _BALLAST).unlink(missing_ok=True)


def free(disk: Path) -> int:
    """Bytes of room."""
    return shutil.disk_usage(disk).free
