"""Python processes that know nothing of this one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import edgecap
from edgecap.errors import BackendError

# The same package as here, though only at the end of the search path, where it costs no time. The
# current folder, which ``-c`` would search first, may be a checkout that is not what is installed.
_FIND = """import sys
if not sys.path[0]: del sys.path[0]
sys.argv[1] in sys.path or sys.path.append(sys.argv[1])
"""
_WHICH = "\nimport edgecap\nprint(edgecap.__file__)\n"


def run_python(script: str, *arguments: str) -> tuple[list[str], float]:
    """Runs a script in a new process; ``sys.argv[2:]`` are the arguments.

    Returns:
      The lines that it printed, and how long the process lived, in ms.

    Raises:
      BackendError: it failed, or would have measured another edgecap than this one.
    """
    root = str(Path(edgecap.__file__).parent.parent)
    lines, lived_ms = _run(f"{_FIND}{script}{_WHICH}", root, *arguments)
    here, there = Path(edgecap.__file__).resolve(), Path(lines.pop()).resolve()
    if here != there:
        raise BackendError(f"a new Python process imports another edgecap: {there}, not {here}")
    return lines, lived_ms


def empty_python_ms() -> float:
    """How long an interpreter lives that does nothing."""
    return _run("pass")[1]


def _run(script: str, *arguments: str) -> tuple[list[str], float]:
    began_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        # Ctrl-C is for this process, which ends the other.
        start_new_session=True,
    )
    lived_ms = (time.perf_counter() - began_s) * 1e3
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise BackendError(f"a new Python process failed: {why}")
    return done.stdout.splitlines(), lived_ms
