"""``edgecap tune``: thresholds from recordings, written into the model file."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from edgecap.cli.common import (
    Progress,
    check_output,
    print_json,
    runtime_options,
    signature_option,
    write_output,
)


@click.command("tune", short_help="Find a model's thresholds from recordings.")
@click.argument("model")
@click.option("--data", required=True, help="Recordings whose truth is known, as for 'evaluate'.")
@click.option(
    "--background",
    required=True,
    help="Recordings in which nothing happens: a video, a folder of them, or synthetic:minutes=20.",
)
@click.option(
    "--false-events-per-hour",
    "target",
    required=True,
    type=click.FloatRange(0, min_open=True),
    help="How many are allowed on the background.",
)
@click.option(
    "--aim",
    type=click.Choice(["recall", "f1"]),
    help="What is to be high.  [default: f1 where the data are streams, else recall]",
)
@click.option("--out", metavar="FILE", help="Write the model there.  [default: MODEL itself]")
@click.option("--json", "json_file", metavar="FILE", help="Write all figures; - for stdout.")
@click.option("--plot", metavar="FILE", help="Draw the trade-off curve (.png, .svg or .pdf).")
@runtime_options
@signature_option
def command(
    model: str,
    data: str,
    background: str,
    target: float,
    aim: str | None,
    out: str | None,
    json_file: str | None,
    plot: str | None,
    **runtime: Any,
) -> None:
    """Find the thresholds with which MODEL recognises most in DATA, while at most so many false
    events an hour are told of in BACKGROUND, and write them into the model file.

    Each recording is streamed once; then settings of enter, leave, minimum duration and smoothing
    are tried on the recorded probabilities by the code that decides in a live run. Where no
    setting reaches the target, nothing is written and the exit status is 1.

    \b
    Examples:
      edgecap tune demo --data synthetic: --background synthetic: \\
          --false-events-per-hour 2 --out tuned.tflite
      edgecap tune gestures.tflite --data clips/ --background empty-room/ \\
          --false-events-per-hour 0.5 --plot curve.png --json tuning.json
    """
    from edgecap import terminal
    from edgecap.assets import DEMO_MODEL, resolve_model
    from edgecap.durable import check_writable
    from edgecap.errors import TuningError
    from edgecap.streaming import load
    from edgecap.tuning import record_background, record_data, tune
    from edgecap.tuning.plot import check_plot, draw
    from edgecap.tuning.show import lines
    from edgecap.tuning.tune import check_tunable, describe
    from edgecap.tuning.write import write_tuned

    path = resolve_model(model)
    # The file itself, not a link to it, is replaced.
    target_file = (path if out is None else Path(out)).resolve()
    if target_file == resolve_model(DEMO_MODEL).resolve():
        raise click.UsageError("the packaged model is not written to; say where to with --out FILE")
    loaded = load(path, probe=True, **runtime)
    check_tunable(loaded.spec)
    check_writable(target_file)
    for file in (json_file, plot):
        check_output(file)
    if plot is not None:
        check_plot(Path(plot))
    said = Progress()
    try:
        data_tracks = record_data(loaded, data, progress=said)
        background_tracks, left_out = record_background(loaded, background, progress=said)
        tuning = tune(
            loaded.spec,
            data_tracks,
            background_tracks,
            target=target,
            aim=aim,
            left_out=left_out,
            progress=said,
        )
    finally:
        said.close()
    if plot is not None:
        write_output(plot, draw(tuning, Path(plot).suffix, name=loaded.spec.name))
    document = {"model": model, "data": data, "background": background} | tuning.to_dict()
    if json_file == "-":
        print_json(document)
    else:
        hours = tuning.before.background.hours
        click.echo(f"{loaded.spec.name} ({loaded.spec.recipe}, {loaded.backend})")
        click.echo(
            f"data        {data} ({_recordings(tuning.recordings[0])}, "
            f"{tuning.before.data.gestures} things to recognise)"
        )
        click.echo(f"background  {background} ({_recordings(tuning.recordings[1])}, {hours:.2f} h)")
        click.echo()
        for line in lines(tuning, rich=terminal.is_rich(sys.stdout)):
            click.echo(line)
    if json_file not in (None, "-"):
        write_output(str(json_file), json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    for note in tuning.notes:
        click.echo(f"note: {note}", err=True)
    if tuning.chosen is None:
        nearest = tuning.nearest
        raise TuningError(
            f"no setting reaches {target:g} false events an hour; the nearest has "
            f"{nearest.false_per_hour:.3g} with a recall of {nearest.recall * 100:.1f} % "
            f"({describe(nearest.decision)}). Nothing was written"
        )
    write_tuned(
        path,
        target_file,
        bundle=loaded.bundle,
        tuning=tuning,
        command=_command(model, data, background, target, aim, out),
        data=data,
        background=background,
    )
    unsigned = "; sign it again" if loaded.bundle.signature else ""
    click.echo(f"wrote {path if out is None else out}{unsigned}", err=True)


def _recordings(count: int) -> str:
    return "1 recording" if count == 1 else f"{count} recordings"


def _command(
    model: str, data: str, background: str, target: float, aim: str | None, out: str | None
) -> str:
    """What was asked for, for the provenance."""
    words = ["edgecap", "tune", model, "--data", data, "--background", background]
    words += ["--false-events-per-hour", f"{target:g}"]
    words += ["--aim", aim] if aim else []
    words += ["--out", out] if out else []
    return shlex.join(words)
