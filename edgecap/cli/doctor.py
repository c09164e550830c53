"""``edgecap doctor``: where an int8 model's error arises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgecap.cli.common import json_option, print_json, table

_SHOWN = 8


@click.command("doctor", short_help="Find where an int8 model's error arises.")
@click.argument("target", metavar="RUN|MODEL")
@click.option(
    "--data", metavar="SOURCE", help="Frames to look at: a video or a folder.  [MODEL only]"
)
@click.option(
    "--frames", type=click.IntRange(2), default=400, show_default=True, help="At most so many."
)
@json_option
def command(target: str, data: str | None, frames: int, as_json: bool) -> None:
    """Find where the error of an int8 model arises, and what would mend it.

    Streams frames through the model and through its twin in float, and compares every tensor:
    ranges that clip, layers that add noise, bits that are wasted, a cell state that stalls; and
    what putting each part back to float would bring. Of a RUN (once converted) it takes the frames
    that the run was measured on and the float network; of a MODEL its golden frames, or those of
    --data. Needs the extra 'convert'.

    \b
    Examples:
      edgecap doctor runs/gestures
      edgecap doctor gestures.tflite --data hands.mp4
    """
    from edgecap.extras import require_convert

    examine = require_convert("edgecap_convert.parity.examine", "to examine a model")
    if Path(target).is_dir():
        if data is not None:
            raise click.UsageError("--data goes with a model; a run has frames of its own")
        result = examine.examine_run(target, frames=frames)
    else:
        result = examine.examine_model(target, data, frames=frames)
    if as_json:
        print_json(result)
        return
    _print(result)


def _print(result: dict[str, Any]) -> None:
    findings = result["findings"]
    click.echo(f"{result['model']}, recipe {result['recipe']}: {result['frames']} frames")
    click.echo()
    if not findings:
        click.echo("nothing clips, stalls or wastes bits, and no layer is worse than the others")
    for number, finding in enumerate(findings[:_SHOWN], 1):
        click.echo(f"{number}. {finding['kind']}: {finding['part']}, {finding['tensor']}")
        click.echo(f"   {finding['told']}")
    if len(findings) > _SHOWN:
        click.echo(f"and {len(findings) - _SHOWN} more (see --json)")
    click.echo()
    rows = [["in float", "outputs, SNR", "gain", f"same answers as {result['reference']}"]]
    rows += [
        [
            row["part"],
            f"{row['snr_db']:.1f} dB",
            f"{row['gain_db']:+.1f} dB",
            f"{row['same_answers'] * 100:.2f} %" if "same_answers" in row else "–",
        ]
        for row in result["put_back"]
    ]
    click.echo(table(rows))
    if result["gates"]:
        click.echo()
        count = len(next(iter(result["gates"].values())))
        rows = [["SNR over time, dB", *(f"{i}/{count}" for i in range(1, count + 1))]]
        rows += [
            [name, *(f"{value:.0f}" for value in values)]
            for name, values in result["gates"].items()
        ]
        click.echo(table(rows))
