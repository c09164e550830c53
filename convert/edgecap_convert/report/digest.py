"""The results of many clips, one after the other: what is shown is kept, of the rest the scores."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from edgecap.evaluation import Predictor, Recording
from edgecap.evaluation.classification import answer_segments
from edgecap.evaluation.multilabel import answer_labels
from edgecap.evaluation.recording import Segment, targets_of
from edgecap_convert.report.data import ClipResult, FrameReader

WORST, BEST = 8, 4
#: Frames of a thumbnail strip.
STRIP_FRAMES = 6
# Of one recording, for the scatter plot.
_POINTS_PER_CLIP = 300

_Entry = tuple[float, int, ClipResult]


class Digest:
    """What a report needs of clips that are seen one by one; holds the frames of few of them.

    Attributes:
      task, labels: as in ``ReportData``.
      count: clips seen.
      truths: true labels and scores: ``(L,)`` scores, of the clips that have scores.
      points: (targets, values), ``(n, L)`` each, of some frames of each recording (regression).
    """

    def __init__(self, task: str, labels: Sequence[str]) -> None:
        self.task, self.labels = task, tuple(labels)
        self.count = 0
        self.truths: list[tuple[str, ...]] = []
        self.scores: list[npt.NDArray[np.float32]] = []
        self.points: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] = []
        # Heaps drop their smallest: of the worst that is the least bad, so its key is turned round.
        self._worst: list[_Entry] = []
        self._best: list[_Entry] = []

    def add(self, clip: ClipResult) -> None:
        """Takes in one clip."""
        number = self.count
        self.count += 1
        if clip.scores is not None:
            self.truths.append(clip.truth)
            self.scores.append(np.asarray(clip.scores, np.float32))
        if self.task == "regression" and clip.course is not None and clip.targets is not None:
            picks = evenly(len(clip.course), _POINTS_PER_CLIP)
            self.points.append((clip.targets[picks], clip.course[picks]))
        self._rank(clip, number)

    def merge(self, other: Digest) -> None:
        """Takes in all clips of another digest, as if they had been added here."""
        shown = {-number: clip for _, number, clip in [*other._worst, *other._best]}
        for number in sorted(shown):
            self._rank(shown[number], self.count + number)
        self.count += other.count
        self.truths += other.truths
        self.scores += other.scores
        self.points += other.points

    @property
    def worst(self) -> list[ClipResult]:
        """The clips whose truth the model saw least, the worst first."""
        return [clip for _, _, clip in sorted(self._worst, key=_extreme_first)]

    @property
    def best(self) -> list[ClipResult]:
        """The clips whose truth it saw best, the best first; without those that are ``worst``."""
        taken = {number for _, number, _ in self._worst}
        ranked = sorted(self._best, key=_extreme_first)
        return [clip for _, number, clip in ranked if number not in taken]

    def _rank(self, clip: ClipResult, number: int) -> None:
        confidence = clip.confidence(self.task, self.labels)
        if math.isnan(confidence):
            return
        _offer(self._worst, (-confidence, -number, clip), WORST)
        _offer(self._best, (confidence, -number, clip), BEST)


class Album:
    """Keeps what a report shows while an evaluation runs, so that nothing is computed twice.

    album = Album(task, labels)
    result = evaluate(album.predictor(predict), album.follow(recordings), …)
    ReportData(…, clips=album.digest)
    """

    def __init__(self, task: str, labels: Sequence[str]) -> None:
        self.digest = Digest(task, labels)
        self._current: Recording | None = None

    def follow(self, recordings: Iterable[Recording]) -> Iterator[Recording]:
        """The same recordings, one at a time."""
        for recording in recordings:
            self._current = recording
            yield recording
        self._current = None

    def predictor(self, predict: Predictor) -> Predictor:
        """The same predictor, to be asked about the recordings that are followed."""

        def watched(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            values = predict(images)
            if self._current is None or self._current.images is not images:
                raise RuntimeError("expected the images of the recording that follow() gave last")
            for clip in clip_results(self._current, values, self.digest.task, self.digest.labels):
                self.digest.add(clip)
            return values

        return watched


def clip_results(
    recording: Recording, values: npt.NDArray[np.float32], task: str, labels: Sequence[str]
) -> Iterator[ClipResult]:
    """A recording's segments and their answers, as an evaluation takes them.

    Args:
      recording: N frames.
      values: ``(N, L)`` float32: the probabilities, or the numbers (regression).
    """
    if task == "regression":
        targets = targets_of(recording, len(labels))
        yield ClipResult(recording.name, course=values, targets=targets, images=recording.images)
        return
    if task == "multilabel":
        found = [
            (a.start, a.stop, a.truth, a.answer, a.scores)
            for a in answer_labels(values, recording, labels)
        ]
    else:
        found = [
            (a.start, a.stop, (a.truth,), (a.answer,), a.scores)
            for a in answer_segments(values, recording, labels)
        ]
    for start, stop, truth, answer, scores in found:
        name = recording.name
        whole = (start, stop) == (0, len(recording.images))
        if not whole:
            first, last = recording.timestamps_s[start], recording.timestamps_s[stop - 1]
            name += f" [{first:.1f}–{last:.1f} s]"
        yield ClipResult(
            name,
            truth,
            answer,
            scores,
            course=values[start:stop],
            # Not read before some of them are chosen: a recording may be long.
            images=recording.images if whole else recording.images[start:stop],
            decided=(Segment("", start, stop).second_half.start - start, stop - start),
        )


def evenly(length: int, most: int) -> npt.NDArray[np.int64]:
    """At most ``most`` indices of ``length``, evenly spread, both ends included."""
    if length <= most:
        return np.arange(length)
    return np.round(np.linspace(0, length - 1, most)).astype(np.int64)


def _extreme_first(entry: _Entry) -> tuple[float, int]:
    return -entry[0], -entry[1]


def _offer(heap: list[_Entry], entry: _Entry, size: int) -> None:
    if len(heap) == size and entry[:2] <= heap[0][:2]:
        return
    entry = (*entry[:2], _light(entry[2]))
    if len(heap) < size:
        heapq.heappush(heap, entry)
    else:
        heapq.heapreplace(heap, entry)


def _light(clip: ClipResult) -> ClipResult:
    """The clip with only the frames that its strip shows, and arrays of its own."""
    images = clip.images
    if images is not None and not callable(images):
        images = _reader(np.array(images[evenly(len(images), STRIP_FRAMES)]))
    course = None if clip.course is None else np.array(clip.course)
    return dataclasses.replace(clip, images=images, course=course)


def _reader(kept: npt.NDArray[np.uint8]) -> FrameReader:
    return lambda picks: kept[: len(picks)]
