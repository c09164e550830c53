"""Writes that survive: whatever stops them, the old file or the new one is there, and whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgecap.errors import ModelFileError


def write_atomically(path: Path, data: bytes) -> None:
    """Writes beside the path, forces it to the disk, then renames: all or nothing.

    Raises:
      ModelFileError: the folder does not exist or cannot be written.
    """
    if not path.name:
        raise ModelFileError(f"cannot write {str(path)!r}: expected the name of a file")
    # Drawn: what a killed process left must not bear the name that one with its number, as all have
    # in a container, will choose.
    beside = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(6).hex()}.tmp")
    try:
        try:
            write_synced(beside, data)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ModelFileError(f"cannot write {path}: {error.strerror or error}") from error
    sync_folder(path.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Writes a new file and forces it to the disk; its name is there by :func:`sync_folder`.

    Raises:
      OSError: it exists, or cannot be written; what was written of it stays.
    """
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Forces names to the disk, so that a rename survives a loss of power too.

    Not every system can be asked for it; where it cannot, the rename comes when it comes: until
    then the old file is there.
    """
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_writable(path: Path) -> None:
    """Tells before a long job whether its result can be written.

    Raises:
      ModelFileError: no such folder, no right to write there, or the path is a folder.
    """
    if not path.name or path.is_dir():
        raise ModelFileError(f"cannot write {str(path)!r}: expected the name of a file")
    if not path.parent.is_dir():
        raise ModelFileError(f"cannot write {path}: no such folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ModelFileError(f"cannot write {path}: no permission to write to {path.parent}")
