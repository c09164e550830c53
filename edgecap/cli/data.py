"""``edgecap data``: what is in a folder of clips or a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edgecap.cli.common import json_option, print_json, table

_SHOWN = 20


@click.command("data", short_help="Show what is in a folder of clips or a manifest.")
@click.argument("data")
@click.option(
    "--task",
    type=click.Choice(["classification", "multilabel", "regression"]),
    help="What is to be learnt.  [default: as the data looks]",
)
@click.option("--sheet", type=click.Path(path_type=Path), help="Draw a contact sheet, as PNG.")
@click.option("--strict", is_flag=True, help="Refuse broken clips instead of listing them.")
@json_option
def command(data: str, task: str | None, sheet: Path | None, strict: bool, as_json: bool) -> None:
    """Decode DATA and show classes, counts, groups, lengths, rates, sizes and broken clips.

    DATA is a folder per class of videos or of folders of images; a folder of videos with a table
    of numbers each; or a CSV manifest. Needs the extra 'convert'.

    \b
    Examples:
      edgecap data clips/
      edgecap data clips.csv --sheet clips.png
      edgecap data runs/ --strict --json
    """
    from edgecap.dataset import open_dataset
    from edgecap.extras import require_convert

    if sheet is not None:
        from edgecap.durable import check_writable

        # Told before the long part.
        check_writable(sheet)
    found = open_dataset(data, task=task)
    surveys = require_convert("edgecap_convert.data.survey", "to look through data")
    result = surveys.survey(found, strict=strict)
    if sheet is not None:
        sheets = require_convert("edgecap_convert.data.sheet", "to draw the contact sheet")
        sheets.write_sheet(sheet, result)
    figures = result.to_dict()
    if as_json:
        print_json(figures)
        return
    click.echo(_heading(figures))
    click.echo()
    click.echo(table(_values(figures) if "values" in figures else _classes(figures)))
    click.echo()
    click.echo(f"rates   {_counted(figures['rates_hz'], ' Hz') or 'none: folders of images'}")
    click.echo(f"sizes   {_counted(figures['sizes'], '')}")
    if figures["columns"]:
        click.echo(f"columns {', '.join(figures['columns'])}")
    for note in figures["notes"]:
        click.echo(f"note: {note}")
    for entry in figures["broken"][:_SHOWN]:
        click.echo(f"broken: {entry['reason']}")
    if len(figures["broken"]) > _SHOWN:
        click.echo(f"broken: and {len(figures['broken']) - _SHOWN} more (see --json)")
    if sheet is not None:
        click.echo(f"contact sheet: {sheet}")


def _heading(figures: Mapping[str, Any]) -> str:
    parts = [
        f"{figures['name']}: {figures['task']}",
        f"{figures['clips']} clips",
        f"{figures['groups']} groups",
        f"{figures['frames']} frames",
    ]
    if "seconds" in figures:
        parts.append(f"{figures['seconds']['total'] / 60:.1f} min")
    if figures["broken"]:
        parts.append(f"{len(figures['broken'])} broken")
    return ", ".join(parts)


def _classes(figures: Mapping[str, Any]) -> list[list[str]]:
    rows = [["class", "clips", "groups", "frames", "shortest", "median", "longest"]]
    for label, row in figures["classes"].items():
        seconds = row.get("seconds", {})
        lengths = (seconds.get(name) for name in ("shortest", "median", "longest"))
        rows.append(
            [
                label,
                *(str(row[name]) for name in ("clips", "groups", "frames")),
                *("–" if length is None else f"{length:.1f} s" for length in lengths),
            ]
        )
    return rows


def _values(figures: Mapping[str, Any]) -> list[list[str]]:
    names = ("min", "mean", "max", "deviation")
    rows = [["value", *names]]
    for label, row in figures["values"].items():
        rows.append([label, *(f"{row[name]:.4g}" for name in names)])
    return rows


def _counted(counts: Mapping[str, int], unit: str, most: int = 8) -> str:
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    text = ", ".join(f"{name}{unit} ({count})" for name, count in ordered[:most])
    return text + (f" and {len(ordered) - most} more" if len(ordered) > most else "")
