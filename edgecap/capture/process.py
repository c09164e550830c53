"""A camera's process, as its parent sees it: started, asked, killed."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import edgecap
from edgecap.capture.device import Opener
from edgecap.capture.slots import Slots
from edgecap.capture.waiting import wait_readable
from edgecap.errors import SourceError
from edgecap.masking import mask_url
from edgecap.preprocess import Image

_log = logging.getLogger(__name__)
# A camera that is not stuck is given back in this time; then it is killed, and has that time to go.
_QUIT_S, _KILL_S = 0.4, 0.4
# A process that has nothing more to say ends its output in this time, also on a busy machine.
_WORDS_S = 1.0
# Lines of what native code said last, for the message about what went wrong.
_LAST_LINES = 3
_MAX_LINE, _MOST_LINES = 400, 20
# OpenCV's, of who speaks and how loud.
_PREFIX = re.compile(r"\[OPENCV:FFMPEG:\d+\]\s*")


class CameraProcess:
    """One run of :mod:`edgecap.capture.worker`.

    Args:
      opener: what it opens.
      name: of the camera in the log; no secrets.

    Attributes:
      pid: of the process.

    Raises:
      SourceError: no process can be started.
    """

    def __init__(self, opener: Opener, name: str) -> None:
        self._name = name
        self._buffer = b""
        self._descriptors: deque[int] = deque()
        self._slots: Slots | None = None
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._gone = self._closed = False
        with contextlib.ExitStack() as opened:
            try:
                self._socket, theirs = (opened.enter_context(s) for s in socket.socketpair())
                lifeline, self._lifeline = os.pipe()
                opened.callback(os.close, self._lifeline)
                with theirs, _closing(lifeline):
                    self._output, output = os.pipe()
                    opened.callback(os.close, self._output)
                    with _closing(output):
                        # Who writes more than is read loses lines; it never waits.
                        os.set_blocking(output, False)
                        os.set_blocking(self._output, False)
                        self._process = _start(theirs.fileno(), lifeline, output)
            except OSError as error:
                raise SourceError(f"{name}: no process for the camera: {error.strerror}") from error
            self._opened = opened.pop_all()
        self.pid = self._process.pid
        self._send({"opener": opener.as_json(), "parent": os.getpid()})

    def last_words(self, *, ending: bool) -> str:
        """What native code wrote last, in one line; without secrets.

        Args:
          ending: the process is about to end. What it said may still be in its buffers, and comes
            out with the end, which is waited for, a moment, unless something was said already.
        """
        deadline_s = time.monotonic() + (_WORDS_S if ending else 0.0)
        while self._drain_output() and not self._last_lines:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not wait_readable([self._output], left_s):
                break
        return "; ".join(self._last_lines)

    def want(self, after: int) -> None:
        """Asks for the newest frame later than index ``after``; one is sent, when there is one.

        The frame that was sent before may be overwritten from now on.
        """
        self._send({"want": after})

    def receive(self, timeout_s: float | None, waker: int) -> dict[str, Any] | None:
        """The next message; ``{"gone": …}`` says how the process ended.

        Args:
          timeout_s: so long at most.
          waker: a descriptor that ends the wait.

        Returns:
          ``None``: no message in time, or woken.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                message: dict[str, Any] = json.loads(line)
                if "block" in message:
                    self._map(**message["block"])
                    continue
                return message
            if self._gone:
                return {"gone": self._how_it_ended()}
            wait_s = None if deadline_s is None else deadline_s - time.monotonic()
            ready = wait_readable([self._socket.fileno(), self._output, waker], wait_s)
            if self._output in ready:
                self._drain_output()
            if self._socket.fileno() in ready:
                self._read()
            elif waker in ready or not ready:
                return None

    def image(self, slot: int) -> Image:
        """A copy of the frame in a slot that was sent, ``(h, w, 3)`` uint8 RGB."""
        assert self._slots is not None, "the block comes before its first frame"
        return self._slots[slot].copy()

    def kill(self) -> None:
        """Ends the process at once; ``close`` is still to be called."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process, by force if it must be; within a second. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._send({"quit": True})
        if not self._ends_within(_QUIT_S):
            _log.debug("%s: the camera's process hangs and is killed", self._name)
            self._process.kill()
            if not self._ends_within(_KILL_S):
                # Inside a driver that does not let go; the kernel ends it when it does.
                _log.warning("%s: the camera's process cannot be killed yet", self._name)
        self._drain_output()
        self._slots = None
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._opened.close()
        # The number may be somebody else's file by now.
        self._output = -1

    def _ends_within(self, timeout_s: float) -> bool:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _send(self, message: dict[str, Any]) -> None:
        # It may be gone; receive() tells.
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _read(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 16, 4)
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors.extend(descriptors)
        self._buffer += data
        self._gone = not data

    def _map(self, height: int, width: int) -> None:
        descriptor = self._descriptors.popleft()
        with _closing(descriptor):
            self._slots = Slots(descriptor, height, width)

    def _how_it_ended(self) -> str:
        if not self._ends_within(_KILL_S):
            return "the camera's process does not answer"
        code = self._process.returncode
        if code < 0:
            return f"the camera's process was ended by {_signal_name(-code)}"
        return f"the camera's process ended with status {code}"

    def _drain_output(self) -> bool:
        """Reads what was written; ``False`` when nothing will come any more."""
        # One pipe's worth: a decoder in trouble may write faster than anyone reads.
        try:
            data = os.read(self._output, 1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        lines = list(filter(None, map(str.strip, data.decode("utf-8", "replace").splitlines())))
        told = [mask_url(_PREFIX.sub("", line))[:_MAX_LINE] for line in lines[-_MOST_LINES:]]
        self._last_lines.extend(filter(None, told))
        for line in told:
            _log.debug("%s: %s", self._name, line)
        if len(lines) > len(told):
            _log.debug("%s: … and %d lines before", self._name, len(lines) - len(told))
        return bool(data)


def _start(connection: int, lifeline: int, output: int) -> subprocess.Popen[bytes]:
    root = str(Path(edgecap.__file__).parent.parent)
    paths = [root, *(str(Path(p or ".").absolute()) for p in sys.path)]
    environment = {
        **os.environ,
        # Decoders say why, and their words go to the log: not silenced as in this process.
        "OPENCV_FFMPEG_LOGLEVEL": "16",
        "OPENCV_LOG_LEVEL": "ERROR",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        # A file in the current folder must not stand for a module.
        "PYTHONSAFEPATH": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "edgecap.capture.worker", str(connection), str(lifeline)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(connection, lifeline),
        env=environment,
        # Ctrl-C in a terminal goes to all of a session: ending the camera is for us alone.
        start_new_session=True,
    )


@contextlib.contextmanager
def _closing(descriptor: int) -> Any:
    try:
        yield
    finally:
        os.close(descriptor)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
