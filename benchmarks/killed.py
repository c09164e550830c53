"""What can still be read of each file when its writer is killed (SIGKILL) in the middle.

    python benchmarks/killed.py [--results 300] [--json FILE]

For each kind of file a process of its own streams a scene (640×480, the packaged model) into the
sink and kills itself, with nothing in between, after N results, and again after N + 7, N + 14 … The
file is then read as a user would. A power cut may take more: what the kernel has not yet written.
It takes some two minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import record

import edgecap
from edgecap.assets import resolve_model
from edgecap.health import Monitor
from edgecap.sinks.base import Result, RunInfo, Sink
from edgecap.sinks.jsonl import JsonLines
from edgecap.sinks.video import CODECS, Video
from edgecap.sources.base import Frame
from edgecap.synthetic import Scene

# Where the last picture falls within what an encoder or a container holds back is chance.
_KILLS, _FURTHER = 5, 7
_CHILD = "--child"
_HEIGHT, _WIDTH = 480, 640
_LINES = ".jsonl"


def write_and_die(path: Path, results: int) -> None:
    """Streams into the file; does not return."""
    model = edgecap.load(resolve_model("demo"))
    stream = model.stream()
    kind: Callable[..., Sink] = JsonLines if path.suffix == _LINES else Video
    sink = kind(str(path), model.labels)
    sink.begin(RunInfo(model.spec, ("scene",), Monitor().health))
    scene = Scene(seed=3, height=_HEIGHT, width=_WIDTH, rate_hz=model.spec.rate_hz)
    for index, seen in enumerate(scene):
        if index == results:
            break
        time_s = index / model.spec.rate_hz
        prediction = stream.step(seen.image, time_s)
        sink.write(Result(Frame(index, time_s, seen.image), prediction, step_ms=1.0))
    os.kill(os.getpid(), signal.SIGKILL)


def readable(path: Path) -> int:
    """How many results the file gives back."""
    if path.suffix == _LINES:
        return sum(_is_whole(line) for line in path.read_text("utf-8").splitlines())
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


def _is_whole(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def measure(suffix: str, results: int, folder: Path) -> dict[str, Any]:
    """Kills the writer of such a file some times."""
    rows = []
    for number in range(_KILLS):
        path = folder / f"killed-{number}{suffix}"
        written = results + number * _FURTHER
        done = subprocess.run(
            [sys.executable, __file__, _CHILD, str(path), str(written)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != -signal.SIGKILL:
            sys.exit(f"killed: expected the writer to die of SIGKILL; {done.stderr[-500:]}")
        rows.append({"written": written, "readable": readable(path), "bytes": path.stat().st_size})
    lost = [row["written"] - row["readable"] for row in rows]
    return {"kills": rows, "lost_least": min(lost), "lost_most": max(lost)}


def main() -> None:
    if sys.argv[1:2] == [_CHILD]:
        write_and_die(Path(sys.argv[2]), int(sys.argv[3]))
    parser = record.parser(__doc__)
    parser.add_argument("--results", type=int, default=300)
    arguments = parser.parse_args()
    if arguments.results < 1:
        parser.error(f"--results: expected 1 or more; got {arguments.results}")
    folder = Path(tempfile.mkdtemp())
    try:
        files = {suffix: measure(suffix, arguments.results, folder) for suffix in (_LINES, *CODECS)}
    finally:
        shutil.rmtree(folder)
    rate_hz = edgecap.load(resolve_model("demo")).spec.rate_hz
    size = f"{_WIDTH}x{_HEIGHT}"
    record.publish({"pictures": size, "rate_hz": rate_hz, "files": files}, arguments)


if __name__ == "__main__":
    main()
