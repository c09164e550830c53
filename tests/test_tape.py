"""Recordings on disk: whole or not there, no more than was allowed, and never trusted."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.errors import EdgecapError, FlightError
from edgecap.flight.folder import TapeFolder
from edgecap.flight.recorder import FlightRecorder, Settings
from edgecap.flight.replay import replay
from edgecap.flight.tape import Tape, read_tape
from edgecap.streaming import StreamingModel
from tests.flown import SHORT, scene_frames, step_all, tapes
from tests.processes import LIMIT_S, wait_for


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that does not get the processor is waited for, and so is the next frame."""
    monkeypatch.setattr("edgecap.flight.recorder._CLOSE_S", LIMIT_S)
    monkeypatch.setattr("edgecap.flight.stream_recorder._IDLE_S", 5 * LIMIT_S)


BOUND = 50_000_000


@pytest.fixture(scope="module")
def tape_path(tmp_path_factory: pytest.TempPathFactory, demo_model: StreamingModel) -> Path:
    """One real recording."""
    recorder = FlightRecorder(tmp_path_factory.mktemp("tapes"), SHORT, patient=True)
    stream = demo_model.stream()
    recorder.attach(stream)
    step_all(stream, scene_frames(demo_model, gestures=1))
    recorder.close()
    wait_for(lambda: tapes(recorder))
    (path,) = tapes(recorder)
    return path


def rewrite(
    path: Path, out: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None]
) -> Path:
    """A tape with members or header changed, and digests that fit again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members.pop("tape.json"))
    change(members, header)
    if header.get("digests") is not None:
        header["digests"] = {n: hashlib.sha256(data).hexdigest() for n, data in members.items()}
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr("tape.json", json.dumps(header))
    return out


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


# Nothing but numpy and zipfile is needed to read one.


def test_a_tape_is_read_with_numpy_and_zipfile_alone(tape_path: Path) -> None:
    tape = read_tape(tape_path)
    with zipfile.ZipFile(tape_path) as archive:
        assert archive.testzip() is None
        with archive.open("frames.npy") as file:
            frames = np.load(file, allow_pickle=False)
        header = json.loads(archive.read("tape.json"))
    assert frames.tobytes() == np.asarray(tape.images).tobytes()
    assert header["labels"] == list(tape.header.labels)
    assert tape_path.stat().st_size < frames.nbytes * 1.05


def test_what_is_read_is_what_was_written(tape_path: Path, tmp_path: Path) -> None:
    tape = read_tape(tape_path)
    again = tmp_path / "again.edgetape"
    with again.open("wb") as file:
        tape.write(file)
    assert again.read_bytes() == tape_path.read_bytes()
    assert tape_path.stat().st_size <= tape.nbytes


# A tape that is not what it says.


def test_a_flipped_byte_is_refused(tape_path: Path, tmp_path: Path) -> None:
    """Anywhere in what a member holds; what zip says beside it may be read or refused."""
    data = tape_path.read_bytes()
    expected = read_tape(tape_path)
    with zipfile.ZipFile(tape_path) as archive:
        infos = archive.infolist()
    inside = [i.header_offset + 30 + len(i.filename) + i.file_size // 2 for i in infos]
    flipped = tmp_path / "flipped.edgetape"
    for at in inside:
        flipped.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(FlightError):
            read_tape(flipped)
    rng = random.Random(5)
    for at in (rng.randrange(infos[-1].header_offset, len(data)) for _ in range(100)):
        flipped.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with contextlib.suppress(FlightError):
            assert read_tape(flipped).header == expected.header


def mutant(data: bytes, rng: random.Random) -> bytes:
    """Cut, overwritten, doubled or with bytes from elsewhere; most often near the directory."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        near_end = rng.random() < 0.6
        at = rng.randrange(max(0, len(made) - 6000) if near_end else 0, len(made))
        kind = rng.randrange(5)
        if kind == 0:
            made = made[: max(at, 30)]
        elif kind == 1:
            made[at] = rng.randrange(256)
        elif kind == 2:
            made[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\0\0\0\0"])
        elif kind == 3:
            made[at:at] = made[at : at + rng.randrange(1, 200)]
        else:
            del made[at : at + rng.randrange(1, 200)]
    return bytes(made)


def test_300_damaged_files_are_refused_in_one_line_and_little_memory(
    tape_path: Path, tmp_path: Path, demo_model: StreamingModel
) -> None:
    data, rng = tape_path.read_bytes(), random.Random(20)
    path = tmp_path / "damaged.edgetape"
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(300):
            path.write_bytes(mutant(data, rng))
            try:
                replay(read_tape(path), demo_model)
            except EdgecapError as error:
                refused += 1
                assert "\n" not in str(error)
                assert len(str(error)) < 500
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused > 250
    assert peak < BOUND


_FUZZED = (None, True, -1, 0, 3, 1e300, "x", [], {}, [[1]], {"array": 99}, {"float": "nan"})


def spoil(value: Any, rng: random.Random) -> None:
    """Sets one thing, somewhere in a JSON document, to something else."""
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, inner in items:
            places.append((node, key))
            if isinstance(inner, (dict, list)):
                collect(inner)

    collect(value)
    node, key = rng.choice(places)
    if rng.random() < 0.2:
        del node[key]
    else:
        node[key] = rng.choice(_FUZZED)


@pytest.mark.parametrize("where", ["anywhere", "states"])
def test_a_header_that_lies_with_right_digests_is_refused_or_replayed(
    where: str, tape_path: Path, tmp_path: Path, demo_model: StreamingModel
) -> None:
    rng = random.Random(7)
    tried = tmp_path / "lying.edgetape"
    short = rewrite(tape_path, tmp_path / "short.edgetape", shorten)
    assert replay(read_tape(short), demo_model).equal
    for _ in range(150):

        def change(members: dict[str, bytes], header: dict[str, Any]) -> None:
            spoil(header if where == "anywhere" else header["keys"], rng)

        rewrite(short, tried, change)
        with contextlib.suppress(EdgecapError):
            replay(read_tape(tried), demo_model)


def shorten(members: dict[str, bytes], header: dict[str, Any]) -> None:
    """The first six frames."""
    for name in ("frames", "timestamps_s", "outputs", "values"):
        members[f"{name}.npy"] = npy(np.load(io.BytesIO(members[f"{name}.npy"]))[:6])
    for name in ("keys", "events", "told"):
        header[name] = [thing for thing in header[name] if thing["frame"] <= 5]


def bomb(members: dict[str, bytes], header: dict[str, Any]) -> None:
    array = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 96, 96, 3)}
    np.lib.format.write_array_header_1_0(array, described)
    members["frames.npy"] = array.getvalue() + b"\0" * 1000


def objects(members: dict[str, bytes], header: dict[str, Any]) -> None:
    members["values.npy"] = npy(np.array([{}], object))


def extra(members: dict[str, bytes], header: dict[str, Any]) -> None:
    members["surprise.npy"] = npy(np.zeros(3))


def other_size(members: dict[str, bytes], header: dict[str, Any]) -> None:
    frames = np.load(io.BytesIO(members["frames.npy"]))
    members["frames.npy"] = npy(frames[:, :48])


def fewer_outputs(members: dict[str, bytes], header: dict[str, Any]) -> None:
    members["outputs.npy"] = npy(np.load(io.BytesIO(members["outputs.npy"]))[:-1])


def no_digests(members: dict[str, bytes], header: dict[str, Any]) -> None:
    header["digests"] = None


def newer(members: dict[str, bytes], header: dict[str, Any]) -> None:
    header["edgetape"] = 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (bomb, "does not fill its bytes"),
        (objects, "damaged"),
        (extra, "arrays of its states"),
        (other_size, "not those of its model"),
        (fewer_outputs, "expected outputs"),
        (no_digests, "digests"),
        (newer, "version '2'"),
    ],
)
def test_a_tape_of_other_contents_is_refused(
    change: Callable[[dict[str, bytes], dict[str, Any]], None],
    told: str,
    tape_path: Path,
    tmp_path: Path,
    demo_model: StreamingModel,
) -> None:
    path = rewrite(tape_path, tmp_path / "other.edgetape", change)
    with pytest.raises(FlightError, match=told):
        replay(read_tape(path), demo_model)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.edgetape"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tape.json", b" " * 200_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(FlightError, match="stored as it is"):
            read_tape(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("name", ["", ".", "/dev/zero", "missing"])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FlightError):
        read_tape(name if name.startswith("/") else tmp_path / name)


# The folder.


def test_the_oldest_recordings_make_room(tmp_path: Path) -> None:
    kept = TapeFolder(tmp_path, max_files=3, max_bytes=10_000)
    stranger = tmp_path / "holiday.edgetape"
    stranger.write_bytes(b"x")
    paths = [kept.write(f"event {n}", 1000, lambda f: f.write(bytes(1000))) for n in range(5)]
    assert kept.tapes() == paths[2:]
    assert stranger.exists()
    large = kept.write("large", 9000, lambda f: f.write(bytes(9000)))
    assert kept.tapes() == [paths[-1], large]
    with pytest.raises(FlightError, match="larger than"):
        kept.write("huge", 10_001, lambda f: f.write(bytes(10_001)))
    assert kept.tapes() == [paths[-1], large]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FlightError, match="cannot make the folder"):
        FlightRecorder(tmp_path / "file" / "tapes")


@pytest.mark.parametrize(
    "wrong", [{"before_s": 0}, {"after_s": -1}, {"longest_s": 10}, {"key_s": float("nan")}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(FlightError, match="flight recorder: expected"):
        dataclasses.replace(Settings(), **wrong)


_RECORDS = """
import sys, time
import edgecap
from edgecap.assets import resolve_model
from edgecap.flight.recorder import FlightRecorder, Settings
from edgecap.flight.tape import read_tape
from edgecap.synthetic import Scene

told = []
settings = Settings(before_s=2.0, after_s=0.5, longest_s=8.0)
recorder = FlightRecorder(sys.argv[1], settings, patient=True, told=told.append)
stream = edgecap.load(resolve_model("demo")).stream()
recorder.attach(stream)
frames = [f.image for f in Scene(seed=7, height=96, width=96, gestures=3)]
"""


def python(code: str, *arguments: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _RECORDS + textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_full_disk_is_told_of_once_and_recording_goes_on(tmp_path: Path) -> None:
    """The kernel refuses to let a file grow past 400 kB, then allows it again."""
    code = """
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    def play(offset_s):
        for n, image in enumerate(frames):
            stream.step(image, offset_s + n / 12)
    play(0.0)
    until_s = time.monotonic() + 100
    while not told and time.monotonic() < until_s:
        time.sleep(0.01)
        recorder.write(None)
    assert not recorder.folder.tapes()
    print([notice.kind for notice in told], told[0].told)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    play(100.0)
    recorder.close()
    print([notice.kind for notice in told].count("sink"))
    print([len(read_tape(path)) > 20 for path in recorder.folder.tapes()])
    """
    process = python(code, tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    first, failures, written = out.splitlines()
    assert first.startswith("['sink'] flight recorder:")
    assert "File too large" in first
    assert failures == "1"
    assert written.startswith("[True")
    assert not list(tmp_path.glob(".*"))


def test_a_process_killed_while_it_writes_leaves_no_half_file(tmp_path: Path) -> None:
    code = """
    print("ready", flush=True)
    n = 0
    while True:
        stream.step(frames[n % len(frames)], n / 12)
        n += 1
    """
    rng = random.Random(3)
    for _ in range(4):
        process = python(code, tmp_path)
        assert process.stdout is not None
        process.stdout.readline()
        wait_for(lambda: list(tmp_path.glob(".*.tmp")))
        time.sleep(rng.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in tmp_path.glob("*.edgetape"):
            read_tape(path)
    left = tmp_path / f".edgecap-20200101T000000-000-1-0-event.edgetape.{os.getpid()}-0.tmp"
    left.write_bytes(b"half")
    FlightRecorder(tmp_path).close()
    assert not list(tmp_path.glob(".*")), "what was left is removed at the next start"


def test_a_disk_that_hangs_slows_no_step_and_no_memory_grows(
    tmp_path: Path, demo_model: StreamingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recording is written into a pipe that nobody reads."""
    monkeypatch.setattr("edgecap.flight.recorder._CLOSE_S", 0.5)
    told: list[str] = []
    settings = Settings(before_s=1.0, after_s=0.5, longest_s=2.0, key_s=0.5)
    recorder = FlightRecorder(tmp_path, settings, told=lambda notice: told.append(notice.kind))
    read_end, write_end = os.pipe()
    folder_write = recorder.folder.write

    def into_a_pipe(reason: str, nbytes: int, write: Callable[[Any], None]) -> Path:
        with os.fdopen(os.dup(write_end), "wb") as pipe:
            pipe.write(bytes(1 << 20))
        return folder_write(reason, nbytes, write)

    recorder.folder.write = into_a_pipe  # type: ignore[method-assign]
    stream = demo_model.stream()
    recorder.attach(stream)
    took_s = []
    for number, image in enumerate(scene_frames(demo_model, gestures=6)):
        began = time.perf_counter()
        stream.step(image, number / 12)
        took_s.append(time.perf_counter() - began)
    # A step that waited for the pipe would do so for ever; and none waited for a while. That some
    # are long is the machine's doing: it takes the processor away.
    assert np.median(took_s) < 0.2
    began = time.perf_counter()
    recorder.close()
    assert time.perf_counter() - began < LIMIT_S
    assert told.count("sink") == 2  # too many wait, and the end does not wait either
    assert recorder._inbox.qsize() <= 3
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("patient", [True, False])
def test_a_patient_recorder_gives_no_recording_up(
    patient: bool, tmp_path: Path, demo_model: StreamingModel
) -> None:
    """A file is read faster than the disk takes its recordings."""
    told: list[str] = []
    settings = Settings(before_s=1.0, after_s=0.5, longest_s=2.0, key_s=0.5)
    recorder = FlightRecorder(
        tmp_path, settings, patient=patient, told=lambda notice: told.append(notice.kind)
    )
    folder_write = recorder.folder.write
    stepped = threading.Event()

    def slowly(reason: str, nbytes: int, write: Callable[[Any], None]) -> Path:
        if patient:
            time.sleep(0.3)
        else:
            # Slower than the steps on whatever machine.
            assert stepped.wait(LIMIT_S)
        return folder_write(reason, nbytes, write)

    recorder.folder.write = slowly  # type: ignore[method-assign]
    stream = demo_model.stream()
    recorder.attach(stream)
    starts = 0
    for prediction in step_all(stream, scene_frames(demo_model, gestures=6)):
        starts += sum(event.kind == "start" for event in prediction.events)
    stepped.set()
    recorder.close()
    assert starts == 6
    assert (told.count("recorded") == starts) == patient
    assert ("sink" in told) != patient


def test_what_the_recorder_tells_does_not_begin_a_recording(
    tmp_path: Path, demo_model: StreamingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecap.flight.stream_recorder._IDLE_S", 1.0)
    recorder = FlightRecorder(tmp_path, dataclasses.replace(SHORT, notices=("sink",)), max_bytes=1)
    recorder.told = recorder.notice
    stream = demo_model.stream()
    recorder.attach(stream)
    step_all(stream, scene_frames(demo_model)[:20])
    recorder.trigger()
    wait_for(lambda: not recorder._news.empty())
    recorder._tell_news()
    assert not any(lane.is_recording for lane in recorder._streams)
    recorder.close()


def test_two_recorders_do_not_watch_one_stream(tmp_path: Path, demo_model: StreamingModel) -> None:
    one, other = FlightRecorder(tmp_path), FlightRecorder(tmp_path)
    stream = demo_model.stream()
    one.attach(stream)
    with pytest.raises(FlightError, match="has an observer already"):
        other.attach(stream)
    one.close()
    other.attach(stream)
    other.close()


def test_the_camera_is_named_without_its_password(
    tmp_path: Path, demo_model: StreamingModel
) -> None:
    recorder = FlightRecorder(tmp_path, SHORT, patient=True)
    stream = demo_model.stream()
    recorder.attach(stream, "rtsp://anna:secret@10.0.0.7/live?token=hidden")
    step_all(stream, scene_frames(demo_model, gestures=1))
    recorder.close()
    (path,) = tapes(recorder)
    tape: Tape = read_tape(path)
    assert tape.header.camera == "rtsp://***@10.0.0.7/live"
    data = path.read_bytes()
    assert b"secret" not in data
    assert b"hidden" not in data
