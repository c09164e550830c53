"""Whether a video file ends where it says that it ends.

Decoders stop at a cut as at a clean end, and what containers say of the number of frames is not to
be relied on: an MP4 that was trimmed with an edit list states the frames from before. But their
outermost parts carry lengths, and a part that is longer than the file is proof.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
# Longer than any frame of a raw MJPEG stream.
_JPEG_TAIL = 1 << 22
# A download into room that was made before leaves zeros; no codec ends with so many.
_ZEROS = 4096


def missing_bytes(path: str | Path) -> int | None:
    """How many bytes a video file is shorter than it says.

    Returns:
      ``None``: it is whole, or of a kind that does not say; 0: it is cut, by an unknown number.

    Raises:
      OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        file.seek(0)
        if head[:4] == b"RIFF":
            stated = _end_of_riff(file, size)
        elif head[4:8] in _FIRST_BOXES:
            stated = _end_of_boxes(file, size)
        elif head[:4] == _EBML.to_bytes(4, "big"):
            stated = _end_of_segment(file, size)
        elif head[:2] == _JPEG_START:
            return _cut_jpeg(file, size)
        else:
            return None
    return stated - size if stated is not None and stated > size else None


def is_riff(path: str | Path) -> bool:
    """Whether it is an AVI file, which has no edit lists: its number of frames is meant."""
    with Path(path).open("rb") as file:
        return file.read(4) == b"RIFF"


def ends_in_zeros(path: str | Path) -> bool:
    """Whether the last pages were never written."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _ZEROS))
        tail = file.read(_ZEROS)
    return len(tail) == _ZEROS and not any(tail)


def _end_of_riff(file: BinaryIO, size: int) -> int | None:
    # Long files are several of them, one behind the other.
    at = 0
    while at + 12 <= size:
        file.seek(at)
        name, length, kind = struct.unpack("<4sI4s", file.read(12))
        if name != b"RIFF" or kind not in (b"AVI ", b"AVIX") or length < 4:
            # Something else behind it, or a writer that never came to fill in the length.
            return None
        at += 8 + length
    # An odd length is filled up, which not every writer does.
    return at if at > size + 1 else None


def _end_of_boxes(file: BinaryIO, size: int) -> int | None:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if not name.isalnum() and not name.isascii():
            return None
        if length == 0:
            # To the end of the file, wherever that is.
            return None
        if length == 1:
            more = file.read(8)
            if len(more) < 8:
                return at + 16
            (length,) = struct.unpack(">Q", more)
        if length < 8:
            return None
        at += length
    return at


def _end_of_segment(file: BinaryIO, size: int) -> int | None:
    header = _element(file)
    if header is None or header[0] != _EBML or header[1] is None or header[1] > size:
        return None
    file.seek(header[1], os.SEEK_CUR)
    segment = _element(file)
    if segment is None or segment[0] != _SEGMENT or segment[1] is None:
        # Written live: it does not know where it ends.
        return None
    return file.tell() + segment[1]


def _element(file: BinaryIO) -> tuple[int, int | None] | None:
    """Identity and length of a Matroska element; a length of ``None`` is unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    identity = first + file.read(8 - first[0].bit_length())
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    bits = 7 * (extra + 1)
    length = int.from_bytes(first + file.read(extra), "big") & ((1 << bits) - 1)
    return int.from_bytes(identity, "big"), None if length == (1 << bits) - 1 else length


def _cut_jpeg(file: BinaryIO, size: int) -> int | None:
    file.seek(max(0, size - _JPEG_TAIL))
    tail = file.read(_JPEG_TAIL)
    return 0 if tail.rfind(_JPEG_END) < tail.rfind(_JPEG_START) else None
