"""Frames in shared memory without a name: nothing to leak, whoever is killed."""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np

from edgecap.preprocess import Image

#: One being written, the newest, and one that the reader has.
SLOTS = 3


class Slots:
    """Room for three frames of one size, mapped from a file descriptor.

    Args:
      descriptor: of the memory; stays the caller's.
      height, width: of the frames.
      writable: for the writer.
    """

    def __init__(self, descriptor: int, height: int, width: int, *, writable: bool = False) -> None:
        self.shape = (height, width, 3)
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        size = size_of(height, width)
        memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED, protection)
        # The arrays keep the mapping; it goes with the last of them.
        self._slots = np.frombuffer(memory, np.uint8).reshape(SLOTS, height, width, 3)

    def __getitem__(self, slot: int) -> Image:
        image: Image = self._slots[slot]
        return image


def size_of(height: int, width: int) -> int:
    """Bytes of three frames."""
    return SLOTS * height * width * 3


def anonymous_memory(size: int) -> int:
    """A file descriptor of shared memory that ends with its last user.

    Raises:
      OSError: there is not so much.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("edgecap-frames")
    else:
        # macOS: a file whose name is gone before anyone could see it.
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
