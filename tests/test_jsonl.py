"""JSON lines through months: full disks, rotation, restarts, readers that leave."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from edgecap.errors import ReaderGoneError, SinkError
from edgecap.notices import Notice
from edgecap.sinks.jsonl import JsonLines
from tests.runs import LABELS, result, run_info


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text("utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_notice_is_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLines(str(path), LABELS)
    sink.write(result(0))
    sink.notice(Notice("gap", "no frame for 3.0 s: state reset", 1.25, "door"))
    sink.close()
    assert lines(path)[1] == {
        "notice": "gap",
        "told": "no frame for 3.0 s: state reset",
        "timestamp_s": 1.25,
        "camera": "door",
    }


def test_the_camera_is_told_where_there_are_several_and_the_latency_where_there_is_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.jsonl"
    for cameras in (("door",), ("door", "yard")):
        sink = JsonLines(str(path), LABELS)
        sink.begin(run_info(*cameras))
        sink.write(result(0, camera="door"))
        sink.write(result(0, camera=cameras[-1], latency_ms=12.3456))
        sink.close()
        first, second = lines(path)
        assert "latency_ms" not in first and second["latency_ms"] == 12.35
        assert second.get("camera") == ("yard" if len(cameras) > 1 else None)


def test_a_file_is_gone_on_with_and_the_half_line_of_a_power_cut_is_not_kept(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"frame": 0}\n{"frame": 1, "lab')
    sink = JsonLines(str(path), LABELS, append=True)
    sink.write(result(7))
    sink.close()
    assert [line["frame"] for line in lines(path)] == [0, 7]


def test_a_file_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk\nbread")
    with pytest.raises(SinkError, match="expected JSON lines; it ends with b'bread'"):
        JsonLines(str(path), LABELS, append=True)
    assert path.read_text() == "milk\nbread"


def test_files_of_bounded_size_follow_each_other_and_no_line_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLines(str(path), LABELS, max_bytes=1000, backups=20)
    for index in range(60):
        sink.write(result(index))
    sink.close()
    parts = sorted(tmp_path.iterdir(), key=lambda p: -int(p.suffix[1:] if p != path else 0))
    assert len(parts) > 5
    assert all(part.stat().st_size <= 1000 for part in parts)
    assert [line["frame"] for part in parts for line in lines(part)] == list(range(60))


def test_old_files_are_given_up_when_there_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLines(str(path), LABELS, max_bytes=500, backups=2)
    for index in range(60):
        sink.write(result(index))
    sink.close()
    assert {p.name for p in tmp_path.iterdir()} == {"out.jsonl", "out.jsonl.1", "out.jsonl.2"}
    assert lines(path)[-1]["frame"] == 59


def test_a_file_that_another_program_has_emptied_is_gone_on_with_at_its_beginning(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLines(str(path), LABELS)
    sink.write(result(0))
    os.truncate(path, 0)
    sink.write(result(1))
    sink.close()
    assert [line["frame"] for line in lines(path)] == [1]


# A limit of the process and not of the disk, but the kernel's answer comes in the same way: a part
# of the line is written, and then nothing more.
_LIMITED = """
import resource, sys
from edgecap.errors import SinkError
from edgecap.sinks.jsonl import JsonLines
from tests.runs import LABELS, result
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
sink = JsonLines(sys.argv[1], LABELS)
written = 0
try:
    while True:
        sink.write(result(written))
        written += 1
except SinkError as error:
    print(error)
with open(sys.argv[1], "rb") as file:
    assert file.read().endswith(b"}\\n"), "half a line"
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
sink.write(result(written))
sink.close()
print(written)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_where_no_more_can_be_written_whole_lines_stay_and_the_next_follows(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.jsonl"
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    told, written = done.stdout.splitlines()
    assert "cannot write" in told
    assert int(written) > 3
    assert [line["frame"] for line in lines(path)] == list(range(int(written) + 1))


_FULL = """
import pathlib, sys
from edgecap.errors import SinkError
from edgecap.sinks.jsonl import JsonLines
from tests.runs import LABELS, result
folder = pathlib.Path(sys.argv[1])
path, ballast = folder / "out.jsonl", folder / "ballast"
sink = JsonLines(str(path), LABELS)
sink.write(result(0))
with ballast.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError as error:
        assert "No space" in str(error), error
written = 1
try:
    while True:
        sink.write(result(written))
        written += 1
except SinkError as error:
    assert "No space left on device" in str(error), error
assert path.read_bytes().endswith(b"}\\n"), "half a line"
ballast.unlink()
sink.write(result(written))
sink.close()
print(written)
print(path.read_text(), end="")
"""


def test_a_full_file_system_leaves_whole_lines_and_takes_the_next_when_there_is_room(
    tmp_path: Path,
) -> None:
    # A file system of our own, in a namespace of our own: no privileges are needed.
    mount = f"mount -t tmpfs -o size=256k tmpfs {shlex.quote(str(tmp_path))}"
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*alone, mount], check=False).returncode:
        pytest.skip("needs user namespaces")
    root = Path(__file__).parent.parent
    python = shlex.join([sys.executable, "-c", _FULL, str(tmp_path)])
    done = subprocess.run(
        [*alone, f"{mount} && {python}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    written, *rest = done.stdout.splitlines()
    assert int(written) > 3
    assert [json.loads(line)["frame"] for line in rest] == list(range(int(written) + 1))


def test_the_reader_of_a_named_pipe_gets_every_line_and_may_leave(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []

    def read_two() -> None:
        with pipe.open(encoding="utf-8") as file:
            got.extend(file.readline() for _ in range(2))

    reader = threading.Thread(target=read_two)
    reader.start()
    sink = JsonLines(str(pipe), LABELS)
    with pytest.raises(ReaderGoneError):
        for index in range(100_000):
            sink.write(result(index))
    reader.join()
    sink.close()
    assert [json.loads(line)["frame"] for line in got] == [0, 1]


_UNREAD = """
import sys
from edgecap.sinks.background import Background
from edgecap.sinks.jsonl import JsonLines
from tests.runs import LABELS, result
behind = Background(JsonLines("-", LABELS), name="lines")
for index in range(5000):
    behind.write(result(index))
behind.close(0.2)
print("ended", file=sys.stderr)
"""


def test_a_reader_that_does_not_read_does_not_keep_the_process_from_its_end() -> None:
    root = Path(__file__).parent.parent
    reading, writing = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", _UNREAD],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=300,
        check=False,
    )
    os.close(writing)
    os.close(reading)
    assert done.returncode == 0, done.stderr
    assert "did not end within 0.2 s, left behind" in done.stderr
    assert done.stderr.endswith("ended\n")
