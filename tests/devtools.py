"""A real browser without a window, driven through the DevTools protocol over two pipes."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SWITCHES = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
)
# Chromium reads commands from descriptor 3 and writes to 4.
_START = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); " + (
    "os.execv(sys.argv[3], sys.argv[3:])"
)
_ANSWER_S = 120.0


def find_browser() -> str | None:
    """Path of Chromium or Chrome, if there is one."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """Chromium with a profile of its own; a context manager.

    Args:
      program: see :func:`find_browser`.
      folder: for the profile.
      switches: beside the usual ones.
    """

    def __init__(self, program: str, folder: Path, *switches: str) -> None:
        to_read, self._out = _pipe()
        self._in, to_write = _pipe()
        as_root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        self._process = subprocess.Popen(
            [
                sys.executable,
                *("-c", _START, str(to_read), str(to_write), program),
                *(*_SWITCHES, *as_root, *switches, f"--user-data-dir={folder}", "about:blank"),
            ],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self._number = 0
        self._lock = threading.Lock()
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def open(self, url: str, *, width: int = 1280, height: int = 860, phone: bool = False) -> Tab:
        """A page in a new tab of its own cookies, as large as asked."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call(
            "Target.createTarget", url="about:blank", browserContextId=context, newWindow=True
        )["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setFocusEmulationEnabled", enabled=True)
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=3 if phone else 1,
            mobile=phone,
        )
        tab.call("Page.navigate", url=url)
        return tab

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command and its result."""
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with self._lock:
            self._number += 1
            number = self._number
            self._answers[number] = answers
            message = {"id": number, "method": method, "params": parameters}
            if session is not None:
                message["sessionId"] = session
            os.write(self._out, json.dumps(message).encode() + b"\0")
        try:
            answer = answers.get(timeout=_ANSWER_S)
        except queue.Empty:
            raise AssertionError(f"the browser has not answered to {method}") from None
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> None:
        waiting = b""
        while data := os.read(self._in, 1 << 20):
            *messages, waiting = (waiting + data).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers.pop(message["id"]).put(message)
                elif (tab := self._tabs.get(message.get("sessionId", ""))) is not None:
                    tab.told(message["method"], message["params"])

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            pass
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._reader.join(5)
            os.close(self._out)
            os.close(self._in)


class Tab:
    """One page.

    Attributes:
      target: by which the browser knows it.
      problems: what it has written to the console as a warning or an error, and what it threw.
      asked_for: every address that it has asked for.
    """

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self.target = browser, session, target
        self.problems: deque[str] = deque(maxlen=200)
        self.asked_for: deque[str] = deque(maxlen=5000)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def told(self, method: str, parameters: dict[str, Any]) -> None:
        """Keeps an event of the browser's."""
        if method == "Network.requestWillBeSent":
            self.asked_for.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.problems.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.problems.append(json.dumps(parameters["entry"]))

    def value(self, expression: str) -> Any:
        """What an expression is on the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, *, timeout_s: float = 120.0) -> Any:
        """Waits until a number, text or truth on the page is none of 0, "" and false; gives it."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                if value := self.value(expression):
                    return value
                told = self.value("document.body.innerText")
            except AssertionError as error:
                # While a page is loaded, what is asked for is not there yet.
                told = str(error)
            assert time.monotonic() < until, f"not within {timeout_s} s: {expression}\n{told}"
            time.sleep(0.05)

    def choose(self, selector: str, *files: Path) -> None:
        """Picks files in an ``<input type=file>``, as a person does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def prefer(self, scheme: str) -> None:
        """``dark`` or ``light``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """The page as PNG; all of it, or what is in sight."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self.target)


def _pipe() -> tuple[int, int]:
    """Both ends, above the descriptors that the browser wants for itself."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
