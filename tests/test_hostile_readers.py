"""Whatever bytes come, each reader gives its own errors or the truth (property tests)."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgecap import ziptail
from edgecap.bundle import parse_bundle, unpack_golden
from edgecap.errors import ModelFileError, SpecError
from edgecap.flatbuffer import read_graph
from edgecap.graph_checks import check_tables
from edgecap.spec import ModelSpec

CORPUS = Path(__file__).parent / "corpus"
BUNDLE = (CORPUS / "bundle" / "handmade.tflite").read_bytes()
FLATBUFFER = (CORPUS / "flatbuffer" / "handmade.bin").read_bytes()
GOLDEN = (CORPUS / "golden" / "handmade.npz").read_bytes()
SPECS = [path.read_text("utf-8") for path in sorted((CORPUS / "spec").iterdir())]

# The same examples each time: a test that fails now and then teaches nobody.
many = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([2**63, -(10**400), 1e308, "\x1b[2J", "\u2028", "\ud800"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
words = st.sampled_from([0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF)


@st.composite
def spoilt(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with some words, or a stretch, replaced, removed or repeated."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        if len(changed) < 8:
            break
        at = draw(st.integers(0, len(changed) - 4))
        how = draw(st.sampled_from(["word", "word", "cut", "insert", "repeat"]))
        length = draw(st.integers(1, 64))
        if how == "word":
            changed[at : at + 4] = draw(words).to_bytes(4, "little")
        elif how == "cut":
            del changed[at : at + length]
        elif how == "insert":
            changed[at:at] = draw(st.binary(max_size=64))
        else:
            changed[at:at] = changed[at : at + length]
    return bytes(changed)


@many
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=9),
        st.tuples(
            st.binary(max_size=200), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
        ),
        max_size=5,
    ),
    st.binary(max_size=40),
    st.binary(max_size=40),
)
def test_a_zip_tool_and_the_reader_see_the_same(
    contents: dict[str, tuple[bytes, int]], before: bytes, comment: bytes
) -> None:
    buffer = io.BytesIO(before)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, (content, method) in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
        archive.comment = comment if b"PK" not in comment else b""
    data = buffer.getvalue()
    found = {member.name: ziptail.read(data, member) for member in ziptail.members(data)}
    assert found == {name: content for name, (content, _) in contents.items()}


@many
@given(spoilt(BUNDLE[len(FLATBUFFER) :]))
def test_a_spoilt_zip_gives_zip_errors_or_members_whose_checksum_fits(data: bytes) -> None:
    with contextlib.suppress(ziptail.ZipError):
        for member in ziptail.members(data):
            assert len(ziptail.read(data, member)) == member.size


@many
@given(spoilt(BUNDLE))
def test_a_spoilt_file_is_refused_or_says_what_it_said(data: bytes) -> None:
    with contextlib.suppress(ModelFileError, SpecError):
        found, whole = parse_bundle(data), parse_bundle(BUNDLE)
        assert (found.model, found.spec, found.card) == (whole.model, whole.spec, whole.card)


@many
@given(spoilt(FLATBUFFER))
def test_a_spoilt_flatbuffer_gives_model_file_errors_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(ModelFileError):
        check_tables(data)
        # What native code may follow can be read.
        read_graph(data)


@many
@given(spoilt(GOLDEN))
def test_spoilt_golden_frames_give_model_file_errors_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(ModelFileError):
        unpack_golden(data)


@many
@given(st.sampled_from(SPECS), st.data())
def test_a_spec_with_another_value_is_refused_or_survives_being_written(
    text: str, data: st.DataObject
) -> None:
    document: Any = json.loads(text)
    place = document
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(values)
    with contextlib.suppress(SpecError):
        spec = ModelSpec.from_json(json.dumps(document))
        assert ModelSpec.from_json(spec.to_json()) == spec


@many
@given(values)
def test_any_json_is_a_spec_error(value: Any) -> None:
    with pytest.raises(SpecError):
        ModelSpec.from_json(json.dumps(value))
