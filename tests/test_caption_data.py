"""Flickr8k in its official form, CSV files, words, and the figures of captions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgecap.dataset.captions import (
    CaptionedImage,
    is_captions,
    of_part,
    read_captions,
    tokenize,
)
from edgecap.errors import DataError

TOLD = {"a.jpg": ["A dog .", "One dog runs ."], "b.jpg": ["Two men !"], "c.jpg": ["The sea"]}


def official(folder: Path, images: str = "images") -> Path:
    (folder / images).mkdir(parents=True, exist_ok=True)
    for name in TOLD:
        (folder / images / name).write_bytes(b"")
    lines = [f"{name}#{n}\t{s}" for name, told in TOLD.items() for n, s in enumerate(told)]
    # The official file tells of a picture that does not exist.
    lines.append("2258277193_586949ec62.jpg.1#0\tSomething .")
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (folder / "Flickr_8k.trainImages.txt").write_text("a.jpg\nb.jpg\n")
    (folder / "Flickr_8k.devImages.txt").write_text("c.jpg\n")
    return folder


def csv(folder: Path, text: str) -> Path:
    path = folder / "captions.csv"
    path.write_text(text, encoding="utf-8")
    for name in TOLD:
        (folder / name).write_bytes(b"")
    return path


@pytest.mark.parametrize("images", ["images", "Images", "Flicker8k_Dataset", "."])
def test_the_official_form_is_read(tmp_path: Path, images: str) -> None:
    folder = official(tmp_path, images)
    assert is_captions(folder)
    found = read_captions(folder)
    assert [image.name for image in found] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [image.part for image in found] == ["train", "train", "validation"]
    assert found[0].captions == tuple(TOLD["a.jpg"])
    assert all(image.path.is_file() for image in found)
    assert [image.name for image in of_part(found, "validation")] == ["c.jpg"]


def test_a_csv_is_read_with_and_without_parts(tmp_path: Path) -> None:
    rows = 'a.jpg,A dog.,train\na.jpg,"One, dog",train\nb.jpg,Two men,DEV\nc.jpg,Sea,test\n'
    found = read_captions(csv(tmp_path, f"image,caption,part\n{rows}"))
    assert [(i.name, i.part) for i in found] == [
        ("a.jpg", "train"),
        ("b.jpg", "validation"),
        ("c.jpg", "test"),
    ]
    assert found[0].captions == ("A dog.", "One, dog")
    plain = csv(tmp_path, "image;caption\na.jpg;A dog\nb.jpg;Two men\n")
    assert is_captions(plain)
    found = read_captions(plain)
    assert [image.part for image in found] == [None, None]
    assert of_part(found, "test") == found


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda f: (f / "images" / "b.jpg").unlink(), "1 of 3 pictures are missing"),
        (lambda f: (f / "Flickr8k.token.txt").unlink(), "expected Flickr8k.token.txt"),
        (
            lambda f: (f / "Flickr8k.token.txt").write_text("a.jpg A dog\n"),
            "line 1: expected NAME.jpg#0, a tab",
        ),
        (
            lambda f: (f / "Flickr_8k.devImages.txt").write_text("a.jpg\n"),
            "a.jpg is in train already",
        ),
        (
            lambda f: (f / "Flickr_8k.devImages.txt").write_text("c.jpg\nd.jpg\n"),
            "no sentence about d.jpg",
        ),
        (
            lambda f: (f / "Flickr8k.token.txt").write_bytes(b"\xff\xfe\x00a"),
            "not UTF-8 text",
        ),
    ],
)
def test_what_is_wrong_with_the_official_form_is_told(
    tmp_path: Path, spoil: Callable[[Path], object], named: str
) -> None:
    folder = official(tmp_path)
    spoil(folder)
    with pytest.raises(DataError, match=named):
        read_captions(folder)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("image,words\na.jpg,A dog\n", "expected the columns image, caption"),
        ("image,caption,part\na.jpg,A dog,some\n", "line 2: part: expected train"),
        ("image,caption\na.jpg,...\n", "line 2: expected a sentence"),
        ("image,caption,part\na.jpg,A,train\na.jpg,B,test\n", "a.jpg is in the part train already"),
        ("image,caption\nz.jpg,A dog\n", "1 of 1 pictures are missing"),
        ("image,caption\n", "no picture with a sentence"),
    ],
)
def test_what_is_wrong_with_a_csv_is_told(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(DataError, match=named):
        read_captions(csv(tmp_path, text))


def test_nothing_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read_captions(tmp_path / "none")
    assert not is_captions(tmp_path)
    assert not is_captions(tmp_path / "none.csv")
    images = [CaptionedImage("a", Path("a"), ("x",), "train")]
    with pytest.raises(DataError, match="expected pictures of the part 'test'"):
        of_part(images, "test")


def test_words_are_lower_case_and_without_punctuation() -> None:
    told = "A man's dog, running -- on the 2nd beach! “Fünf” O’Neill's 't"
    assert tokenize(told) == [
        *("a", "man's", "dog", "running", "on", "the", "2nd", "beach", "fünf", "o'neill's", "t"),
    ]
    assert tokenize(" . -- ! ") == []


def test_figures_are_those_of_the_standard_implementation() -> None:
    pytest.importorskip("pycocoevalcap", reason="needs the extra 'captions'")
    from edgecap.evaluation.captions import score_captions

    truth = {
        "a": ["A dog runs on the beach .", "The dog is running along the sand"],
        "b": ["Two men sit at a table", "Two people eat together at a table"],
        "c": ["A red car", "A red car parked in a street"],
    }
    same = {name: told[0] for name, told in truth.items()}
    best = score_captions(same, truth)
    assert best.bleu[0] == pytest.approx(1.0, abs=1e-6)
    assert best.rouge_l == pytest.approx(1.0, abs=1e-6)
    assert best.images == 3
    # By hand: of "a dog runs" and of "two cats", 3 and 1 of 5 words are right; both sides are
    # 5 and 10 long (the nearest references: 6 and 6), so the brevity penalty is exp(1 - 12 / 5).
    two = score_captions({"a": "A dog runs", "b": "two cats"}, {k: truth[k] for k in "ab"})
    assert two.bleu[0] == pytest.approx(4 / 5 * 2.718281828 ** (1 - 12 / 5), rel=1e-3)
    assert best.cider_d > two.cider_d > 0
    assert best.each["a"] > two.each["a"]
    # Case and punctuation count for nothing.
    loud = {name: told.upper() + "!!" for name, told in same.items()}
    assert score_captions(loud, truth) == best


def test_figures_of_nothing_or_of_unknown_pictures_are_refused() -> None:
    pytest.importorskip("pycocoevalcap", reason="needs the extra 'captions'")
    from edgecap.evaluation.captions import score_captions

    with pytest.raises(DataError, match="expected captions of known pictures"):
        score_captions({}, {})
    with pytest.raises(DataError, match="expected captions of known pictures"):
        score_captions({"x": "a dog"}, {"a": ["a dog"]})
