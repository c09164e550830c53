"""Recordings made for a test: frame n of a video or folder is of the grey level ``shade(n)``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecap.spec import InputSpec, TensorSpec

SPEC = InputSpec(TensorSpec("image", (1, 16, 24, 3), "int8", 1 / 127.5, 0))


def shade(index: int) -> int:
    return 10 + 8 * (index % 30)


def write_video(
    path: Path, count: int = 12, *, rate_hz: float = 12.0, size: tuple[int, int] = (48, 64)
) -> Path:
    """MJPG in AVI, or MPEG-4 in the other containers."""
    cv2 = pytest.importorskip("cv2")
    path.parent.mkdir(parents=True, exist_ok=True)
    code = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate_hz, size[::-1])
    assert writer.isOpened()
    for index in range(count):
        writer.write(np.full((*size, 3), shade(index), np.uint8))
    writer.release()
    return path


def write_images(folder: Path, count: int = 6, *, size: tuple[int, int] = (48, 64)) -> Path:
    """``1.png``, ``2.png``, …: their natural order is not that of their names from 10 on."""
    cv2 = pytest.importorskip("cv2")
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = np.full((*size, 3), shade(index), np.uint8)
        assert cv2.imwrite(str(folder / f"{index + 1}.png"), image)
    return folder


def write_table(path: Path, count: int, *, key: str = "frame", step: float = 1.0) -> Path:
    """``angle`` is the row's number, ``speed`` its negative."""
    rows = "".join(f"{index * step:g},{index},{-index}\n" for index in range(count))
    path.write_text(f"{key},angle,speed\n{rows}")
    return path


def indices(images: np.ndarray) -> list[int]:
    """Which frames these are, by their grey level; the codecs lose up to four levels."""
    levels = images.astype(float).mean(axis=(1, 2, 3))
    return np.round((levels + 2 - shade(0)) / 8).astype(int).tolist()
