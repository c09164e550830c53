"""What is in a data set: every clip is decoded once and looked at."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edgecap.dataset import Clip, Dataset
from edgecap.errors import DataError, EdgecapError, MissingDependencyError
from edgecap.extras import require_cv2
from edgecap.sources.folder import natural_key
from edgecap_convert.data.frames import broken_clips


@dataclass(frozen=True)
class ClipFacts:
    """What decoding told of a clip.

    Attributes:
      clip: which.
      frames: how many.
      seconds: how long; ``None`` for a folder of images without a rate.
      rate_hz: frames a second, from the median step; ``None`` likewise, and for a single frame.
      size: (height, width) of the first frame.
      values: ``(frames, K)`` float32 for regression, else ``None``.
    """

    clip: Clip
    frames: int
    seconds: float | None
    rate_hz: float | None
    size: tuple[int, int]
    values: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Survey:
    """A data set and what is in it.

    Attributes:
      dataset: what was looked at.
      clips: the usable ones, in the data set's order.
      broken: the others, with the reason.
    """

    dataset: Dataset
    clips: tuple[ClipFacts, ...]
    broken: tuple[tuple[Clip, str], ...]

    def of_label(self, label: str) -> list[ClipFacts]:
        """The usable clips with a label."""
        return [facts for facts in self.clips if label in facts.clip.labels]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        result: dict[str, Any] = {
            "name": self.dataset.name,
            "task": self.dataset.task,
            "labels": list(self.dataset.labels),
            **_figures(self.clips),
            "rates_hz": {
                f"{rate:g}": count
                for rate, count in sorted(
                    Counter(round(f.rate_hz, 1) for f in self.clips if f.rate_hz).items()
                )
            },
            "sizes": {
                f"{width}x{height}": count
                for (height, width), count in Counter(f.size for f in self.clips).most_common()
            },
        }
        if self.dataset.task == "regression":
            values = np.concatenate([f.values for f in self.clips if f.values is not None])
            result["values"] = {
                name: {
                    "min": round(float(column.min()), 6),
                    "mean": round(float(column.mean(dtype=np.float64)), 6),
                    "max": round(float(column.max()), 6),
                    "deviation": round(float(column.std(dtype=np.float64)), 6),
                }
                for name, column in zip(self.dataset.labels, values.T, strict=True)
            }
        else:
            result["classes"] = {
                label: _figures(self.of_label(label)) for label in self.dataset.labels
            }
        result["columns"] = sorted({name for f in self.clips for name in f.clip.columns})
        result["notes"] = self.notes()
        result["broken"] = [{"clip": clip.name, "reason": reason} for clip, reason in self.broken]
        return result

    def notes(self) -> list[str]:
        """What stands in the way of a good training or a fair test."""
        notes = []
        if self.dataset.task != "regression":
            for label in self.dataset.labels:
                groups = {facts.clip.group for facts in self.of_label(label)}
                if not groups:
                    notes.append(f"{label}: no usable clip")
                elif len(groups) == 1:
                    notes.append(f"{label}: all clips are of one group; none can be held out")
        if len({facts.clip.group for facts in self.clips}) == len(self.clips) > 1:
            notes.append(
                "every clip is its own group; if some show the same scene or come from the same "
                "recording, say so in a manifest's column 'group', or test figures come out too "
                "good"
            )
        return notes


def survey(dataset: Dataset, *, strict: bool = False, workers: int | None = None) -> Survey:
    """Decodes every clip once.

    Args:
      dataset: what to look at.
      strict: refuse broken clips.
      workers: threads; ``None`` for one per core.

    Raises:
      DataError: no clip is usable, or, with ``strict``, one is broken.
    """
    cv2 = require_cv2("to read video files")
    threads = cv2.getNumThreads()
    # The workers are the parallelism.
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, "survey")
    try:
        with tqdm(total=len(dataset.clips), desc="decode", unit="clip", leave=False) as bar:
            found = []
            for result in pool.map(_look, dataset.clips):
                found.append(result)
                bar.update()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)
    broken = [
        (clip, result)
        for clip, result in zip(dataset.clips, found, strict=True)
        if isinstance(result, str)
    ]
    usable = [result for result in found if not isinstance(result, str)]
    if broken and (strict or not usable):
        raise DataError(f"{dataset.name}: {broken_clips(broken, len(dataset.clips))}")
    return Survey(dataset, tuple(usable), tuple(broken))


def _look(clip: Clip) -> ClipFacts | str:
    """The facts, or the reason why there are none."""
    indices: list[int] = []
    times: list[float] = []
    size = (0, 0)
    try:
        for frame in clip.frames(1.0):
            # Times are rounded to the millisecond, in containers and in manifests.
            time_s = frame.timestamp_s + 1e-3
            if clip.end_s is not None and time_s >= clip.end_s:
                break
            if time_s >= (clip.start_s or 0.0):
                size = size if indices else (frame.image.shape[0], frame.image.shape[1])
                indices.append(frame.index)
                times.append(frame.timestamp_s)
        if not indices:
            raise DataError(
                f"{clip.path}: no frame in the part {clip.name.rpartition('[')[2][:-1]}"
            )
        values = clip.values_at(np.array(indices), np.array(times))
    except MissingDependencyError:
        raise
    except (EdgecapError, OSError) as error:
        return str(error)
    timed = clip.fps is not None or not clip.path.is_dir()
    step = float(np.median(np.diff(times))) if len(times) > 1 else None
    return ClipFacts(
        clip,
        frames=len(times),
        seconds=times[-1] - times[0] + (step or 0.0) if timed else None,
        rate_hz=1.0 / step if timed and step else None,
        size=size,
        values=values,
    )


def _figures(clips: Sequence[ClipFacts]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "clips": len(clips),
        "groups": len({facts.clip.group for facts in clips}),
        "frames": sum(facts.frames for facts in clips),
    }
    lengths = [facts.seconds for facts in clips if facts.seconds is not None]
    if lengths:
        result["seconds"] = {
            "total": round(sum(lengths), 2),
            "shortest": round(min(lengths), 2),
            "median": round(float(np.median(lengths)), 2),
            "longest": round(max(lengths), 2),
        }
    return result


def choose(clips: Sequence[ClipFacts], count: int) -> list[ClipFacts]:
    """Some clips of different groups, spread evenly."""
    first_of_group = {facts.clip.group: facts for facts in reversed(clips)}
    ordered = [facts for facts in clips if first_of_group[facts.clip.group] is facts]
    if len(ordered) < count:
        ordered += [facts for facts in clips if facts not in ordered]
    ordered = ordered[: max(count, len(first_of_group))]
    if len(ordered) > count:
        ordered = [ordered[i] for i in np.linspace(0, len(ordered) - 1, count).astype(int)]
    return sorted(ordered, key=lambda facts: natural_key(facts.clip.name))
