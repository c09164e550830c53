"""One file: a TFLite flatbuffer that any runtime opens, with a zip tail that any zip tool opens.

    flatbuffer │ zip: edgecap.json  labels.txt  golden.npz  MODEL_CARD.md

TFLite ignores what follows the flatbuffer; zip tools look for their directory at the end. The
spec holds the SHA-256 of every other part. Reading checks all of them, the tables that native code
follows (:mod:`edgecap.graph_checks`), and the tensors against the spec, before a byte reaches
native code: a flipped bit in the weights makes no interpreter complain, it only gives other
answers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecap import ziptail
from edgecap.errors import ModelFileError, SpecError
from edgecap.flatbuffer import IDENTIFIER, Graph
from edgecap.graph_checks import check_tables
from edgecap.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

SPEC_MEMBER = "edgecap.json"
LABELS_MEMBER = "labels.txt"
GOLDEN_MEMBER = "golden.npz"
CARD_MEMBER = "MODEL_CARD.md"
#: Of a signed model: the public key and the signature, see :mod:`edgecap.signature`.
SIGNATURE_MEMBER, SIGNATURE_SIZE = "signature.ed25519", 96
_MEMBERS = (SPEC_MEMBER, LABELS_MEMBER, GOLDEN_MEMBER, CARD_MEMBER)
_MODEL = "model"

_METHODS = (ziptail.STORED, ziptail.DEFLATED)
_MAX_FILE = 1 << 29
_MAX_MEMBER = 1 << 26
# The same content gives the same bytes, whenever it is written (the oldest date zip knows).
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Golden:
    """Frames and what the model answered to them, streamed from a reset state.

    Frames do not compress, so few are stored and played in several rounds, the state carried on.

    Attributes:
      frames: ``(N, H, W, 3)`` uint8 RGB, at the model's input size.
      outputs: kernels → ``(rounds · N, labels)`` logits in the output's own dtype.
    """

    frames: npt.NDArray[np.uint8]
    outputs: dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model and everything that travels with it.

    Attributes:
      model: the flatbuffer.
      graph: its tensor table.
      spec: the contract; its digests are those of the file it was read from.
      golden: recorded frames and outputs.
      card: the model card, Markdown.
      spec_digest: SHA-256 of the spec as it stands in the file it was read from.
      signature: public key and signature; empty if it has none. Nobody has checked it yet.
    """

    model: bytes
    graph: Graph
    spec: ModelSpec
    golden: Golden
    card: str
    spec_digest: str = ""
    signature: bytes = b""


def write_bundle(
    path: str | Path, *, model: bytes, spec: ModelSpec, golden: Golden, card: str
) -> None:
    """Writes a model file; on any failure the path is as it was.

    Args:
      path: where to; replaced in one step if it exists.
      model: the flatbuffer. spec: its digests are computed here. golden, card: see ``Bundle``.

    Raises:
      ModelFileError: the flatbuffer is damaged, or the file cannot be written.
    """
    check_tables(model)
    _check_golden(golden, spec)
    _write_parts(path, model=model, spec=spec, golden=_pack_golden(golden), card=card)


def replace_spec(
    source: str | Path, path: str | Path, *, expected: ModelSpec, spec: ModelSpec, card: str
) -> None:
    """Writes a model file with another spec and card; graph and golden frames stay as they are.

    Args:
      source: the model file. path: where to; may be the same; as it was on any failure.
      expected: the spec that ``source`` had when the new one was made of it.
      spec: its digests are computed here.

    Raises:
      ModelFileError: the source is damaged or has another spec by now, or the path cannot be
        written.
    """
    data = read_file(source)
    bundle = parse_bundle(data)
    if bundle.spec != expected:
        raise ModelFileError(f"{source} has changed in the meantime; nothing was written")
    (member,) = (member for member in ziptail.members(data) if member.name == GOLDEN_MEMBER)
    golden = ziptail.read(data, member)
    _write_parts(path, model=bundle.model, spec=spec, golden=golden, card=card)


def _write_parts(
    path: str | Path, *, model: bytes, spec: ModelSpec, golden: bytes, card: str
) -> None:
    import zipfile

    members = {
        LABELS_MEMBER: "".join(f"{label}\n" for label in spec.labels).encode(),
        GOLDEN_MEMBER: golden,
        CARD_MEMBER: card.encode(),
    }
    digests = {_MODEL: _sha256(model)} | {name: _sha256(data) for name, data in members.items()}
    spec = dataclasses.replace(spec, digests=digests)
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, data in {SPEC_MEMBER: spec.to_json().encode(), **members}.items():
            # An npz is compressed already.
            method = zipfile.ZIP_STORED if name == GOLDEN_MEMBER else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), data, method)
    from pathlib import Path

    from edgecap.durable import write_atomically

    write_atomically(Path(path), buffer.getvalue())


def read_bundle(path: str | Path) -> Bundle:
    """Reads a model file and checks every part of it.

    Raises:
      ModelFileError: missing, unreadable, damaged, or no edgecap model.
      SpecError: the spec is malformed.
    """
    data = read_file(path)
    try:
        return parse_bundle(data)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from error


def parse_bundle(data: bytes) -> Bundle:
    """Like :func:`read_bundle`, from bytes."""
    try:
        members, model_size = _read_members(data)
        signature = _read_signature(data)
    except ziptail.NoZipError as error:
        raise ModelFileError(_explain_no_zip(data)) from error
    except ziptail.ZipError as error:
        raise ModelFileError(f"the zip tail is damaged: {error}") from error
    model = data[:model_size]
    spec = ModelSpec.from_json(_decode(members[SPEC_MEMBER], SPEC_MEMBER))
    parts = {_MODEL: model} | {name: members[name] for name in _MEMBERS if name != SPEC_MEMBER}
    for name, part in parts.items():
        if spec.digests.get(name) != _sha256(part):
            raise ModelFileError(
                f"{name} is damaged: its SHA-256 is not the one in the spec. Copy the file again"
            )
    labels = tuple(_decode(members[LABELS_MEMBER], LABELS_MEMBER).splitlines())
    if labels != spec.labels:
        raise ModelFileError(f"{LABELS_MEMBER} has other labels than {SPEC_MEMBER}")
    golden = unpack_golden(members[GOLDEN_MEMBER])
    _check_golden(golden, spec)
    return Bundle(
        model=model,
        graph=check_tables(model),
        spec=spec,
        golden=golden,
        card=_decode(members[CARD_MEMBER], CARD_MEMBER),
        spec_digest=_sha256(members[SPEC_MEMBER]),
        signature=signature,
    )


def read_file(path: str | Path) -> bytes:
    """The bytes of a model file, of a size that one may have.

    Raises:
      ModelFileError: missing, unreadable, no file, or too large.
    """
    try:
        # Not through pathlib, which a cold start would wait for.
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{path}: expected a file; this is a folder or a device")
        if status.st_size > _MAX_FILE:
            raise ModelFileError(f"{path}: {status.st_size} bytes is too large for a model file")
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_members(data: bytes) -> tuple[dict[str, bytes], int]:
    entries = ziptail.members(data)
    members = {}
    for name in _MEMBERS:
        found = [entry for entry in entries if entry.name == name]
        if len(found) != 1:
            raise ModelFileError(
                f"expected one {name} in the zip tail; found {len(found)}. "
                "Make the model with 'edgecap convert'"
            )
        _check_entry(found[0], name)
        members[name] = ziptail.read(data, found[0])
    return members, min(entry.offset for entry in entries)


def _read_signature(data: bytes) -> bytes:
    found = [entry for entry in ziptail.members(data) if entry.name == SIGNATURE_MEMBER]
    if not found:
        return b""
    if len(found) > 1 or found[0].size != SIGNATURE_SIZE:
        raise ModelFileError(
            f"expected one {SIGNATURE_MEMBER} of {SIGNATURE_SIZE} bytes in the zip tail; found "
            f"{len(found)}, of {found[0].size} bytes. Sign the model again with 'edgecap sign'"
        )
    return ziptail.read(data, found[0])


def _check_entry(entry: ziptail.Member, name: str) -> None:
    if entry.size > _MAX_MEMBER:
        raise ModelFileError(f"{name} claims {entry.size} bytes; that is too large")
    if entry.method not in _METHODS:
        raise ModelFileError(f"{name}: expected a stored or deflated member of the zip")


def _check_entries(entries: list[ziptail.Member]) -> None:
    """Together no larger than one member of a model file may be."""
    for entry in entries:
        _check_entry(entry, f"{GOLDEN_MEMBER}: {entry.name!r}")
    if sum(entry.size for entry in entries) > _MAX_MEMBER:
        raise ModelFileError(f"{GOLDEN_MEMBER} claims to hold more than {_MAX_MEMBER} bytes")


def _explain_no_zip(data: bytes) -> str:
    if data[4:8] == IDENTIFIER:
        return (
            "a TFLite file without an edgecap spec: a plain .tflite, or an edgecap model that was "
            "cut short. Copy it again, or make one with 'edgecap convert'"
        )
    return "not a model: expected a .tflite file made by 'edgecap convert'"


def _pack_golden(golden: Golden) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"frames": golden.frames}
    arrays |= {f"outputs_{kernels}": values for kernels, values in golden.outputs.items()}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def unpack_golden(data: bytes) -> Golden:
    """Reads what :func:`_pack_golden` wrote, and nothing else that NumPy would open."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        entries = ziptail.members(data)
        _check_entries(entries)
        for entry in entries:
            arrays[entry.name.removesuffix(".npy")] = read_array(ziptail.read(data, entry))
        frames = arrays.pop("frames")
    except ModelFileError:
        raise
    # NumPy's header parser fails on hostile bytes in ways that are no documented class.
    except Exception as error:
        raise ModelFileError(f"{GOLDEN_MEMBER} is damaged: {error}") from error
    outputs = {name.removeprefix("outputs_"): values for name, values in arrays.items()}
    return Golden(frames, outputs)


def read_array(data: bytes) -> npt.NDArray[Any]:
    """One .npy file whose header claims no more than its bytes hold."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"expected version 1.0 of the npy format; got {version}")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if (
        dtype.hasobject
        or fortran_order
        or math.prod(shape) * dtype.itemsize != len(data) - stream.tell()
    ):
        raise ValueError(f"an array of {shape} {dtype} does not fill its bytes")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)


def _check_golden(golden: Golden, spec: ModelSpec) -> None:
    """Raises ``ModelFileError`` unless frames and outputs are those of such a model."""
    size = (spec.input.height, spec.input.width, 3)
    frames, output = golden.frames, spec.output.tensor
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != size:
        raise ModelFileError(
            f"{GOLDEN_MEMBER}: expected frames (N, {', '.join(map(str, size))}) uint8; "
            f"got {frames.shape} {frames.dtype}"
        )
    expected = (len(frames) * spec.golden.rounds, output.shape[1])
    for kernels, values in golden.outputs.items():
        if values.shape != expected or str(values.dtype) != output.dtype:
            raise ModelFileError(
                f"{GOLDEN_MEMBER}: expected outputs {expected} {output.dtype}; "
                f"got {values.shape} {values.dtype} for {kernels!r}"
            )


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{name} is not UTF-8: {error}") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
