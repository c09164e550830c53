"""How much the cache may hold, where it is, and what goes when it is full."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

# What others used this recently stays; temporary files untouched for so long belong to the dead.
_IN_USE_S = 3600.0


def default_cache() -> Path:
    """``$EDGECAP_CACHE``, or ``edgecap`` in the user's cache folder."""
    chosen = os.environ.get("EDGECAP_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "edgecap"


class Budget:
    """How many bytes the folder holds, and what may go when it is full."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._used = 0
        # Oldest last.
        self._old: list[tuple[Path, int]] = []
        self.survey(keep=set())

    def survey(self, *, keep: set[str]) -> None:
        """Counts what is there; what is old and not to be kept may be removed."""
        now = time.time()
        used = 0
        old: list[tuple[float, Path, int]] = []
        for path in self._folder.glob("??/*"):
            try:
                stat = path.stat()
                if path.suffix == ".tmp":
                    if now - stat.st_mtime > _IN_USE_S:
                        path.unlink(missing_ok=True)
                    continue
            except OSError:
                # Another process was faster.
                continue
            used += stat.st_size
            if path.stem not in keep and now - stat.st_atime > _IN_USE_S:
                old.append((stat.st_atime, path, stat.st_size))
        with self._lock:
            self._used = used
            self._old = [(path, size) for _, path, size in sorted(old, reverse=True)]

    def reserve(self, count: int) -> bool:
        """Whether so many bytes may be written; removes old entries for them."""
        with self._lock:
            while self._used + count > self._limit and self._old:
                path, size = self._old.pop()
                _unlink(path)
                self._used -= size
            if self._used + count > self._limit:
                return False
            self._used += count
            return True

    def fits(self, count: int) -> bool:
        """Whether so many bytes could be written now."""
        with self._lock:
            free = self._limit - self._used
            return count <= free + sum(size for _, size in self._old)

    def give_back(self, count: int) -> None:
        with self._lock:
            self._used -= count

    def remove(self, path: Path) -> None:
        """Removes an entry, if it is there."""
        try:
            size = path.stat().st_size
        except OSError:
            return
        if _unlink(path):
            self.give_back(size)


def touch(path: Path) -> None:
    """Notes that an entry was used; its time of change stays, by which it is known to be whole."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except OSError:
        return


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        # Gone already, or, on some systems, in use.
        return False
    return True
