"""``edgecap crossval``: every fold trained, converted and measured."""

from __future__ import annotations

from pathlib import Path

import click

from edgecap.cli.common import json_option, print_json, summary_line, table


@click.command("crossval", short_help="Cross-validate: train, convert and measure every fold.")
@click.argument("data")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for all runs.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings that differ, as TOML.")
@click.option("--folds", type=click.IntRange(2), help="Number of folds, by group and stratified.")
@click.option("--column", help="Column of the manifest that says the fold of each clip.")
@click.option("--fold", type=click.IntRange(0), help="Do this fold only, without a summary.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on with what was begun in --out.")
@click.option("--strict", is_flag=True, help="Refuse broken clips instead of leaving them out.")
@json_option
def command(
    data: str,
    out: Path,
    config: Path | None,
    folds: int | None,
    column: str | None,
    fold: int | None,
    seed: int,
    resume: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Train on DATA once per fold, and test each int8 model on the fold that it has not seen.

    The int8 model is streamed frame by frame as on a device. Writes a run per fold, report.html
    and crossval.json. Needs the extra 'convert'.

    \b
    Examples:
      edgecap crossval clips.csv --folds 5 --out runs/cv --config gestures.toml
      edgecap crossval clips.csv --column fold --out runs/cv --resume
    """
    if (folds is None) == (column is None):
        raise click.UsageError("give either --folds N or --column NAME")
    from edgecap.extras import require_convert

    settings = require_convert("edgecap_convert.training.config", "to train")
    chosen = settings.load_config(config) if config is not None else settings.TrainConfig()
    crossval = require_convert("edgecap_convert.training.crossval", "to train")
    line = f"edgecap crossval {data} --out {out} --seed {seed}"
    line += f" --config {config}" if config is not None else ""
    line += f" --folds {folds}" if folds is not None else f" --column {column}"
    summary = crossval.cross_validate(
        data,
        out,
        chosen,
        folds=folds,
        column=column,
        only=fold,
        seed=seed,
        strict=strict,
        resume=resume,
        command=line,
    )
    if as_json:
        print_json(summary)
        return
    rows = [["fold", "float", "int8", "seconds"]]
    for figures in summary["folds"]:
        seconds = figures["train_seconds"] + figures["convert_seconds"]
        shown = (summary_line(figures[mode]) for mode in ("float", "int8"))
        rows.append([str(figures["fold"]), *shown, f"{seconds:.0f}"])
    click.echo(table(rows))
    if fold is None:
        together = summary["int8"]
        if "accuracy" in together:
            low, high = together["accuracy_interval"]
            click.echo(
                f"int8, all folds together: accuracy {together['accuracy'] * 100:.1f} % (95 %: "
                f"{low * 100:.1f} to {high * 100:.1f}), macro F1 {together['macro_f1']:.3f}"
            )
        else:
            means = (f"{name} {value:.5g}" for name, value in together["mean"].items())
            click.echo(f"int8, mean of the folds: {', '.join(means)}")
        click.echo(f"report: {out / 'report.html'}")
