"""Reads the zip archive at the end of some bytes, strictly: what a zip tool sees is what is read.

Only what edgecap and NumPy write: stored and deflated members on one disk, none encrypted, sizes
below 4 GiB. Every offset and size is checked before it is followed, no two members may share bytes,
and a member may not unpack to more than its directory entry says. Source of the layout: APPNOTE.TXT
of PKWARE, sections 4.3.7, 4.3.12 and 4.3.16. (The standard library's ``zipfile`` also repairs,
guesses, and imports what a cold start would wait for.)
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

STORED, DEFLATED = 0, 8

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
# How hard it was packed, sizes behind the data, a name in UTF-8; other flags change the content.
_FLAGS, _UTF8 = 0x0806 | 0x0008, 0x0800
# Of the format, in tenths: the last that zip tools agree on.
_VERSION = 63
_MAX_COMMENT = 0xFFFF
#: A directory of more entries is no model file's.
_MAX_MEMBERS = 64


class ZipError(ValueError):
    """There is no zip archive, or one that cannot be read; says what is wrong."""


class NoZipError(ZipError):
    """There is no zip archive at all."""


class Member(NamedTuple):
    """One entry of the directory.

    Attributes:
      method: ``STORED``, ``DEFLATED`` or another one, which cannot be unpacked.
      size, packed_size: bytes. crc: CRC-32 of the unpacked bytes.
      offset: where its local header begins.
    """

    name: str
    method: int
    size: int
    packed_size: int
    crc: int
    offset: int


def members(data: bytes) -> list[Member]:
    """The directory of the archive that ``data`` ends with; offsets count from its first byte.

    Raises:
      NoZipError: there is none. ZipError: it is damaged, or uses what edgecap does not write.
    """
    end = _find_end(data)
    _, disk, first_disk, here, count, size, start, _ = _END.unpack_from(data, end)
    if disk or first_disk or here != count:
        raise ZipError("it says that it lies on several disks")
    if count > _MAX_MEMBERS:
        raise ZipError(f"its directory has {count} entries; expected at most {_MAX_MEMBERS}")
    if start + size != end:
        raise ZipError("its directory does not lie where it says")
    found = []
    at = start
    for _ in range(count):
        if at + _ENTRY.size > end:
            raise ZipError("its directory is cut short")
        entry = _ENTRY.unpack_from(data, at)
        signature, _, version, flags, method, _, _, crc, packed, unpacked, *rest = entry
        name_size, extra_size, comment_size, on_disk, _, _, offset = rest
        if signature != b"PK\x01\x02" or on_disk:
            raise ZipError("its directory is damaged")
        if flags & ~_FLAGS or version > _VERSION:
            raise ZipError("a member is encrypted, or of a kind that edgecap does not write")
        name_at = at + _ENTRY.size
        at = name_at + name_size + extra_size + comment_size
        if at > end:
            raise ZipError("its directory is cut short")
        try:
            name = data[name_at : name_at + name_size].decode("utf-8" if flags & _UTF8 else "ascii")
        except UnicodeDecodeError as error:
            raise ZipError(f"a member's name is no text: {error}") from error
        found.append(Member(name, method, unpacked, packed, crc, offset))
    if at != end:
        raise ZipError("its directory is larger than its entries")
    _check_places(data, found, start)
    return found


def read(data: bytes, member: Member) -> bytes:
    """The unpacked bytes of a member.

    Raises:
      ZipError: they cannot be unpacked, or are not what the directory says.
    """
    begin, end = _extent(data, member)
    packed = data[begin:end]
    if member.method == STORED:
        unpacked = packed
    elif member.method == DEFLATED:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One more than may be, so that a bomb shows without being unpacked.
            unpacked = inflate.decompress(packed, member.size + 1)
        except zlib.error as error:
            raise ZipError(f"{member.name!r} does not unpack: {error}") from error
        if not inflate.eof or inflate.unused_data:
            raise ZipError(f"{member.name!r} does not unpack to the size in the directory")
    else:
        raise ZipError(f"{member.name!r}: expected a stored or deflated member of the zip")
    if len(unpacked) != member.size or zlib.crc32(unpacked) != member.crc:
        raise ZipError(f"{member.name!r} is not what the directory says: size or CRC-32 differ")
    return unpacked


def _find_end(data: bytes) -> int:
    """Where the end record begins: the last one whose comment reaches to the end."""
    lowest = max(0, len(data) - _END.size - _MAX_COMMENT)
    at = len(data)
    while (at := data.rfind(b"PK\x05\x06", lowest, at)) >= 0:
        if at + _END.size <= len(data):
            comment_size = _END.unpack_from(data, at)[-1]
            if at + _END.size + comment_size == len(data):
                return at
    raise NoZipError("there is no zip archive")


def _extent(data: bytes, member: Member) -> tuple[int, int]:
    """Where the packed bytes of a member lie; its local header must say the same as its entry."""
    if member.offset + _LOCAL.size > len(data):
        raise ZipError(f"{member.name!r} lies behind the end")
    signature, _, flags, method, *_, name_size, extra_size = _LOCAL.unpack_from(data, member.offset)
    begin = member.offset + _LOCAL.size + name_size + extra_size
    name = data[member.offset + _LOCAL.size :][:name_size]
    if signature != b"PK\x03\x04" or method != member.method or flags & ~_FLAGS:
        raise ZipError(f"{member.name!r} does not lie where the directory says")
    if name != member.name.encode():
        raise ZipError(f"{member.name!r} has another name where it lies")
    return begin, begin + member.packed_size


def _check_places(data: bytes, found: list[Member], limit: int) -> None:
    """No two members may share bytes, and none may reach into the directory."""
    free = 0
    for member in sorted(found, key=lambda member: member.offset):
        if member.offset < free:
            raise ZipError(f"{member.name!r} shares bytes with another member")
        _, free = _extent(data, member)
        if free > limit:
            raise ZipError(f"{member.name!r} reaches into the directory")
