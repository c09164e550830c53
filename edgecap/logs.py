"""Logging of the command: levels, a file that does not grow without end, no secrets."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from pathlib import Path

from edgecap.errors import ConfigError
from edgecap.masking import mask_url

LEVELS = ("debug", "info", "warning", "error")
DEFAULT_LEVEL = "warning"
# The file and its predecessors together take six times as much.
_FILE_BYTES, _FILES_BEFORE = 5_000_000, 5
# syslog's priorities, by which `journalctl -p warning` picks lines.
_PRIORITIES = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"), (0, "<7>"))


class MaskingFormatter(logging.Formatter):
    """Masks the secrets of URLs in all that it writes: message, arguments and tracebacks.

    Args:
      with_time: begin each line with date and time.
      priorities: begin each line with syslog's priority, ``<4>``; systemd's journal takes it off.
    """

    def __init__(self, *, with_time: bool = True, priorities: bool = False) -> None:
        time_ = "%(asctime)s.%(msecs)03d " if with_time else ""
        super().__init__(f"{time_}%(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        text = mask_url(super().format(record))
        if not self._priorities:
            return text
        prefix = next(prefix for level, prefix in _PRIORITIES if record.levelno >= level)
        return "\n".join(prefix + line for line in text.splitlines())


def set_up(
    level: str = DEFAULT_LEVEL, *, file: str | Path | None = None, journal: bool | None = None
) -> None:
    """Sends the log of everything in the process to standard error, and to a file if asked for.

    Called again, it replaces what it did before.

    Args:
      level: one of ``LEVELS``; of edgecap. Other packages are heard from ``warning`` up, unless
        the level is ``debug``.
      file: gets the same lines; begun anew at 5 MB, with five predecessors kept.
      journal: whether standard error is systemd's journal, which adds the time and understands
        priorities; by default as systemd says in ``JOURNAL_STREAM``.

    Raises:
      ConfigError: no such level, or the file cannot be written.
    """
    if level not in LEVELS:
        raise ConfigError(f"log level: expected one of {', '.join(LEVELS)}; got {level!r}")
    journal = _is_journal() if journal is None else journal
    on_stderr = logging.StreamHandler()
    on_stderr.setFormatter(MaskingFormatter(with_time=not journal, priorities=journal))
    handlers: list[logging.Handler] = [on_stderr]
    if file is not None:
        try:
            in_file = logging.handlers.RotatingFileHandler(
                file, maxBytes=_FILE_BYTES, backupCount=_FILES_BEFORE, encoding="utf-8"
            )
        except OSError as error:
            raise ConfigError(f"log file: cannot write {file}: {error.strerror}") from error
        in_file.setFormatter(MaskingFormatter())
        handlers.append(in_file)
    # A log that cannot be written (disk full) must not fill standard error with tracebacks.
    logging.raiseExceptions = level == "debug"
    root_level = logging.DEBUG if level == "debug" else logging.WARNING
    logging.basicConfig(level=root_level, handlers=handlers, force=True)
    logging.getLogger("edgecap").setLevel(level.upper())
    # It tells of every font that it looks at.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)


def keep_off_stderr(name: str) -> None:
    """What a logger tells goes to the log file only: standard error has another view of it."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: record.name != name)


def _is_journal() -> bool:
    """Whether standard error is the stream that systemd has connected to the journal."""
    try:
        told = os.environ["JOURNAL_STREAM"]
        status = os.fstat(sys.stderr.fileno())
    except (KeyError, OSError, ValueError, AttributeError):
        return False
    return told == f"{status.st_dev}:{status.st_ino}"
