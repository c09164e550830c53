"""``edgecap convert``: a run folder → one int8 model file."""

from __future__ import annotations

from pathlib import Path

import click

from edgecap.cli.common import json_option, print_json, table


@click.command("convert", short_help="Quantise a trained run into one int8 model file.")
@click.argument("run")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file.")
@click.option("--name", help="The model's name.  [default: the file's]")
@click.option("--resume", is_flag=True, help="Go on with a conversion that was stopped.")
@json_option
def command(run: str, out: Path, name: str | None, resume: bool, as_json: bool) -> None:
    """Quantise RUN (made by 'edgecap train') and write one int8 model file.

    Trains on with fake quantisation, the recurrent part included, converts, records golden
    outputs, and compares float, fake-quantised and int8 answers. Needs the extra 'convert'.

    \b
    Examples:
      edgecap convert runs/gestures --out gestures.tflite
    """
    from edgecap.extras import require_convert

    export = require_convert("edgecap_convert.export.convert", "to convert")
    line = f"edgecap convert {run} --out {out}" + (f" --name {name}" if name else "")
    parity = export.convert(run, out, name=name, resume=resume, command=line)
    if as_json:
        print_json(parity)
        return
    card = require_convert("edgecap_convert.export.card", "to convert")
    click.echo(f"on {parity['data']}, {parity['recordings']} recordings:")
    click.echo(table(card.accuracy_table(parity)))
    click.echo(card.agreement(parity))
    click.echo(f"{out}: {out.stat().st_size / 1000:.0f} kB; next: edgecap run {out} --source 0")
