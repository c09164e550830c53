"""Test material by name: a data set of clips, or synthetic scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from edgecap.dataset import Clip, Dataset, open_dataset
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
    name: str,
    *,
    spec: InputSpec,
    rate_hz: float,
    labels: Sequence[str],
    task: str | None = None,
) -> Iterator[Recording]:
    """Reads recordings at a model's size and rate, one at a time.

    Args:
      name: a data set (see :func:`edgecap.dataset.open_dataset`), or
        ``synthetic:seed=N,gestures=N``: scenes of 20 gestures each that no training run has seen.
      spec, rate_hz: the model's.
      labels: the model's; every class must be among them, and values must be these.
      task: the model's; ``None`` to tell it by the data.

    Raises:
      DataError: nothing there, an unreadable clip, or a class that the model does not know.
    """
    if name.startswith(SYNTHETIC):
        yield from _scenes(name, spec, rate_hz, labels)
        return
    dataset = open_dataset(name, task=task)
    if dataset.task == "regression" and dataset.labels != tuple(labels):
        raise DataError(
            f"{name}: the tables have the values {', '.join(dataset.labels)}; the model gives "
            f"{', '.join(labels)}"
        )
    unknown = [label for label in dataset.labels if label not in labels]
    if unknown:
        raise DataError(
            f"{name}: the model does not know {', '.join(unknown)}; it knows {', '.join(labels)}"
        )
    for clip in dataset.clips:
        frames = clip.read(spec, rate_hz)
        yield recording_of(
            clip,
            dataset,
            images=frames.images,
            timestamps_s=frames.timestamps_s,
            values=frames.values,
            labels=labels,
        )


def recording_of(
    clip: Clip,
    dataset: Dataset,
    *,
    images: npt.NDArray[np.uint8],
    timestamps_s: npt.NDArray[np.float64],
    values: npt.NDArray[np.float32] | None,
    labels: Sequence[str] | None = None,
) -> Recording:
    """A clip's frames as a recording to evaluate with.

    Args:
      clip, dataset: what is true of it.
      images: ``(N, H, W, 3)`` uint8 RGB at the model's size and rate.
      timestamps_s: ``(N,)``.
      values: ``(N, K)`` float32, for regression.
      labels: the model's, where they are not the data set's.
    """
    count = len(images)
    truth: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    targets = values
    if dataset.task == "classification":
        truth = (clip.label,) * count
        segments = (Segment(clip.label, 0, count),)
    elif dataset.task == "multilabel":
        row = [label in clip.labels for label in labels or dataset.labels]
        targets = np.tile(np.array(row, np.float32), (count, 1))
    return Recording(
        name=clip.name,
        images=images,
        timestamps_s=timestamps_s,
        truth=truth,
        segments=segments,
        is_stream=False,
        targets=targets,
        group=clip.group,
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
