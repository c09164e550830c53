"""Writes that survive: beside, forced to the disk, renamed, and the name forced too."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from edgecap.durable import write_atomically


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be forced to the disk there")
def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a loss of power makes of another order: an empty file, or the old one after all."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "bytes")

    def renamed(self: Path, target: Path) -> Path:
        assert self.read_bytes() == b"new"
        done.append("renamed")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_atomically(tmp_path / "metrics.json", b"new")
    assert done == ["bytes", "renamed", "folder"]


def test_what_a_killed_writer_left_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next writer may have the number of the killed one: in containers it often has."""
    path = tmp_path / "checkpoint.npz"
    seen: list[Path] = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        seen.extend(tmp_path.glob(".*.tmp"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    write_atomically(path, b"the first")
    left, *_ = seen
    left.write_bytes(b"ha")
    write_atomically(path, b"the second")
    assert path.read_bytes() == b"the second"
    assert left.read_bytes() == b"ha", "another process might be writing it"
