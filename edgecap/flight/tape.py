"""One recording in one file: a zip that `zipfile` and NumPy read, without a pickle in it.

    tape.json        what was recorded, with what, and the SHA-256 of every other member
    frames.npy       (N, H, W, 3) uint8 RGB, as the graph was given them
    timestamps_s.npy (N,) float64
    outputs.npy      (N, labels), as the graph gave them
    values.npy       (N, labels) float32: probabilities, or the numbers of a regression
    array-0.npy, …   what the states hold, see `edgecap.flight.memory`

Every member is stored as it is: camera frames hardly shrink, and a file can then not hold more
than its size.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from edgecap.bundle import read_array
from edgecap.documents import parse_json
from edgecap.errors import ConfigError, FlightError, SpecError
from edgecap.flight.memory import Array
from edgecap.gate import SceneGate
from edgecap.interpreter import Backend
from edgecap.spec import DecisionSpec, from_plain

SUFFIX = ".edgetape"
TAPE_VERSION = 1
_HEADER = "tape.json"
_FRAMES, _TIMES, _OUTPUTS, _VALUES = "frames", "timestamps_s", "outputs", "values"
_DATE = (1980, 1, 1, 0, 0, 0)
_MAX_FILE = 1 << 30
_MAX_HEADER = 1 << 21
_MAX_MEMBERS = 20_000
# Local header, directory entry and name of a member, and what a .npy header takes.
_MEMBER_BYTES, _NPY_BYTES = 200, 128


@dataclass(frozen=True)
class Key:
    """The stream before a frame.

    Attributes:
      frame: which one; as many as there are frames for the state after the last.
      jump: the state came from a reset or a snapshot, not from the frame before.
      memory: see :mod:`edgecap.flight.memory`.
    """

    frame: int
    jump: bool
    memory: Mapping[str, Any]


@dataclass(frozen=True)
class Told:
    """An event, a notice or a wish.

    Attributes:
      frame: the newest frame when it came.
      kind: ``event``, ``notice`` or ``asked``.
      told: one line.
      timestamp_s: the frame's.
    """

    frame: int
    kind: str
    told: str
    timestamp_s: float


@dataclass(frozen=True)
class Happened:
    """An event of a frame, as :class:`edgecap.events.Event` has it."""

    frame: int
    label: str
    kind: str
    timestamp_s: float
    score: float


@dataclass(frozen=True)
class Header:
    """What a tape says of itself.

    Attributes:
      reason: why it was written.
      camera: name of the source.
      written_at: UTC, ISO 8601.
      model: digest. name, task, rate_hz, labels: of the model, for people.
      decision: the thresholds that the stream had.
      gate: the settings of its gate; ``None`` for none.
      backend, versions: what computed.
      keys: states, in order; the first is of frame 0.
      events: what the answers held.
      told: what began the recording, and the notices of the run meanwhile.
      digests: member → SHA-256.
    """

    reason: str
    camera: str
    written_at: str
    model: str
    name: str
    task: str
    rate_hz: float
    labels: tuple[str, ...]
    decision: DecisionSpec
    gate: SceneGate | None
    backend: Backend
    versions: Mapping[str, str]
    keys: tuple[Key, ...]
    events: tuple[Happened, ...]
    told: tuple[Told, ...]
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Tape:
    """A recording.

    Attributes:
      header: what it says of itself.
      images: N of ``(H, W, 3)`` uint8 RGB.
      timestamps_s: ``(N,)`` float64.
      outputs: N of ``(labels,)`` in the graph's own dtype. values: the same, float32.
      arrays: what the keys refer to.
    """

    header: Header
    images: Sequence[npt.NDArray[np.uint8]]
    timestamps_s: npt.NDArray[np.float64]
    outputs: Sequence[Array]
    values: Sequence[Array]
    arrays: Sequence[Array]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def nbytes(self) -> int:
        """Size of its file, or a little more."""
        members = self._members()
        size = len(_to_json(self.header)) + 100 * (len(members) + 1)
        for _, _, arrays in members:
            size += _MEMBER_BYTES + _NPY_BYTES + sum(array.nbytes for array in arrays)
        return size

    def write(self, file: BinaryIO) -> None:
        """Writes it to a file that can seek.

        Raises:
          OSError: it cannot be written. FlightError: the header holds what JSON cannot say.
        """
        digests = {}
        with zipfile.ZipFile(file, "w") as archive:
            for name, shape, arrays in self._members():
                member = f"{name}.npy"
                digests[member] = _write_member(archive, member, _npy(shape, arrays))
            header = dataclasses.replace(self.header, digests=digests)
            _write_member(archive, _HEADER, [_to_json(header)])

    def _members(self) -> list[tuple[str, tuple[int, ...], Sequence[Array]]]:
        count = len(self)

        def of_all(rows: Sequence[Array]) -> tuple[int, ...]:
            return (count, *rows[0].shape)

        return [
            (_FRAMES, of_all(self.images), self.images),
            (_TIMES, self.timestamps_s.shape, [self.timestamps_s]),
            (_OUTPUTS, of_all(self.outputs), self.outputs),
            (_VALUES, of_all(self.values), self.values),
            *((f"array-{n}", array.shape, [array]) for n, array in enumerate(self.arrays)),
        ]


def read_tape(path: str | Path) -> Tape:
    """Reads a recording and checks every part of it.

    Raises:
      FlightError: missing, unreadable, damaged, or no recording.
    """
    path = Path(path)
    try:
        size = _size(path)
        with path.open("rb") as file:
            return _parse(file, size)
    except FileNotFoundError:
        raise FlightError(f"{path}: no such file") from None
    except FlightError as error:
        raise FlightError(f"{path}: {error}") from error
    except OSError as error:
        raise FlightError(f"{path}: cannot be read: {error.strerror or error}") from error


def _size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FlightError(f"expected a recording ({SUFFIX}); this is no file")
    if status.st_size > _MAX_FILE:
        raise FlightError(f"{status.st_size} bytes is too large for a recording")
    return status.st_size


def _npy(shape: tuple[int, ...], arrays: Sequence[Array]) -> Iterator[Any]:
    """The bytes of a .npy file of arrays on top of each other, without a copy of all of them."""
    head = io.BytesIO()
    described = {"descr": arrays[0].dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, described)
    yield head.getvalue()
    for array in arrays:
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _write_member(archive: zipfile.ZipFile, name: str, parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    with archive.open(zipfile.ZipInfo(name, _DATE), "w") as member:
        for part in parts:
            digest.update(part)
            member.write(part)
    return digest.hexdigest()


def _to_json(header: Header) -> bytes:
    document = {"edgetape": TAPE_VERSION} | dataclasses.asdict(header)
    try:
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise FlightError(f"the recording cannot be described: {error}") from error


def _parse(file: BinaryIO, size: int) -> Tape:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _entries(archive, size)
            header = _read_header(archive.read(entries[_HEADER]))
            arrays = {
                name.removesuffix(".npy"): _read_member(archive, entry, header.digests)
                for name, entry in entries.items()
                if name != _HEADER
            }
    except FlightError:
        raise
    except zipfile.BadZipFile as error:
        raise FlightError(f"no recording, or one that is damaged: {error}") from error
    # What zipfile, struct and NumPy's header parser raise on hostile bytes is no documented class.
    except Exception as error:
        raise FlightError(f"damaged: {error}") from error
    return _checked(header, arrays)


def _entries(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Member → entry, each of which can be read without more memory than the file has bytes."""
    entries = archive.infolist()
    if len(entries) > _MAX_MEMBERS:
        raise FlightError(f"expected at most {_MAX_MEMBERS} members; got {len(entries)}")
    for entry in entries:
        stored = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
        if not stored or entry.compress_size != entry.file_size:
            raise FlightError(f"{entry.filename[:60]!r}: expected a member stored as it is")
    if sum(entry.file_size for entry in entries) > size:
        raise FlightError("its members claim to be larger than the file")
    found = {entry.filename: entry for entry in entries}
    if len(found) != len(entries) or _HEADER not in found:
        raise FlightError(f"no recording: expected one {_HEADER} in it, and no name twice")
    if found[_HEADER].file_size > _MAX_HEADER:
        raise FlightError(f"{_HEADER} claims {found[_HEADER].file_size} bytes; that is too large")
    return found


def _read_header(data: bytes) -> Header:
    try:
        document = parse_json(data)
    except ValueError as error:
        raise FlightError(f"{_HEADER} is not JSON: {error}") from error
    version = document.pop("edgetape", None) if isinstance(document, dict) else None
    if version != TAPE_VERSION:
        raise FlightError(
            f"{_HEADER} has version {str(version)[:20]!r}; this edgecap reads {TAPE_VERSION}. "
            "Replay it with the edgecap that wrote it"
        )
    try:
        return from_plain(Header, document, _HEADER)
    except (SpecError, ConfigError) as error:
        raise FlightError(str(error)) from error


def _read_member(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, digests: Mapping[str, str]
) -> Array:
    data = archive.read(entry)
    if digests.get(entry.filename) != hashlib.sha256(data).hexdigest():
        raise FlightError(f"{entry.filename[:60]!r} is damaged: its SHA-256 is another one")
    return read_array(data)


def _checked(header: Header, arrays: dict[str, Array]) -> Tape:
    """Raises ``FlightError`` unless the parts fit each other."""
    missing = {_FRAMES, _TIMES, _OUTPUTS, _VALUES} - set(arrays)
    if missing:
        raise FlightError(f"lacks {', '.join(sorted(missing))}")
    images, times = arrays.pop(_FRAMES), arrays.pop(_TIMES)
    outputs, values = arrays.pop(_OUTPUTS), arrays.pop(_VALUES)
    numbered = [arrays.pop(f"array-{n}", None) for n in range(len(arrays))]
    if arrays or any(array is None for array in numbered):
        raise FlightError("expected the arrays of its states numbered one after the other")
    count = len(images) if images.ndim == 4 else 0
    if not count or images.shape[3] != 3 or 0 in images.shape or images.dtype != np.uint8:
        raise FlightError(
            f"expected frames (N, H, W, 3) uint8; got {images.shape} {str(images.dtype)[:20]}"
        )
    if times.shape != (count,) or times.dtype != np.float64:
        raise FlightError(f"expected {count} timestamps in float64; got {times.shape}")
    shape = (count, len(header.labels))
    right = outputs.shape == shape == values.shape and outputs.dtype.kind in "iuf"
    if not right or values.dtype != np.float32:
        raise FlightError(f"expected outputs and values {shape}; got {outputs.shape}")
    _check_header(header, count)
    kept: list[Array] = [array for array in numbered if array is not None]
    return Tape(header, images, times, outputs, values, kept)  # type: ignore[arg-type]


def _check_header(header: Header, count: int) -> None:
    at = [key.frame for key in header.keys]
    if not at or at[0] != 0 or at != sorted(set(at)) or at[-1] > count:
        raise FlightError(f"expected states in order from frame 0 on; got them at {at[:12]}")
    for frame in [*(e.frame for e in header.events), *(t.frame for t in header.told)]:
        if not 0 <= frame < count:
            raise FlightError(f"something is said of frame {frame}; there are {count}")
    if not (math.isfinite(header.rate_hz) and 0 < header.rate_hz <= 1000):
        raise FlightError(f"rate_hz: expected above 0, at most 1000; got {header.rate_hz}")
