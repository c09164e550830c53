"""One file: opened by TFLite and zip tools; written and read whole, or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import edgecap
from edgecap.bundle import Bundle, Golden, parse_bundle, read_bundle, write_bundle
from edgecap.errors import EdgecapError, ModelFileError, SpecError
from edgecap.golden import check_golden, replay
from edgecap.interpreter import KERNELS
from edgecap.streaming import StreamingModel

MEMBERS = ["edgecap.json", "labels.txt", "golden.npz", "MODEL_CARD.md"]


@pytest.fixture(scope="module")
def data(demo_path: Path) -> bytes:
    return demo_path.read_bytes()


@pytest.fixture(scope="module")
def bundle(data: bytes) -> Bundle:
    return parse_bundle(data)


def write(path: Path, bundle: Bundle) -> Path:
    write_bundle(path, model=bundle.model, spec=bundle.spec, golden=bundle.golden, card=bundle.card)
    return path


def same(a: Bundle, b: Bundle) -> bool:
    # Digests are checked in reading; another zlib compresses the same frames to other bytes.
    specs = [dataclasses.replace(bundle.spec, digests={}) for bundle in (a, b)]
    return (
        (a.model, specs[0], a.card) == (b.model, specs[1], b.card)
        and a.golden.frames.tobytes() == b.golden.frames.tobytes()
        and {k: v.tobytes() for k, v in a.golden.outputs.items()}
        == {k: v.tobytes() for k, v in b.golden.outputs.items()}
    )


def rezip(
    bundle: Bundle,
    *,
    members: dict[str, bytes | None] | None = None,
    model: bytes | None = None,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """The file with other members, and digests that fit them: what a hostile writer would make.

    A member given as ``None`` is left out.
    """
    model = bundle.model if model is None else model
    golden = io.BytesIO()
    outputs = {f"outputs_{k}": v for k, v in bundle.golden.outputs.items()}
    np.savez_compressed(golden, frames=bundle.golden.frames, **outputs)
    content: dict[str, bytes | None] = {
        "labels.txt": "".join(f"{label}\n" for label in bundle.spec.labels).encode(),
        "golden.npz": golden.getvalue(),
        "MODEL_CARD.md": bundle.card.encode(),
    }
    content |= members or {}
    digests = {name: hashlib.sha256(part).hexdigest() for name, part in content.items() if part}
    digests["model"] = hashlib.sha256(model).hexdigest()
    spec = dataclasses.replace(bundle.spec, digests=digests)
    content.setdefault("edgecap.json", spec.to_json().encode())
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, part in content.items():
            if part is not None:
                archive.writestr(zipfile.ZipInfo(name), part, method)
    return buffer.getvalue()


def test_a_zip_tool_opens_the_file(demo_path: Path, bundle: Bundle) -> None:
    with zipfile.ZipFile(demo_path) as archive:
        assert archive.namelist() == MEMBERS
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode().splitlines() == list(bundle.spec.labels)


def test_a_tflite_runtime_opens_the_file_as_it_is(data: bytes, demo_model: StreamingModel) -> None:
    interpreter = Interpreter(model_content=data)
    step = interpreter.get_signature_runner("step")
    names = {demo_model.spec.input.tensor.name, *(s.name for s in demo_model.spec.states)}
    assert set(step.get_input_details()) == names
    given = {name: np.zeros(d["shape"], d["dtype"]) for name, d in step.get_input_details().items()}
    assert step(**given)[demo_model.spec.output.tensor.name].shape == (1, len(demo_model.labels))


def test_what_is_written_reads_back_equal(tmp_path: Path, bundle: Bundle) -> None:
    assert same(read_bundle(write(tmp_path / "copy.tflite", bundle)), bundle)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, bundle: Bundle) -> None:
    first, second = write(tmp_path / "a.tflite", bundle), write(tmp_path / "b.tflite", bundle)
    assert first.read_bytes() == second.read_bytes()


def test_the_digests_are_of_what_is_written(tmp_path: Path, bundle: Bundle) -> None:
    stale = dataclasses.replace(bundle, card="another card")
    with zipfile.ZipFile(write(tmp_path / "m.tflite", stale)) as archive:
        members = {name: archive.read(name) for name in MEMBERS}
    spec = read_bundle(tmp_path / "m.tflite").spec
    assert spec.digests == {"model": hashlib.sha256(bundle.model).hexdigest()} | {
        name: hashlib.sha256(members[name]).hexdigest() for name in MEMBERS[1:]
    }


def test_a_file_cut_short_anywhere_is_refused(data: bytes, bundle: Bundle) -> None:
    rng = np.random.default_rng(0)
    lengths = [0, 1, 7, 8, len(bundle.model), len(data) - 1, len(data) - 22]
    lengths += rng.integers(0, len(data), 60).tolist()
    for length in lengths:
        with pytest.raises(ModelFileError):
            parse_bundle(data[:length])


def test_a_flipped_bit_in_the_weights_is_refused(data: bytes, bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    for position in rng.integers(8, len(bundle.model), 40).tolist():
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(ModelFileError, match="SHA-256"):
            parse_bundle(bytes(damaged))


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(data: bytes, bundle: Bundle) -> None:
    """Only bytes of the zip's own structure that carry no content (dates, attributes) may flip."""
    rng = np.random.default_rng(2)
    tail = len(bundle.model)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        golden = archive.getinfo("golden.npz")
    structure = [
        *range(tail, golden.header_offset + 64),
        *range(golden.header_offset + golden.compress_size, len(data)),
    ]
    positions = [*rng.integers(0, len(data), 200), *rng.choice(structure, 400)]
    refused = 0
    for position in positions:
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        try:
            assert same(parse_bundle(bytes(damaged)), bundle), f"byte {position}"
        except (ModelFileError, SpecError):
            refused += 1
    assert refused > len(positions) * 0.7


def test_a_plain_tflite_file_is_refused_and_the_message_says_what_to_do(
    tmp_path: Path, bundle: Bundle
) -> None:
    path = tmp_path / "plain.tflite"
    path.write_bytes(bundle.model)
    with pytest.raises(ModelFileError, match=r"plain\.tflite: .*without an edgecap spec.*convert"):
        read_bundle(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(500)], ids=["empty", "text", "picture"]
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"odd\.tflite: not a model"):
        edgecap.load(path)


def test_a_zip_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "odd.tflite", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelFileError, match=r"edgecap\.json"):
        edgecap.load(tmp_path / "odd.tflite")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        edgecap.load(tmp_path / "none.tflite")
    with pytest.raises(ModelFileError, match="expected a file"):
        edgecap.load(tmp_path)


def test_labels_txt_that_disagrees_with_the_spec_is_refused(bundle: Bundle) -> None:
    swapped = "".join(f"{label}\n" for label in reversed(bundle.spec.labels)).encode()
    with pytest.raises(ModelFileError, match=r"labels\.txt has other labels"):
        parse_bundle(rezip(bundle, members={"labels.txt": swapped}))


def test_rezipped_with_nothing_changed_it_reads(bundle: Bundle) -> None:
    """What the refusals around here are measured against."""
    assert parse_bundle(rezip(bundle)).model == bundle.model


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member_is_refused(bundle: Bundle, name: str) -> None:
    with pytest.raises(ModelFileError, match=name.replace(".", r"\.")):
        parse_bundle(rezip(bundle, members={name: None}))


def npy(header: str) -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def npz(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "golden",
    [
        b"no archive",
        npz(outputs_xnnpack=b""),
        npz(frames=b"no array"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (0,), }"),
        npz(frames=npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000,), }")),
        npz(frames=npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + b"cos\n."),
        npz(frames=npy("{'descr': '|u1', 'fortran_order': False, 'shape': ((((")),
        npz(frames=npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 3), }")),
        npz(frames=npy("{'descr': '|u1', 'fortran_order': False, 'shape': (), }") + b"\0"),
        npz(frames=npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }") + bytes(4)),
    ],
    ids=[
        "no zip",
        "no frames",
        "no npy",
        "npy not npz",
        "petabyte",
        "pickle",
        "header",
        "negative",
        "scalar",
        "floats",
    ],
)
def test_golden_frames_that_are_none_are_refused(bundle: Bundle, golden: bytes) -> None:
    with pytest.raises(ModelFileError, match=r"golden\.npz"):
        parse_bundle(rezip(bundle, members={"golden.npz": golden}))


@pytest.mark.parametrize(
    "change",
    [
        lambda g: Golden(g.frames[:, ::2], g.outputs),
        lambda g: Golden(g.frames[:-1], g.outputs),
        lambda g: Golden(g.frames, {k: v[:, :-1] for k, v in g.outputs.items()}),
    ],
    ids=["size", "number of frames", "number of scores"],
)
def test_golden_frames_of_another_model_are_refused(
    tmp_path: Path, bundle: Bundle, change: Callable[[Golden], Golden]
) -> None:
    golden = change(bundle.golden)
    path = tmp_path / "m.tflite"
    with pytest.raises(ModelFileError, match="golden"):
        write(path, dataclasses.replace(bundle, golden=golden))
    assert not path.exists()
    packed = io.BytesIO()
    np.savez(packed, frames=golden.frames, outputs_xnnpack=golden.outputs["xnnpack"])
    with pytest.raises(ModelFileError, match="golden"):
        parse_bundle(rezip(bundle, members={"golden.npz": packed.getvalue()}))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_members_of_any_compression_raise_nothing_else(bundle: Bundle, method: int) -> None:
    whole = rezip(bundle, method=method)
    rng = np.random.default_rng(method)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(bundle.model), len(whole)))] ^= int(rng.integers(1, 256))
        with contextlib.suppress(EdgecapError):
            parse_bundle(bytes(damaged))


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, bundle: Bundle
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"the old file")
    with pytest.raises(ModelFileError):
        write(path, dataclasses.replace(bundle, model=bundle.model[:1000]))
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, demo_path: Path
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"the old file")
    script = (
        "import sys\n"
        "from edgecap.bundle import *\n"
        "from edgecap.errors import ModelFileError\n"
        "b = read_bundle(sys.argv[1])\n"
        "try:\n"
        "    write_bundle(sys.argv[2], model=b.model, spec=b.spec, golden=b.golden, card=b.card)\n"
        "except ModelFileError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(demo_path), str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )
    assert result.stdout.startswith(f"cannot write {path}: "), result.stderr
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_is_not_written_over_a_folder_or_into_none(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing" / "m.tflite"):
        with pytest.raises(ModelFileError, match="cannot write"):
            write(path, bundle)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("kernels", KERNELS)
def test_the_packaged_model_computes_its_golden_outputs_here(demo_path: Path, kernels: str) -> None:
    model = edgecap.load(demo_path, kernels=kernels)
    check = check_golden(model)
    golden = model.bundle.golden
    assert check.frames == len(golden.frames) * model.spec.golden.rounds > 0
    assert check.passed


def test_outputs_beyond_the_tolerance_do_not_pass(tmp_path: Path, bundle: Bundle) -> None:
    """The recorded outputs themselves are moved by one step more than allowed."""
    model = edgecap.load(write(tmp_path / "m.tflite", bundle))
    real = replay(model, bundle.golden.frames, rounds=bundle.spec.golden.rounds)
    for steps in (0, bundle.spec.golden.tolerance, bundle.spec.golden.tolerance + 1):
        moved = real.copy()
        moved[-1, 0] += steps if moved[-1, 0] < 0 else -steps
        golden = Golden(bundle.golden.frames, {model.backend.kernels: moved})
        path = write(tmp_path / "moved.tflite", dataclasses.replace(bundle, golden=golden))
        check = check_golden(edgecap.load(path))
        assert check.largest == steps
        assert check.passed == (steps <= bundle.spec.golden.tolerance)


def test_a_model_without_golden_frames_says_so(tmp_path: Path, bundle: Bundle) -> None:
    none = Golden(bundle.golden.frames[:0], {})
    path = write(tmp_path / "m.tflite", dataclasses.replace(bundle, golden=none))
    with pytest.raises(ModelFileError, match="no golden frames"):
        check_golden(edgecap.load(path))
