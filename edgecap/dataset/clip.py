"""One clip: a recording or a part of one, and what is true of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecap.dataset.table import Table, read_key, read_table
from edgecap.errors import DataError, EdgecapError, MissingDependencyError
from edgecap.preprocess import Image, resize
from edgecap.rate import sample_and_hold
from edgecap.sources.base import Frame
from edgecap.sources.folder import ImageFolder
from edgecap.sources.video import VideoFile
from edgecap.spec import InputSpec

#: A recording that lacks a larger share of its frames is damaged; one that lacks less is used.
MISSING_SHARE = 0.1
# These containers state the number of frames; for others OpenCV multiplies a duration by a rate.
_COUNTED = (".mp4", ".m4v", ".mov", ".avi")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipFrames:
    """A clip at a model's size and rate.

    Attributes:
      images: ``(N, H, W, 3)`` uint8 RGB.
      timestamps_s: ``(N,)`` float64, from 0 in steps of the rate.
      values: ``(N, K)`` float32 for regression, else ``None``.
    """

    images: npt.NDArray[np.uint8]
    timestamps_s: npt.NDArray[np.float64]
    values: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class HeldFrame:
    """A frame of the recording that is used.

    Attributes:
      image: ``(H, W, 3)`` uint8 RGB at the model's size.
      ticks: for how many ticks it stands, one or more.
      index: its number in the whole recording.
      timestamp_s: its time in the whole recording.
    """

    image: Image
    ticks: int
    index: int
    timestamp_s: float


@dataclass(frozen=True)
class Clip:
    """A recording or a part of one.

    Attributes:
      path: a video file or a folder of images.
      labels: one for classification, any number for multi-label, none for regression.
      group: clips of one group never lie on both sides of a split.
      start_s, end_s: the part of the recording; ``None``: from its start, to its end.
      table: a CSV of numbers for regression: ``frame,value…`` or ``time_s,value…``.
      columns: what else a manifest says of it.
      root: the folder that ``name`` is relative to.
    """

    path: Path
    labels: tuple[str, ...]
    group: str
    start_s: float | None = None
    end_s: float | None = None
    table: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict, compare=False)
    root: Path | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """What to call it: the path below the root, and the part."""
        inside = self.root is not None and self.path.is_relative_to(self.root)
        text = (self.path.relative_to(self.root or ".") if inside else self.path).as_posix()
        if self.start_s is None and self.end_s is None:
            return text
        start = 0.0 if self.start_s is None else self.start_s
        return f"{text} [{start:g}–{'' if self.end_s is None else f'{self.end_s:g}'} s]"

    @property
    def label(self) -> str:
        """The one label of a clip for classification."""
        (label,) = self.labels
        return label

    @property
    def fps(self) -> float | None:
        """Frames a second of a folder of images, where the manifest's column ``fps`` says it."""
        return float(self.columns["fps"]) if self.columns.get("fps") else None

    def read(self, spec: InputSpec, rate_hz: float) -> ClipFrames:
        """The whole clip at a model's size and rate, in memory.

        Args:
          spec: size and resize rule.
          rate_hz: frames a second; a faster recording is thinned, a slower one repeats frames.
            The images of a folder without ``fps`` are taken to be at this rate.

        Raises:
          DataError: it cannot be read, or too much of it is missing.
        """
        held = list(self.stream(spec, rate_hz))
        counts = [frame.ticks for frame in held]
        # Stacked first: a frame held for many ticks is one image until here.
        images = np.repeat(np.stack([frame.image for frame in held]), counts, axis=0)
        values = self.values_at(
            np.array([frame.index for frame in held]),
            np.array([frame.timestamp_s for frame in held]),
        )
        if values is not None:
            values = np.repeat(values, counts, axis=0)
        return ClipFrames(images, np.arange(len(images)) / rate_hz, values)

    def stream(self, spec: InputSpec, rate_hz: float, *, finer: int = 1) -> Iterator[HeldFrame]:
        """The frames that the clip shows at a rate, decoded one by one.

        Args:
          spec, rate_hz: see :meth:`read`.
          finer: ticks per period of the rate; see :func:`edgecap.rate.sample_and_hold`.

        Raises:
          DataError: see :meth:`read`; also after the last frame, so read to the end.
        """
        with self._named_errors():
            empty = True
            held = sample_and_hold(
                self.frames(rate_hz), rate_hz, start_s=self.start_s, end_s=self.end_s, finer=finer
            )
            for frame, ticks in held:
                empty = False
                yield HeldFrame(resize(frame.image, spec), ticks, frame.index, frame.timestamp_s)
            if empty:
                raise DataError(f"{self.path}: the recording ends before {self.start_s:g} s")

    def frames(self, rate_hz: float) -> Iterator[Frame]:
        """The frames of the recording as they are, at their own size and times.

        Those before ``start_s`` may be left out, but for the one that stands then; those after
        ``end_s`` are there.

        Args:
          rate_hz: the rate of a folder of images for which none is given.

        Raises:
          SourceError: it cannot be decoded. DataError: too much of it is missing.
        """
        if self.path.is_dir():
            yield from ImageFolder(self.path, rate_hz=self.fps or rate_hz)
            return
        if self.path.is_file() and not self.path.stat().st_size:
            raise DataError(f"{self.path}: the file is empty (0 bytes)")
        if not self.path.exists():
            raise DataError(f"{self.path}: no such file or folder")
        # Frames that a table counts must be counted from the first.
        counted = self.table is not None and read_key(self.table) == "frame"
        video = VideoFile(self.path)
        # What is missing is judged here, by all frames' times.
        video.told = lambda notice: _log.debug("%s", notice.told)
        first = 0
        times: list[float] = []
        with video:
            for frame in video.frames_from(0.0 if counted else self.start_s or 0.0):
                first = first if times else frame.index
                times.append(frame.timestamp_s)
                yield frame
            self._check_complete(np.array(times), video, whole=first == 0)

    def values_at(
        self, indices: npt.NDArray[np.int64], timestamps_s: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float32] | None:
        """The table's values at frames of the recording; ``None`` without a table.

        Args:
          indices, timestamps_s: ``(U,)``, of the frames that are used.

        Returns:
          ``(U, K)`` float32.

        Raises:
          DataError: no readable table, or it does not cover the frames.
        """
        if self.table is None:
            return None
        table = read_table(self.table)
        return table.lookup(self._points(table, indices, timestamps_s))

    @staticmethod
    def _points(
        table: Table, indices: npt.NDArray[np.int64], timestamps_s: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        return indices.astype(np.float64) if table.key == "frame" else timestamps_s

    def _check_complete(
        self, times: npt.NDArray[np.float64], video: VideoFile, *, whole: bool
    ) -> None:
        """Raises ``DataError`` where the decoder came to an end before the recording did."""
        stated, rate_hz = video.stated_frames, video.rate_hz
        steps = np.diff(times)
        period_s = float(np.median(steps)) if len(steps) else 1.0 / (rate_hz or 30.0)
        last_s = float(times[-1]) + period_s
        if self.end_s is not None:
            start_s = self.start_s or 0.0
            if last_s < self.end_s - MISSING_SHARE * (self.end_s - start_s):
                raise DataError(
                    f"{self.path}: the recording ends at {last_s:.2f} s; the part from "
                    f"{start_s:g} s to {self.end_s:g} s is not all there"
                )
            return
        if stated is None:
            return
        if whole and self.path.suffix.lower() in _COUNTED:
            if len(times) < (1 - MISSING_SHARE) * stated:
                raise DataError(
                    f"{self.path}: {len(times)} of the {stated} frames that it should have can be "
                    "decoded; it is cut short or damaged"
                )
            holes = len(steps) and steps.max() > 1.5 * period_s
            if self.table is not None and len(times) < stated and holes:
                # Fewer frames than rows, and not at the end: the rows after it are of other frames.
                table = read_table(self.table)
                if table.key == "frame":
                    raise DataError(
                        f"{self.path}: {stated - len(times)} of {stated} frames in the middle "
                        f"cannot be decoded, so that the frame numbers in {table.path.name} do "
                        "not fit; give time_s there instead"
                    )
        elif (
            rate_hz
            and last_s - (times[0] if whole else 0.0) < (1 - MISSING_SHARE) * stated / rate_hz
        ):
            raise DataError(
                f"{self.path}: ends at {last_s:.2f} s instead of {stated / rate_hz:.2f} s; it is "
                "cut short or damaged"
            )

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except MissingDependencyError:
            raise
        except (EdgecapError, OSError) as error:
            text = str(error)
            if str(self.path) not in text and not (self.table and str(self.table) in text):
                text = f"{self.path}: {text}"
            raise DataError(f"unreadable clip: {text}") from error
