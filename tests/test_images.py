"""Picture files of all kinds, and what is none."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="needs the extra 'camera'")

from edgecap.errors import DataError  # noqa: E402
from edgecap.images import read_image  # noqa: E402

RED = (200, 30, 60)


def written(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_colours_are_rgb(tmp_path: Path) -> None:
    image = np.full((4, 6, 3), RED[::-1], np.uint8)
    found = read_image(written(tmp_path / "a.png", image))
    assert (found.shape, found.dtype, found.flags.c_contiguous) == ((4, 6, 3), np.uint8, True)
    assert tuple(found[0, 0]) == RED


def test_grey_transparent_and_16_bit_pictures_become_rgb(tmp_path: Path) -> None:
    grey = read_image(written(tmp_path / "g.png", np.full((5, 5), 90, np.uint8)))
    assert (grey == 90).all()
    assert grey.shape == (5, 5, 3)
    seen = np.zeros((5, 5, 4), np.uint8)
    seen[..., :3], seen[..., 3] = RED[::-1], 128
    assert tuple(read_image(written(tmp_path / "t.png", seen))[2, 2]) == RED
    deep = np.full((5, 5, 3), 0x8000, np.uint16)
    assert abs(int(read_image(written(tmp_path / "d.png", deep))[0, 0, 0]) - 128) <= 1


def test_one_pixel_and_fifty_megapixels_are_read(tmp_path: Path) -> None:
    one = written(tmp_path / "one.png", np.full((1, 1, 3), 7, np.uint8))
    assert read_image(one).shape == (1, 1, 3)
    large = np.zeros((6250, 8000, 3), np.uint8)
    assert read_image(written(tmp_path / "large.jpg", large)).shape == (6250, 8000, 3)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "not a picture"),
        (b"a text, and no picture", "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "not a picture"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "not a picture"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(
    tmp_path: Path, content: bytes, named: str
) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=named) as error:
        read_image(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_picture_that_claims_to_be_enormous_is_refused_before_it_takes_the_memory(
    tmp_path: Path,
) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    with pytest.raises(DataError, match="60000×60000 pixels are too many"):
        read_image(path)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        read_image(tmp_path / "none.jpg")
