"""The process that owns a camera: ``python -m edgecap.capture.worker SOCKET LIFELINE``.

Started by :mod:`edgecap.capture.process`, never by hand. What to open comes through the socket and
not as an argument, as everyone may read a process's arguments and a URL may hold a password. It
ends when it is told to, when the camera is lost, and when its parent is gone, however it went.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from edgecap.capture.device import Device, Opener, Picture
from edgecap.capture.mailbox import Mailbox
from edgecap.capture.waiting import wait_readable
from edgecap.errors import MissingDependencyError, SourceError
from edgecap.preprocess import Image, check_frame, resize
from edgecap.spec import CAMERA_SCALE, InputSpec, TensorSpec

#: So many frames in a row that cannot be decoded, and the camera is opened again.
MAX_CORRUPT = 30
_PARENT_CHECK_S = 1.0


def main(arguments: list[str]) -> int:
    """Runs the worker.

    Args:
      arguments: descriptors of the socket and of the lifeline.

    Returns:
      The exit status; what happened has gone through the socket.
    """
    # Ctrl-C is for the parent, which then tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=int(arguments[0]))
    _die_with_parent(int(arguments[1]))
    link = _Link(connection)
    request = link.receive()
    if request is None:
        return 0
    mailbox = Mailbox(link.send)
    quitting = threading.Event()
    watch = threading.Thread(
        target=_listen, args=(link, mailbox, quitting, request["parent"]), daemon=True
    )
    watch.start()
    opener = Opener(**request["opener"])
    try:
        device = opener.open()
    except (SourceError, MissingDependencyError) as error:
        missing = isinstance(error, MissingDependencyError)
        link.send({"failed": str(error), "missing": missing})
        return 1
    except Exception as error:
        link.send({"failed": f"{type(error).__name__}: {error}", "missing": False})
        return 1
    link.send({"opened": {"rate_hz": device.rate_hz}})
    if "cv2" in sys.modules:
        # A small computer's cores are for the model; decoders have threads of their own.
        sys.modules["cv2"].setNumThreads(1)
    try:
        _read(device, _spec(opener), mailbox, quitting)
    except EOFError:
        mailbox.finish()
    except SourceError as error:
        link.send({"lost": str(error)})
    except Exception as error:  # a device of someone else's may raise anything
        link.send({"lost": f"{type(error).__name__}: {error}"})
    finally:
        # What it was is told already; how it goes is nobody's concern.
        with contextlib.suppress(Exception):
            device.close()
    # The last frame may not have been taken yet: the parent says when it is done.
    quitting.wait()
    return 0


def _read(
    device: Device, spec: InputSpec | None, mailbox: Mailbox, quitting: threading.Event
) -> None:
    index = corrupt = in_a_row = 0
    while not quitting.is_set():
        picture = device.read()
        if picture is None:
            corrupt, in_a_row = corrupt + 1, in_a_row + 1
            if in_a_row > MAX_CORRUPT:
                raise SourceError(f"{in_a_row} frames in a row could not be decoded")
        else:
            in_a_row = 0
            check_frame(picture.image)
            if not math.isfinite(picture.timestamp_s):
                # Gaps, results and events are made of it.
                raise SourceError(f"expected a time on time.monotonic; got {picture.timestamp_s}")
            image = picture.image if spec is None else resize(picture.image, spec)
            height, width = image.shape[:2]
            _write(picture, image, mailbox.room(height, width))
            mailbox.publish(index, picture.timestamp_s, corrupt)
        index += 1


def _write(picture: Picture, image: Image, room: Image) -> None:
    if picture.color == "rgb":
        room[:] = image
    else:
        # Reversing by a view would be a copy ten times slower.
        from edgecap.extras import require_cv2

        cv2 = require_cv2("to convert colours")
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=room)


def _spec(opener: Opener) -> InputSpec | None:
    if not opener.resize:
        return None
    wanted = dict(opener.resize)
    shape = (1, wanted.pop("height"), wanted.pop("width"), 3)
    return InputSpec(TensorSpec("image", shape, "int8", CAMERA_SCALE), **wanted)


def _listen(link: _Link, mailbox: Mailbox, quitting: threading.Event, parent: int) -> None:
    """Does what the parent says; ends the process at once when there is no parent."""
    while True:
        try:
            said = link.receive(_PARENT_CHECK_S)
        except TimeoutError:
            # The other end may be kept open by a fork of the parent.
            if os.getppid() != parent:
                os._exit(0)
            continue
        if said is None:
            os._exit(0)
        if "want" in said:
            mailbox.want(said["want"])
        else:
            quitting.set()


class _Link:
    """JSON lines over the socket; descriptors ride along."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._buffer = b""

    def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            try:
                if descriptor is None:
                    self._connection.sendall(line)
                else:
                    socket.send_fds(self._connection, [line], [descriptor])
            except OSError:
                # The parent is gone, and so are we in a moment.
                os._exit(0)

    def receive(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """The next message; ``None`` after the last.

        Raises:
          TimeoutError: none in time.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            wait_s = None if deadline_s is None else deadline_s - time.monotonic()
            if not wait_readable([self._connection.fileno()], wait_s):
                raise TimeoutError
            data = self._connection.recv(1 << 16)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message


def _die_with_parent(lifeline: int) -> None:
    """Has the kernel kill this process when the parent's end of the lifeline is closed.

    A pipe that nobody writes to signals its end. With SIGKILL as its signal that needs nothing of
    this process: not a thread that runs, nor the GIL, nor an unblocked signal. (PR_SET_PDEATHSIG
    would fire already when the *thread* ends that started us.)
    """
    if not hasattr(fcntl, "F_SETSIG"):
        # Only Linux has it; elsewhere the thread that listens must do, which needs the GIL.
        return
    os.set_blocking(lifeline, False)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    try:
        if os.read(lifeline, 1) == b"":
            # It went before we had asked.
            os._exit(0)
    except BlockingIOError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
