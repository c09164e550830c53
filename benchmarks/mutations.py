"""Damaged and hostile versions of a model file, each made of a class and a seed.

Classes whose names are in ``FORGED`` have digests that are right: whoever made the file could
compute them, and only a signature would tell. The others are damage, or tricks of the zip format.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

import mutations_forged as forged

from edgecap import ziptail

_PAGE = 4096
_END, _ENTRY, _LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
# What counts, sizes and offsets are set to.
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutate(data: bytes, kind: str, seed: int) -> bytes:
    """The same bytes for the same kind and seed; never equal to ``data``."""
    rng = random.Random(f"{kind} {seed}")
    while True:
        made = KINDS[kind](data, rng)
        if made != data:
            return made


def _truncated(data: bytes, rng: random.Random) -> bytes:
    """Of every size: a few bytes, pages, around the flatbuffer's end, a few bytes short."""
    tail = min(member.offset for member in ziptail.members(data))
    edge = rng.choice((0, _PAGE * rng.randrange(1, len(data) // _PAGE), tail, len(data)))
    near = rng.choice((4, 64, 1024, len(data)))
    return data[: max(0, min(len(data) - 1, edge + rng.randrange(-near, near)))]


def _bit_flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _page_zeroed(data: bytes, rng: random.Random) -> bytes:
    at = _PAGE * rng.randrange(len(data) // _PAGE)
    return data[:at] + bytes(_PAGE) + data[at + _PAGE :]


def _pages_swapped(data: bytes, rng: random.Random) -> bytes:
    one, other = sorted(rng.sample(range(len(data) // _PAGE), 2))
    pages = [data[at : at + _PAGE] for at in range(0, len(data), _PAGE)]
    pages[one], pages[other] = pages[other], pages[one]
    return b"".join(pages)


def _lengthened(data: bytes, rng: random.Random) -> bytes:
    """Bytes before, behind, or in the middle: zeros, noise, or a piece of the file again."""
    length = rng.choice((1, 4, 22, _PAGE))
    start = rng.randrange(len(data) - length)
    more = rng.choice((bytes(length), rng.randbytes(length), data[start : start + length]))
    at = rng.choice((0, len(data), rng.randrange(len(data))))
    return data[:at] + more + data[at:]


def _zip_header(data: bytes, rng: random.Random) -> bytes:
    """One number of the end record, a directory entry or a local header is another."""
    signature, size = rng.choice(((_END, 22), (_ENTRY, 46), (_LOCAL, 30)))
    tail = min(member.offset for member in ziptail.members(data))
    places, at = [], tail
    while (at := data.find(signature, at)) >= 0:
        places.append(at)
        at += 4
    changed = bytearray(data)
    at = rng.choice(places) + 2 * rng.randrange(size // 2 - 1)
    layout = rng.choice(("<H", "<I")) if at + 4 <= len(data) else "<H"
    (old,) = struct.unpack_from(layout, data, at)
    value = rng.choice((*NUMBERS, old + 1, old - 1, old ^ (1 << rng.randrange(16))))
    struct.pack_into(layout, changed, at, value & (0xFFFF if layout == "<H" else 0xFFFFFFFF))
    return bytes(changed)


def _zip_trick(data: bytes, rng: random.Random) -> bytes:
    return rng.choice(_TRICKS)(data, rng)


def _appended(data: bytes, rng: random.Random, name: str, content: bytes) -> bytes:
    """One more member, by the standard library's own writer."""
    buffer = io.BytesIO(data)
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def _duplicate(data: bytes, rng: random.Random) -> bytes:
    member = rng.choice(ziptail.members(data))
    content = bytearray(ziptail.read(data, member))
    content[rng.randrange(len(content))] ^= 1
    return _appended(data, rng, member.name, bytes(content))


def _stranger(data: bytes, rng: random.Random) -> bytes:
    name = rng.choice(("../../escape", "/etc/passwd", "edgecap.json\0", "EDGECAP.JSON", "a" * 5000))
    return _appended(data, rng, name.replace("\0", "_"), rng.randbytes(rng.choice((0, 9, 5000))))


def _bomb(data: bytes, rng: random.Random) -> bytes:
    """A member that unpacks to very much more than it is."""
    return _appended(data, rng, rng.choice(("edgecap.json", "bomb")), bytes(1 << 27))


def _comment(data: bytes, rng: random.Random) -> bytes:
    """A second end record hides in the comment of the first, or the comment only grows."""
    end = data.rfind(_END)
    inner = rng.choice((b"", data[end:], _END + rng.randbytes(18), rng.randbytes(300)))
    length = len(inner) + rng.choice((0, 0, 1, -1, 22))
    return data[: end + 20] + struct.pack("<H", length & 0xFFFF) + inner


def _overlapping(data: bytes, rng: random.Random) -> bytes:
    """Two directory entries lead to the same bytes, or to bytes inside another member."""
    entries, at = [], 0
    while (at := data.find(_ENTRY, at)) >= 0:
        entries.append(at)
        at += 4
    one, other = rng.sample(entries, 2)
    changed = bytearray(data)
    (offset,) = struct.unpack_from("<I", data, other + 42)
    struct.pack_into("<I", changed, one + 42, max(0, offset + rng.choice((0, 0, 1, 30, -4))))
    return bytes(changed)


def _lying(data: bytes, rng: random.Random) -> bytes:
    """Both headers of a member say the same untruth: its method, its sizes or its checksum."""
    member = rng.choice(ziptail.members(data))
    entry = data.find(member.name.encode(), data.find(_ENTRY)) - 46
    field = rng.choice((2, 6, 10, 14, 18))
    changed = bytearray(data)
    value = rng.choice((*NUMBERS, member.size + 1, member.packed_size + 1, zlib.crc32(b"")))
    layout, mask = ("<H", 0xFFFF) if field == 2 else ("<I", 0xFFFFFFFF)
    struct.pack_into(layout, changed, member.offset + 6 + field - 2 + 2 * (field > 2), value & mask)
    struct.pack_into(layout, changed, entry + 8 + field - 2 + 2 * (field > 2), value & mask)
    return bytes(changed)


_TRICKS = (_duplicate, _stranger, _bomb, _comment, _overlapping, _lying)

#: Class → how it is made of the file.
KINDS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "truncated": _truncated,
    "bit flipped": _bit_flipped,
    "page zeroed": _page_zeroed,
    "pages swapped": _pages_swapped,
    "lengthened": _lengthened,
    "zip header": _zip_header,
    "zip trick": _zip_trick,
    **forged.KINDS,
}
FORGED = tuple(forged.KINDS)
