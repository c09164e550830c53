"""The model card: what the model is, how good it is, where it comes from."""

from __future__ import annotations

from typing import Any

from edgecap.spec import ModelSpec

# Rows of the accuracy table: key in the parity record → what it is called.
MODES = {
    "float": "float32, streamed",
    "fake_quant": "fake-quantised, streamed",
    "int8": "int8 .tflite, streamed",
}


def accuracy_table(parity: dict[str, Any]) -> list[list[str]]:
    """Heading and one row per mode: accuracy, frame accuracy, events recognised, false events."""
    rows = [["network", "accuracy", "frame accuracy", "macro F1", "events", "false events"]]
    for key, name in MODES.items():
        result = parity["accuracy"][key]
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


def model_card(spec: ModelSpec, parity: dict[str, Any]) -> str:
    """Markdown."""
    rows = accuracy_table(parity)
    lines = [
        f"# {spec.name}",
        "",
        f"A streaming classifier: one {spec.input.width}×{spec.input.height} RGB frame at a time, "
        f"{spec.rate_hz:g} frames a second, state carried from frame to frame. "
        f"Recipe `{spec.recipe}`.",
        "",
        f"Labels: {', '.join(spec.labels)}.",
        "",
        f"## How good it is ({parity['data']}, {parity['segments']} segments)",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + " --- |" * len(rows[0]),
        *("| " + " | ".join(row) + " |" for row in rows[1:]),
        "",
        f"The int8 file gives the same answer as the fake-quantised network in "
        f"{parity['same_answers'] * 100:.2f} % of {parity['frames']} frames.",
        "",
        "## Where it comes from",
        "",
    ]
    for key, value in spec.provenance.items():
        if key == "commands":
            lines += [f"* `{command}`" for command in value]
        elif not isinstance(value, dict):
            lines.append(f"* {key}: {value}")
    lines += ["", "Settings, metrics and versions are in `edgecap.json`."]
    return "\n".join(lines) + "\n"
