"""``edgecap evaluate``: figures of a model or a run on labelled recordings."""

from __future__ import annotations

from typing import Any

import click

from edgecap.cli.common import json_option, print_json, runtime_options, table


@click.command("evaluate", short_help="Measure a model or a run on labelled recordings.")
@click.argument("model")
@click.argument("data")
@click.option(
    "--network",
    type=click.Choice(["float", "fake-quant"]),
    default="float",
    show_default=True,
    help="Of a run: the trained network, or the fake-quantised one of its conversion.",
)
@json_option
@runtime_options
def command(model: str, data: str, network: str, as_json: bool, **runtime: Any) -> None:
    """Stream the recordings in DATA through MODEL, frame by frame, and score the answers.

    MODEL is a .tflite (needs only the runtime) or a run folder of 'edgecap train' (needs the extra
    'convert'). DATA is a folder per class of clips, or synthetic scenes
    that no training has seen.

    \b
    Examples:
      edgecap evaluate gestures.tflite clips/
      edgecap evaluate demo synthetic:seed=3,gestures=400 --json
      edgecap evaluate runs/gestures clips/
    """
    from edgecap.assets import resolve_model
    from edgecap.evaluation import evaluate, model_predictor
    from edgecap.recordings import open_recordings

    path = resolve_model(model)
    if path.is_dir():
        from edgecap.extras import require_convert

        runs = require_convert("edgecap_convert.training.runs", "to evaluate a run")
        quantized = network == "fake-quant"
        spec_parts, predict = runs.open_for_evaluation(path, quantized=quantized)
        what = f"{model} ({network})"
    else:
        import edgecap

        loaded = edgecap.load(path, **runtime)
        spec_parts = loaded.spec
        predict = model_predictor(loaded)
        what = f"{loaded.spec.name} ({loaded.spec.recipe}, {loaded.backend})"
    recordings = open_recordings(
        data, spec=spec_parts.input, rate_hz=spec_parts.rate_hz, labels=spec_parts.labels
    )
    result = evaluate(predict, recordings, labels=spec_parts.labels, decision=spec_parts.decision)
    if as_json:
        print_json({"model": what, "data": data} | result.to_dict())
        return
    click.echo(f"{what} on {data}")
    click.echo(
        f"accuracy {result.accuracy * 100:.1f} % of {result.segments} segments, macro F1 "
        f"{result.macro_f1:.3f}, frame accuracy {result.frame_accuracy * 100:.1f} %"
    )
    if result.events is not None:
        events = result.events
        click.echo(
            f"events: {events.recognised} of {events.gestures} gestures recognised "
            f"({events.recall * 100:.1f} %), {events.false} false in {events.seconds:.0f} s"
        )
    rows = [["class", "precision", "recall", "F1", "segments"]]
    for label, row in result.per_class().items():
        figures = [f"{row[name]:.3f}" for name in ("precision", "recall", "f1")]
        rows.append([label, *figures, f"{row['support']:.0f}"])
    click.echo()
    click.echo(table(rows))
