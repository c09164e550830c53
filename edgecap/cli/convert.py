"""``edgecap convert``: a run folder → one model file."""

from __future__ import annotations

from pathlib import Path

import click

from edgecap.cli.common import json_option, print_json, table


@click.command("convert", short_help="Quantise a trained run into one model file.")
@click.argument("run")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file.")
@click.option(
    "--recipe",
    default="int8",
    show_default=True,
    metavar="NAME",
    help="What is quantised how: int8, int8-int16, int8-full, dynamic, float16 or float32.",
)
@click.option(
    "--qat/--no-qat",
    default=True,
    help="Train on with fake quantisation, or only calibrate.  [default: qat]",
)
@click.option("--name", help="The model's name.  [default: the file's]")
@click.option("--resume", is_flag=True, help="Go on with a conversion that was stopped.")
@json_option
def command(
    run: str,
    out: Path,
    recipe: str,
    qat: bool,
    name: str | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Quantise RUN (made by 'edgecap train') and write one model file.

    Trains on with fake quantisation, the recurrent part included, converts, records golden
    outputs, and compares float, fake-quantised and int8 answers. Needs the extra 'convert'.

    \b
    Recipes:
      int8        for Raspberry Pi and phones; the cell state stays float
      int8-int16  integers only, the cell state in 16 bits
      int8-full   integers only, 8 bits throughout, for accelerators
      dynamic     weights in 8 bits, the rest float; no training, no calibration
      float16     weights in 16 bits
      float32     as trained, to compare with
    \b
    Examples:
      edgecap convert runs/gestures --out gestures.tflite
      edgecap convert runs/gestures --out npu.tflite --recipe int8-full
    """
    from edgecap.extras import require_convert

    export = require_convert("edgecap_convert.export.convert", "to convert")
    line = f"edgecap convert {run} --out {out}"
    line += f" --recipe {recipe}" if recipe != "int8" else ""
    line += " --no-qat" if not qat else ""
    line += f" --name {name}" if name else ""
    parity = export.convert(
        run, out, recipe=recipe, qat=qat, name=name, resume=resume, command=line
    )
    if as_json:
        print_json(parity)
        return
    card = require_convert("edgecap_convert.export.card", "to convert")
    click.echo(f"on {parity['data']}, {parity['recordings']} recordings:")
    click.echo(table(card.accuracy_table(parity)))
    click.echo(card.agreement(parity))
    click.echo(f"{out}: {out.stat().st_size / 1000:.0f} kB; next: edgecap run {out} --source 0")
