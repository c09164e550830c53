"""A device takes its owner's models and no others."""

from __future__ import annotations

import dataclasses
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import edgecap
from edgecap import ziptail
from edgecap.bundle import SIGNATURE_MEMBER, parse_bundle, read_bundle, replace_spec
from edgecap.errors import ModelFileError, SignatureError
from edgecap.flight.recorder import FlightRecorder
from tests.flown import SHORT, scene_frames, step_all, tapes
from tests.handmade import model as handmade

pytest.importorskip("cryptography", reason="needs the extra 'sign'")

from edgecap.signature import make_keys, require_signature, sign


@dataclasses.dataclass(frozen=True)
class Owned:
    private: Path
    public: Path
    model: Path


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory, demo_path: Path) -> Owned:
    folder = tmp_path_factory.mktemp("owned")
    public = make_keys(folder / "owner.pem")
    sign(demo_path, folder / "owner.pem", folder / "signed.tflite")
    return Owned(folder / "owner.pem", public, folder / "signed.tflite")


def command(*arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgecap", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def put_together(flatbuffer: bytes, members: dict[str, bytes]) -> bytes:
    """A file of just these parts."""
    import io
    import zipfile

    buffer = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def parts(path: Path) -> tuple[bytes, dict[str, bytes]]:
    data = path.read_bytes()
    members = ziptail.members(data)
    flatbuffer = data[: min(each.offset for each in members)]
    return flatbuffer, {each.name: ziptail.read(data, each) for each in members}


def test_a_signed_model_is_taken_and_computes_the_same(owned: Owned, demo_path: Path) -> None:
    model = edgecap.load(owned.model, public_key=owned.public)
    assert model.digest == edgecap.load(demo_path).digest
    assert parts(demo_path)[1].items() < parts(owned.model)[1].items()


def test_the_private_key_is_for_its_owner_only(owned: Owned) -> None:
    assert stat.S_IMODE(owned.private.stat().st_mode) == 0o600
    with pytest.raises(SignatureError, match="File exists"):
        make_keys(owned.private)


def test_an_unsigned_model_is_refused(owned: Owned, demo_path: Path) -> None:
    with pytest.raises(SignatureError, match="is not signed"):
        edgecap.load(demo_path, public_key=owned.public)


def test_a_model_signed_by_another_key_is_refused(owned: Owned, tmp_path: Path) -> None:
    other = make_keys(tmp_path / "other.pem")
    with pytest.raises(SignatureError, match="signed by another key"):
        edgecap.load(owned.model, public_key=other)
    sign(owned.model, tmp_path / "other.pem", tmp_path / "again.tflite")
    assert edgecap.load(tmp_path / "again.tflite", public_key=other).spec
    with pytest.raises(SignatureError, match="signed by another key"):
        edgecap.load(tmp_path / "again.tflite", public_key=owned.public)


def test_thresholds_changed_after_signing_are_refused(owned: Owned, tmp_path: Path) -> None:
    """Digests are right: who can write them cannot write the signature."""
    flatbuffer, members = parts(owned.model)
    members["edgecap.json"] = members["edgecap.json"].replace(b'"linear"', b'"area"')
    path = tmp_path / "changed.tflite"
    path.write_bytes(put_together(flatbuffer, members))
    assert read_bundle(path).spec.input.resize == "area"
    with pytest.raises(SignatureError, match="was changed after it was signed"):
        edgecap.load(path, public_key=owned.public)


def test_a_signature_moved_to_another_model_is_refused(owned: Owned, tmp_path: Path) -> None:
    handmade(tmp_path / "other.tflite", "regression")
    flatbuffer, members = parts(tmp_path / "other.tflite")
    members[SIGNATURE_MEMBER] = parts(owned.model)[1][SIGNATURE_MEMBER]
    (tmp_path / "moved.tflite").write_bytes(put_together(flatbuffer, members))
    with pytest.raises(SignatureError, match="was changed after it was signed"):
        edgecap.load(tmp_path / "moved.tflite", public_key=owned.public)


@pytest.mark.parametrize("byte", range(0, 96, 5))
def test_every_byte_of_the_signature_counts(owned: Owned, tmp_path: Path, byte: int) -> None:
    flatbuffer, members = parts(owned.model)
    signature = bytearray(members[SIGNATURE_MEMBER])
    signature[byte] ^= 1
    bundle = parse_bundle(put_together(flatbuffer, {**members, SIGNATURE_MEMBER: bytes(signature)}))
    with pytest.raises(SignatureError):
        require_signature("m.tflite", bundle, owned.public)


@pytest.mark.parametrize("content", [b"", b"x" * 95, b"x" * 97])
def test_a_signature_of_another_size_is_no_model(owned: Owned, content: bytes) -> None:
    flatbuffer, members = parts(owned.model)
    with pytest.raises(ModelFileError, match="of 96 bytes"):
        parse_bundle(put_together(flatbuffer, {**members, SIGNATURE_MEMBER: content}))


def test_a_tuned_model_has_to_be_signed_again(owned: Owned, tmp_path: Path) -> None:
    path, spec = tmp_path / "tuned.tflite", read_bundle(owned.model).spec
    decision = dataclasses.replace(spec.decision, enter=0.9)
    replace_spec(
        owned.model,
        path,
        expected=spec,
        spec=dataclasses.replace(spec, decision=decision),
        card="",
    )
    with pytest.raises(SignatureError, match="is not signed"):
        edgecap.load(path, public_key=owned.public)


def test_keys_that_are_none_are_one_clear_error(owned: Owned, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(SignatureError, match="expected a public key in PEM"):
        edgecap.load(owned.model, public_key=tmp_path / "text.pem")
    with pytest.raises(SignatureError, match="No such file"):
        edgecap.load(owned.model, public_key=tmp_path / "none.pem")
    with pytest.raises(SignatureError, match="expected a private key in PEM"):
        sign(owned.model, owned.public, tmp_path / "m.tflite")
    assert not (tmp_path / "m.tflite").exists()


_TUNE = ["--data", "synthetic:", "--background", "synthetic:", "--false-events-per-hour", "2"]


@pytest.mark.parametrize(
    "verb",
    [
        ["verify"],
        ["info"],
        ["run", "--max-frames", "2"],
        ["evaluate", "synthetic:"],
        ["bench", "--quick"],
        ["tune", *_TUNE, "--out", "tuned.tflite"],
    ],
    ids=lambda verb: verb[0],
)
def test_every_verb_that_takes_a_model_can_demand_it(
    owned: Owned, demo_path: Path, verb: list[str]
) -> None:
    code, out, err = command(verb[0], demo_path, *verb[1:], "--require-signature", owned.public)
    assert (code, out) == (1, "")
    assert err.startswith("edgecap: ")
    assert err.count("\n") == 1
    assert "is not signed" in err


def test_a_recording_is_replayed_with_the_owners_model_only(
    owned: Owned, demo_path: Path, demo_model: edgecap.StreamingModel, tmp_path: Path
) -> None:
    recorder = FlightRecorder(tmp_path / "tapes", SHORT, patient=True)
    stream = demo_model.stream()
    recorder.attach(stream)
    step_all(stream, scene_frames(demo_model))
    recorder.close()
    replay = ("replay", tapes(recorder)[0], "--require-signature", owned.public, "--model")
    code, out, err = command(*replay, demo_path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "is not signed" in err
    code, _, err = command(*replay, owned.model)
    assert (code, err) == (0, "")


def test_the_commands_go_together(tmp_path: Path, demo_path: Path) -> None:
    key, path = tmp_path / "k.pem", tmp_path / "m.tflite"
    path.write_bytes(demo_path.read_bytes())
    code, out, err = command("keygen", key)
    assert (code, err) == (0, "")
    public = tmp_path / "k.public.pem"
    assert str(public) in out
    code, out, err = command("sign", path, "--key", key)
    assert (code, err) == (0, "")
    code, _, err = command("info", path, "--require-signature", public)
    assert (code, err) == (0, "")
