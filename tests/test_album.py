"""Copies of images: whole for as long as somebody has them, on memory that is used again."""

from __future__ import annotations

import numpy as np
import pytest

from edgecap.flight.album import Album


def image(value: int, size: int = 8) -> np.ndarray:
    return np.full((size, size, 3), value % 256, np.uint8)


def test_copies_stay_as_they_were_whatever_comes_after() -> None:
    album = Album()
    given = image(1)
    kept = [album.keep(given)]
    given[...] = 99
    # Every seventh is kept for long, the others are dropped at once.
    for number in range(2, 1000):
        copy = album.keep(image(number))
        if number % 7 == 0:
            kept.append(copy)
    values = [1, *range(7, 1000, 7)]
    assert [int(copy[0, 0, 0]) for copy in kept] == [value % 256 for value in values]
    assert all((copy == copy[0, 0, 0]).all() for copy in kept)


def test_a_copy_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Album().keep(image(1))[0, 0, 0] = 2


def test_sheets_are_used_again() -> None:
    album, places = Album(), set()
    window: list[np.ndarray] = []
    for number in range(5000):
        window = [*window[-99:], album.keep(image(number))]
        places.add(window[-1].__array_interface__["data"][0])
    # A hundred at once need four or five sheets of 32.
    assert len(places) <= 6 * 32


def test_another_size_begins_another_sheet() -> None:
    album = Album()
    small, large, again = album.keep(image(1)), album.keep(image(2, 16)), album.keep(image(3))
    assert [int(x.mean()) for x in (small, large, again)] == [1, 2, 3]
    assert large.shape == (16, 16, 3)
