"""SIGINT and SIGTERM: a good end, soon, whatever hangs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgecap.shutdown import SIGNALS, stop_on_signals
from tests.processes import LIMIT_S

_PROGRAM = """
import sys, threading, time
from edgecap.shutdown import stop_on_signals
stopped = threading.Event()
with stop_on_signals({stop}, grace_s={grace_s}):
    print("ready", flush=True)
    {body}
print("flushed", flush=True)
"""


def started(
    body: str, stop: str = "stopped.set", *, grace_s: float = 2 * LIMIT_S
) -> subprocess.Popen[str]:
    program = _PROGRAM.format(body=body, stop=stop, grace_s=grace_s)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_the_run_in_good_order(number: signal.Signals) -> None:
    process = started("stopped.wait(600)")
    process.send_signal(number)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (0, "flushed\n")


def test_the_second_signal_ends_it_at_once() -> None:
    stop = "lambda: (print('stopping', flush=True), time.sleep(600))"
    process = started("time.sleep(600)", stop=stop)
    process.send_signal(signal.SIGTERM)
    # Two that come before the first is seen are one.
    assert process.stdout is not None
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (128 + signal.SIGTERM, "")


def test_what_hangs_is_left_after_the_grace() -> None:
    # Handlers run in between, but the instruction goes on.
    process = started("time.sleep(600)", stop="lambda: None", grace_s=1.0)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - began > 0.9
    assert "did not end 1.0 s after the signal" in told


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_without_a_signal_nothing_is_left_behind() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    threads, descriptors = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with stop_on_signals(lambda: None):
            assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
