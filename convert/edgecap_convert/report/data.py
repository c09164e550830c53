"""What a report is made of: plain data that a training fills in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecap.spec import TASKS

if TYPE_CHECKING:
    from edgecap_convert.report.digest import Digest

Images = npt.NDArray[np.uint8]
#: Frame numbers ``(n,)`` → these frames, ``(n, H, W, 3)`` uint8 RGB.
FrameReader = Callable[[npt.NDArray[np.int64]], Images]


@dataclass(frozen=True)
class ClipResult:
    """One clip, or one segment of a stream, and what the model made of it.

    Attributes:
      name: for people, such as the file's relative path.
      truth: the true labels: one (classification), any number (multi-label), none (regression).
      answer: the answered labels, likewise.
      scores: ``(L,)`` what the answer was taken from: a probability per label. Not for regression.
      course: ``(N, L)`` float32, the probabilities (or values) at each frame.
      targets: ``(N, L)`` float32, the true values at each frame (regression).
      images: the N frames, ``(N, H, W, 3)`` uint8 RGB, or better a function that reads some of
        them: it is only called for the few clips that are shown.
      decided: the frames ``start`` to ``stop`` − 1 that made up the answer, if not all.
    """

    name: str
    truth: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    scores: npt.NDArray[np.float32] | None = None
    course: npt.NDArray[np.float32] | None = None
    targets: npt.NDArray[np.float32] | None = None
    images: Images | FrameReader | None = None
    decided: tuple[int, int] | None = None

    @property
    def correct(self) -> bool:
        """Whether the answer is the truth; of labels in any order."""
        return set(self.truth) == set(self.answer)

    @property
    def squared_error(self) -> float:
        """Mean over frames and values (regression)."""
        if self.course is None or self.targets is None or not len(self.course):
            return float("nan")
        return float(np.mean((self.course.astype(float) - self.targets) ** 2))

    def confidence(self, task: str, labels: Sequence[str]) -> float:
        """How much of the truth the model saw, more is better; NaN if unknown.

        Classification: the probability given to the true label. Multi-label: the mean over the
        labels of the probability given to what is true of each. Regression: minus the mean squared
        error.
        """
        if task == "regression":
            return -self.squared_error
        if self.scores is None:
            return float("nan")
        scores = np.asarray(self.scores, float)
        true = np.array([label in self.truth for label in labels])
        if task == "classification":
            return float(scores[true].sum())
        return float(np.mean(np.where(true, scores, 1 - scores)))


class _LabelledClip(Protocol):
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def group(self) -> str: ...


@dataclass(frozen=True)
class PartSummary:
    """One side of a split.

    Attributes:
      clips: how many. groups: whose. per_label: label → clips.
    """

    clips: int
    groups: tuple[str, ...] = ()
    per_label: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, clips: Iterable[_LabelledClip]) -> PartSummary:
        """Counts clips that have ``labels`` and a ``group``."""
        total, groups, labels = 0, set(), Counter[str]()
        for clip in clips:
            total += 1
            groups.add(clip.group)
            labels.update(clip.labels)
        return cls(total, tuple(sorted(groups)), dict(sorted(labels.items())))


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows; what is left out has no section.

    Attributes:
      title: the heading. task: classification, multilabel or regression.
      labels: the classes, or the names of the values.
      metrics: part (validation, test, "test, int8", …) → ``Evaluation.to_dict()``, in the order of
        reading. For regression ``mean_mse``, there and in each row of ``per_value``, may say what
        the mean of the training part would reach; else the mean of the truth is compared with.
      main: the part of the headline, the clips and the curves; the last one if empty.
      clips: the results on that part: the digest of an ``Album``, or any iterable, read once; of
        all but the few that are shown only the scores are kept.
      histories: ``History.to_dict()`` of every stage.
      settings: the configuration, nested as it is.
      provenance: command, data, seed, fingerprint, versions, machine, …; nested likewise.
      split: part → who is in it.
      skipped: (clip, reason) of the clips that could not be used.
      seconds: how long the training took.
      rate_hz: frames a second, for time axes.
      background: the label that is no event, if any.
      answer_rule: how the answer of a clip is taken from its frames.
      delays_s: of each recognised event, how long after its beginning it was reported.
      notes: further sentences for the reader.
    """

    title: str
    task: str
    labels: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, Any]]
    main: str = ""
    clips: Digest | Iterable[ClipResult] = ()
    histories: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, PartSummary] = field(default_factory=dict)
    skipped: Sequence[tuple[str, str]] = ()
    seconds: float | None = None
    rate_hz: float | None = None
    background: str | None = None
    answer_rule: str = ""
    delays_s: Sequence[float] = ()
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task: expected one of {', '.join(TASKS)}; got {self.task!r}")
        if not self.metrics:
            raise ValueError("metrics: expected at least one part")
        if self.main and self.main not in self.metrics:
            raise ValueError(f"main: expected one of {list(self.metrics)}; got {self.main!r}")

    @property
    def main_part(self) -> str:
        return self.main or list(self.metrics)[-1]


@dataclass(frozen=True)
class CrossvalData:
    """A cross-validation: the folds, each a training of its own.

    Attributes:
      title: the heading. folds: one report each; the main part of each is its test.
      fold_names: of the folds; 1, 2, … if empty.
      protocol: how the folds were made, in a sentence.
      settings, provenance, skipped, seconds, notes: as in ``ReportData``, for the whole.
    """

    title: str
    folds: Sequence[ReportData]
    fold_names: Sequence[str] = ()
    protocol: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    skipped: Sequence[tuple[str, str]] = ()
    seconds: float | None = None
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.folds:
            raise ValueError("folds: expected at least one")
        if self.fold_names and len(self.fold_names) != len(self.folds):
            raise ValueError(
                f"fold_names: expected {len(self.folds)}, one a fold; got {len(self.fold_names)}"
            )
        first = self.folds[0]
        if any((fold.task, fold.labels) != (first.task, first.labels) for fold in self.folds):
            raise ValueError("folds: expected the same task and labels in each")
