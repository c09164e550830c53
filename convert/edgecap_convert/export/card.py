"""The model card: what the model is, how good it is, where it comes from."""

from __future__ import annotations

import re
from typing import Any

from edgecap.spec import ModelSpec

# Rows of the accuracy table: key in the parity record → what it is called; the file is the last.
_MODES = {
    "float": "float32, whole clips",
    "float_streamed": "float32, streamed",
    "fake_quant": "fake-quantised, streamed",
}
#: The last section.
PROVENANCE = "Where it comes from"


def headline(result: dict[str, Any]) -> float:
    """The one figure of an evaluation: accuracy, macro F1 or mean squared error."""
    for name in ("accuracy", "macro_f1", "mse"):
        if name in result:
            return float(result[name])
    raise KeyError(f"no headline among {sorted(result)}")


def accuracy_table(parity: dict[str, Any]) -> list[list[str]]:
    """Heading and one row per mode, with the figures of the task."""
    results = {
        form_name(key, parity["recipe"]): result for key, result in parity["accuracy"].items()
    }
    if parity["task"] == "regression":
        rows = [["network", "MSE", "MAE", "R²"]]
        for name, result in results.items():
            rows.append(
                [name, f"{result['mse']:.5g}", f"{result['mae']:.5g}", f"{result['r2']:.3f}"]
            )
        return rows
    if parity["task"] == "multilabel":
        rows = [["network", "macro F1", "micro F1", "mAP", "exact"]]
        for name, result in results.items():
            figures = ("macro_f1", "micro_f1", "mean_average_precision", "exact_match")
            rows.append([name, *(f"{result[figure]:.3f}" for figure in figures)])
        return rows
    rows = [["network", "accuracy", "frame accuracy", "macro F1", "events", "false events"]]
    for name, result in results.items():
        events = result.get("events")
        rows.append(
            [
                name,
                f"{result['accuracy'] * 100:.1f} %",
                f"{result['frame_accuracy'] * 100:.1f} %",
                f"{result['macro_f1']:.3f}",
                f"{events['recall'] * 100:.1f} %" if events else "–",
                f"{events['false']} in {events['seconds']:.0f} s" if events else "–",
            ]
        )
    return rows


def form_name(mode: str, recipe: str) -> str:
    """What a form of the network is called, by its key in the record."""
    if mode.endswith("_carried"):
        return f"{recipe} .tflite, state carried on"
    return _MODES.get(mode, f"{recipe} .tflite, streamed")


def clips_both_ways(parity: dict[str, Any]) -> str:
    """On how many clips float and file differ, in a sentence; empty but for classifiers."""
    clips = parity.get("clips")
    if not clips:
        return ""
    total = sum(clips[name] for name in ("both", "float_only", "file_only", "neither"))
    return (
        f"Of {total} clips, {clips['float_only']} are answered rightly by the float network only "
        f"and {clips['file_only']} by the file only; {clips['same']} get the same answer."
    )


def drift(parity: dict[str, Any]) -> str:
    """What the drift audit found, in a sentence; empty if there was none."""
    found = parity.get("drift")
    if not found:
        return ""
    return (
        f"Drift audit, {found['frames']} frames of joined clips and noise without a reset: "
        f"{found['verdict']}."
    )


def agreement(parity: dict[str, Any]) -> str:
    """How close the file is to the network that it was made from, in a sentence."""
    origin = "fake-quantised" if "fake_quant" in parity["accuracy"] else "float"
    if parity["task"] == "regression":
        return (
            f"The file's values are {parity['mean_difference']:.3g} from the {origin} network's "
            f"on average, {parity['largest_difference']:.3g} at most, over "
            f"{parity['frames']} frames."
        )
    return (
        f"The file gives the same answer as the {origin} network in "
        f"{parity['same_answers'] * 100:.2f} % of {parity['frames']} frames."
    )


_KINDS = {
    "classification": ("streaming classifier", "Labels"),
    "multilabel": ("streaming tagger, any number of labels at once", "Labels"),
    "regression": ("streaming estimator", "Values"),
}


def model_card(spec: ModelSpec, parity: dict[str, Any]) -> str:
    """Markdown."""
    rows = accuracy_table(parity)
    kind, names = _KINDS[spec.task]
    lines = [
        f"# {spec.name}",
        "",
        f"A {kind}: one {spec.input.width}×{spec.input.height} RGB frame at a time, "
        f"{spec.rate_hz:g} frames a second, state carried from frame to frame. "
        f"Recipe `{spec.recipe}`.",
        "",
        f"{names}: {', '.join(spec.labels)}.",
        "",
        f"## How good it is ({parity['data']}, {parity['recordings']} recordings)",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + " --- |" * len(rows[0]),
        *("| " + " | ".join(row) + " |" for row in rows[1:]),
        "",
        *(f"{told}\n" for told in sentences(parity)),
    ]
    return set_section("\n".join(lines), PROVENANCE, provenance(spec))


def sentences(parity: dict[str, Any]) -> list[str]:
    """What was found, beside the table."""
    told = [agreement(parity), clips_both_ways(parity), _steps(parity), drift(parity)]
    return [sentence for sentence in told if sentence]


def _steps(parity: dict[str, Any]) -> str:
    found = parity.get("steps")
    if not found:
        return ""
    recurrent, free = found["recurrent"], found["free_running"]["tensors"]["logits"]
    return (
        f"Against fake quantisation: the recurrent step, from the same state, "
        f"{recurrent['within_one'] * 100:.2f} % of values within 1 step (LSB), "
        f"{recurrent['largest']:.3g} at most; the outputs, running freely over "
        f"{found['free_running']['frames']} frames, {free['mean']:.2g} steps off on average, "
        f"{free['largest']:.3g} at most."
    )


def provenance(spec: ModelSpec) -> str:
    """The section on where a model comes from; what is nested is left to the spec."""
    lines = []
    for key, value in spec.provenance.items():
        if key == "commands":
            lines += [f"* `{command}`" for command in value]
        elif not isinstance(value, dict):
            lines.append(f"* {key}: {value}")
    lines += ["", "Settings, metrics and versions are in `edgecap.json`."]
    return "\n".join(lines)


def set_section(card: str, title: str, text: str) -> str:
    """A card with a section, in the place of the one that had this title if there was one.

    A new section stands at the end, but before where the model comes from.
    """
    head, *parts = re.split(r"^## ", card, flags=re.MULTILINE)
    sections = {
        name: body.strip("\n") for name, _, body in (part.partition("\n") for part in parts)
    }
    sections[title] = text.strip("\n")
    if PROVENANCE in sections:
        sections[PROVENANCE] = sections.pop(PROVENANCE)
    told = (f"## {name}\n\n{body}\n" for name, body in sections.items())
    return "\n".join([head.rstrip("\n") + "\n", *told])
