"""``edgecap run``: the live loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecap.cli.common import (
    decision_options,
    gate_option,
    runtime_options,
    signature_option,
)
from edgecap.cli.logs import log_options
from edgecap.cli.outputs import output_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgecap.bundle import Bundle
    from edgecap.decisions import DecisionSpec
    from edgecap.health import Monitor
    from edgecap.lane import FrameStream
    from edgecap.spec import ModelSpec


@click.command("run", short_help="Stream cameras or recordings through a model.")
@click.argument("model")
@click.option(
    "--source",
    "sources",
    multiple=True,
    default=("synthetic:",),
    show_default=True,
    help="Camera index or /dev/video…, rtsp:// or http:// stream, picamera:, video file, folder of "
    "images, raw:640x480 (standard input), live:FILE, synthetic:. Several share the model.",
)
@click.option("--max-frames", type=click.IntRange(1), help="Stop after this many frames.")
@click.option(
    "--max-gap",
    "max_gap_s",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="A longer pause between frames resets the state.  [default: 2]",
)
@click.option(
    "--stall",
    "stall_s",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="A camera without a frame for so long is opened again.  [default: 10]",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    help="So often in a row a lost camera is opened again.  [default: for ever]",
)
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Of a captioning model: from one sentence to the next.  [default: 5]",
)
@click.option("--quiet", is_flag=True, help="Nothing on the terminal but errors.")
@output_options
@gate_option
@decision_options
@runtime_options
@signature_option
@log_options
def command(
    model: str,
    sources: tuple[str, ...],
    max_frames: int | None,
    max_gap_s: float | None,
    stall_s: float | None,
    retries: int | None,
    every_s: float | None,
    quiet: bool,
    decide: Any,
    threshold: float | None,
    backend: str | None,
    kernels: str,
    threads: int,
    public_key: str | None,
    **outputs: Any,
) -> None:
    """Stream cameras or recordings through MODEL (a .tflite made by 'edgecap convert', or 'demo').

    A captioning model tells what it sees in a sentence, every few seconds.

    A camera that fails is opened again, with growing pauses, until it is back. SIGINT and SIGTERM
    end the run in good order within two seconds; SIGUSR1, or r in the window, makes --record
    write what it has.

    \b
    Examples:
      edgecap run demo --source synthetic:seed=7
      edgecap run gestures.tflite --source 0 --jsonl events.jsonl
      edgecap run gestures.tflite --source 0 --source rtsp://door/stream --view web
      edgecap run gestures.tflite --source 0 --record tapes/ --webhook https://…
      edgecap run captions.tflite --source 0 --every 10 --view window
      edgecap run gestures.tflite --source 0 --require-signature owner.public.pem
    """
    from contextlib import ExitStack

    import edgecap
    from edgecap import systemd
    from edgecap.assets import resolve_model
    from edgecap.cli.outputs import Outputs
    from edgecap.logs import keep_off_stderr
    from edgecap.opening import open_bundle
    from edgecap.pipeline import DEFAULT_MAX_GAP_S, NOTICES, Pipeline
    from edgecap.shutdown import GRACE_S, on_signal, stop_on_signals
    from edgecap.streaming import Stream

    if outputs["jsonl"] is not None and any(_same_file(outputs["jsonl"], s) for s in sources):
        raise click.UsageError(f"--jsonl would overwrite the source {outputs['jsonl']}")
    if quiet and outputs["view"] == "line":
        outputs["view"] = "none"
    if outputs["view"] == "line":
        # The line tells them itself.
        keep_off_stderr(NOTICES)
    runtime: dict[str, Any] = {"threads": threads, "kernels": kernels, "backend": backend}
    bundle = open_bundle(resolve_model(model), public_key=public_key, probe=True, **runtime)
    spec = bundle.spec
    decision = decide(spec.decision, labels=spec.labels, task=spec.task)
    asked_for = {"threshold": threshold, "every_s": every_s, "record": outputs["record"]}
    make_stream = _stream_maker(bundle, decision, runtime=runtime, **asked_for)
    size = (spec.input.height, spec.input.width)
    # Where nobody looks at the pictures, large ones need not leave the camera's process.
    shown = outputs["view"] in ("window", "web") or outputs["video"] is not None
    running: list[Pipeline] = []

    def stop() -> None:
        for pipeline in running:
            pipeline.stop()

    with ExitStack() as stack:
        # Around all that follows: closing counts too.
        asked = stack.enter_context(stop_on_signals(stop, grace_s=GRACE_S))
        opened = [
            stack.enter_context(
                edgecap.open_source(
                    source,
                    size=size,
                    rate_hz=spec.rate_hz,
                    stall_s=stall_s,
                    retries=retries,
                    resize_to=None if shown else spec.input,
                )
            )
            for source in sources
        ]
        live = any(source.live for source in opened)
        streams = [make_stream() for _ in opened]
        sinks = stack.enter_context(Outputs(spec.labels, live=live, **outputs))
        pipeline = Pipeline(
            opened,
            streams,
            sinks.sinks,
            max_frames=max_frames,
            max_gap_s=DEFAULT_MAX_GAP_S if max_gap_s is None else max_gap_s,
        )
        sinks.listen(pipeline.tell)
        if sinks.recorder is not None:
            for stream, name in zip(streams, pipeline.cameras, strict=True):
                assert isinstance(stream, Stream)
                sinks.recorder.attach(stream, name)
            stack.enter_context(on_signal("SIGUSR1", sinks.recorder.trigger))
        if sinks.url is not None:
            click.echo(f"watch at {sinks.url}", err=True)
        running.append(pipeline)
        if asked.is_set():
            # While the camera was being opened.
            pipeline.stop()
        systemd.notify("READY=1")
        report = pipeline.run()
        systemd.notify("STOPPING=1")
    if not quiet:
        click.echo(_summary(report, spec), err=True)


def _stream_maker(
    bundle: Bundle,
    decision: DecisionSpec,
    *,
    threshold: float | None,
    every_s: float | None,
    record: str | None,
    runtime: dict[str, Any],
) -> Callable[[], FrameStream]:
    """Opens the model, and gives what makes a stream of it for each source."""
    from functools import partial

    if bundle.spec.caption is None:
        from edgecap.gate import SceneGate
        from edgecap.streaming import StreamingModel

        if every_s is not None:
            raise click.UsageError("--every is for captioning models")
        gate = None if threshold is None else SceneGate(threshold)
        return partial(StreamingModel(bundle, **runtime).stream, decision, gate=gate)
    from edgecap.captioning import CaptionModel
    from edgecap.captioning.live import DEFAULT_EVERY_S, CaptionStream

    if decision != bundle.spec.decision or threshold is not None or record is not None:
        raise click.UsageError("--record, --gate and thresholds are not for captioning models")
    every_s = DEFAULT_EVERY_S if every_s is None else every_s
    return partial(CaptionStream, CaptionModel(bundle, **runtime), every_s=every_s)


def _summary(report: Monitor, spec: ModelSpec) -> str:
    from edgecap.health import percentiles

    median, *_ = percentiles(tuple(report.step_ms)) or (0.0,)
    has_events = spec.task != "regression"
    events = f"{report.events} event(s), " if has_events else ""
    lost = f"{report.dropped} dropped, " if report.dropped else ""
    return (
        f"{report.processed} of {report.frames} frames processed in {report.seconds:.1f} s, "
        f"{lost}{events}median step {median:.2f} ms"
    )


def _same_file(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return False
