"""Decoded clips on disk: each is decoded once, and read from then on without being copied."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edgecap.dataset import Clip
from edgecap.dataset.clip import HeldFrame
from edgecap.errors import DataError, EdgecapError, MissingDependencyError
from edgecap.extras import require_cv2
from edgecap.preprocess import Image
from edgecap.sources.folder import ImageFolder, list_images
from edgecap.sources.video import VideoFile
from edgecap.spec import InputSpec
from edgecap_convert.data.budget import Budget, default_cache, touch
from edgecap_convert.data.cached import CachedClip
from edgecap_convert.data.entries import (
    DamagedError,
    EntryHeader,
    EntryWriter,
    checksum_holds,
    read_header,
)
from edgecap_convert.data.memo import Memo, content_digest

#: Ticks per period of the model's rate: enough to play a clip faster or slower by half frames.
FINER = 2
DEFAULT_LIMIT_BYTES = 20_000_000_000

# Changes whenever the same clip would give other bytes.
_VERSION = 1
_SHOWN = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What became of the clips.

    Attributes:
      usable: in the order given.
      broken: with the reason, in the order given.
      decoded: how many had to be decoded now.
      uncached: how many of the usable ones did not fit and are decoded whenever they are opened.
      unread: how many of those were not decoded now either: their recordings can be opened, and
        whether every frame is there shows when they are used.
    """

    usable: tuple[Clip, ...]
    broken: tuple[tuple[Clip, str], ...]
    decoded: int = 0
    uncached: int = 0
    unread: int = 0


class FrameCache:
    """Clips decoded at one size and rate, in a folder that runs and processes share.

    The key of an entry is the content of the clip, not its name. An entry is complete or not
    there; a damaged one is decoded anew. Memory: a frame per worker while it fills.

    Args:
      spec: size and resize rule.
      rate_hz: the model's.
      folder: ``None`` for :func:`default_cache`.
      limit_bytes: how large the folder may become. Entries that nobody has used for an hour make
        way, the oldest first; clips that still do not fit are decoded when they are opened, and
        not before: nothing takes time or memory by the size of all clips.
      workers: threads that decode; ``None`` for one per core.

    Raises:
      DataError: the folder cannot be made or written.
    """

    def __init__(
        self,
        spec: InputSpec,
        rate_hz: float,
        *,
        folder: Path | None = None,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        workers: int | None = None,
    ) -> None:
        self.spec = spec
        self.rate_hz = rate_hz
        self._folder = (folder or default_cache()) / "frames"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "no right to write there")
        except OSError as error:
            raise DataError(
                f"{self._folder}: the cache cannot be kept here: {error.strerror or error}; set "
                "EDGECAP_CACHE to another folder"
            ) from error
        self._workers = workers or os.cpu_count() or 1
        self._memo = Memo(self._folder / "memo.sqlite")
        self._budget = Budget(self._folder, limit_bytes)
        self._digests: dict[Clip, str] = {}
        self._extents: dict[Path, tuple[float, float] | None] = {}

    def fill(self, clips: Sequence[Clip], *, strict: bool = False) -> Report:
        """Decodes what is not there yet, as far as it fits.

        Of a clip that will not fit, only the recording's first frame is decoded.

        Args:
          clips: to decode.
          strict: refuse broken clips instead of leaving them out.

        Raises:
          DataError: no clip is usable; or, with ``strict``, a clip is broken.
        """
        cv2 = require_cv2("to read video files")
        threads = cv2.getNumThreads()
        # The workers are the parallelism.
        cv2.setNumThreads(1)
        results: list[_Result | None] = [None] * len(clips)
        self._digests, self._extents = {}, {}
        try:
            with (
                ThreadPoolExecutor(self._workers, "decode") as pool,
                tqdm(total=len(clips), desc="decode", unit="clip") as bar,
            ):
                digests = list(pool.map(self._try_digest, clips))
                self._budget.survey(keep={d for d in digests if d is not None})
                jobs = {pool.submit(self._fill_one, clip): n for n, clip in enumerate(clips)}
                try:
                    for job in as_completed(jobs):
                        results[jobs[job]] = job.result()
                        bar.update()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        finally:
            cv2.setNumThreads(threads)
        return _report(clips, [r for r in results if r is not None], strict=strict)

    def open(self, clip: Clip) -> CachedClip:
        """A clip's frames, from the cache, or decoded now.

        Raises:
          DataError: the clip is broken.
        """
        digest = self.digest(clip)
        path = self._path(digest)
        found = self._read(path, clip)
        if found is None:
            # Never filled, gone, or damaged since.
            self._budget.remove(path)
            self._decode(clip, digest)
            found = self._read(path, clip)
        return found or self._in_memory(clip)

    def digest(self, clip: Clip) -> str:
        """What the frames of a clip depend on, as a hexadecimal SHA-256.

        Content of recording and table, the part, size, resize rule and rate; not the names. As of
        the last :meth:`fill`, if the clip was there.

        Raises:
          DataError: the clip's files cannot be read.
        """
        if clip in self._digests:
            return self._digests[clip]
        try:
            table = content_digest(clip.table, self._memo) if clip.table is not None else None
            content = content_digest(clip.path, self._memo)
        except OSError as error:
            name = error.filename or clip.path
            raise DataError(f"{name}: {(error.strerror or str(error)).lower()}") from error
        key = {
            "version": _VERSION,
            "content": content,
            "table": table,
            "part": [clip.start_s, clip.end_s],
            # Only a folder's images have no times of their own.
            "fps": clip.fps if clip.path.is_dir() else None,
            "size": [self.spec.height, self.spec.width],
            "rule": [self.spec.resize, self.spec.fit, self.spec.color],
            "rate_hz": float(self.rate_hz),
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        self._digests[clip] = digest
        return digest

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.frames"

    def _try_digest(self, clip: Clip) -> str | None:
        try:
            return self.digest(clip)
        except DataError:
            return None

    def _fill_one(self, clip: Clip) -> _Result:
        try:
            digest = self.digest(clip)
            path = self._path(digest)
            known = self._known(path, digest)
            if known is not None and (known.has_images or not self._budget.fits(known.size)):
                touch(path)
                return _Result(decoded=False, cached=known.has_images)
            self._budget.remove(path)
            expected = self._estimate(clip)
            if expected is not None and not self._budget.fits(expected):
                return _Result(decoded=False, cached=False, unread=True)
            return _Result(decoded=True, cached=self._decode(clip, digest))
        except DataError as error:
            reason = str(error).removeprefix("unreadable clip: ")
            return _Result(decoded=False, cached=False, broken=reason)

    def expected_s(self, clip: Clip) -> float:
        """How long the clip is by what its container says, the same whether it is cached or not.

        Raises:
          DataError: the container says nothing, and the clip is broken.
        """
        expected = self._expect(clip)
        if expected is None:
            return len(self.open(clip).ticks) / (FINER * self.rate_hz)
        return expected[0]

    def _estimate(self, clip: Clip) -> int | None:
        """How many bytes the clip's images will have; ``None`` where only decoding tells."""
        expected = self._expect(clip)
        if expected is None:
            return None
        seconds, rate_hz = expected
        images = seconds * min(rate_hz, FINER * self.rate_hz)
        return int(images) * self.spec.height * self.spec.width * 3

    def _expect(self, clip: Clip) -> tuple[float, float] | None:
        """Seconds of the clip and frames a second, by what its container says.

        ``None`` where that is nothing, or the first frame cannot be decoded.
        """
        extent = self._extent(clip)
        if extent is None:
            return None
        frames, rate_hz = extent
        if clip.path.is_dir():
            rate_hz = clip.fps or self.rate_hz
        start_s, end_s = clip.start_s or 0.0, frames / rate_hz
        return max(0.0, min(end_s, clip.end_s or end_s) - start_s), rate_hz

    def _extent(self, clip: Clip) -> tuple[float, float] | None:
        """Frames of the clip's recording, and their rate; each is opened once."""
        if clip.path not in self._extents:
            self._extents[clip.path] = _open_recording(clip.path)
        return self._extents[clip.path]

    def _decode(self, clip: Clip, digest: str) -> bool:
        """Decodes a clip to its entry, frame by frame.

        Returns:
          Whether its images fitted.
        """
        path = self._path(digest)
        track = _Track()
        entry = EntryWriter(path, self._budget)
        try:
            for frame in clip.stream(self.spec, self.rate_hz, finer=FINER):
                track.add(frame)
                entry.add(frame.image)
            shape = (len(track.counts), self.spec.height, self.spec.width, 3)
            cached = entry.finish(shape, track.ticks(), track.values(clip))
        finally:
            entry.discard()
        self._memo.put(f"whole {digest}", _signature(path), "yes")
        return cached

    def _images(self, clip: Clip) -> Generator[Image, None, None]:
        for frame in clip.stream(self.spec, self.rate_hz, finer=FINER):
            yield frame.image

    def _in_memory(self, clip: Clip) -> CachedClip:
        """For a disk so full that not even a clip's ticks can be kept."""
        track = _Track()
        for frame in clip.stream(self.spec, self.rate_hz, finer=FINER):
            track.add(frame)
        shape = (len(track.counts), self.spec.height, self.spec.width, 3)
        return CachedClip(lambda: self._images(clip), shape, track.ticks(), track.values(clip))

    def _known(self, path: Path, digest: str) -> EntryHeader | None:
        """The header of a whole entry; reads all of it only if its file has changed."""
        try:
            with path.open("rb") as file:
                header = read_header(file)
            signature = _signature(path)
            if self._memo.get(f"whole {digest}", signature) is None:
                if not checksum_holds(path, header):
                    return None
                self._memo.put(f"whole {digest}", signature, "yes")
        except (OSError, DamagedError):
            return None
        return header

    def _read(self, path: Path, clip: Clip) -> CachedClip | None:
        """The entry, or ``None`` where there is none or it is damaged."""
        try:
            with path.open("rb") as file:
                header = read_header(file)
                file.seek(header.image_bytes)
                ticks = np.fromfile(file, np.int32, header.ticks)
                values = None
                if header.values is not None:
                    flat = np.fromfile(file, np.float32, header.ticks * header.values)
                    values = flat.reshape(header.ticks, header.values)
        except (OSError, DamagedError):
            return None
        images = path if header.has_images else lambda: self._images(clip)
        return CachedClip(images, header.shape, ticks, values)


@dataclass(frozen=True)
class _Result:
    decoded: bool
    cached: bool
    broken: str | None = None
    unread: bool = False


class _Track:
    """What is kept of each frame but its image."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self._indices: list[int] = []
        self._times: list[float] = []

    def add(self, frame: HeldFrame) -> None:
        self.counts.append(frame.ticks)
        self._indices.append(frame.index)
        self._times.append(frame.timestamp_s)

    def ticks(self) -> npt.NDArray[np.int32]:
        return np.repeat(np.arange(len(self.counts), dtype=np.int32), self.counts)

    def values(self, clip: Clip) -> npt.NDArray[np.float32] | None:
        found = clip.values_at(np.array(self._indices), np.array(self._times))
        return None if found is None else np.repeat(found, self.counts, axis=0)


def _open_recording(path: Path) -> tuple[float, float] | None:
    """Decodes a recording's first frame; how many it has, and their rate, for a video.

    ``None`` where it says neither, or there is no first frame.
    """
    try:
        if path.is_dir():
            with ImageFolder(path, rate_hz=1.0) as images:
                next(iter(images))
            return float(len(list_images(path))), 1.0
        video = VideoFile(path)
        with video:
            next(iter(video))
            if not video.stated_frames or not video.rate_hz:
                return None
            return float(video.stated_frames), video.rate_hz
    except MissingDependencyError:
        raise
    except (EdgecapError, OSError):
        return None


def _report(clips: Sequence[Clip], results: Sequence[_Result], *, strict: bool) -> Report:
    pairs = list(zip(clips, results, strict=True))
    report = Report(
        usable=tuple(clip for clip, result in pairs if result.broken is None),
        broken=tuple((clip, result.broken) for clip, result in pairs if result.broken is not None),
        decoded=sum(result.decoded for result in results),
        uncached=sum(not result.cached and result.broken is None for result in results),
        unread=sum(result.unread for result in results),
    )
    if report.broken and (strict or not report.usable):
        raise DataError(broken_clips(report.broken, len(clips)))
    return report


def broken_clips(broken: Sequence[tuple[Clip, str]], total: int) -> str:
    """The broken clips in a sentence, the first ten by their reasons."""
    shown = "; ".join(reason for _, reason in broken[:_SHOWN])
    rest = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    return f"{len(broken)} of {total} clips cannot be used: {shown}{rest}"


def _signature(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return "gone"
    return f"{stat.st_size} {stat.st_mtime_ns}"
