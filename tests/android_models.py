"""Model files for the Android tests: each kind of bad one, with what is said of it."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from edgecap import ziptail
from edgecap.bundle import CARD_MEMBER, GOLDEN_MEMBER, LABELS_MEMBER, SPEC_MEMBER, parse_bundle

Document = dict[str, Any]


def packed(flatbuffer: bytes, document: Document | str, members: dict[str, bytes]) -> bytes:
    """A model file of any parts; digests are right unless the document brings its own."""
    if not isinstance(document, str):
        digests = {name: _sha256(data) for name, data in members.items()}
        document = {"digests": {"model": _sha256(flatbuffer)} | digests} | document
        document = json.dumps(document)
    buffer = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, data in ({SPEC_MEMBER: document.encode()} | members).items():
            archive.writestr(name, data)
    return buffer.getvalue()


def taken_apart(data: bytes) -> tuple[bytes, Document, dict[str, bytes]]:
    """The parts of a good file; :func:`packed` puts them together again."""
    bundle = parse_bundle(data)
    found = {member.name: ziptail.read(data, member) for member in ziptail.members(data)}
    document = json.loads(found[SPEC_MEMBER])
    del document["digests"]
    names = (LABELS_MEMBER, GOLDEN_MEMBER, CARD_MEMBER)
    return bundle.model, document, {name: found[name] for name in names}


def bad_files(good: bytes) -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes, and a part of the text that must be said; made from a classifier's file."""
    flatbuffer, document, members = taken_apart(good)
    yield "empty", b"", "not a model: expected a .tflite file made by 'edgecap convert'"
    yield "a text", b"no model at all\n" * 99, "not a model"
    yield "a plain tflite", flatbuffer, "without an edgecap spec"
    yield "cut short", good[:-9], "without an edgecap spec"
    hit = bytearray(good)
    hit[len(flatbuffer) // 2] ^= 1
    yield "a flipped bit", bytes(hit), "model is damaged: its SHA-256 is not the one in the spec"
    yield "no flatbuffer", packed(b"", document, members), "expected a TFLite flatbuffer"
    wrong = packed(flatbuffer, document, members | {LABELS_MEMBER: b"a\n"})
    yield "other labels", wrong, "labels.txt has other labels than edgecap.json"
    digests = {"digests": dict.fromkeys(("model", *members), "0" * 64)}
    yield "wrong digests", packed(flatbuffer, document | digests, members), "model is damaged"
    fewer = {name: data for name, data in members.items() if name != GOLDEN_MEMBER}
    yield "a member missing", packed(flatbuffer, document, fewer), "expected one golden.npz"
    yield "a member too large", _claiming(good, 1 << 27), "claims 134217728 bytes"
    yield "a wrong CRC", _checksummed(good, 7), "is not what the directory says"
    yield "no JSON", packed(flatbuffer, "{nothing", members), "the spec is not JSON"
    yield "a list", packed(flatbuffer, "[]", members), "spec: expected an object; got '[]'"
    for name, change, says in _changes():
        changed = copy.deepcopy(document)
        change(changed)
        yield name, packed(flatbuffer, changed, members), says


def _changes() -> Iterator[tuple[str, Callable[[Document], Any], str]]:
    """Specs that do not fit: what is changed, and what is said of it."""
    yield (
        "another task",
        lambda spec: spec.update(task="captioning", words=["a"]),
        "the model's task is 'captioning'; this app runs classification, multilabel, regression",
    )
    yield "another version", lambda spec: spec.update(edgecap=2), "the spec has version 2"
    yield "an unknown field", lambda spec: spec.update(zoom=1), "unknown 'zoom'"
    yield "a missing field", lambda spec: spec.pop("states"), "states is missing"
    yield "a wrong type", lambda spec: spec.update(rate_hz="12"), "rate_hz: expected a number"
    yield "no rate", lambda spec: spec.update(rate_hz=0), "rate_hz: expected above 0"
    yield "one label less", lambda spec: spec["labels"].pop(), "but 2 labels are given"
    yield (
        "equal labels",
        lambda spec: spec["labels"].__setitem__(0, spec["labels"][1]),
        "expected unique labels",
    )
    yield (
        "a label of two lines",
        lambda spec: spec["labels"].__setitem__(0, "a\nb"),
        "expected printable labels",
    )
    yield (
        "area",
        lambda spec: spec["input"].update(resize="area"),
        "this app resizes by 'linear' only; the model wants 'area'",
    )
    yield (
        "another colour",
        lambda spec: spec["input"].update(color="gray"),
        "input.color: expected rgb; got 'gray'",
    )
    yield (
        "another input grid",
        lambda spec: spec["input"]["tensor"].update(scale=0.5),
        "input: expected float32, or int8 on the camera's grid",
    )
    yield (
        "a batch",
        lambda spec: spec["input"]["tensor"].update(shape=[2, 4, 4, 3]),
        "expected a shape of (1, H, W, 3)",
    )
    yield (
        "a state twice",
        lambda spec: spec["states"].append(spec["states"][0]),
        "states: expected unique names",
    )
    yield (
        "a state too large",
        lambda spec: spec["states"][0].update(shape=[1 << 20, 1 << 20]),
        "expected a shape of sensible size",
    )
    yield (
        "an odd zero-point",
        lambda spec: spec["states"][0].update(zero_point=200),
        "expected a zero-point of -128 to 127; got 200",
    )
    yield (
        "another activation",
        lambda spec: spec["output"].update(activation="sigmoid"),
        "output.activation: expected softmax for classification",
    )
    yield (
        "an odd decision",
        lambda spec: spec["decision"].update(leave=0.9, enter=0.5),
        "expected 0 < leave ≤ enter ≤ 1; got leave 0.9, enter 0.5",
    )
    yield (
        "an odd background",
        lambda spec: spec["decision"].update(background="none"),
        "decision.background: 'none' is not among the labels",
    )


def _claiming(good: bytes, size: int) -> bytes:
    """The file with a directory whose last member says that it unpacks to so many bytes."""
    at = good.rindex(b"PK\x01\x02")
    return good[: at + 24] + struct.pack("<L", size) + good[at + 28 :]


def _checksummed(good: bytes, crc: int) -> bytes:
    """The file with a directory that gives its last member another CRC-32."""
    at = good.rindex(b"PK\x01\x02")
    return good[: at + 16] + struct.pack("<L", crc) + good[at + 20 :]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
