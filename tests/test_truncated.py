"""A recording that ends before its end is told of; one that is whole never is."""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import edgecap
from edgecap.errors import SourceError
from edgecap.notices import Notice
from edgecap.sources.containers import missing_bytes

cv2 = pytest.importorskip("cv2")
NUMBER, RATE_HZ = 60, 30.0
KINDS = {
    "avi": ("clip.avi", "MJPG"),
    "avi-xvid": ("clip.avi", "XVID"),
    "mp4": ("clip.mp4", "mp4v"),
    "mp4-faststart": ("clip.mp4", "mp4v"),
    "mkv": ("clip.mkv", "MJPG"),
    "webm": ("clip.webm", "VP80"),
    "mjpeg": ("clip.mjpeg", "MJPG"),
    "mpegts": ("clip.ts", "mp2v"),
}
# These say where they end. A transport stream does not; an MP4 with its index behind cannot even
# be opened without it.
TELLING = ["avi", "avi-xvid", "mp4-faststart", "mkv", "webm", "mjpeg"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8), (0, 0), 2)
    made = {}
    for kind, (name, codec) in KINDS.items():
        path = tmp_path_factory.mktemp(kind) / name
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), RATE_HZ, (128, 96)
        )
        if not writer.isOpened():
            continue
        for index in range(NUMBER):
            writer.write(np.roll(texture, 2 * index, axis=1))
        writer.release()
        if kind == "mp4-faststart":
            path.write_bytes(index_first(path.read_bytes()))
        made[kind] = path
    return made


def boxes(data: bytes) -> dict[bytes, bytes]:
    found, at = {}, 0
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        found[name] = data[at : at + length]
        at += length
    return found


def index_first(data: bytes) -> bytes:
    """The same film with ``moov`` before ``mdat``, as web servers like it."""
    parts = boxes(data)
    moov = bytearray(parts.pop(b"moov"))
    at = moov.find(b"stco") + 8
    (number,) = struct.unpack_from(">I", moov, at)
    for entry in range(at + 4, at + 4 + 4 * number, 4):
        (offset,) = struct.unpack_from(">I", moov, entry)
        struct.pack_into(">I", moov, entry, offset + len(moov))
    return parts.pop(b"ftyp") + bytes(moov) + b"".join(parts.values())


def clip_of(clips: dict[str, Path], kind: str) -> Path:
    if kind not in clips:
        pytest.skip(f"this OpenCV cannot write {kind}")
    return clips[kind]


def read(path: Path) -> tuple[int, list[Notice]]:
    notices: list[Notice] = []
    with edgecap.open_source(path) as source:
        source.told = notices.append
        times = [frame.timestamp_s for frame in source]
    assert all(b > a for a, b in pairwise(times))
    return len(times), notices


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_film_is_not_called_truncated(clips: dict[str, Path], kind: str) -> None:
    path = clip_of(clips, kind)
    assert read(path) == (NUMBER, [])
    assert missing_bytes(path) is None


@pytest.mark.parametrize("kind", TELLING)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_film_is_called_truncated_after_all_that_is_there(
    clips: dict[str, Path], tmp_path: Path, kind: str, share: float
) -> None:
    whole = clip_of(clips, kind)
    path = tmp_path / whole.name
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    number, notices = read(path)
    assert 0 < number < NUMBER
    assert [notice.kind for notice in notices] == ["truncated"]
    assert path.name in notices[0].told


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_film_cut_before_its_index_is_refused_as_truncated(
    clips: dict[str, Path], tmp_path: Path, share: float
) -> None:
    whole = clip_of(clips, "mp4")
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(SourceError, match=r"cut\.mp4.*truncated: the last \d+ bytes are missing"):
        edgecap.open_source(path)


@pytest.mark.parametrize("kind", ["avi", "mp4-faststart", "mkv", "webm"])
def test_a_download_that_stopped_in_room_made_before_is_truncated(
    clips: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    data = bytearray(clip_of(clips, kind).read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path = tmp_path / clips[kind].name
    path.write_bytes(data)
    number, notices = read(path)
    assert 0 < number < NUMBER
    assert [notice.kind for notice in notices] == ["truncated"]
    assert "never written" in notices[0].told


@pytest.mark.parametrize("kind", ["avi", "avi-xvid", "mp4", "mp4-faststart"])
def test_frames_that_cannot_be_decoded_are_told_of_and_those_behind_them_are_read(
    clips: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    data = bytearray(clip_of(clips, kind).read_bytes())
    middle, length = len(data) * 45 // 100, len(data) // 10
    data[middle : middle + length] = bytes(length)
    path = tmp_path / clips[kind].name
    path.write_bytes(data)
    number, notices = read(path)
    assert NUMBER * 0.6 < number < NUMBER
    assert [notice.kind for notice in notices] == ["corrupt"]
    told = int(notices[0].told.rpartition(": ")[2].split()[0])
    assert told == pytest.approx(NUMBER - number, abs=1)


def test_a_film_trimmed_with_an_edit_list_is_whole(clips: dict[str, Path], tmp_path: Path) -> None:
    """Its container states all frames, of which a part is shown; phones trim like this."""
    data = bytearray(clip_of(clips, "mp4").read_bytes())
    at = data.find(b"elst") + 12
    duration, _ = struct.unpack_from(">Ii", data, at)
    struct.pack_into(">I", data, at, duration // 2)
    path = tmp_path / "trimmed.mp4"
    path.write_bytes(data)
    number, notices = read(path)
    assert number == NUMBER // 2
    assert notices == []


def test_a_film_whose_last_bytes_only_hold_an_index_is_not_called_truncated(
    clips: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(clip_of(clips, "avi").read_bytes()[:-20])
    assert missing_bytes(path) == 20
    assert read(path) == (NUMBER, [])


def test_any_bytes_can_be_looked_at(clips: dict[str, Path], tmp_path: Path) -> None:
    """Hostile headers neither raise nor loop."""
    rng = np.random.default_rng(1)
    path = tmp_path / "file"
    heads = [clip.read_bytes()[:200] for clip in clips.values()] + [
        b"",
        b"RIFF",
        b"\x1a\x45\xdf\xa3",
    ]
    for head in heads:
        for _ in range(100):
            data = bytearray(head + os.urandom(64))
            for at in rng.integers(0, len(data), 6):
                data[at] = rng.choice([0, 1, 8, 255, int(rng.integers(256))])
            path.write_bytes(data)
            found = missing_bytes(path)
            assert found is None or found >= 0
