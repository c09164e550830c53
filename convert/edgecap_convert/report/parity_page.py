"""The parity page: what a conversion measured, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecap.durable import write_atomically
from edgecap_convert.report import parity_drift, parity_sections
from edgecap_convert.report.reading import origin_of, task_of
from edgecap_convert.report.rendering import render

_FORMS = (
    "The float network answers whole clips at once and, streamed, frame by frame. The file is run "
    "frame by frame, its state reset at the beginning of each recording. “Carried on”: the state "
    "is never reset from one recording to the next, as on a device."
)
_FAKE_QUANT = (
    "The fake-quantised network is what the file was made of: it computes in float, with the "
    "rounding of the integers in the file."
)
_POINTS = {
    "classification": "Points are percentage points of accuracy, against the float network on "
    "whole clips.",
    "multilabel": "Points are hundredths of macro F1, against the float network on whole clips.",
    "regression": "Errors are compared as percent of the float network's mean squared error on "
    "whole clips.",
}
_STEP = (
    "A step (LSB, least significant bit) is one step of the tensor's int8 grid. A tensor in float "
    "or in 16 bits, as the cell state c mostly is, is measured in 1/128, the step of the hidden "
    "state h that is computed from it."
)
_COURSES = (
    "Each step: at every frame the file starts from the state that the fake-quantised network had, "
    "so that no error is carried on. The recurrent step is what follows the encoder, alone, on the "
    "same features. Running freely, each carries its own state."
)
_BARS = "The bars count differences rounded to whole steps, over all frames and all values."
_AUDIT = (
    "The drift audit joins the recordings in random order, again and again, with noise in between, "
    "and streams them without a reset. Its error is the rms difference of the file's outputs from "
    "the float network's, as a share of their standard deviation over the stream. It counts as "
    "growing where the last third is clearly above the first and the slope is sure: t is the slope "
    "in its standard errors."
)
_UNITS = (
    "A unit is saturated in a frame where its value stands at an end of its range. It stalls in a "
    "second in which it does not move in the file though it does in the float network, unless it "
    "rests at zero or at an end."
)
_GATES = "A file that fails a gate is not written."


def write_parity_report(path: Path, record: Mapping[str, Any], title: str) -> None:
    """Writes the page of a conversion; all or nothing.

    Args:
      path: of the page. record: what ``parity.json`` holds. title: the model's name.

    Raises:
      ModelFileError: the folder does not exist or cannot be written.
    """
    write_atomically(path, render_parity(record, title).encode("utf-8", "replace"))


def render_parity(record: Mapping[str, Any], title: str) -> str:
    """The page of a conversion."""
    drift = parity_drift.drift(record)
    judged = parity_sections.gates(record)
    compared = parity_drift.step_by_step(record)
    origin = origin_of(record)
    rules = [_FORMS, _FAKE_QUANT if origin != "float" else "", _POINTS.get(task_of(record), "")]
    rules += [_STEP] if compared["rows"] or compared["histograms"] else []
    rules += [_COURSES] if compared["rows"] else []
    rules += [_BARS] if compared["histograms"] else []
    rules += [_AUDIT, _UNITS] if drift else []
    rules += [_GATES] if judged else []
    return render(
        "parity.html",
        data={"title": title},
        facts=parity_sections.facts(record),
        cards=parity_sections.cards(record),
        origin=origin,
        accuracy=parity_sections.accuracy(record),
        compared=compared,
        drift=drift,
        gates=judged,
        operators=parity_sections.operators(record),
        making=parity_sections.making(record),
        rules=[rule for rule in rules if rule],
    )
