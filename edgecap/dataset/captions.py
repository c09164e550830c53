"""Pictures with sentences about them: Flickr8k in its official form, or a CSV file.

flickr8k/Flickr8k.token.txt           NAME.jpg#0<tab>sentence, five lines a picture
flickr8k/Flickr_8k.trainImages.txt    names, one a line; likewise devImages and testImages
flickr8k/images/NAME.jpg              or Flicker8k_Dataset/, Images/, or beside the lists

captions.csv                          image,caption[,part]: a line for each sentence; pictures
                                      beside the file, or in images/ or Images/ beside it
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgecap.dataset.csvfile import read_rows
from edgecap.documents import read_small
from edgecap.errors import DataError

#: What a picture may be for; a CSV file may leave it out.
PARTS = ("train", "validation", "test")
_TOKENS = "Flickr8k.token.txt"
_LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_FOLDERS = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", ".")
# As people write it.
_SYNONYMS = {"dev": "validation", "val": "validation", "valid": "validation", "": None}
_MISSING_SHOWN = 3

# Letters and digits of any script; an apostrophe holds together what stands on both its sides.
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True)
class CaptionedImage:
    """A picture and what people said of it.

    Attributes:
      name: unique in its data. path: of the file.
      captions: one or more sentences, as they were written.
      part: one of ``PARTS``, or ``None`` where the data does not say.
    """

    name: str
    path: Path
    captions: tuple[str, ...]
    part: str | None = None


def tokenize(sentence: str) -> list[str]:
    """The words of a sentence, in lower case, without punctuation.

    The same in training and in every figure: ``"A man's dog, running."`` is
    ``a man's dog running``.
    """
    return [word.replace("’", "'") for word in _WORD.findall(sentence.lower())]


def is_captions(path: str | Path) -> bool:
    """Whether there are pictures with sentences there, by their names alone."""
    path = Path(path)
    try:
        if path.is_dir():
            return (path / _TOKENS).is_file()
        if path.suffix.lower() not in (".csv", ".txt") or not path.is_file():
            return False
        names, _ = read_rows(path)
    except (DataError, OSError):
        return False
    return "image" in names and "caption" in names


def read_captions(path: str | Path) -> list[CaptionedImage]:
    """Reads all pictures, in the order of their names.

    Args:
      path: of a folder in Flickr8k's form, or of a CSV file.

    Raises:
      DataError: nothing of that form is there, a line is malformed, or pictures are missing.
    """
    path = Path(path)
    try:
        return _read(path)
    except OSError as error:
        # A name that is too long, a folder that may not be entered.
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def of_part(images: Iterable[CaptionedImage], part: str) -> list[CaptionedImage]:
    """Those of a part; all of them where the data has no parts.

    Raises:
      DataError: there are parts, but not this one.
    """
    images = list(images)
    if all(image.part is None for image in images):
        return images
    chosen = [image for image in images if image.part == part]
    if not chosen:
        there = ", ".join(sorted({str(image.part) for image in images}))
        raise DataError(f"expected pictures of the part {part!r}; there are those of {there}")
    return chosen


def _read(path: Path) -> list[CaptionedImage]:
    if path.is_dir():
        if not (path / _TOKENS).is_file():
            raise DataError(
                f"{path}: expected {_TOKENS} in it, as Flickr8k comes, or the path of a CSV file "
                "with the columns image and caption"
            )
        sentences, parts = _read_official(path)
        folder = path
    elif path.is_file():
        sentences, parts = _read_csv(path)
        folder = path.parent
    else:
        raise DataError(f"{path}: no such file or folder")
    if not sentences:
        raise DataError(f"{path}: no picture with a sentence in it")
    return _found(path, folder, sentences, parts)


def _read_official(folder: Path) -> tuple[dict[str, list[str]], dict[str, str | None]]:
    parts: dict[str, str | None] = {}
    for part, name in _LISTS.items():
        if (folder / name).is_file():
            for image in _lines(folder / name):
                if image in parts:
                    raise DataError(f"{folder / name}: {image} is in {parts[image]} already")
                parts[image] = part
    if not parts:
        raise DataError(f"{folder}: expected lists of pictures, such as {_LISTS['train']}")
    sentences: dict[str, list[str]] = {}
    for number, line in enumerate(_lines(folder / _TOKENS), 1):
        key, tab, sentence = line.partition("\t")
        image, sharp, _ = key.rpartition("#")
        if not (tab and sharp and image):
            raise DataError(
                f"{folder / _TOKENS}, line {number}: expected NAME.jpg#0, a tab and a sentence; "
                f"got {line[:60]!r}"
            )
        # The official file also tells of pictures that are in no list.
        if image in parts:
            sentences.setdefault(image, []).append(sentence)
    silent = sorted(set(parts) - set(sentences))
    if silent:
        raise DataError(f"{folder / _TOKENS}: no sentence about {_shown(silent)}")
    return sentences, parts


def _read_csv(path: Path) -> tuple[dict[str, list[str]], dict[str, str | None]]:
    names, rows = read_rows(path)
    for needed in ("image", "caption"):
        if needed not in names:
            raise DataError(
                f"{path}: expected the columns image, caption and, if wanted, part; got "
                f"{', '.join(names)}"
            )
    sentences: dict[str, list[str]] = {}
    parts: dict[str, str | None] = {}
    for line, cells in rows:
        row = dict(zip(names, cells, strict=True))
        part: str | None = row.get("part", "").lower()
        part = _SYNONYMS.get(part or "", part)
        if part is not None and part not in PARTS:
            raise DataError(f"{path}, line {line}: part: expected {', '.join(PARTS)}; got {part!r}")
        image = row["image"]
        if parts.setdefault(image, part) != part:
            raise DataError(f"{path}, line {line}: {image} is in the part {parts[image]} already")
        if not tokenize(row["caption"]):
            raise DataError(f"{path}, line {line}: expected a sentence; got {row['caption']!r}")
        sentences.setdefault(image, []).append(row["caption"])
    return sentences, parts


def _found(
    data: Path,
    folder: Path,
    sentences: dict[str, list[str]],
    parts: dict[str, str | None],
) -> list[CaptionedImage]:
    first = next(iter(sentences))
    places = [folder / name for name in _FOLDERS if (folder / name / first).is_file()]
    place = places[0] if places else folder
    missing = [name for name in sentences if not (place / name).is_file()]
    if missing:
        raise DataError(
            f"{data}: {len(missing)} of {len(sentences)} pictures are missing in {place}, "
            f"{_shown(missing)} among them; expected them there or in "
            f"{', '.join(name for name in _FOLDERS if name != '.')}"
        )
    return [
        CaptionedImage(name, place / name, tuple(sentences[name]), parts[name])
        for name in sorted(sentences)
    ]


def _lines(path: Path) -> list[str]:
    try:
        text = read_small(path).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: {error}") from error
    if "\0" in text:
        raise DataError(f"{path}: not text (a NUL in it, as UTF-16 has); save it as UTF-8")
    lines = text.splitlines()
    return [line.strip() for line in lines if line.strip()]


def _shown(names: list[str]) -> str:
    shown = ", ".join(names[:_MISSING_SHOWN])
    return shown if len(names) <= _MISSING_SHOWN else f"{shown} …"
