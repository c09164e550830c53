"""A clip's decoded frames: mapped from the cache, or decoded again each time they are read."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.preprocess import Image


class CachedClip:
    """A clip's frames at twice the model's rate.

    Attributes:
      ticks: ``(M,)`` int32: which image is shown at time ``m / (2 · rate_hz)``. ``ticks[::2]``
        are the frames of :meth:`edgecap.dataset.Clip.read`.
      values: ``(M, K)`` float32 at the ticks for regression, else ``None``.
    """

    def __init__(
        self,
        images: Path | Callable[[], Generator[Image, None, None]],
        shape: tuple[int, int, int, int],
        ticks: npt.NDArray[np.int32],
        values: npt.NDArray[np.float32] | None,
    ) -> None:
        self._images = images
        self._shape = shape
        self.ticks = ticks
        self.values = values

    @property
    def cached(self) -> bool:
        """Whether the images are on disk, and need not be decoded."""
        return isinstance(self._images, Path)

    @property
    def size(self) -> tuple[int, int, int]:
        """Of an image: ``(H, W, 3)``."""
        return self._shape[1:]

    def decode(self) -> Generator[Image, None, None]:
        """The images of a clip that is not cached, one by one."""
        assert not isinstance(self._images, Path)
        return self._images()

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """``(U, H, W, 3)`` uint8 RGB, the frames that are used, each once; read-only.

        Mapped anew each time: a mapping holds a file open, and there may be many clips. Of a clip
        that did not fit into the cache, all frames are decoded into memory: :meth:`take` needs
        less of both.
        """
        if isinstance(self._images, Path):
            return np.memmap(self._images, np.uint8, "r", shape=self._shape)
        images = np.stack(list(self._images()))
        images.setflags(write=False)
        return images

    def take(self, ticks: npt.NDArray[np.integer[Any]] | Sequence[int]) -> npt.NDArray[np.uint8]:
        """The images at some ticks.

        Args:
          ticks: ``(T,)`` numbers of ticks, in any order.

        Returns:
          ``(T, H, W, 3)`` uint8 RGB, a copy.
        """
        wanted = self.ticks[np.asarray(ticks, np.intp)]
        if isinstance(self._images, Path):
            return np.asarray(self.images[wanted])
        result = np.empty((len(wanted), *self._shape[1:]), np.uint8)
        if not len(wanted):
            return result
        with closing(self._images()) as images:
            for number, image in enumerate(images):
                result[wanted == number] = image
                if number == wanted.max():
                    break
        return result


class TickImages:
    """The images at some ticks of a clip, read when they are asked for.

    To be read like an array ``(T, H, W, 3)`` uint8; what is read is a copy. Of a clip that did not
    fit into the cache, reading forward decodes each frame once, and holds one.

    Args:
      opened: the clip. ticks: ``(T,)`` their numbers.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, opened: CachedClip, ticks: npt.NDArray[np.int64]) -> None:
        self._opened, self._ticks = opened, ticks
        self._decoding: Generator[Image, None, None] | None = None
        # Of the image that was decoded last.
        self._number, self._image = -1, np.empty(0, np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self._ticks), *self._opened.size)

    def __len__(self) -> int:
        return len(self._ticks)

    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:
        ticks = self._ticks[index]
        if ticks.ndim == 0:
            return self._take(ticks[None])[0]
        return self._take(ticks)

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        for number in range(len(self)):
            yield self[number]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)

    def _take(self, ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        if self._opened.cached or not len(ticks):
            return self._opened.take(ticks)
        wanted = self._opened.ticks[ticks]
        result = np.empty((len(wanted), *self._opened.size), np.uint8)
        if self._decoding is None or wanted.min() < self._number:
            self._decoding, self._number = self._opened.decode(), -1
        while True:
            if self._number >= 0:
                result[wanted == self._number] = self._image
            if self._number >= wanted.max():
                return result
            self._image = next(self._decoding)
            self._number += 1
