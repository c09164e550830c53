"""The card of a captioning model."""

from __future__ import annotations

from typing import Any

from edgecap.spec import ModelSpec
from edgecap_convert.export.card import PROVENANCE, form_name, provenance, set_section

_FIGURES = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "cider_d": "CIDEr-D",
}
_FLOAT = "float32 network"


def score_table(record: dict[str, Any]) -> list[list[str]]:
    """Heading, and a row for each form of the network."""
    rows = [["network", *_FIGURES.values()]]
    for form, scores in record["accuracy"].items():
        name = _FLOAT if form == "float" else form_name(form, record["recipe"])
        name = name.replace(", streamed", "")
        rows.append([name, *(f"{scores[figure]:.3f}" for figure in _FIGURES)])
    return rows


def sentences(record: dict[str, Any]) -> list[str]:
    """What was found, beside the table."""
    told = [
        f"The file says the same as the float network about "
        f"{record['same_as_float'] * 100:.1f} % of {record['recordings']} pictures, and the same "
        f"as the network it was made of about {record['same_sentences'] * 100:.1f} %."
    ]
    steps = record.get("steps")
    if steps:
        tensors = steps["each_step"]["tensors"]
        off = f"logits {steps['off_share'] * 100:.2g} % of their deviation off"
        if "logits" in tensors:
            mean, largest = tensors["logits"]["mean"], tensors["logits"]["largest"]
            off = f"logits {mean:.2g} steps off on average, {largest:.3g} at most"
        told.append(
            f"Each of {steps['words']} words from the same state: "
            f"{steps['each_step']['within_one'] * 100:.2f} % of all values within 1 step (LSB), "
            f"{off}; the same next word in {steps['same_words'] * 100:.1f} % with states carried "
            "on."
        )
    return told


def caption_card(spec: ModelSpec, record: dict[str, Any]) -> str:
    """Markdown."""
    rows = score_table(record)
    lines = [
        f"# {spec.name}",
        "",
        f"Tells a picture in a sentence: one {spec.input.width}×{spec.input.height} RGB picture, "
        f"{len(spec.labels)} words, attention over {spec.caption.rows}×{spec.caption.columns} "  # type: ignore[union-attr]
        f"places. Recipe `{spec.recipe}`.",
        "",
        f"## How good it is ({record['data']}, {record['recordings']} pictures, beam "
        f"{record['beam']})",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + " --- |" * len(rows[0]),
        *("| " + " | ".join(row) + " |" for row in rows[1:]),
        "",
        *(f"{told}\n" for told in sentences(record)),
    ]
    return set_section("\n".join(lines), PROVENANCE, provenance(spec))
