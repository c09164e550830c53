"""``edgecap train``: clips or scenes → a run folder."""

from __future__ import annotations

from pathlib import Path

import click

from edgecap.cli.common import json_option, print_json


@click.command("train", short_help="Train a model on clips or synthetic scenes.")
@click.argument("data")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The run folder.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings that differ, as TOML.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@json_option
def command(data: str, out: Path, config: Path | None, seed: int, as_json: bool) -> None:
    """Train on DATA: a folder per class of clips, or 'synthetic:'.

    Writes config.json, weights.npz, metrics.json, history.json and curves.png to the run folder.
    Needs the extra 'convert'.

    \b
    Examples:
      edgecap train synthetic: --out runs/scenes
      edgecap train clips/ --out runs/gestures --config gestures.toml --seed 1
    """
    from edgecap.extras import require_convert

    settings = require_convert("edgecap_convert.training.config", "to train")
    chosen = settings.load_config(config) if config is not None else settings.TrainConfig()
    training = require_convert("edgecap_convert.training.train", "to train")
    line = f"edgecap train {data} --out {out} --seed {seed}"
    line += f" --config {config}" if config is not None else ""
    metrics = training.train(data, out, chosen, seed=seed, command=line)
    if as_json:
        print_json(metrics)
        return
    validation = metrics["validation"]
    click.echo(
        f"{out}: accuracy {validation['accuracy'] * 100:.1f} % of {validation['segments']} "
        f"validation segments, macro F1 {validation['macro_f1']:.3f}, {metrics['seconds']:.0f} s"
    )
    click.echo(f"next: edgecap convert {out} --out model.tflite")
