"""What is known of files without reading them again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from pathlib import Path

from edgecap.sources.folder import list_images

_READ_BYTES = 1 << 20
# A file that changed this recently may change again within the same tick of the file system's
# clock; what is known of it is not kept.
_YOUNG_S = 2.0
_LOCK_S = 30.0


class Memo:
    """Facts by key, in a SQLite file that many processes share.

    A fact holds while its signature does. Without the file (a read-only folder, a damaged one that
    cannot be replaced) nothing is remembered, which costs time and no more.

    Args:
      path: the file; made where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._base = _open(path)

    def get(self, key: str, signature: str) -> str | None:
        """The fact, or ``None`` where none is known under this signature."""
        if self._base is None:
            return None
        try:
            with self._lock:
                row = self._base.execute(
                    "SELECT fact FROM facts WHERE key = ? AND signature = ?", (key, signature)
                ).fetchone()
        except sqlite3.Error:
            return None
        return str(row[0]) if row else None

    def put(self, key: str, signature: str, fact: str) -> None:
        """Remembers a fact; takes the place of an older one."""
        if self._base is None:
            return
        try:
            with self._lock:
                self._base.execute(
                    "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (key, signature, fact)
                )
        except sqlite3.Error:
            return


def content_digest(path: Path, memo: Memo) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of a folder's images.

    Raises:
      OSError: it cannot be read.
    """
    files = list_images(path) if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    signature = hashlib.sha256(
        repr(
            [(f.name, s.st_size, s.st_mtime_ns) for f, s in zip(files, stats, strict=True)]
        ).encode("utf-8", "surrogateescape")
    ).hexdigest()
    key = f"content {path.resolve()}"
    known = memo.get(key, signature)
    if known is not None:
        return known
    digest = hashlib.sha256()
    for file, stat in zip(files, stats, strict=True):
        if path.is_dir():
            name = file.name.encode("utf-8", "surrogateescape")
            digest.update(b"%d %s %d " % (len(name), name, stat.st_size))
        with file.open("rb") as stream:
            while block := stream.read(_READ_BYTES):
                digest.update(block)
    found = digest.hexdigest()
    if time.time() - max((s.st_mtime for s in stats), default=0.0) > _YOUNG_S:
        memo.put(key, signature, found)
    return found


def _open(path: Path) -> sqlite3.Connection | None:
    for attempt in range(2):
        try:
            base = sqlite3.connect(
                os.fspath(path), timeout=_LOCK_S, isolation_level=None, check_same_thread=False
            )
            # Losing the last facts in a crash is no loss.
            base.execute("PRAGMA synchronous = OFF")
            base.execute(
                "CREATE TABLE IF NOT EXISTS facts "
                "(key TEXT PRIMARY KEY, signature TEXT NOT NULL, fact TEXT NOT NULL)"
            )
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError:
            # Damaged: begin anew, once.
            if attempt:
                return None
            try:
                path.unlink(missing_ok=True)
            except OSError:
                return None
        else:
            return base
    return None
