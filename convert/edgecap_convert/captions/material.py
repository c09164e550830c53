"""Who is taught, who tells when to stop, and who is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgecap.dataset.captions import CaptionedImage, read_captions
from edgecap.errors import DataError


@dataclass(frozen=True)
class CaptionMaterial:
    """Pictures by what they are for; none is in two parts.

    Attributes:
      name: as given by the user.
      train: taught. validation: tells when to stop. test: measured on, and has no part in anything
        else.
    """

    name: str
    train: tuple[CaptionedImage, ...]
    validation: tuple[CaptionedImage, ...]
    test: tuple[CaptionedImage, ...]

    @property
    def parts(self) -> dict[str, tuple[CaptionedImage, ...]]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def summary(self) -> dict[str, Any]:
        """Name, how many pictures and sentences, and a fingerprint of them all."""
        told = hashlib.sha256()
        for part, images in self.parts.items():
            for image in images:
                told.update("\0".join((part, image.name, *image.captions)).encode())
        counts = {part: len(images) for part, images in self.parts.items()}
        sentences = sum(len(i.captions) for images in self.parts.values() for i in images)
        return {
            "name": self.name,
            **counts,
            "sentences": sentences,
            "fingerprint": told.hexdigest(),
        }

    def split(self) -> dict[str, list[str]]:
        """The names in each part."""
        return {part: [image.name for image in images] for part, images in self.parts.items()}


def open_captions(name: str, *, share: float, seed: int) -> CaptionMaterial:
    """Reads the pictures and splits them.

    Where the data has parts ``train``, ``validation`` and ``test``, they are what they are called.
    Where it has no ``test``, its ``validation`` is measured on, and a share of ``train`` tells when
    to stop: figures on pictures that have chosen the network would be too good. Where it has no
    parts, a share is split off for each.

    Args:
      name: of a folder or a CSV file, see :mod:`edgecap.dataset.captions`.
      share: of the training's pictures. seed: who is in it.

    Raises:
      DataError: nothing usable is there, or too few pictures for a split.
    """
    images = read_captions(name)
    by_part: dict[str | None, list[CaptionedImage]] = {}
    for image in images:
        by_part.setdefault(image.part, []).append(image)
    unknown = by_part.pop(None, [])
    if unknown and by_part:
        raise DataError(
            f"{name}: {len(unknown)} of {len(images)} pictures are in no part, "
            f"{unknown[0].name} among them; name one for all or for none"
        )
    train, validation, test = (by_part.get(part, []) for part in ("train", "validation", "test"))
    if unknown:
        train, test = _split(unknown, share, seed + 1, name)
    if not test:
        validation, test = [], validation
    if not validation:
        train, validation = _split(train, share, seed, name)
    if not (train and test):
        raise DataError(
            f"{name}: expected pictures to train and to measure on; got {len(train)} and "
            f"{len(test)}"
        )
    return CaptionMaterial(name, tuple(train), tuple(validation), tuple(test))


def _split(
    images: Sequence[CaptionedImage], share: float, seed: int, name: str
) -> tuple[list[CaptionedImage], list[CaptionedImage]]:
    """The rest, and a share: by a hash of the names, so that new pictures move no old one."""
    order = sorted(images, key=lambda i: hashlib.sha256(f"{seed}/{i.name}".encode()).digest())
    count = max(1, round(share * len(order)))
    if len(order) < 2:
        raise DataError(f"{name}: {len(order)} pictures are too few to split")
    chosen = {image.name for image in order[:count]}
    rest = [image for image in images if image.name not in chosen]
    return rest, [image for image in images if image.name in chosen]
