"""Settings of the decisions, tried on recorded probabilities."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecap.decisions import DecisionSpec
from edgecap.evaluation.events import match_events
from edgecap.events import Event, EventDetector
from edgecap.predictions import label_detectors
from edgecap.tuning.counts import Counts, total
from edgecap.tuning.tracks import Track


@dataclass(frozen=True)
class _Smoothed:
    """What a detector came to on a track, frame by frame, whatever its thresholds.

    Attributes:
      rows: ``(N, K)`` float32, smoothed. clock_s: ``(N,)``.
      best: ``(N,)``: the most probable label. score: ``(N,)`` float64: its smoothed probability.
    """

    rows: npt.NDArray[np.float32]
    clock_s: tuple[float, ...]
    best: npt.NDArray[np.intp]
    score: npt.NDArray[np.float64]


class Replays:
    """Tries settings on tracks; what was tried is remembered.

    The events are those of the detectors of a live run. Only smoothing, which is the same for many
    settings, is done once.

    Args:
      labels, task: the model's.
    """

    def __init__(self, tracks: Sequence[Track], labels: tuple[str, ...], task: str) -> None:
        self.tracks = tuple(tracks)
        self._labels, self._task = labels, task
        self._smoothed: dict[Hashable, dict[int, _Smoothed]] = {}
        self._counts: dict[tuple[Hashable, ...], Counts] = {}

    def counts(self, decision: DecisionSpec, which: Iterable[int] | None = None) -> Counts:
        """Of all tracks, or of some, together."""
        indices = range(len(self.tracks)) if which is None else which
        return total(self._of_track(index, decision) for index in indices)

    def starts(self, index: int, decision: DecisionSpec) -> list[Event]:
        """The events that begin in a track, as a live run would tell of them."""
        smoothed = self._smooth(index, decision)
        times = self.tracks[index].timestamps_s.tolist()
        events = [
            event
            for key, detector in self._detectors(decision).items()
            for event in self._play(detector, key, smoothed[key], times, decision)
            if event.kind == "start"
        ]
        return sorted(events, key=lambda event: event.timestamp_s)

    def _play(
        self,
        detector: EventDetector,
        key: int,
        seen: _Smoothed,
        times: list[float],
        decision: DecisionSpec,
    ) -> Iterator[Event]:
        """Gives a detector the frames that can matter to it, and no others: most are quiet."""
        labels = self._labels if key < 0 else self._labels[key : key + 1]
        # No score is as high as infinity: the background starts nothing.
        enter = [
            np.inf if label == decision.background else decision.of(label).enter for label in labels
        ]
        high = seen.score >= np.array(enter)[seen.best]
        # The frame after as well: there, what had begun to be an event is given up.
        high[1:] |= high[:-1].copy()
        matter = np.flatnonzero(high).tolist()
        frame, count = 0, len(times)
        while frame < count:
            if detector.active is None:
                following = bisect_left(matter, frame)
                if following == len(matter):
                    return
                frame = matter[following]
            event = detector.update_smoothed(seen.rows[frame], times[frame], seen.clock_s[frame])
            if event is not None:
                yield event
            frame += 1

    def _detectors(self, decision: DecisionSpec) -> dict[int, EventDetector]:
        """One for all labels (called −1), or one for each."""
        if self._task == "multilabel":
            return label_detectors(self._labels, decision)
        return {-1: EventDetector(self._labels, decision)}

    def _smooth(self, index: int, decision: DecisionSpec) -> dict[int, _Smoothed]:
        key = (index, decision.smoothing_s, decision.background)
        if key not in self._smoothed:
            track = self.tracks[index]
            self._smoothed[key] = {
                number: _smoothed(
                    detector,
                    track.probabilities if number < 0 else track.probabilities[:, [number]],
                    track.timestamps_s.tolist(),
                )
                for number, detector in self._detectors(decision).items()
            }
        return self._smoothed[key]

    def _of_track(self, index: int, decision: DecisionSpec) -> Counts:
        # The hash of a decision leaves out the settings of single labels.
        key = (index, decision, tuple(decision.per_label.items()))
        if key not in self._counts:
            self._counts[key] = self._count(index, decision)
        return self._counts[key]

    def _count(self, index: int, decision: DecisionSpec) -> Counts:
        track = self.tracks[index]
        starts = self.starts(index, decision)
        matches = match_events(starts, track.segments, track.timestamps_s)
        false = dict.fromkeys(self._labels, 0)
        delays_s = []
        for event, segment in zip(starts, matches, strict=True):
            if segment is None:
                false[event.label] += 1
            else:
                delays_s.append(event.timestamp_s - float(track.timestamps_s[segment.start]))
        return Counts(
            gestures=len(track.segments),
            recognised=len(delays_s),
            false=tuple(false.values()),
            seconds=max(0.0, track.seconds - decision.settle_s),
            delays_s=tuple(delays_s),
        )


def _smoothed(
    detector: EventDetector, probabilities: npt.NDArray[np.float32], times: list[float]
) -> _Smoothed:
    rows, clock_s = np.empty_like(probabilities), []
    for number, (row, now) in enumerate(zip(probabilities, times, strict=True)):
        detector.update(row, now)
        assert detector.smoothed is not None
        rows[number] = detector.smoothed
        clock_s.append(detector.clock_s)
    # As wide as the detector compares: a threshold may lie between two float32.
    score = rows.max(axis=1).astype(np.float64)
    return _Smoothed(rows, tuple(clock_s), rows.argmax(axis=1), score)
