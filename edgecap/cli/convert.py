"""``edgecap convert``: a run folder → one model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgecap.cli.common import json_option, print_json, table


@click.command("convert", short_help="Quantise a trained run into one model file.")
@click.argument("run")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file.")
@click.option(
    "--recipe",
    metavar="NAME",
    help="What is quantised how: int8, int8-int16, int8-full, dynamic, float16, float32, or, for "
    "captions, int8-dynamic.  [default: int8; of captions int8-dynamic]",
)
@click.option(
    "--qat/--no-qat",
    default=True,
    help="Train on with fake quantisation, or only calibrate.  [default: qat]",
)
@click.option(
    "--max-loss",
    type=float,
    metavar="POINTS",
    help="Try recipes from the cheapest on until no more than this is lost against float.",
)
@click.option(
    "--audit-frames",
    type=click.IntRange(0),
    help="Frames of the drift audit; 0 leaves it out.  [default: the run's, 10000]",
)
@click.option("--name", help="The model's name.  [default: the file's]")
@click.option("--resume", is_flag=True, help="Go on with a conversion that was stopped.")
@json_option
def command(
    run: str,
    out: Path,
    recipe: str | None,
    qat: bool,
    max_loss: float | None,
    audit_frames: int | None,
    name: str | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Quantise RUN (made by 'edgecap train') and write one model file.

    Trains on with fake quantisation, the recurrent part included, converts, records golden
    outputs, and measures float, fake-quantised and int8 side by side: the parity report,
    RUN/parity.html. A file that does not compute what it was made of is not written. Needs the
    extra 'convert'.

    \b
    Recipes:
      int8          for Raspberry Pi and phones; the cell state stays float
      int8-dynamic  captions: the picture in integers, sentences with weights in 8 bits
      int8-int16    integers only, the cell state in 16 bits
      int8-full     integers only, 8 bits throughout, for accelerators
      dynamic       weights in 8 bits, the rest float; no training, no calibration
      float16       weights in 16 bits
      float32       as trained, to compare with
    \b
    Examples:
      edgecap convert runs/gestures --out gestures.tflite
      edgecap convert runs/gestures --out npu.tflite --recipe int8-full
      edgecap convert runs/gestures --out gestures.tflite --max-loss 0.5
    """
    from edgecap.extras import require_convert

    line = f"edgecap convert {run} --out {out}"
    line += f" --recipe {recipe}" if recipe is not None else ""
    line += " --no-qat" if not qat else ""
    line += f" --max-loss {max_loss:g}" if max_loss is not None else ""
    line += f" --audit-frames {audit_frames}" if audit_frames is not None else ""
    line += f" --name {name}" if name else ""
    chosen = {} if recipe is None else {"recipe": recipe}
    captions = require_convert("edgecap_convert.captions.runs", "to convert")
    if captions.is_caption_run(run):
        if max_loss is not None or audit_frames is not None or resume:
            raise click.UsageError("--max-loss, --audit-frames and --resume are not for captions")
        export = require_convert("edgecap_convert.captions.convert", "to convert")
        parity = export.convert_caption_run(run, out, qat=qat, name=name, command=line, **chosen)
        _tell_captions(parity, run, out, as_json)
        return
    export = require_convert("edgecap_convert.export.convert", "to convert")
    parity = export.convert(
        run,
        out,
        qat=qat,
        max_loss=max_loss,
        name=name,
        resume=resume,
        command=line,
        audit_frames=audit_frames,
        **chosen,
    )
    if as_json:
        print_json(parity)
        return
    card = require_convert("edgecap_convert.export.card", "to convert")
    click.echo(f"on {parity['data']}, {parity['recordings']} recordings:")
    click.echo(table(card.accuracy_table(parity)))
    for sentence in card.sentences(parity):
        click.echo(sentence)
    for rung in parity.get("ladder", ()):
        how = "trained" if rung["qat"] else "calibrated"
        click.echo(f"tried {rung['recipe']}, {how}: {rung['loss']:.2f} points lost")
    click.echo(f"report: {Path(run) / 'parity.html'}")
    click.echo(f"{out}: {out.stat().st_size / 1000:.0f} kB; next: edgecap run {out} --source 0")


def _tell_captions(parity: dict[str, Any], run: str, out: Path, as_json: bool) -> None:
    from edgecap.extras import require_convert

    if as_json:
        print_json(parity)
        return
    card = require_convert("edgecap_convert.captions.card", "to convert")
    click.echo(f"on the {parity['data']}, {parity['recordings']} pictures, beam {parity['beam']}:")
    click.echo(table(card.score_table(parity)))
    for sentence in card.sentences(parity):
        click.echo(sentence)
    click.echo(f"report: {Path(run) / 'parity.html'}")
    click.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB; next: edgecap caption {out} IMAGE")
