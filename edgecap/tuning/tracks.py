"""Recordings, streamed through the model once: what it said at each frame, and what was true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecap.errors import DataError
from edgecap.evaluation.recording import Recording, Segment, targets_of
from edgecap.preprocess import Image
from edgecap.recordings import open_recordings
from edgecap.streaming import StreamingModel
from edgecap.tuning.background import Background, open_background

_HALF = 0.5
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Track:
    """What a model said of a recording.

    Attributes:
      name: the recording's.
      group: tracks of one group stay together when some are kept apart.
      timestamps_s: ``(N,)`` float64. probabilities: ``(N, labels)`` float32.
      segments: what is to be recognised; none in the background.
      is_stream: gestures follow each other, with background between them.
    """

    name: str
    group: str
    timestamps_s: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float32]
    segments: tuple[Segment, ...] = ()
    is_stream: bool = True

    @property
    def seconds(self) -> float:
        return float(self.timestamps_s[-1] - self.timestamps_s[0])


def record_data(
    model: StreamingModel, name: str, *, progress: Progress = lambda _: None
) -> tuple[Track, ...]:
    """Streams recordings whose truth is known, as :func:`open_recordings` takes them.

    Raises:
      DataError: unreadable, or nothing in them is to be recognised.
    """
    spec = model.spec
    tracks: list[Track] = []
    recordings = open_recordings(
        name, spec=spec.input, rate_hz=spec.rate_hz, labels=spec.labels, task=spec.task
    )
    for number, recording in enumerate(recordings, 1):
        progress(f"data: recording {number}, {recording.name}")
        tracks.append(
            Track(
                name=recording.name,
                group=recording.group or recording.name,
                timestamps_s=recording.timestamps_s,
                probabilities=_answers(model, recording.images),
                segments=_segments(recording, spec.labels, spec.task, spec.decision.background),
                is_stream=recording.is_stream,
            )
        )
    if not any(track.segments for track in tracks):
        raise DataError(
            f"{name}: expected recordings of what is to be recognised; these hold the background "
            "only"
        )
    return tuple(tracks)


def record_background(
    model: StreamingModel, name: str, *, progress: Progress = lambda _: None
) -> tuple[tuple[Track, ...], tuple[str, ...]]:
    """Streams recordings in which nothing happens; see :func:`open_background`.

    Returns:
      The tracks, and what was left out and why, one line each.

    Raises:
      DataError: none can be read.
    """
    tracks: list[Track] = []
    left_out: list[str] = []
    for recording in open_background(name, spec=model.spec.input, rate_hz=model.spec.rate_hz):
        try:
            tracks.append(_background_track(model, recording, progress))
        except DataError as error:
            left_out.append(str(error))
    if not tracks:
        raise DataError(f"{name}: no background could be read; {left_out[0]}")
    return tuple(tracks), tuple(left_out)


def _background_track(model: StreamingModel, recording: Background, progress: Progress) -> Track:
    def told() -> Iterator[Image]:
        for index, image in enumerate(recording.images):
            if index % 256 == 0:
                progress(f"background: {recording.name}, {index / model.spec.rate_hz / 60:.1f} min")
            yield image

    probabilities = _answers(model, told())
    times = np.arange(len(probabilities)) / model.spec.rate_hz
    return Track(recording.name, recording.name, times, probabilities)


def _answers(model: StreamingModel, images: Iterable[Image]) -> npt.NDArray[np.float32]:
    """``(N, labels)``, from a reset state; the images need not fit into memory."""
    states = model.initial_states()
    rows = []
    for image in images:
        outputs, states = model.infer(image, states)
        rows.append(model.activate(outputs))
    return np.stack(rows)


def _segments(
    recording: Recording, labels: tuple[str, ...], task: str, background: str | None
) -> tuple[Segment, ...]:
    """What is to be recognised: not the background."""
    if task == "classification":
        return tuple(segment for segment in recording.segments if segment.label != background)
    holds = targets_of(recording, len(labels)) >= _HALF
    found = []
    for index, label in enumerate(labels):
        if label != background:
            edges = np.diff(holds[:, index].astype(np.int8), prepend=0, append=0)
            starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
            found += [Segment(label, int(a), int(b)) for a, b in zip(starts, stops, strict=True)]
    return tuple(sorted(found, key=lambda segment: segment.start))
