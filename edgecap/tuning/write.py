"""The found thresholds, written into the model file."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from edgecap import __version__
from edgecap.bundle import Bundle, replace_spec
from edgecap.tuning.tune import Tuning, describe

_SECTION = re.compile(r"\n*^## Decisions\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def write_tuned(
    source: Path,
    out: Path,
    *,
    bundle: Bundle,
    tuning: Tuning,
    command: str,
    data: str,
    background: str,
) -> None:
    """Writes the model with the chosen decisions; the graph and the golden frames stay.

    Args:
      source: the model file that was tuned. out: where to; may be the same.
      bundle: as it was read from ``source`` before.
      tuning: with a chosen setting.
      command, data, background: for the provenance.

    Raises:
      ModelFileError: the source has changed since, or ``out`` cannot be written.
    """
    chosen = tuning.chosen
    assert chosen is not None, "there is nothing to write"
    told: dict[str, Any] = {
        "command": command,
        "edgecap": __version__,
        "data": data,
        "background": background,
        "target_false_per_hour": tuning.target,
        "false_per_hour": round(chosen.false_per_hour, 3),
        "false_per_hour_95_below": round(chosen.false_upper, 3),
        "false_events": chosen.false,
        "background_hours": round(chosen.background.hours, 4),
        "recall": round(chosen.recall, 5),
        "precision": round(chosen.precision, 5),
        "gestures": chosen.data.gestures,
    }
    if tuning.held_out is not None:
        point = tuning.held_out.point
        told |= {
            "held_out_recall": round(point.recall, 5),
            "held_out_false_per_hour": round(point.false_per_hour, 3),
        }
    spec = dataclasses.replace(
        bundle.spec,
        decision=chosen.decision,
        provenance={**bundle.spec.provenance, "tuning": told},
    )
    card = f"{_SECTION.sub('', bundle.card).rstrip()}\n\n{_section(tuning, told)}"
    replace_spec(source, out, expected=bundle.spec, spec=spec, card=card)


def _section(tuning: Tuning, told: dict[str, Any]) -> str:
    chosen = tuning.chosen
    assert chosen is not None
    return (
        "## Decisions\n\n"
        f"Tuned for at most {tuning.target:g} false events an hour: {describe(chosen.decision)}. "
        f"Of {chosen.data.gestures} things to recognise, {chosen.recall * 100:.1f} % were; "
        f"{chosen.false} false events in {chosen.background.hours:.2f} h of background, "
        f"{chosen.false_per_hour:.3g} an hour, with 95 % certainty below "
        f"{chosen.false_upper:.3g}. Made by `{told['command'].replace('`', '')}`.\n"
    )
