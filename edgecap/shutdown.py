"""SIGINT and SIGTERM end a run in good order, and soon, whatever hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: From the signal to the end, at most.
GRACE_S = 1.9


@contextlib.contextmanager
def stop_on_signals(
    stop: Callable[[], object], *, grace_s: float | None = None
) -> Iterator[threading.Event]:
    """Inside, the first SIGINT or SIGTERM calls ``stop``; a second one ends the process at once.

    ``stop`` is called in a thread of its own: a handler that Python runs between two instructions
    must not wait for a lock that the same thread may hold. Outside the main thread, where Python
    takes no handlers, nothing is done.

    Args:
      stop: makes whatever runs inside come to its end.
      grace_s: if what runs inside has not ended so long after the signal, the process is ended;
        ``None``: it is waited for.

    Returns:
      What is set once a signal has come.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    reader, writer = os.pipe()
    over = threading.Event()
    came: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            os._exit(128 + number)
        os.write(writer, b"s")

    def wait() -> None:
        if os.read(reader, 1) != b"s":
            return
        asked.set()
        stop()
        if grace_s is not None and not over.wait(grace_s):
            _log.error("the run did not end %.1f s after the signal: leaving", grace_s)
            logging.shutdown()
            os._exit(128 + came[0])

    waiting = threading.Thread(target=wait, name="edgecap-stop", daemon=True)
    waiting.start()
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        over.set()
        if not came:
            os.write(writer, b"e")
        waiting.join(1.0)
        if not waiting.is_alive():
            os.close(reader)
            os.close(writer)


@contextlib.contextmanager
def on_signal(name: str, work: Callable[[str], None]) -> Iterator[None]:
    """Inside, a signal calls ``work`` with its name, where the system knows that signal.

    Args:
      name: such as ``SIGUSR1``.
      work: must be safe in a handler: it runs between any two instructions of the main thread.
    """
    number = getattr(signal, name, None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, lambda *_: work(name))
    try:
        yield
    finally:
        signal.signal(number, before)
