"""``edgecap run``: the live loop."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import click

from edgecap.cli.common import runtime_options


@click.command("run", short_help="Stream a source through a model.")
@click.argument("model")
@click.option(
    "--source",
    default="synthetic:",
    show_default=True,
    help="Camera index, video file, folder of images, or synthetic:seed=1,gestures=20.",
)
@click.option("--jsonl", metavar="FILE", help="Write one JSON object per frame; - for stdout.")
@click.option("--quiet", is_flag=True, help="No live line.")
@click.option("--max-frames", type=click.IntRange(1), help="Stop after this many frames.")
@runtime_options
def command(
    model: str,
    source: str,
    jsonl: str | None,
    quiet: bool,
    max_frames: int | None,
    **runtime: Any,
) -> None:
    """Stream SOURCE through MODEL (a .tflite made by 'edgecap convert', or 'demo').

    \b
    Examples:
      edgecap run demo --source synthetic:seed=7
      edgecap run gestures.tflite --source 0 --jsonl events.jsonl
      edgecap run gestures.tflite --source video.mp4 --jsonl - --quiet
    """
    from contextlib import ExitStack

    import edgecap
    from edgecap.assets import resolve_model
    from edgecap.pipeline import run
    from edgecap.sinks.base import Sink
    from edgecap.sinks.jsonl import JsonLines
    from edgecap.sinks.terminal import LiveLine

    if jsonl is not None and _same_file(jsonl, source):
        raise click.UsageError(f"--jsonl would overwrite the source {source}")
    loaded = edgecap.load(resolve_model(model), **runtime)
    size = (loaded.spec.input.height, loaded.spec.input.width)
    with ExitStack() as stack:
        opened = stack.enter_context(
            edgecap.open_source(source, size=size, rate_hz=loaded.spec.rate_hz)
        )
        sinks: list[Sink] = [] if quiet else [LiveLine(loaded.labels)]
        if jsonl is not None:
            sinks.append(JsonLines(jsonl, loaded.labels))
        for sink in sinks:
            stack.callback(sink.close)
        report = run(opened, loaded.stream(), sinks, max_frames=max_frames)
    if not quiet:
        median = statistics.median(report.step_ms) if report.step_ms else 0.0
        has_events = loaded.spec.task != "regression"
        events = f"{report.events} event(s), " if has_events else ""
        click.echo(
            f"{report.processed} of {report.frames} frames processed in {report.seconds:.1f} s, "
            f"{events}median step {median:.2f} ms",
            err=True,
        )


def _same_file(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return False
