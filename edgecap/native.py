"""What native code writes past Python."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_log = logging.getLogger(__name__)
_STDOUT, _STDERR = 1, 2
_lock = threading.RLock()


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
            captured = stack.enter_context(tempfile.TemporaryFile())
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
            for line in captured.read().decode("utf-8", "replace").splitlines():
                _log.debug("%s", line)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
