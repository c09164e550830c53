"""``edgecap train``: clips or scenes → a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgecap.cli.common import caption_line, json_option, print_json, summary_line


@click.command("train", short_help="Train a model on clips, synthetic scenes or captions.")
@click.argument("data")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The run folder.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings that differ, as TOML.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on with the run in --out, if one was begun there.")
@click.option("--strict", is_flag=True, help="Refuse broken clips instead of leaving them out.")
@click.option(
    "--distributed", is_flag=True, help="One of several workers; TF_CONFIG names them all."
)
@json_option
def command(
    data: str,
    out: Path,
    config: Path | None,
    seed: int,
    resume: bool,
    strict: bool,
    distributed: bool,
    as_json: bool,
) -> None:
    """Train on DATA: clips (see 'edgecap data --help'), 'synthetic:', or captions.

    Writes the trained network, metrics.json, report.html and TensorBoard logs to the run folder.
    May be stopped at any moment; the same command with --resume goes on and ends with the same
    result. Needs the extra 'convert'.

    With --distributed, the same command is given on several machines, which share the rows of
    every batch. In each, TF_CONFIG says where the workers are and which of them it is, as for
    TensorFlow's MultiWorkerMirroredStrategy. The first one writes --out; the others need not see
    it. Any number of workers, or one without --distributed, goes on with --resume.

    Captions are pictures with sentences: a folder as Flickr8k comes, or a CSV file with the columns
    image, caption and, if wanted, part (train, validation, test).

    \b
    Examples:
      edgecap train synthetic: --out runs/scenes
      edgecap train clips/ --out runs/gestures --config gestures.toml --seed 1
      edgecap train clips.csv --out runs/gestures --config gestures.toml --resume
      edgecap train flickr8k/ --out runs/captions --config captions.toml
    """
    from edgecap.extras import require_convert

    captions = require_convert("edgecap_convert.captions.config", "to train")
    asked = captions.captions_wanted(data, config)
    line = f"edgecap train {data} --out {out} --seed {seed}"
    line += f" --config {config}" if config is not None else ""
    if asked is not None:
        if distributed or strict:
            raise click.UsageError("--distributed and --strict are not for captions")
        training = require_convert("edgecap_convert.captions.train", "to train")
        metrics = training.train_captions(data, out, asked, seed=seed, resume=resume, command=line)
        _tell_captions(metrics, out, as_json)
        return
    settings = require_convert("edgecap_convert.training.config", "to train")
    chosen = settings.load_config(config) if config is not None else settings.TrainConfig()
    training = require_convert("edgecap_convert.training.train", "to train")
    train = training.train_distributed if distributed else training.train
    metrics = train(data, out, chosen, seed=seed, strict=strict, resume=resume, command=line)
    if metrics is None:
        # The chief tells the rest.
        return
    if as_json:
        print_json(metrics)
        return
    for part in ("validation", "test"):
        if part in metrics:
            click.echo(f"{part}: {summary_line(metrics[part])}")
    click.echo(f"{metrics['seconds']:.0f} s; report: {out / 'report.html'}")
    click.echo(f"next: edgecap convert {out} --out model.tflite")


def _tell_captions(metrics: dict[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(metrics)
        return
    click.echo(f"test: {caption_line(metrics['test'])}")
    click.echo(f"{metrics['seconds']:.0f} s; report: {out / 'captions.html'}")
    click.echo(f"next: edgecap convert {out} --out model.tflite")
