"""Signatures of model files: a device runs what its owner signed, and nothing else.

A digest tells damage; whoever changes a file on purpose writes new digests too. The signature is
one more member of the zip tail, ``signature.ed25519``: the public key (32 bytes) and an Ed25519
signature (64 bytes, RFC 8032) over the SHA-256 of the spec's bytes and of the flatbuffer. The spec
holds the digests of all other parts, so nothing that is read stays unsigned. An edgecap that knows
no signatures reads such a file as before.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecap import ziptail
from edgecap.bundle import SIGNATURE_MEMBER, SIGNATURE_SIZE, ZIP_DATE, parse_bundle
from edgecap.documents import read_small
from edgecap.durable import write_atomically
from edgecap.errors import SignatureError
from edgecap.extras import require_ed25519

if TYPE_CHECKING:
    from edgecap.bundle import Bundle

_CONTEXT = b"edgecap model signature 1\n"
_KEY_SIZE = 32
_MAX_KEY_FILE = 1 << 20
_PURPOSE = "for signatures of models"


def make_keys(path: Path) -> Path:
    """Writes a new private key, readable by its owner only, and its public key beside it.

    Returns:
      The public key's path: ``NAME.public.pem`` for ``NAME.pem``.

    Raises:
      SignatureError: one of the files exists or cannot be written.
      MissingDependencyError: no ``cryptography``.
    """
    ed25519, serialization, _ = require_ed25519(_PURPOSE)
    key = ed25519.Ed25519PrivateKey.generate()
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(
        encoding, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public_path = path.with_name(f"{path.stem}.public.pem")
    _write_new(path, private, 0o600)
    try:
        _write_new(public_path, public, 0o644)
    except BaseException:
        # Half a pair is of no use, and would stand in the way of the next try.
        path.unlink()
        raise
    return public_path


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        # Never over another key: models signed with it could not be signed again.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SignatureError(f"cannot write {path}: {error.strerror}") from error


def sign(path: str | Path, key_path: str | Path, out: str | Path) -> str:
    """Writes a model file with a signature; one that it has already is replaced.

    Args:
      path: the model. key_path: the private key, PEM. out: where to; may be the model itself.

    Returns:
      The public key's fingerprint.

    Raises:
      ModelFileError, SpecError: the model is missing or damaged, or ``out`` cannot be written.
      SignatureError: the key cannot be read, or is none of Ed25519.
    """
    import zipfile

    from edgecap.bundle import read_file

    ed25519, serialization, _ = require_ed25519(_PURPOSE)
    data = read_file(path)
    bundle = parse_bundle(data)
    key = _load(key_path, lambda pem: serialization.load_pem_private_key(pem, None), "private")
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise SignatureError(f"{key_path}: expected an Ed25519 key; make one with 'edgecap keygen'")
    public = key.public_key().public_bytes_raw()
    entries = [each for each in ziptail.members(data) if each.name != SIGNATURE_MEMBER]
    buffer = io.BytesIO(bundle.model)
    with zipfile.ZipFile(buffer, "a") as archive:
        for entry in entries:
            member = zipfile.ZipInfo(entry.name, ZIP_DATE)
            archive.writestr(member, ziptail.read(data, entry), entry.method)
        signature = public + key.sign(_message(bundle))
        archive.writestr(zipfile.ZipInfo(SIGNATURE_MEMBER, ZIP_DATE), signature)
    write_atomically(Path(out), buffer.getvalue())
    return fingerprint(public)


def require_signature(path: str | Path, bundle: Bundle, public_path: str | Path) -> None:
    """Checks that a model is signed with the private key of a public one.

    Raises:
      SignatureError: it is not signed, by another key, or was changed after it was signed; or the
        public key cannot be read.
      MissingDependencyError: no ``cryptography``.
    """
    ed25519, serialization, invalid = require_ed25519(_PURPOSE)
    key = _load(public_path, serialization.load_pem_public_key, "public")
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise SignatureError(f"{public_path}: expected an Ed25519 public key, PEM")
    expected = key.public_bytes_raw()
    if not bundle.signature:
        raise SignatureError(
            f"{path} is not signed: expected a signature by {fingerprint(expected)} "
            f"({public_path}). Sign it with 'edgecap sign'"
        )
    found, signature = bundle.signature[:_KEY_SIZE], bundle.signature[_KEY_SIZE:]
    if found != expected:
        raise SignatureError(
            f"{path} is signed by another key: expected {fingerprint(expected)} ({public_path}); "
            f"got {fingerprint(found)}"
        )
    try:
        key.verify(signature, _message(bundle))
    except invalid as error:
        raise SignatureError(
            f"{path} was changed after it was signed by {fingerprint(expected)}. Get the file "
            "again from who signed it"
        ) from error


def fingerprint(public: bytes) -> str:
    """What people compare of a public key: the first half of its 32 bytes' SHA-256, in hex."""
    import hashlib

    return hashlib.sha256(public).hexdigest()[:32]


def _message(bundle: Bundle) -> bytes:
    """What is signed; the digest of the flatbuffer is the one that was checked when it was read."""
    parts = (bundle.spec_digest, bundle.spec.digests["model"])
    return _CONTEXT + "\n".join(parts).encode()


def _load(path: str | Path, parse: Any, kind: str) -> Any:
    try:
        return parse(read_small(path, _MAX_KEY_FILE))
    except OSError as error:
        raise SignatureError(f"{path}: cannot be read: {error.strerror or error}") from error
    # Its parser raises by what is wrong with the key: ValueError, TypeError, UnsupportedAlgorithm.
    except Exception as error:
        raise SignatureError(
            f"{path}: expected a {kind} key in PEM without a password; make one with 'edgecap "
            "keygen'"
        ) from error


assert SIGNATURE_SIZE == _KEY_SIZE + 64
