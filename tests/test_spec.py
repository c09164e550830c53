"""The spec: read back equal, and every wrong field refused in one line that names it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgecap.bundle import read_bundle
from edgecap.decisions import LabelDecision
from edgecap.errors import SpecError
from edgecap.spec import (
    ACTIVATIONS,
    DecisionSpec,
    GoldenSpec,
    InputSpec,
    ModelSpec,
    OutputSpec,
    TensorSpec,
)

SPEC = ModelSpec(
    name="doors",
    task="classification",
    rate_hz=12.0,
    labels=("background", "öffnen", "schließen"),
    input=InputSpec(TensorSpec("image", (1, 48, 64, 3), "int8", 1 / 127.5), fit="crop"),
    states=(
        TensorSpec("h", (1, 16), "int8", 1 / 128, 3),
        TensorSpec("c", (1, 16), "float32"),
    ),
    output=OutputSpec(TensorSpec("logits", (1, 3), "int8", 0.1, -12)),
    decision=DecisionSpec(enter=0.7, leave=0.3, background="background"),
    golden=GoldenSpec(2, "measured"),
    recipe="int8",
    provenance={"seed": 3, "commands": ["edgecap train", "edgecap convert"], "none": None},
    digests={"model": "00"},
)

Document = dict[str, Any]
Change = Callable[[Document], object]


def changed(change: Change) -> str:
    document = json.loads(SPEC.to_json())
    change(document)
    return json.dumps(document)


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        ModelSpec.from_json(text)
    return str(caught.value)


def test_json_reads_back_equal() -> None:
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC


def of_task(task: str, output: TensorSpec | None = None, **changes: Any) -> ModelSpec:
    """The spec of a model with another task, its decision without a background."""
    tensor = output or SPEC.output.tensor
    return dataclasses.replace(
        SPEC,
        task=task,
        output=OutputSpec(tensor, ACTIVATIONS[task]),
        **{"decision": DecisionSpec(), **changes},
    )


@pytest.mark.parametrize("task", ACTIVATIONS)
@pytest.mark.parametrize(
    "output",
    [
        TensorSpec("logits", (1, 3), "int8", 0.1, -12),
        TensorSpec("logits", (1, 3), "int16", 0.001),
        TensorSpec("logits", (1, 3), "float32"),
    ],
    ids=lambda output: output.dtype,
)
def test_every_task_and_dtype_of_the_output_reads_back_equal(task: str, output: TensorSpec) -> None:
    spec = of_task(task, output)
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_states_of_any_number_and_rank_read_back_equal() -> None:
    states = (
        TensorSpec("keys", (1, 8, 32), "int8", 1 / 128),
        TensorSpec("map", (1, 12, 12, 24), "int8", 0.05, -7),
        *(TensorSpec(f"{name}{layer}", (1, 16), "float32") for layer in (0, 1) for name in "hc"),
    )
    for given in (states, ()):
        spec = dataclasses.replace(SPEC, states=given)
        assert ModelSpec.from_json(spec.to_json()) == spec


def test_a_regression_has_no_background() -> None:
    with pytest.raises(SpecError, match=r"decision\.per_label: expected none for regression"):
        of_task("regression", decision=DecisionSpec(per_label={"open": LabelDecision(0.9)}))
    with pytest.raises(SpecError, match=r"decision\.background"):
        of_task("regression", decision=DecisionSpec(background="background"))
    of_task("multilabel", decision=DecisionSpec(background="background"))


def test_a_classifiers_spec_is_as_before_there_were_other_tasks(demo_path: Path) -> None:
    """Same version, same fields: an old reader reads it, and this one reads what is old."""
    old = {
        "edgecap": 1,
        "task": "classification",
        "output": ["activation", "tensor"],
        "decision": [
            *("background", "enter", "leave", "min_duration_s"),
            *("refractory_s", "settle_s", "smoothing_s"),
        ],
    }
    for spec in (SPEC, read_bundle(demo_path).spec):
        document = json.loads(spec.to_json())
        assert document["output"]["activation"] == "softmax"
        found = {k: document[k] for k in ("edgecap", "task")}
        found |= {k: sorted(document[k]) for k in ("output", "decision")}
        assert found == old


def test_settings_of_labels_are_read_back_equal_and_only_what_is_given_is_written() -> None:
    decision = dataclasses.replace(
        SPEC.decision, per_label={"öffnen": LabelDecision(enter=0.9, refractory_s=2.0)}
    )
    spec = dataclasses.replace(SPEC, decision=decision)
    assert json.loads(spec.to_json())["decision"]["per_label"] == {
        "öffnen": {"enter": 0.9, "refractory_s": 2.0}
    }
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert hash(decision) == hash(SPEC.decision)
    assert decision != SPEC.decision


def test_the_json_is_for_people_too() -> None:
    assert "schließen" in SPEC.to_json()
    assert '\n  "rate_hz": 12.0,\n' in SPEC.to_json()


def test_fields_with_a_default_may_be_left_out() -> None:
    text = changed(lambda d: [d.pop("provenance"), d.pop("digests"), d.update(decision={})])
    assert ModelSpec.from_json(text) == dataclasses.replace(
        SPEC, provenance={}, digests={}, decision=DecisionSpec()
    )


def test_a_whole_number_stands_for_a_real_one() -> None:
    spec = ModelSpec.from_json(changed(lambda d: d.update(rate_hz=25)))
    assert spec.rate_hz == 25.0
    assert isinstance(spec.rate_hz, float)


def put(*path: str | int, value: Any) -> Change:
    def change(document: Document) -> None:
        target: Any = document
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value

    return change


def remove(*path: str | int) -> Change:
    def change(document: Document) -> None:
        target: Any = document
        for step in path[:-1]:
            target = target[step]
        del target[path[-1]]

    return change


NAN = float("nan")
INFINITE = float("inf")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        # Unknown and missing.
        (put("colour", value="rgb"), "colour"),
        (put("decision", "entre", value=0.5), "entre"),
        (put("states", 1, "bits", value=8), "bits"),
        (remove("rate_hz"), "rate_hz"),
        (remove("input", "tensor"), "tensor"),
        (remove("states", 0, "shape"), "shape"),
        (remove("golden", "reason"), "reason"),
        # Wrong type.
        (put("name", value=3), "name"),
        (put("name", value=None), "name"),
        (put("rate_hz", value="12"), "rate_hz"),
        (put("rate_hz", value=None), "rate_hz"),
        (put("labels", value="background"), "labels"),
        (put("labels", value={"0": "a"}), "labels"),
        (put("labels", 1, value=7), "labels[1]"),
        (put("input", value=[]), "input"),
        (put("states", value={}), "states"),
        (put("states", 0, value="h"), "states[0]"),
        (put("states", 0, "shape", value=[1, 16.0]), "shape[1]"),
        (put("states", 0, "zero_point", value=0.5), "zero_point"),
        (put("decision", "background", value=0), "background"),
        (put("provenance", value=[]), "provenance"),
        (put("digests", value="00"), "digests"),
        # A bool is no number.
        (put("rate_hz", value=True), "rate_hz"),
        (put("decision", "enter", value=True), "enter"),
        (put("states", 0, "zero_point", value=False), "zero_point"),
        (put("states", 0, "shape", value=[True, 16]), "shape[0]"),
        (put("golden", "tolerance", value=True), "tolerance"),
        # Numbers out of range.
        (put("rate_hz", value=0), "rate_hz"),
        (put("rate_hz", value=-1), "rate_hz"),
        (put("rate_hz", value=1001), "rate_hz"),
        (put("rate_hz", value=NAN), "rate_hz"),
        (put("rate_hz", value=INFINITE), "rate_hz"),
        (put("rate_hz", value=10**400), "rate_hz"),
        (put("decision", "enter", value=NAN), "enter"),
        (put("decision", "leave", value=NAN), "leave"),
        (put("decision", "enter", value=1.01), "enter"),
        (put("decision", "leave", value=0), "leave"),
        (put("decision", "leave", value=0.8), "leave"),
        (put("decision", "smoothing_s", value=-0.1), "smoothing_s"),
        (put("decision", "smoothing_s", value=NAN), "smoothing_s"),
        (put("decision", "min_duration_s", value=INFINITE), "min_duration_s"),
        (put("decision", "refractory_s", value=-1), "refractory_s"),
        (put("decision", "settle_s", value=NAN), "settle_s"),
        (put("golden", "tolerance", value=-1), "tolerance"),
        (put("golden", "tolerance", value=256), "tolerance"),
        # Tensors.
        (put("states", 0, "dtype", value="int4"), "'h': dtype"),
        (put("states", 0, "scale", value=0), "'h'"),
        (put("states", 0, "scale", value=-0.1), "'h'"),
        (put("states", 0, "scale", value=NAN), "'h'"),
        (put("states", 0, "zero_point", value=128), "zero_point"),
        (put("states", 0, "shape", value=[]), "'h'"),
        (put("states", 0, "shape", value=[1, 0]), "'h'"),
        (put("states", 0, "shape", value=[1, -16]), "'h'"),
        (put("states", 0, "shape", value=[1, 10**12]), "'h'"),
        (put("states", 1, "name", value="h"), "states"),
        (put("input", "tensor", "shape", value=[1, 48, 64, 1]), "input"),
        (put("input", "tensor", "shape", value=[2, 48, 64, 3]), "input"),
        (put("input", "tensor", "shape", value=[1, 48, 64]), "input"),
        (put("input", "tensor", "shape", value=[1, 4097, 64, 3]), "input"),
        (put("input", "tensor", "dtype", value="int16"), "input"),
        (put("input", "color", value="bgr"), "input.color"),
        (put("input", "resize", value="cubic"), "input.resize"),
        (put("input", "fit", value="pad"), "input.fit"),
        (put("output", "activation", value="relu"), "output.activation"),
        (put("output", "activation", value="sigmoid"), "softmax for classification"),
        (put("task", value="multilabel"), "sigmoid for multilabel"),
        (put("task", value="regression"), "linear for regression"),
        (put("output", "tensor", "shape", value=[3]), "output"),
        (put("output", "tensor", "shape", value=[2, 3]), "output"),
        (put("task", value="translation"), "task"),
        (put("task", value="captioning"), "caption: expected it for captioning"),
        # Labels.
        (put("labels", value=["background", "open"]), "labels"),
        (put("labels", value=[]), "labels"),
        (put("labels", value=["background", "open", "open"]), "labels"),
        (put("labels", value=["background", "open", ""]), "labels"),
        (put("labels", value=["background", "open", "a\nb"]), "labels"),
        (put("decision", "background", value="nothing"), "decision.background"),
        # Settings of single labels.
        (put("decision", "per_label", value=[]), "decision.per_label: expected dict"),
        (put("decision", "per_label", value={"open": 0.7}), "per_label['open']"),
        (put("decision", "per_label", value={"open": {"entre": 0.7}}), "'entre'"),
        (put("decision", "per_label", value={"open": {"enter": "0.7"}}), "per_label['open'].enter"),
        (put("decision", "per_label", value={"open": {"enter": 0.2}}), "per_label['open']"),
        (put("decision", "per_label", value={"opne": {"enter": 0.8}}), "'opne' is not among"),
        (put("decision", "per_label", value={"a\nb": {"enter": 2}}), "per_label['a\\nb']"),
        (put("decision", "per_label", value={"background": {}}), "never an event"),
        # Another version.
        (put("edgecap", value=2), "version 2"),
        (put("edgecap", value="1"), "version '1'"),
        (remove("edgecap"), "version None"),
    ],
)
def test_a_wrong_field_is_refused_in_one_line_that_names_it(change: Change, named: str) -> None:
    message = refusal(changed(change))
    assert named in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"spec"', "[" * 100_000, '{"edgecap": 1} {}'],
    ids=lambda text: text[:16] or "empty",
)
def test_what_is_no_json_object_is_no_spec(text: str) -> None:
    assert "spec" in refusal(text)


@pytest.mark.parametrize(
    "label", ["a\rb", "a\x0bb", "a\x0cb", "a\x1cb", "a\x85b", "a\u2028b", "a\u2029b"], ids=repr
)
def test_no_kind_of_line_break_gets_into_a_label(label: str) -> None:
    """A label is a line of labels.txt, so it must be one line for whoever reads that file."""
    assert "labels" in refusal(changed(put("labels", 2, value=label)))


def test_a_spec_is_checked_when_it_is_built_too() -> None:
    with pytest.raises(SpecError, match="labels"):
        dataclasses.replace(SPEC, labels=("one",))
    with pytest.raises(SpecError, match="leave"):
        DecisionSpec(enter=0.3, leave=0.5)


def test_what_json_cannot_say_is_not_written() -> None:
    """NaN is no JSON: another reader than Python's would refuse the whole model."""
    odd = dataclasses.replace(SPEC, provenance={"accuracy": float("nan")})
    try:
        text = odd.to_json()
    except SpecError:
        return
    json.loads(text, parse_constant=lambda name: pytest.fail(f"the spec's JSON holds {name}"))
