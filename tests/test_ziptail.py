"""The zip tail is read strictly: as zip tools read it, or not at all."""

from __future__ import annotations

import io
import random
import struct
import zipfile

import numpy as np
import pytest

from edgecap import ziptail
from edgecap.ziptail import ZipError

_CONTENT = {"a.txt": b"alpha " * 200, "b.bin": bytes(range(256)), "ü.txt": b"", "c": b"x"}


def archive(content: dict[str, bytes] = _CONTENT, *, before: bytes = b"", **how: object) -> bytes:
    buffer = io.BytesIO(before)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a", **how) as made:  # type: ignore[call-overload]
        for number, (name, data) in enumerate(content.items()):
            method = zipfile.ZIP_DEFLATED if number % 2 == 0 else zipfile.ZIP_STORED
            made.writestr(name, data, method)
    return buffer.getvalue()


def contents(data: bytes) -> dict[str, bytes]:
    return {member.name: ziptail.read(data, member) for member in ziptail.members(data)}


def packed_end(data: bytes, **changes: int) -> bytes:
    """With other numbers in the end record."""
    at = data.rfind(b"PK\x05\x06")
    names = ("disk", "first", "here", "count", "size", "start", "comment")
    values = dict(zip(names, struct.unpack_from("<4H2LH", data, at + 4), strict=True)) | changes
    return data[: at + 4] + struct.pack("<4H2LH", *values.values()) + data[at + 22 :]


@pytest.mark.parametrize("before", [b"", b"TFL3" * 100])
def test_what_zipfile_writes_is_read(before: bytes) -> None:
    data = archive(before=before)
    assert contents(data) == _CONTENT
    assert min(member.offset for member in ziptail.members(data)) == len(before)


def test_what_numpy_writes_is_read() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, some=np.arange(1000), none=np.zeros(0))
    with zipfile.ZipFile(buffer) as theirs:
        expected = {name: theirs.read(name) for name in theirs.namelist()}
    assert contents(buffer.getvalue()) == expected


def test_a_comment_is_no_harm_and_another_end_in_it_is_not_the_end() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a", b"real")
        made.comment = archive({"a": b"other"})[:-1]
    assert contents(buffer.getvalue()) == {"a": b"real"}


@pytest.mark.parametrize("data", [b"", b"PK", b"TFL3" * 50, archive()[:-1], archive() + b"\0"])
def test_no_archive_is_told_apart_from_a_damaged_one(data: bytes) -> None:
    with pytest.raises(ziptail.NoZipError):
        ziptail.members(data)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"disk": 1}, "several disks"),
        ({"here": 1}, "several disks"),
        ({"here": 65, "count": 65}, "65 entries"),
        ({"here": 3, "count": 3}, "larger than its entries"),
        ({"here": 5, "count": 5}, "cut short|damaged"),
        ({"start": 7}, "does not lie where it says"),
        ({"size": 0xFFFFFFFF}, "does not lie where it says"),
    ],
)
def test_an_end_record_that_lies_is_refused(changes: dict[str, int], said: str) -> None:
    with pytest.raises(ZipError, match=said):
        ziptail.members(packed_end(archive(), **changes))


def spoiled(field: int, value: bytes, *, signature: bytes = b"PK\x01\x02") -> bytes:
    """With other bytes in the first entry of the directory, or the first local header."""
    data = bytearray(archive())
    at = data.find(signature) + field
    data[at : at + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (spoiled(8, b"\x01"), "encrypted"),
        (spoiled(34, b"\x01"), "damaged"),
        (spoiled(46, b"\xff"), "no text"),
        (spoiled(42, b"\x05"), "does not lie where"),
        (spoiled(42, b"\xff\xff\xff\x7f"), "behind the end"),
        (spoiled(20, b"\xff\xff\xff\x7f"), "shares bytes|reaches into"),
        (spoiled(30, b"z", signature=b"PK\x03\x04"), "another name"),
        (spoiled(8, b"\x00", signature=b"PK\x03\x04"), "does not lie where"),
    ],
)
def test_a_directory_that_lies_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ZipError, match=said):
        contents(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (spoiled(24, b"\x01\x00"), "does not unpack to the size"),
        (spoiled(24, b"\xff\xff"), "size or CRC-32"),
        (spoiled(16, b"\0\0\0\0"), "size or CRC-32"),
    ],
)
def test_a_member_that_is_not_what_it_says_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ZipError, match=said):
        contents(data)


def test_a_bomb_is_not_unpacked() -> None:
    data = archive({"bomb": bytes(1 << 26)})
    at = data.find(b"PK\x01\x02")
    data = data[: at + 24] + struct.pack("<L", 100) + data[at + 28 :]
    (member,) = ziptail.members(data)
    with pytest.raises(ZipError, match="does not unpack to the size"):
        ziptail.read(data, member)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused(method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        made.writestr("a", b"x" * 100)
    with pytest.raises(ZipError, match="stored or deflated"):
        contents(buffer.getvalue())


def test_whatever_is_read_is_what_zipfile_reads() -> None:
    """Bytes flipped at random: refused, or the same content as zip tools see."""
    whole, rng = archive(before=b"TFL3" * 8), random.Random(0)
    accepted = 0
    for _ in range(4000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found = contents(bytes(data))
        except ZipError:
            continue
        with zipfile.ZipFile(io.BytesIO(data)) as theirs:
            assert found == {info.filename: theirs.read(info) for info in theirs.infolist()}
        accepted += 1
    # Times, attributes and versions carry no content.
    assert accepted > 100
