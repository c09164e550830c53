"""What tests ask the system about processes, and waiting for what must come."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Long: a busy machine, or one that stops a process for seconds, must not fail a test. What holds is
# seen at once, so that only a failure takes so long.
LIMIT_S = 120.0
#: The command, with Ctrl-C at work. A shell's background job ignores SIGINT, and its children do.
INTERRUPTIBLE = (
    *(sys.executable, "-c"),
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from edgecap.cli import main; main()",
)


def wait_for(
    what: Callable[[], object], limit_s: float = LIMIT_S, *, every_s: float = 0.01
) -> None:
    """Until it holds; fails when it does not."""
    end_s = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(every_s)


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        pass
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def children(pid: int) -> list[int]:
    """The processes that it started and that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found
