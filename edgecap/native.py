"""What native code writes past Python."""

from __future__ import annotations

import contextlib
import os
import sys

# What threading itself gives out, without the rest of it: a cold start waits for every module.
from _thread import RLock
from collections.abc import Iterator
from typing import IO

_STDOUT, _STDERR = 1, 2
_lock = RLock()


@contextlib.contextmanager
def native_stderr_to_log(*, stdout: bool = False) -> Iterator[None]:
    """Sends what native code writes to stderr to the log (level DEBUG) while the block runs.

    TFLite runtimes announce their delegates, and decoders their troubles, on file descriptor 2,
    with no switch to turn it off; a live view would be torn by it.

    Args:
      stdout: the same for standard output.
    """
    descriptors = [_STDERR, _STDOUT] if stdout else [_STDERR]
    # Descriptors belong to the process: two of these at once would put back each other's.
    with _lock, contextlib.ExitStack() as stack:
        try:
            captured = stack.enter_context(_temporary())
            saved = []
            for descriptor in descriptors:
                saved.append(os.dup(descriptor))
                stack.callback(os.close, saved[-1])
        except OSError:
            # No folder for temporary files, or the streams are closed: then nothing is captured.
            yield
            return
        _flush()
        for descriptor in descriptors:
            os.dup2(captured.fileno(), descriptor)
        try:
            yield
        finally:
            _flush()
            for descriptor, copy in zip(descriptors, saved, strict=True):
                os.dup2(copy, descriptor)
            captured.seek(0)
            _log(captured.read())


def _temporary() -> IO[bytes]:
    """A file without a name."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("edgecap-stderr"), "r+b")
    import tempfile

    return tempfile.TemporaryFile()


def _log(written: bytes) -> None:
    if "logging" not in sys.modules:
        # Then nobody can listen, and a cold start need not wait for it to be imported.
        return
    import logging

    log = logging.getLogger(__name__)
    for line in written.decode("utf-8", "replace").splitlines():
        log.debug("%s", line)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
