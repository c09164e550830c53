"""The files of the cache: images, ticks and values of a clip, and a header behind them."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import math
import os
import struct
import threading
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import DataError
from edgecap.preprocess import Image
from edgecap_convert.data.budget import Budget

_MAGIC = b"ecframes"
_TAIL = struct.Struct("<II8s")

_log = logging.getLogger(__name__)


class DamagedError(Exception):
    """The bytes are not those of an entry."""


@dataclass(frozen=True)
class EntryHeader:
    """What stands at the end of an entry, since it is known only then.

    Attributes:
      shape: of the images, also where they are not there.
      has_images: ``False`` where they did not fit.
      ticks: how many. values: how many a tick, or ``None``.
      checksum: CRC-32 of all that stands before.
    """

    shape: tuple[int, int, int, int]
    has_images: bool
    ticks: int
    values: int | None
    checksum: int

    @property
    def size(self) -> int:
        """Bytes of the images."""
        return math.prod(self.shape)

    @property
    def image_bytes(self) -> int:
        return self.size if self.has_images else 0

    @property
    def content_bytes(self) -> int:
        """All but the header."""
        return self.image_bytes + 4 * self.ticks * (1 + (self.values or 0))


class EntryWriter:
    """A file of the cache while it is written: images, ticks, values, header.

    When there is no room for the images, the rest is written without them.
    """

    def __init__(self, path: Path, budget: Budget) -> None:
        self._path = path
        self._budget = budget
        self._beside = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}.tmp")
        self._file: Any = None
        self._reserved = 0
        self._checksum = 0
        self._fits = True

    def add(self, image: Image) -> None:
        """Appends an image, as long as there is room."""
        if not self._fits:
            return
        if not self._budget.reserve(image.nbytes):
            self._give_up()
            return
        self._reserved += image.nbytes
        with self._full_disk():
            self._append(image.tobytes())

    def finish(
        self,
        shape: tuple[int, int, int, int],
        ticks: npt.NDArray[np.int32],
        values: npt.NDArray[np.float32] | None,
    ) -> bool:
        """Puts the entry in its place.

        Returns:
          Whether the images are in it.
        """
        for has_images in (True, False) if self._fits else (False,):
            with self._full_disk():
                self._append(ticks.tobytes() + (b"" if values is None else values.tobytes()))
                header = EntryHeader(
                    shape,
                    has_images,
                    len(ticks),
                    None if values is None else values.shape[1],
                    self._checksum,
                )
                text = json.dumps(dataclasses.asdict(header)).encode()
                self._append(text + _TAIL.pack(zlib.crc32(text), len(text), _MAGIC))
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._beside.replace(self._path)
                self._file = None
                self._reserved = 0
                return has_images
        return False

    def discard(self) -> None:
        """Leaves nothing of an entry that was not completed."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                # A full disk refuses to close, too.
                self._file.close()
            self._file = None
            self._beside.unlink(missing_ok=True)
        self._budget.give_back(self._reserved)
        self._reserved = 0

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._beside.open("wb")
            self._checksum = 0
        self._file.write(data)
        self._checksum = zlib.crc32(data, self._checksum)

    def _give_up(self) -> None:
        self._fits = False
        self.discard()

    @contextmanager
    def _full_disk(self) -> Generator[None, None, None]:
        """Takes a full disk for a full cache."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise DataError(
                    f"{self._path.parent}: the cache cannot be written: {error.strerror or error}"
                ) from error
            _log.warning("%s: the disk is full", self._path.parent)
            self._give_up()


def read_header(file: Any) -> EntryHeader:
    """The header of an entry.

    Raises:
      DamagedError: this is no whole entry.
    """
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL.size:
        raise DamagedError
    file.seek(size - _TAIL.size)
    checksum, length, magic = _TAIL.unpack(file.read(_TAIL.size))
    content = size - _TAIL.size - length
    if magic != _MAGIC or content < 0:
        raise DamagedError
    file.seek(content)
    text = file.read(length)
    if zlib.crc32(text) != checksum:
        raise DamagedError
    fields = json.loads(text)
    header = EntryHeader(**fields | {"shape": tuple(fields["shape"])})
    if header.content_bytes != content:
        raise DamagedError
    return header


def checksum_holds(path: Path, header: EntryHeader) -> bool:
    left, checksum = header.content_bytes, 0
    with path.open("rb") as file:
        while left and (block := file.read(min(left, 1 << 20))):
            checksum = zlib.crc32(block, checksum)
            left -= len(block)
    return checksum == header.checksum
