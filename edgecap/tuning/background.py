"""Recordings in which nothing happens that is to be recognised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgecap.dataset.clip import Clip
from edgecap.dataset.find import VIDEO_SUFFIXES
from edgecap.errors import DataError
from edgecap.preprocess import Image
from edgecap.recordings import SYNTHETIC
from edgecap.sources.folder import list_images, natural_key
from edgecap.spec import InputSpec
from edgecap.synthetic import BACKGROUND, Scene

_USAGE = "synthetic:[seed=N,minutes=N]"
_DEFAULT_MINUTES = 20
_MOST_MINUTES = 100_000
# Scenes of the background are numbered from here, far above all others; one is a minute long.
_FIRST_SEED = 1 << 60
_SEED_BITS = 24
_SCENE_S = 60.0


@dataclass(frozen=True)
class Background:
    """One recording.

    Attributes:
      name: for messages.
      images: ``(H, W, 3)`` uint8 RGB at the model's size and rate, decoded one by one. Raises
        ``DataError`` where they cannot be, also after the last.
    """

    name: str
    images: Iterator[Image]


def open_background(name: str, *, spec: InputSpec, rate_hz: float) -> Iterator[Background]:
    """Lists recordings; each is read as its images are taken.

    Args:
      name: a video, a folder of images (one recording), a folder with videos and folders of
        images at any depth, or ``synthetic:seed=N,minutes=N``: walls in front of which objects
        come, hover and go, but perform nothing.
      spec, rate_hz: the model's.

    Raises:
      DataError: nothing there.
    """
    if name.startswith(SYNTHETIC):
        yield from _scenes(name, spec, rate_hz)
        return
    root = Path(name)
    found = _recordings(root)
    if not found:
        raise DataError(
            f"{name}: no background found; expected a video, a folder of videos or of images, or "
            f"{_USAGE}"
        )
    for path in found:
        clip = Clip(path, (), path.as_posix(), root=root if root.is_dir() else root.parent)
        label = path.name if path == root else clip.name
        yield Background(label, _images(clip, spec, rate_hz))


def _recordings(root: Path) -> list[Path]:
    try:
        if root.is_file() or (root.is_dir() and list_images(root)):
            return [root]
        inside = (
            path
            for path in root.rglob("*")
            if not any(part.startswith(".") for part in path.relative_to(root).parts)
        )
        found = [
            path
            for path in inside
            if (path.is_dir() and list_images(path)) or path.suffix.lower() in VIDEO_SUFFIXES
        ]
    except OSError as error:
        raise DataError(f"{root}: cannot be read: {error.strerror or error}") from error
    return sorted(found, key=lambda path: natural_key(path.as_posix()))


def _images(clip: Clip, spec: InputSpec, rate_hz: float) -> Iterator[Image]:
    for frame in clip.stream(spec, rate_hz):
        for _ in range(frame.ticks):
            yield frame.image


def _scenes(name: str, spec: InputSpec, rate_hz: float) -> Iterator[Background]:
    given = {"seed": 0, "minutes": _DEFAULT_MINUTES}
    for part in filter(None, name.removeprefix(SYNTHETIC).split(",")):
        key, _, value = part.partition("=")
        if key not in given:
            raise DataError(f"{name}: unknown option {key!r}; as background, expected {_USAGE}")
        if not (value.isascii() and value.isdigit()):
            raise DataError(f"{name}: {key} expects a whole number; got {value!r}")
        given[key] = int(value)
    if not 1 <= given["minutes"] <= _MOST_MINUTES:
        raise DataError(f"{name}: minutes expects 1 to {_MOST_MINUTES}; got {given['minutes']}")
    first = _FIRST_SEED + (given["seed"] << _SEED_BITS)
    for number in range(given["minutes"]):
        yield Background(f"scene {first + number}", _minute(first + number, spec, rate_hz))


def _minute(seed: int, spec: InputSpec, rate_hz: float) -> Iterator[Image]:
    # An act takes a second at least.
    acts = [BACKGROUND] * round(_SCENE_S)
    scene = Scene(seed=seed, height=spec.height, width=spec.width, rate_hz=rate_hz, gestures=acts)
    for frame in scene:
        if frame.timestamp_s >= _SCENE_S:
            return
        yield frame.image
