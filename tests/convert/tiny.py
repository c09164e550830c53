"""Clips and settings small enough to train on in seconds, and the verbs run in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edgecap.cli import main
from edgecap.synthetic import Scene

#: Every stage, a few steps each.
TINY = """
rate_hz = 12
scenes = 4
variants = 2
audit_frames = 60
[encoder]
name = "mobilenet_v1"
alpha = 0.25
height = 32
width = 32
[neck]
channels = 4
features = 16
[lstm]
units = 16
[pretrain]
steps = 2
batch = 8
[recurrent]
steps = 6
batch = 4
length = 8
validate_every = 3
[joint]
steps = 2
batch = 2
length = 4
validate_every = 2
[qat]
steps = 2
batch = 2
length = 4
validate_every = 2
"""

#: Enough to learn what a bright patch shows, in about 10 s. The pretraining is what counts: the
#: features of an encoder that has learnt nothing vanish in half precision.
PATCHES = """
rate_hz = 12
variants = 1
grace = 0.0
audit_frames = 60
[encoder]
name = "mobilenet_v1"
alpha = 0.25
height = 32
width = 32
stride = 8
[neck]
channels = 8
features = 16
[lstm]
units = 16
[split]
validation = 0.25
[pretrain]
steps = 200
batch = 32
[recurrent]
steps = 100
batch = 8
length = 8
learning_rate = 2e-2
validate_every = 50
[joint]
steps = 0
[qat]
steps = 10
batch = 4
length = 8
validate_every = 10
"""


def write_gesture(path: Path, label: str, seed: int) -> None:
    """A gesture as a video of 48×40 pixels at 24 frames a second."""
    scene = Scene(seed=seed, height=40, width=48, rate_hz=24, gestures=[label])
    write_frames(path, [frame.image for frame in scene if frame.gesture >= 0])


def write_gestures(folder: Path, count: int = 3) -> Path:
    """``left`` and ``right``, so many clips each; the last of each is a folder of images."""
    for label in ("left", "right"):
        for number in range(count - 1):
            write_gesture(folder / label / f"{number}.mp4", label, number)
        images = folder / label / "frames"
        images.mkdir()
        for frame in Scene(seed=5, height=40, width=48, gestures=[label]):
            if frame.gesture >= 0:
                cv2.imwrite(str(images / f"{frame.index}.png"), frame.image[..., ::-1])
    return folder


def write_frames(path: Path, frames: list[npt.NDArray[np.uint8]], *, rate_hz: float = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    code = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate_hz, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    return path


def patch(x: float, *, shade: int = 60, size: tuple[int, int] = (40, 48)) -> npt.NDArray[np.uint8]:
    """A bright square around ``x``, in shares of the width, on a wall."""
    image = np.full((*size, 3), shade, np.uint8)
    middle = round(x * size[1])
    image[12:28, max(0, middle - 7) : middle + 7] = 235
    return image


def edgecap(*arguments: str | Path) -> int:
    """Runs a verb in this process; returns its exit status."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Runs a verb that must fail with one line after any progress bars; returns the line."""
    capfd.readouterr()
    status = edgecap(*arguments)
    out, err = capfd.readouterr()
    assert status in (1, 2)
    assert out == ""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("edgecap: ")]
    assert lines == err.splitlines()[-1:], err
    return lines[0]


def answered(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """Runs a verb that must succeed; returns what it prints with ``--json``."""
    capfd.readouterr()
    status = edgecap(*arguments, "--json")
    out, err = capfd.readouterr()
    assert status == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))
