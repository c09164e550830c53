"""What was seen, written over the pictures, as a video file."""

from __future__ import annotations

import contextlib
import datetime
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecap.drawing import Captions, draw, enlarged, fitted
from edgecap.errors import SinkError
from edgecap.extras import require_cv2
from edgecap.masking import mask_url
from edgecap.notices import Notice
from edgecap.preprocess import Image
from edgecap.sinks.base import Result, RunInfo, Sink

# Suffix → codec. Matroska and AVI can be played however the writer ended.
CODECS = {".mkv": "mp4v", ".avi": "MJPG", ".mp4": "mp4v", ".webm": "VP80"}
# A pause up to this long is shown as it was, by a picture that stands; a longer one is cut.
_LONGEST_STILL_S = 2.0
# OpenCV does not say that nothing could be written: these tell a full disk.
_LEAST_FREE_BYTES = 20_000_000
_CHECK_EVERY_S = 2.0
# So many pictures in a row after which a file must have grown; encoders buffer some.
_MUST_GROW_AFTER = 300


class Video(Sink):
    """Writes the processed frames with their answers; one file per camera.

    A file has the model's rate, and a second of it is a second of the world: a frame that comes
    late is preceded by its predecessor as often as needed. Pauses longer than two seconds are cut;
    the time that is written over each picture tells.

    After a SIGKILL or a power cut, ``.mkv`` (MPEG-4), ``.avi`` (Motion JPEG) and ``.webm`` (VP8)
    can be played up to the last second or two; an ``.mp4`` cannot be played at all.

    Args:
      path: replaced if it exists. With several cameras, the camera's name is added to the name.
      labels: the model's.
      segment_s: begin a new file after so many seconds; the time of its beginning (UTC) is added
        to the name, as in ``door-20260131T235959Z.mkv``.
      keep: so many segments of this name are kept, older ones are deleted; all by default.

    Raises:
      MissingDependencyError: OpenCV is not installed.
      SinkError: an unknown suffix; and when writing: the file cannot be written, or the disk is
        full. What was written until then can be played.
    """

    def __init__(
        self,
        path: str,
        labels: Sequence[str],
        *,
        segment_s: float | None = None,
        keep: int | None = None,
    ) -> None:
        self._cv2 = require_cv2("to write videos")
        self._path, self._labels = Path(path), labels
        if self._path.suffix.lower() not in CODECS:
            raise SinkError(
                f"video: expected a name that ends with {', '.join(CODECS)}; got {path!r}"
            )
        if (segment_s is not None and segment_s <= 0) or (keep is not None and keep < 1):
            raise SinkError(
                "video: expected segments longer than 0 s, and 1 or more to keep; "
                f"got {segment_s}, {keep}"
            )
        if not self._path.parent.is_dir():
            raise SinkError(f"cannot write {path}: no folder {str(self._path.parent)!r}")
        self._segment_s, self._keep = segment_s, keep
        self._rate_hz, self._several = 10.0, False
        self._tracks: dict[str, _Track] = {}

    def begin(self, run: RunInfo) -> None:
        self._rate_hz, self._several = run.spec.rate_hz, len(run.cameras) > 1

    def write(self, result: Result) -> None:
        track = self._track(result.camera)
        if track.file is not None and (
            # By pictures and not by the clock, which may jump.
            self._segment_s is not None and track.file.written >= self._segment_s * self._rate_hz
        ):
            file, track.file = track.file, None
            file.close()
            file.check_written()
        try:
            if track.file is not None:
                track.file.check()
            overlay = track.captions.take(result)
            picture = draw(enlarged(result.frame.image), result, self._labels, overlay)
            if track.file is None:
                path = self._next_path(track)
                track.file = _File(self._cv2, path, picture.shape[:2], self._rate_hz)
                track.paths.append(path)
            track.file.add(picture, result.frame.timestamp_s)
        except SinkError:
            track.end()
            raise

    def notice(self, notice: Notice) -> None:
        for camera, track in self._tracks.items():
            if notice.camera in ("", camera):
                track.captions.notice(notice)

    def close(self) -> None:
        for track in self._tracks.values():
            track.end()

    def _track(self, camera: str) -> _Track:
        if camera not in self._tracks:
            path = self._path
            if self._several:
                name = re.sub(r"[^\w.-]+", "_", mask_url(camera)).strip("_.")[:60] or "camera"
                path = path.with_stem(f"{path.stem}-{name}")
                taken = [track.path for track in self._tracks.values()]
                path = _numbered(path, lambda other: other in taken)
            self._tracks[camera] = _Track(Captions(camera if self._several else ""), path)
        return self._tracks[camera]

    def _next_path(self, track: _Track) -> Path:
        """Where the next file goes: never over one that this run has written."""
        if self._segment_s is None:
            return _numbered(track.path, track.paths.__contains__)
        moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        self._prune(track.path)
        return _numbered(track.path.with_stem(f"{track.path.stem}-{moment}"), Path.exists)

    def _prune(self, path: Path) -> None:
        """Deletes the oldest segments, so that there is room for one more of ``keep``."""
        if self._keep is None:
            return
        of_time = re.compile(rf"{re.escape(path.stem)}-\d{{8}}T\d{{6}}Z(-\d+)?{path.suffix}")
        segments = [p for p in path.parent.iterdir() if of_time.fullmatch(p.name)]
        segments.sort(key=lambda p: (p.stat().st_mtime_ns, p.name))
        for old in segments[: max(0, len(segments) - self._keep + 1)]:
            with contextlib.suppress(OSError):
                old.unlink()


@dataclass
class _Track:
    """The videos of one camera: the one being written, and those of this run before it."""

    captions: Captions
    path: Path
    file: _File | None = None
    paths: deque[Path] = field(default_factory=lambda: deque(maxlen=1000))

    def end(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


class _File:
    """One video file; all its pictures have the size of the first."""

    def __init__(self, cv2: Any, path: Path, size: tuple[int, ...], rate_hz: float) -> None:
        self._cv2, self._path, self._rate_hz = cv2, path, rate_hz
        # Encoders want even sizes.
        self._size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._check_space()
        codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, rate_hz, self._size[::-1])
        if not self._writer.isOpened():
            self._writer.release()
            raise SinkError(f"cannot write {path}: OpenCV cannot open it")
        self.written = 0
        self._began_s = self._last_s = 0.0
        self._checked_at_s = time.monotonic()
        self._bytes, self._written_then = -1, 0

    def add(self, picture: Image, now_s: float) -> None:
        """Writes a picture as often as needed for the file to keep up with the time."""
        step_s = now_s - self._last_s
        if self.written == 0 or not 0 <= step_s <= _LONGEST_STILL_S:
            # The first, a clock that was set, or a pause: the file goes on from here.
            self._began_s = now_s - self.written / self._rate_hz
        self._last_s = now_s
        due = round((now_s - self._began_s) * self._rate_hz) + 1
        if due <= self.written:
            return
        bgr = self._cv2.cvtColor(fitted(picture, self._size), self._cv2.COLOR_RGB2BGR)
        for _ in range(due - self.written):
            self._writer.write(bgr)
        self.written = due

    def check(self) -> None:
        """Raises ``SinkError`` where the file can no longer be written."""
        now_s = time.monotonic()
        if now_s - self._checked_at_s < _CHECK_EVERY_S:
            return
        self._checked_at_s = now_s
        self._check_space()
        try:
            size = self._path.stat().st_size
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from error
        if size != self._bytes:
            self._bytes, self._written_then = size, self.written
        elif self.written - self._written_then >= _MUST_GROW_AFTER:
            raise SinkError(f"cannot write {self._path}: it does not grow any more")

    def close(self) -> None:
        self._writer.release()

    def check_written(self) -> None:
        """Raises ``SinkError`` where a file that is closed lacks its end.

        Encoders buffer, so of a short file nothing can be told before. A WebM file that was
        buffered whole and is written in part, by a quota for instance, still passes.
        """
        try:
            size = self._path.stat().st_size
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from error
        if size == 0 or (size == self._bytes and self.written > self._written_then):
            raise SinkError(f"cannot write {self._path}: it does not grow any more")

    def _check_space(self) -> None:
        free = shutil.disk_usage(self._path.parent).free
        if free < _LEAST_FREE_BYTES:
            raise SinkError(
                f"cannot write {self._path}: {free / 1e6:.0f} MB free; expected at least "
                f"{_LEAST_FREE_BYTES / 1e6:.0f} MB"
            )


def _numbered(path: Path, taken: Callable[[Path], bool]) -> Path:
    """The path itself, or with the first number that is free: ``door-2.mkv``."""
    free, number = path, 1
    while taken(free):
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free
