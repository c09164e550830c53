"""``edgecap replay``: a recording run again, to the byte."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import click

from edgecap.cli.common import json_option, print_json, printable, signature_option, table
from edgecap.interpreter import BACKENDS, KERNELS

if TYPE_CHECKING:
    from edgecap.flight.replay import Replay
    from edgecap.flight.tape import Tape


@click.command("replay", short_help="Run a flight recording again and compare every byte.")
@click.argument("tape")
@click.option(
    "--model",
    default="demo",
    show_default=True,
    help="The model that it was recorded with; known by its digest.",
)
@click.option("--other-model", is_flag=True, help="Ask what another model would have answered.")
@click.option("--frames", is_flag=True, help="List every frame.")
@click.option("--video", metavar="FILE", help="Write an MP4 of pictures and answers.")
@click.option("--kernels", type=click.Choice(KERNELS), help="[default: as recorded]")
@click.option("--threads", type=click.IntRange(1, 64), help="[default: as recorded]")
@click.option(
    "--backend", type=click.Choice(BACKENDS), help="[default: as recorded, if it is installed]"
)
@json_option
@signature_option
def command(
    tape: str,
    model: str,
    other_model: bool,
    frames: bool,
    video: str | None,
    kernels: str | None,
    threads: int | None,
    backend: str | None,
    as_json: bool,
    public_key: str | None,
) -> None:
    """Run TAPE (an .edgetape of the flight recorder) again, from its recorded states.

    Exit status 1 if outputs, states or events are not the same to the byte; with --other-model,
    if the events are not the same.

    \b
    Examples:
      edgecap replay tapes/edgecap-….edgetape
      edgecap replay incident.edgetape --model gestures.tflite --frames
      edgecap replay incident.edgetape --model newer.tflite --other-model
    """
    import edgecap
    from edgecap.assets import resolve_model
    from edgecap.flight.replay import replay
    from edgecap.flight.tape import read_tape
    from edgecap.interpreter import available_backends

    recorded = read_tape(tape)
    wanted = recorded.header.backend
    if backend is None and wanted.name in available_backends():
        backend = wanted.name
    loaded = edgecap.load(
        resolve_model(model),
        threads=threads or min(max(wanted.threads, 1), 64),
        kernels=kernels or (wanted.kernels if wanted.kernels in KERNELS else KERNELS[0]),
        backend=backend,
        probe=True,
        public_key=public_key,
    )
    result = replay(recorded, loaded, other_model=other_model)
    if video is not None:
        from edgecap.flight.video import write_video

        write_video(recorded, result, video)
    if as_json:
        print_json(_document(recorded, result))
    else:
        for line in (*_about(recorded), *(_listing(recorded, result) if frames else ())):
            click.echo(printable(line))
        for line in _verdict(recorded, result):
            click.echo(printable(line))
    if not (result.equal if result.same_model else result.same_events):
        sys.exit(1)


def _about(tape: Tape) -> list[str]:
    header = tape.header
    seconds = tape.timestamps_s[-1] - tape.timestamps_s[0]
    lines = [
        f"recorded   {header.written_at}{f' from {header.camera}' if header.camera else ''}",
        f"because    {header.reason}",
        f"model      {header.name}, digest {header.model[:12]}…",
        f"computed   {header.backend}",
        f"holds      {len(tape)} frames, {seconds:.1f} s, {len(header.keys)} states",
    ]
    if header.gate is not None:
        lines.append(f"gate       {header.gate}")
    return [
        *lines,
        *(f"{told.timestamp_s:9.2f} s  {told.kind}: {told.told}" for told in header.told),
    ]


def _listing(tape: Tape, result: Replay) -> list[str]:
    rows = [["frame", "time", "recorded", "now", ""]]
    keys = {key.frame for key in tape.header.keys}
    for answer in result.answers:
        marks = []
        if answer.frame in keys:
            marks.append("state set" if answer.jump else "state")
        marks += [f"{event.label} {event.kind}" for event in answer.events]
        marks += [] if answer.equal else ["DIFFERENT"]
        rows.append(
            [
                str(answer.frame),
                f"{answer.timestamp_s:.3f} s",
                f"{answer.label} {answer.score:.3f}",
                f"{answer.new_label} {answer.new_score:.3f}",
                ", ".join(marks),
            ]
        )
    return table(rows).splitlines()


def _verdict(tape: Tape, result: Replay) -> list[str]:
    if not result.same_model:
        return _other(tape, result)
    count = len(tape)
    if result.equal:
        return [f"equal to the byte: {count} frames, {result.keys} states, and all events"]
    assert result.first is not None
    lines = [
        f"DIFFERENT: first, {result.first.told}",
        f"{result.differing} of {count} frames differ, outputs by up to {result.largest:.4g} "
        f"steps; events {'the same' if result.same_events else 'DIFFERENT'}",
    ]
    if result.versions:
        apart = "; ".join(
            f"{n}: {old} then, {new} now" for n, (old, new) in result.versions.items()
        )
        lines.append(f"not computed by the same, so bytes need not be equal ({apart})")
    return lines


def _other(tape: Tape, result: Replay) -> list[str]:
    agreed = sum(answer.label == answer.new_label for answer in result.answers)
    lines = [f"another model: the same label in {agreed} of {len(tape)} frames"]
    for side, events in (
        ("recorded", [(a, e) for a in result.answers for e in a.events]),
        ("this model", [(a, e) for a in result.answers for e in a.new_events]),
    ):
        lines += [
            f"{side:<10} {a.timestamp_s:9.2f} s  {e.label} {e.kind} ({e.score:.2f})"
            for a, e in events
        ] or [f"{side:<10} no events"]
    return lines


def _document(tape: Tape, result: Replay) -> dict[str, Any]:
    header = dataclasses.asdict(tape.header)
    for name in ("keys", "digests", "told", "events"):
        del header[name]
    return {
        "tape": header | {"told": [dataclasses.asdict(told) for told in tape.header.told]},
        "equal": result.equal,
        "same_model": result.same_model,
        "same_events": result.same_events,
        "first_difference": dataclasses.asdict(result.first) if result.first else None,
        "frames": len(tape),
        "differing": result.differing,
        "largest_steps": result.largest,
        "states_compared": result.keys,
        "versions_apart": result.versions,
        "answers": [dataclasses.asdict(answer) for answer in result.answers],
    }
