"""The parity page says what the record holds, and bears whatever the record lacks."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the extra 'convert'")
pytest.importorskip("jinja2", reason="needs the extra 'convert'")
pytest.importorskip("matplotlib", reason="needs the extra 'convert'")

from edgecap_convert.report import write_parity_report
from edgecap_convert.report.drift_plots import BARS
from edgecap_convert.report.formats import share, steps
from edgecap_convert.report.parity_page import render_parity

from edgecap.errors import ModelFileError
from tests.convert.pages import HOSTILE, Page, check_self_contained

SECTIONS = (
    "How good it is",
    "Step by step",
    "Drift",
    "Gates",
    "The file and its making",
    "How the figures are meant",
)
CLASSIFIED = {
    "accuracy": 0.9,
    "end_accuracy": 0.8,
    "frame_accuracy": 0.85,
    "macro_f1": 0.875,
    "events": {"recall": 0.5, "false": 3, "seconds": 1800.0},
}
FORMS = ("float", "float_streamed", "fake_quant", "int8", "int8_carried")


def tensor(mean: float, largest: float, *bars: int) -> dict[str, Any]:
    return {
        "mean": mean,
        "largest": largest,
        "within_one": 0.99996,
        "histogram": [*bars, *[0] * (len(BARS) - len(bars))],
    }


def unit_shares(*each: float) -> dict[str, Any]:
    order = np.argsort(each)[::-1]
    return {
        "mean": float(np.mean(each)),
        "worst": [[int(unit), each[unit]] for unit in order],
        "each": list(each),
    }


def course(frames: int) -> dict[str, Any]:
    return {
        "frames": frames,
        "within_one": 0.9,
        "equal": 0.8,
        "largest": 12.5,
        "tensors": {
            "logits": tensor(0.21, 1, 79, 21),
            "h": tensor(0.15, 6, 80, 15, 3, 1, 1),
            "c": tensor(0.31, 12.5, 60, 30, 5, 2, 2, 1),
            "map": tensor(0.0, 0.0, 100),
        },
    }


def audit() -> dict[str, Any]:
    blocks = np.arange(60)
    return {
        "frames": 6000,
        "seconds": 600.0,
        "same_answers": {"float": 0.93, "fake_quant": 0.99861},
        "tensors": course(6000)["tensors"] | {"logits": tensor(0.42, 5, 630, 300, 60, 9, 1)},
        "blocks": {
            "frames_each": 100,
            "off_float": (0.2 + 0.05 * np.sin(blocks)).tolist(),
            "steps": {name: (0.3 + blocks / 600).tolist() for name in ("logits", "h", "c", "map")},
            "same_as_float": (0.9 + 0.1 * (blocks % 2)).tolist(),
        },
        "units": {
            "h": {
                "units": 4,
                "saturated": unit_shares(0.0, 0.25, 0.004, 0.0),
                "saturated_in_float": unit_shares(0.0, 0.3, 0.0, 0.0),
                "stalled": unit_shares(0.0, 0.0, 0.0, 0.0),
            },
            "c": {
                "units": 4,
                "saturated": unit_shares(0.0, 0.5, 0.1, 0.0),
                "saturated_in_float": unit_shares(0.0, 0.4, 0.1, 0.0),
                "stalled": unit_shares(0.125, 0.0, 0.0, 0.0),
            },
        },
        "trend": {"growth": 1.137, "t": 0.92},
        "reset_every_s": None,
        "verdict": "may run for ever: the error does not grow",
    }


def classified() -> dict[str, Any]:
    """What a conversion to int8 leaves behind."""
    worse = CLASSIFIED | {"accuracy": 0.88}
    return {
        "data": "test part of clips.csv",
        "task": "classification",
        "recipe": "int8",
        "recordings": 50,
        "frames": 1049,
        "accuracy": {form: CLASSIFIED if form.startswith("float") else worse for form in FORMS},
        "same_answers": 0.99905,
        "clips": {"both": 43, "float_only": 2, "file_only": 1, "neither": 4, "same": 46},
        "operators": [
            {"name": "CONV_2D", "dtype": "int8", "count": 26},
            {"name": "ADD", "dtype": "int8", "count": 15},
            {"name": "ADD", "dtype": "float32", "count": 1},
        ],
        "steps": {
            "each_step": course(512),
            "recurrent": course(512)
            | {"tensors": {"logits": tensor(0.05, 1, 95, 5), "h": tensor(0.02, 2, 98, 1, 1)}},
            "free_running": course(512) | {"same_answers": 0.99414, "off_share": 0.02073},
        },
        "gates": [
            {"name": "logits", "bar": "at most 1.5 steps", "found": "0.21", "passed": True},
            {"name": "h", "bar": "at most 1.5 steps", "found": "7.5", "passed": False},
        ],
        "drift": audit(),
        "parity_seconds": 196.9,
        "bytes": 858144,
        "runtime": "litert 2.3.0, xnnpack kernels, 1 thread(s)",
        "qat_steps": 400,
        "qat_validated": [[0, 0.7], [200, 0.875], [400, 0.85]],
        "convert_seconds": 15.2,
    }


def regressed() -> dict[str, Any]:
    record = classified()
    del record["same_answers"], record["clips"]
    figures = {"mse": 0.02, "mae": 0.1, "r2": 0.9}
    return record | {
        "task": "regression",
        "accuracy": {f: figures | {"mse": 0.02 if f == "float" else 0.025} for f in FORMS},
        "largest_difference": 0.3,
        "mean_difference": 0.0125,
    }


def tagged() -> dict[str, Any]:
    record = classified()
    del record["clips"]
    figures = {
        "macro_f1": 0.8,
        "micro_f1": 0.82,
        "mean_average_precision": 0.85,
        "exact_match": 0.6,
    }
    return record | {"task": "multilabel", "accuracy": dict.fromkeys(FORMS, figures)}


def floating() -> dict[str, Any]:
    """Of a recipe without integers: nothing to compare with step by step."""
    record = classified()
    del record["steps"]
    del record["drift"]["same_answers"]["fake_quant"]
    forms = ("float", "float_streamed", "float16", "float16_carried")
    return record | {
        "recipe": "float16",
        "accuracy": dict.fromkeys(forms, CLASSIFIED),
        "gates": [],
        "qat_steps": 0,
        "qat_validated": [],
    }


def page(record: dict[str, Any], title: str = "fights") -> Page:
    found = Page(render_parity(record, title))
    check_self_contained(found)
    headings = re.findall("<h2>(.*?)</h2>", found.source)
    assert tuple(headings) == SECTIONS
    return found


def figures(found: Page) -> int:
    return found.tags.count("svg")


def test_the_cards_say_accuracy_agreement_steps_drift_and_size() -> None:
    text = page(classified()).text
    assert "recipe int8 · classification · 858 kB · litert 2.3.0" in text
    assert "measured on the test part of clips.csv: 50 recordings, 1,049 frames" in text
    assert "88.0 %2.0 points lost against the float network's 90.0 %" in text
    assert "99.905 %as the fake-quantised network, in 1,049 frames" in text
    assert "0.42 LSBapart on average, 5 at most, in 6,000 frames" in text
    assert "no growthin 600 s without a reset; units stall in 3.1 % of them" in text
    assert "858 kB1 of 42 operators gives floats" in text


def test_every_form_has_a_row_and_the_file_is_held_against_float() -> None:
    rows = page(classified()).table("network")
    assert rows[0][1:] == [
        "accuracy",
        "at the last frame",
        "frames right",
        "macro F1",
        "events",
        "false an hour",
        "points against float",
    ]
    assert [(row[0], row[-1]) for row in rows[1:]] == [
        ("float32, whole clips", ""),
        ("float32, streamed", "0"),
        ("fake-quantised, streamed", "−2.0"),
        ("int8 .tflite, streamed", "−2.0"),
        ("int8 .tflite, state carried on", "−2.0"),
    ]
    assert rows[4][5:7] == ["50.0 %", "6.0"]


def test_clips_are_counted_both_ways() -> None:
    found = page(classified())
    (table,) = (t for t in found.tables if t[0][1:] == ["file right", "file wrong"])
    assert table[1:] == [["float right", "43", "2"], ["float wrong", "1", "4"]]
    assert "2 are answered rightly by the float network only and 1 by the file only" in found.text


def test_every_tensor_has_its_differences_under_every_course() -> None:
    found = page(classified())
    (table,) = (t for t in found.tables if t[0][1:] and t[0][1].startswith("whole file"))
    rows = {row[0]: row[1:] for row in table[2:]}
    first, alone = ["0.21", "1", "99.996 %"], ["0.05", "1", "99.996 %"]
    assert rows["logits outputs"] == [*first, *alone, *first]
    # The recurrent step knows no map.
    assert rows["map"] == ["0", "0", "99.996 %", "–", "–", "–", "0", "0", "99.996 %"]
    assert rows["frames"] == ["512", "", ""] * 3
    assert "99.41 % of the answers are the same" in found.text
    assert "rms error of the outputs is 2.1 % of their deviation" in found.text
    # The longest run there is: that of the audit.
    assert "logits, outputs: mean 0.42, largest 5" in found.text
    assert "Never different from the fake-quantised network's: map." in found.text


def test_histograms_have_the_bars_that_are_counted() -> None:
    counted = pytest.importorskip("edgecap_convert.parity.steps").HISTOGRAM
    ends = [int(re.split("[^0-9]", bar)[-1]) for bar in BARS]
    assert ends == [*counted, counted[-1]]


def test_the_audit_has_a_verdict_figures_and_plots() -> None:
    found = page(classified())
    assert "May run for ever: the error does not grow." in found.text
    rows = dict(found.table("stream"))
    assert rows["stream"] == "6,000 frames, 10 min"
    assert rows["same answers as the float network"] == "93.0 %"
    assert rows["same answers as the fake-quantised network"] == "99.86 %"
    assert rows["error, last third against the first"] == "+13.7 %"
    assert rows["t of the slope"] == "0.92"
    assert rows["reset every"] == "never"
    states = found.table("state")
    assert states[1] == [
        "h hidden state", "4", "6.3 %", "7.5 %", "1 (25.0 %), 2 (0.4 %)", "0 %", "none",
    ]  # fmt: skip
    assert states[2][5:] == ["3.1 %", "0 (12.5 %)"]
    # Three histograms, the course, three tensors over time, h and c saturated, c stalled; training.
    assert figures(found) == 3 + 1 + 3 + 2 + 1 + 1
    assert "same, %" in found.source


def test_an_error_that_grows_is_told_and_marked() -> None:
    record = classified()
    record["drift"] |= {
        "reset_every_s": 120.0,
        "verdict": "reset every 120 s: the error grows, by 40 % in the audit; c stalls",
    }
    found = page(record)
    assert 'class="verdict grows"' in found.source
    assert "growsreset every 120 s" in found.text
    assert "grown after 120 s" in found.source


def test_gates_operators_times_and_rungs_are_listed() -> None:
    rungs = [
        {"recipe": "int8", "qat": False, "loss": 6.5},
        {"recipe": "int8", "qat": True, "loss": -0.25},
    ]
    found = page(classified() | {"ladder": rungs})
    assert found.table("what")[1:] == [
        ["logits", "at most 1.5 steps", "0.21", "passed"],
        ["h", "at most 1.5 steps", "7.5", "failed"],
    ]
    assert "1 of 2 passed." in found.text
    assert found.table("operator") == [
        ["operator", "int8", "float32"],
        ["CONV_2D", "26", ""],
        ["ADD", "15", "1"],
    ]
    assert "42 operators: 41 int8, 1 float32." in found.text
    making = dict(found.table("conversion"))
    assert making == {
        "conversion": "15.2 s",
        "measuring": "3 min",
        "training with fake quantisation": "400 steps",
        "best validation": "0.875 at step 200",
    }
    assert found.table("recipe")[1:] == [
        ["int8", "calibrated", "6.50 points", ""],
        ["int8", "trained", "−0.25 points", "taken"],
    ]


def test_values_are_compared_by_their_error() -> None:
    found = page(regressed())
    rows = found.table("network")
    assert rows[0] == ["network", "MSE", "MAE", "R²", "error against float"]
    assert rows[4] == ["int8 .tflite, streamed", "0.0250", "0.100", "0.900", "+25.0 %"]
    assert "0.025025.0 % above the float network's 0.0200" in found.text
    assert "0.0125of the values from the fake-quantised network's; at most 0.300" in found.text
    # Values are no answers that could be the same.
    assert "same answers" not in found.text
    assert "same, %" not in found.source


def test_tags_are_compared_by_macro_f1() -> None:
    found = page(tagged())
    assert found.table("network")[0] == [
        "network", "all labels right", "macro F1", "micro F1", "mean AP", "points against float",
    ]  # fmt: skip
    assert "Macro F1 of the file0.800as the float network's 0.800" in found.text
    assert "multi-label classification" in found.text


def test_a_float_recipe_has_no_steps_and_no_gates() -> None:
    found = page(floating())
    assert "The file was made of the float network itself" in found.text
    assert "Gates are for files that were made of a fake-quantised network." in found.text
    assert "Never different from the float network's: map." in found.text
    assert "as the float network, in 1,049 frames" in found.text
    assert dict(found.table("conversion"))["training with fake quantisation"] == "none"


def test_an_audit_that_was_left_out_is_told() -> None:
    record = classified()
    del record["drift"]
    found = page(record)
    assert "No drift audit was made." in found.text
    assert "Drift–not audited" in found.text
    # The free run of the steps is the longest then.
    assert "Running freely, 512 frames" in found.text
    assert "The drift audit joins" not in found.text


def test_layers_are_told_apart() -> None:
    record = classified()
    record["drift"]["units"]["c2"] = record["drift"]["units"].pop("c")
    assert page(record).table("state")[2][0] == "c2 cell state, layer 2"


def ways_to_break(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a record, however deep."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield (*path, key)
            yield from ways_to_break(entry, (*path, key))


@pytest.mark.parametrize("make", [classified, regressed, tagged, floating])
def test_whatever_a_record_lacks_there_is_a_page(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Drawing takes the longest, and has its own test below.
    for name in ("histogram", "course", "steps_course", "unit_shares"):
        monkeypatch.setattr(f"edgecap_convert.report.drift_plots.{name}", lambda *_, **__: "plot")
    monkeypatch.setattr("edgecap_convert.report.parity_sections.stage_curves", lambda _: "plot")
    paths = [path for path in ways_to_break(make()) if len(path) < 3]
    for path in paths:
        for wrong in ("missing", None, math.nan, []):
            record = copy.deepcopy(make())
            holder = record
            for key in path[:-1]:
                holder = holder[key]
            if wrong == "missing":
                del holder[path[-1]]
            else:
                holder[path[-1]] = wrong
            source = render_parity(record, "x")
            assert source.count("<h2>") == len(SECTIONS), (path, wrong)
            assert not re.search(r"\bnan\b", source.partition("</style>")[2]), (path, wrong)


def test_an_empty_record_and_one_of_holes_have_a_page() -> None:
    assert figures(page({})) == 0
    record = classified()
    drift = record["drift"]
    drift["blocks"]["off_float"][3] = None
    drift["blocks"]["same_as_float"] = [math.nan] * 60
    drift["blocks"]["steps"] = {"h": [None] * 60, "c": [math.nan, 1.0]}
    drift["units"]["h"]["saturated"]["each"] = [None, math.nan, 0.5]
    drift["units"]["c"] = {"units": None, "stalled": {"worst": [[1], None, [2, None]]}}
    drift["tensors"]["h"] = {"histogram": [1, 2]}
    record["gates"].append("no gate")
    record["qat_validated"] = [[0, None], [1], [2, 0.5]]
    assert "nan" not in page(record).text


def test_every_text_is_escaped(tmp_path: Path) -> None:
    record = json.loads(json.dumps(classified()))
    hostile = "<b>label</b>"
    record |= {"data": HOSTILE[0], "runtime": HOSTILE[1], "recipe": hostile}
    record["operators"][0] = {"name": hostile, "dtype": "<i>", "count": 1}
    record["gates"][0] |= {"name": hostile, "bar": "<u>", "found": "<s>"}
    record["drift"]["verdict"] = f"{hostile}\x00\u202e"
    record["drift"]["units"][hostile] = record["drift"]["units"]["h"]
    record["drift"]["blocks"]["steps"][hostile] = [1.0]
    for tensors in (record["drift"]["tensors"], record["steps"]["each_step"]["tensors"]):
        tensors[hostile] = tensors["h"]
    record["ladder"] = [{"recipe": hostile, "qat": True, "loss": 0.0}]
    path = tmp_path / "parity.html"
    write_parity_report(path, record, "</title><script>alert(2)</script>")
    found = Page(path.read_text("utf-8"))
    check_self_contained(found)
    assert not {"u", "s"} & set(found.tags)
    assert "<b>label" not in found.source
    for text in (hostile, *HOSTILE[:2], "<u>", "</title><script>"):
        assert text in found.text
    assert not re.search("[\x00\u202e]", found.source)


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError):
        write_parity_report(tmp_path / "no" / "parity.html", {}, "x")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1.0, "100 %"),
        (0.999999, "99.999 %"),
        (0.99905, "99.905 %"),
        (0.9941, "99.41 %"),
        (0.5, "50.0 %"),
        (0.00022, "0.022 %"),
        (1e-9, "< 0.001 %"),
        (0, "0 %"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_shares_are_never_rounded_to_all_or_none(value: float | None, told: str) -> None:
    assert share(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0"), (5.0, "5"), (27.66, "27.7"), (100.98, "101"), (0.418, "0.42"), (0.00098, "0.00098")],
)
def test_whole_steps_have_no_decimals(value: float, told: str) -> None:
    assert steps(value) == told
