"""One JSON object per processed frame, and one per notice."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecap.errors import ReaderGoneError, SinkError
from edgecap.notices import Notice
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sinks.records import notice_record, result_record

# The longest line that is looked for at the end of a file which is gone on with.
_LONGEST_LINE = 1 << 20


class JsonLines(Sink):
    """Writes ``frame``, ``timestamp_s`` and the answer; a reader sees each line at once.

    * Classification: ``label``, ``score``, ``probabilities`` (label → number) and ``event``,
      which is ``null`` or an object with ``label``, ``kind`` and ``score``.
    * Captions: ``caption``, ``score``, and ``written``: whether it is about this very frame.
    * Multi-label: ``label``, ``score``, ``probabilities``, ``active`` (the labels under way) and
      ``events``, a list of such objects.
    * Regression: ``values`` (label → number).
    * ``settled`` is ``false`` on the first frames after a reset.
    * ``camera``, where there are several; ``latency_ms``, where the source is live.
    * A notice is a line of its own: ``notice`` (its kind), ``told``, ``timestamp_s``, ``camera``.

    A line is in the file as a whole or not at all: what a full disk took of one is cut off again,
    so that the same line can be tried once more.

    Args:
      path: a file, or ``-`` for standard output. A named pipe is opened with the first line, which
        waits for its reader.
      labels: the model's.
      append: go on with an old file instead of replacing it; a half line at its end, left by a
        power cut, is cut off.
      max_bytes: a file that would grow beyond this is renamed to ``path.1`` (that one to
        ``path.2``, and so on) and a new one begun.
      backups: so many renamed files are kept.

    Raises:
      SinkError: the file cannot be opened, or, when writing, not be written.
      ReaderGoneError: when writing: whoever read our standard output or pipe has gone.
    """

    uses_images = False

    def __init__(
        self,
        path: str,
        labels: Sequence[str],
        *,
        append: bool = False,
        max_bytes: int | None = None,
        backups: int = 3,
    ) -> None:
        if max_bytes is not None and (max_bytes < 1 or backups < 1):
            raise SinkError(
                f"JSON lines: expected max_bytes and backups of 1 or more; got {max_bytes}, "
                f"{backups}"
            )
        self._path, self._labels = path, labels
        self._max_bytes, self._backups = max_bytes, backups
        self._with_camera = False
        self._own = path != "-"
        self._fd: int | None = None
        self._regular = False
        if not self._own:
            if sys.stdout is None:
                raise SinkError("cannot write to standard output: it is closed")
            # Below Python's buffer: a thread that hangs there would hold its lock at the end.
            with contextlib.suppress(OSError, io.UnsupportedOperation):
                sys.stdout.flush()
                self._fd = sys.stdout.fileno()
        elif not _is_pipe(path):
            try:
                self._open(fresh=not append)
            except OSError as error:
                raise SinkError(f"cannot write {path}: {error.strerror}") from error

    def begin(self, run: RunInfo) -> None:
        self._with_camera = len(run.cameras) > 1

    def write(self, result: Result) -> None:
        self._line(result_record(result, self._labels, with_camera=self._with_camera))

    def notice(self, notice: Notice) -> None:
        self._line(notice_record(notice))

    def close(self) -> None:
        if self._own and self._fd is not None:
            # What could not be written was reported when it was.
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None

    def _line(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False) + "\n"
        try:
            if self._fd is None and not self._own:
                # A stand-in for standard output, as in tests.
                sys.stdout.write(line)
                sys.stdout.flush()
                return
            data = line.encode("utf-8", "replace")
            if self._fd is None:
                self._open(fresh=False)
            if self._max_bytes is not None and self._regular:
                self._rotate(len(data))
            assert self._fd is not None
            self._write(self._fd, data)
        except BrokenPipeError as error:
            raise ReaderGoneError("the reader of the JSON lines has gone") from error
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from error

    def _open(self, *, fresh: bool) -> None:
        # Appending: also after another program has cut the file, as logrotate does.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0)
        fd = os.open(self._path, flags, 0o666)
        self._fd, self._regular = fd, stat.S_ISREG(os.fstat(fd).st_mode)
        if self._regular and not fresh:
            _cut_half_line(self._path, fd)

    def _write(self, fd: int, data: bytes) -> None:
        size = os.fstat(fd).st_size if self._regular else 0
        left = memoryview(data)
        try:
            while left:
                try:
                    left = left[os.write(fd, left) :]
                except BlockingIOError:
                    select.select([], [fd], [])
        except OSError:
            if self._regular and len(left) < len(data):
                os.ftruncate(fd, size)
            raise

    def _rotate(self, more: int) -> None:
        assert self._fd is not None and self._max_bytes is not None
        size = os.fstat(self._fd).st_size
        if size == 0 or size + more <= self._max_bytes:
            return
        for number in range(self._backups, 0, -1):
            older = Path(f"{self._path}.{number - 1}" if number > 1 else self._path)
            if older.exists():
                older.replace(f"{self._path}.{number}")
        os.close(self._fd)
        self._fd = None
        self._open(fresh=False)


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(Path(path).stat().st_mode)
    except OSError:
        return False


def _cut_half_line(path: str, fd: int) -> None:
    """Cuts what a power cut or a kill left of a last line.

    Raises:
      SinkError: the file ends with something else.
    """
    size = os.fstat(fd).st_size
    with Path(path).open("rb") as file:
        file.seek(max(0, size - _LONGEST_LINE))
        tail = file.read()
    rest = tail[tail.rfind(b"\n") + 1 :]
    if not rest:
        return
    if not rest.startswith(b"{") or len(rest) == _LONGEST_LINE:
        os.close(fd)
        raise SinkError(
            f"cannot go on with {path}: expected JSON lines; it ends with {rest[:20]!r}"
        )
    os.ftruncate(fd, size - len(rest))
