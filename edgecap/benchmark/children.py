"""Python processes that know nothing of this one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import edgecap
from edgecap.errors import BackendError

# ``-c`` searches the current folder first, which may be a checkout that is not what is installed.
# The same package as here, then: at the end of the search path, where it costs no time, but first
# where this process found it first, as under ``python -m edgecap`` in a checkout.
_LAST = """import sys
if not sys.path[0]: del sys.path[0]
sys.argv[1] in sys.path or sys.path.append(sys.argv[1])
"""
_FIRST = "import sys\nsys.path[:1] = [sys.argv[1], *filter(None, sys.path[:1])]\n"
_WHICH = "\nimport edgecap\nprint(edgecap.__file__)\n"


def run_python(script: str, *arguments: str) -> tuple[list[str], float]:
    """Runs a script in a new process; ``sys.argv[2:]`` are the arguments.

    Returns:
      The lines that it printed, and how long the process lived, in ms.

    Raises:
      BackendError: it failed, or would have measured another edgecap than this one.
    """
    root = Path(edgecap.__file__).resolve().parent.parent
    find = _FIRST if Path(sys.path[0]).resolve() == root else _LAST
    lines, lived_ms = _run(f"{find}{script}{_WHICH}", str(root), *arguments)
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
