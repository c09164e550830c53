"""A folder of recordings: nothing half-written in it, and no more than was allowed."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from edgecap.durable import sync_folder
from edgecap.errors import FlightError
from edgecap.flight.tape import SUFFIX

_PREFIX = "edgecap-"
_BESIDE = re.compile(rf"\.{_PREFIX}.*\.(\d+)-\d+\.tmp")
# Nothing takes so long to write: what is older was left by a process that ended.
_ABANDONED_S = 600.0
_serial = itertools.count()
_under_way: set[str] = set()
_lock = threading.Lock()


class TapeFolder:
    """Where recordings are kept; the oldest are removed for new ones.

    Only files that a recorder named are counted and removed. Several processes may share a folder.

    Args:
      path: made if it does not exist.
      max_files, max_bytes: how much is kept.

    Raises:
      FlightError: the folder cannot be made or written to.
    """

    def __init__(self, path: str | Path, *, max_files: int, max_bytes: int) -> None:
        self.path = Path(path)
        self._max_files, self._max_bytes = max_files, max_bytes
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FlightError(f"cannot make the folder {path}: {error.strerror}") from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise FlightError(f"no permission to write to the folder {path}")
        self._clear()

    def write(self, reason: str, nbytes: int, write: Callable[[BinaryIO], None]) -> Path:
        """Writes beside, forces it to the disk, then renames: all or nothing.

        Args:
          reason: becomes part of the name.
          nbytes: how large it will be, at most.
          write: given the open file.

        Raises:
          FlightError: larger than all that may be kept.
          OSError: it cannot be written; nothing is left of it.
        """
        if nbytes > self._max_bytes:
            raise FlightError(
                f"a recording of {nbytes} bytes is larger than the {self._max_bytes} that may be "
                "kept. Raise max_bytes, or record fewer seconds"
            )
        self._make_room(nbytes)
        path = self.path / _name(reason)
        beside = path.with_name(f".{path.name}.{os.getpid()}-{next(_serial)}.tmp")
        with _lock:
            _under_way.add(beside.name)
        try:
            with beside.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        finally:
            with _lock:
                _under_way.discard(beside.name)
        sync_folder(self.path)
        return path

    def tapes(self) -> list[Path]:
        """The recordings, oldest first."""
        return [path for path, _ in self._kept()]

    def _kept(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self.path.glob(f"{_PREFIX}*{SUFFIX}"):
            with contextlib.suppress(OSError):  # another process has just removed it
                found.append((path, path.stat()))
        return sorted(found, key=lambda entry: (entry[1].st_mtime_ns, entry[0].name))

    def _make_room(self, nbytes: int) -> None:
        kept = self._kept()
        total = sum(status.st_size for _, status in kept)
        count = len(kept)
        for path, status in kept:
            if count < self._max_files and total + nbytes <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            count, total = count - 1, total - status.st_size

    def _clear(self) -> None:
        """Removes what processes that were killed had begun to write."""
        for path in self.path.glob(f".{_PREFIX}*.tmp"):
            match = _BESIDE.fullmatch(path.name)
            with contextlib.suppress(OSError):
                if match and not _is_written(path, int(match[1])):
                    path.unlink(missing_ok=True)


def _is_written(path: Path, pid: int) -> bool:
    """Whether a process is writing this now."""
    if pid == os.getpid():
        # In a container every process may have this number.
        with _lock:
            return path.name in _under_way
    if time.time() - path.stat().st_mtime > _ABANDONED_S:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _name(reason: str) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    slug = re.sub(r"[^a-z0-9]+", "-", reason.lower()).strip("-")[:40]
    # The number keeps two recordings of one instant apart; the process, those of two processes.
    stamp = f"{now:%Y%m%dT%H%M%S}-{now.microsecond // 1000:03}"
    return f"{_PREFIX}{stamp}-{os.getpid()}-{next(_serial)}-{slug}{SUFFIX}"
