"""Test material by name: a folder of clips, or synthetic scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgecap.clips import find_clips
from edgecap.errors import DataError
from edgecap.evaluation import Recording, Segment, record_scene
from edgecap.sources.synthetic import parse_scene
from edgecap.spec import InputSpec
from edgecap.synthetic import LABELS, Scene

SYNTHETIC = "synthetic:"
_DEFAULT_GESTURES = 200
_GESTURES_A_SCENE = 20
# Scenes for evaluation are numbered from here, those for training from 0, so none is both.
_FIRST_EVALUATION_SEED = 1 << 48
_SCENE_BITS = 24


def open_recordings(
    name: str, *, spec: InputSpec, rate_hz: float, labels: Sequence[str]
) -> Iterator[Recording]:
    """Reads recordings at a model's size and rate.

    Args:
      name: a folder per class of clips, or ``synthetic:seed=N,gestures=N``: scenes of 20
        gestures each that no training run has seen.
      spec, rate_hz: the model's.
      labels: the model's; every class must be among them.

    Raises:
      DataError: nothing there, an unreadable clip, or a class that the model does not know.
    """
    if name.startswith(SYNTHETIC):
        yield from _scenes(name, spec, rate_hz, labels)
        return
    clips = find_clips(name)
    unknown = sorted({clip.label for clip in clips} - set(labels))
    if unknown:
        raise DataError(
            f"{name}: the model does not know {', '.join(unknown)}; it knows {', '.join(labels)}"
        )
    for clip in clips:
        frames = list(clip.read(spec, rate_hz))
        yield Recording(
            name=str(clip.path),
            images=np.stack([image for image, _ in frames]),
            timestamps_s=np.array([timestamp for _, timestamp in frames]),
            truth=(clip.label,) * len(frames),
            segments=(Segment(clip.label, 0, len(frames)),),
            is_stream=False,
        )


def _scenes(
    name: str, spec: InputSpec, rate_hz: float, labels: Sequence[str]
) -> Iterator[Recording]:
    missing = sorted(set(LABELS) - set(labels))
    if missing:
        raise DataError(
            f"{name}: the model does not know {', '.join(missing)}; it was not trained on scenes"
        )
    first, options = parse_scene(
        name.removeprefix(SYNTHETIC), height=spec.height, width=spec.width, rate_hz=rate_hz
    )
    if (first.height, first.width) != (spec.height, spec.width) or first.rate_hz != rate_hz:
        raise DataError(
            f"{name}: scenes are drawn at the model's own size and rate; leave them out"
        )
    left = options.get("gestures", _DEFAULT_GESTURES)
    if left < 1:
        raise DataError(f"{name}: expected at least 1 gesture")
    number = 0
    while left > 0:
        yield record_scene(
            Scene(
                seed=_FIRST_EVALUATION_SEED + (first.seed << _SCENE_BITS) + number,
                height=spec.height,
                width=spec.width,
                rate_hz=rate_hz,
                gestures=min(left, _GESTURES_A_SCENE),
            )
        )
        left -= _GESTURES_A_SCENE
        number += 1
