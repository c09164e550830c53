"""Copies of images on sheets of memory that are used again.

Kept images live for seconds, and recordings are cut out of their middle: on the common heap, that
leaves holes which grow over weeks. Here as many sheets are made as were ever needed at once.
"""

from __future__ import annotations

import mmap
import weakref
from collections import deque

import numpy as np
import numpy.typing as npt

from edgecap.preprocess import Image

_IMAGES_A_SHEET = 32


class Album:
    """Keeps copies; a sheet whose last copy was dropped, in any thread, is written on again."""

    def __init__(self) -> None:
        self._blank: deque[mmap.mmap] = deque()
        self._sheet: npt.NDArray[np.uint8] | None = None
        self._taken = self._size = 0

    def keep(self, image: Image) -> Image:
        """A copy of ``(H, W, 3)`` uint8 that stays as it is for as long as it is referred to."""
        if self._sheet is None or self._taken == _IMAGES_A_SHEET or image.nbytes != self._size:
            self._sheet, self._taken, self._size = self._open(image.nbytes), 0, image.nbytes
        at = self._taken * self._size
        self._taken += 1
        # A view refers to its sheet.
        copy = self._sheet[at : at + self._size].reshape(image.shape)
        copy[...] = image
        copy.flags.writeable = False
        return copy

    def _open(self, nbytes: int) -> npt.NDArray[np.uint8]:
        if nbytes != self._size:
            # The images have another size now.
            self._blank.clear()
        memory = None
        while self._blank and memory is None:
            memory = self._blank.pop()
            memory = memory if len(memory) == nbytes * _IMAGES_A_SHEET else None
        if memory is None:
            memory = mmap.mmap(-1, nbytes * _IMAGES_A_SHEET)
        sheet = np.frombuffer(memory, np.uint8)
        weakref.finalize(sheet, self._blank.append, memory).atexit = False
        return sheet
