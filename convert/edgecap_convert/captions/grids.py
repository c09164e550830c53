"""The encoder's grids of all pictures, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edgecap.dataset.captions import CaptionedImage
from edgecap.durable import write_atomically
from edgecap.extras import require_cv2
from edgecap.images import read_image
from edgecap.preprocess import resize
from edgecap.spec import InputSpec

Encode = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]

_BATCH = 32
# A corner has this share of both sides.
_CORNER = 0.86
_AS_THEY_ARE = (2, 5)
_READY = ".ready"


def picture(image: CaptionedImage, spec: InputSpec) -> npt.NDArray[np.uint8]:
    """A picture as the network sees it: ``(H, W, 3)`` uint8 RGB.

    Raises:
      DataError: it is no picture.
    """
    return resize(read_image(image.path), spec)


def view(image: npt.NDArray[np.uint8], number: int) -> npt.NDArray[np.uint8]:
    """A picture as it may also be seen, in its own size.

    Args:
      number: 0 is itself, 1 its mirror image, 2 to 5 are its corners, two of them mirrored.
    """
    if number == 0:
        return image
    if number > 1:
        height, width = image.shape[:2]
        down, right = divmod(number - 2, 2)
        rows, columns = round(height * _CORNER), round(width * _CORNER)
        top, left = down * (height - rows), right * (width - columns)
        corner = np.ascontiguousarray(image[top : top + rows, left : left + columns])
        cv2 = require_cv2("to resize pictures")
        image = cv2.resize(corner, (width, height), interpolation=cv2.INTER_LINEAR)
    return image if number in _AS_THEY_ARE else np.ascontiguousarray(image[:, ::-1])


class GridStore:
    """Grids as a file of float16, mapped into memory.

    Args:
      folder: of the file; made if need be.
      images: whose grids. spec: how they are brought to size.
      encode: ``(N, H, W, 3)`` uint8 → ``(N, cells, C)``.
      encoder: tells encoders apart, see :func:`digest`.
      views: of each picture, see :func:`view`.
    """

    def __init__(
        self,
        folder: Path,
        images: Sequence[CaptionedImage],
        spec: InputSpec,
        encode: Encode,
        *,
        encoder: str,
        views: int = 1,
    ) -> None:
        self._images, self._spec, self._encode = images, spec, encode
        self._views = views
        told = "\n".join(f"{i.name} {i.path.stat().st_size}" for i in images)
        key = hashlib.sha256(f"{encoder}\n{self._views}\n{spec}\n{told}".encode()).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{key[:16]}.npy"
        self._grids = self._open()

    def __len__(self) -> int:
        return len(self._images)

    @property
    def views(self) -> int:
        """How many there are of each picture."""
        return self._views

    def batch(
        self, numbers: npt.NDArray[Any], views: npt.NDArray[Any] | int = 0
    ) -> npt.NDArray[np.float16]:
        """Grids of some pictures, ``(N, cells, C)``, and which view of each."""
        return np.asarray(self._grids[views, numbers])

    def _open(self) -> npt.NDArray[np.float16]:
        ready = self._path.with_suffix(_READY)
        if not ready.is_file():
            self._fill()
            # Last of all: a file that was not filled to its end is filled anew.
            write_atomically(ready, b"")
        mapped: npt.NDArray[np.float16] = np.load(self._path, mmap_mode="r")
        return mapped

    def _fill(self) -> None:
        grids: np.memmap[Any, Any] | None = None
        starts = range(0, len(self._images), _BATCH)
        with tqdm(total=len(self._images), desc="   pictures", unit="picture") as bar:
            for start in starts:
                part = self._images[start : start + _BATCH]
                pictures = np.stack([picture(image, self._spec) for image in part])
                for number in range(self._views):
                    found = self._encode(np.stack([view(each, number) for each in pictures]))
                    if grids is None:
                        shape = (self._views, len(self._images), *found.shape[1:])
                        grids = np.lib.format.open_memmap(
                            self._path, mode="w+", dtype=np.float16, shape=shape
                        )
                    grids[number, start : start + len(part)] = found
                bar.update(len(part))
        if grids is not None:
            grids.flush()


def digest(arrays: dict[str, npt.NDArray[Any]]) -> str:
    """Of an encoder's weights."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
