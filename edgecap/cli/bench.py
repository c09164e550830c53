"""``edgecap bench``: how fast a model runs on this machine, and whether that has changed."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgecap.cli.common import (
    Progress,
    check_output,
    print_json,
    runtime_options,
    signature_option,
    write_output,
)

if TYPE_CHECKING:
    from edgecap.benchmark import Bench

# The closed loop and the cold starts of --quick: about ten seconds in all.
_QUICK_SECONDS, _QUICK_RUNS = 3.0, 2


def _size(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Height and width."""
    if value is None:
        return None
    sides = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", value)
    if sides is None or not all(16 <= int(side) <= 4096 for side in sides.groups()):
        raise click.BadParameter(f"expected two sides of 16 to 4096, as 640x480; got {value!r}")
    return int(sides[2]), int(sides[1])


@click.command("bench", short_help="Measure how fast a model runs on this machine.")
@click.argument("model", required=False)
@click.option(
    "--seconds",
    type=click.FloatRange(0.5, 3600),
    help="Of one frame after the other; all together takes about twice as long.  [default: 60]",
)
@click.option("--quick", is_flag=True, help="A first look: about 10 seconds in all.")
@click.option(
    "--source",
    metavar="CAMERA",
    help="Camera of the open loop, as for 'run'.  [default: pictures from a process of their own]",
)
@click.option(
    "--camera-hz",
    type=click.FloatRange(1, 240),
    help="Frames a second of the built-in camera.  [default: 30]",
)
@click.option(
    "--size",
    callback=_size,
    metavar="WIDTHxHEIGHT",
    help="Of the frames.  [default: 640x480; without OpenCV that of the model]",
)
@click.option(
    "--threads-up-to",
    type=click.IntRange(1, 64),
    help="Compare 1 to so many threads.  [default: the number of cores, at most 4]",
)
@click.option("--no-open", is_flag=True, help="Leave the open loop out.")
@click.option(
    "--cold-runs",
    type=click.IntRange(0, 100),
    help="New processes whose start is timed; 0 leaves it out.  [default: 5]",
)
@runtime_options
@signature_option
@click.option("--json", "json_file", metavar="FILE", help="Write all figures; - for stdout.")
@click.option("--html", "html_file", metavar="FILE", help="Write them as a page with plots.")
@click.option(
    "--compare",
    nargs=2,
    metavar="A.json B.json",
    help="Measure nothing: say whether B is slower or faster than A.",
)
@click.option(
    "--fail-if-slower", is_flag=True, help="With --compare: exit status 1 if B is slower."
)
def command(
    model: str | None,
    json_file: str | None,
    html_file: str | None,
    compare: tuple[str, str] | None,
    fail_if_slower: bool,
    **asked: Any,
) -> None:
    """Measure MODEL (a .tflite made by 'edgecap convert', or 'demo') on this machine: each stage
    of a step, cold start, a camera that does not wait, threads, memory, and the machine itself.

    --compare tells two such runs apart, as far as their noise lets it.

    \b
    Examples:
      edgecap bench demo
      edgecap bench gestures.tflite --source 0 --json today.json --html today.html
      edgecap bench --compare before.json today.json
    """
    if compare:
        _refuse_with_compare(model, html_file)
        _compare(*compare, json_file=json_file, fail_if_slower=fail_if_slower)
        return
    if model is None:
        raise click.UsageError("expected MODEL ('demo' is packaged), or --compare A.json B.json")
    if fail_if_slower:
        raise click.UsageError("--fail-if-slower goes with --compare A.json B.json")
    _bench(model, json_file, html_file, **asked)


def _bench(
    model: str,
    json_file: str | None,
    html_file: str | None,
    *,
    quick: bool,
    seconds: float | None,
    source: str | None,
    camera_hz: float | None,
    no_open: bool,
    cold_runs: int | None,
    **rest: Any,
) -> None:
    from edgecap import terminal
    from edgecap.assets import resolve_model
    from edgecap.benchmark.bench import DEFAULT_CAMERA_HZ, DEFAULT_SECONDS, run_bench
    from edgecap.benchmark.cold import DEFAULT_RUNS
    from edgecap.benchmark.page import page
    from edgecap.benchmark.table import lines
    from edgecap.logs import keep_off_stderr
    from edgecap.pipeline import NOTICES

    if quick and seconds is not None:
        raise click.UsageError("--quick and --seconds exclude each other")
    if source is not None and (no_open or camera_hz is not None):
        other = "--no-open" if no_open else "--camera-hz"
        raise click.UsageError(f"--source is a camera of its own: it does not go with {other}")
    path = resolve_model(model)
    _check_outputs(path, json_file, html_file)
    # They stand among the notes.
    keep_off_stderr(NOTICES)
    if cold_runs is None:
        cold_runs = _QUICK_RUNS if quick else DEFAULT_RUNS
    said = Progress()
    try:
        bench = run_bench(
            path,
            seconds=_QUICK_SECONDS if quick else seconds or DEFAULT_SECONDS,
            source=source,
            camera_hz=camera_hz or DEFAULT_CAMERA_HZ,
            open_loop=not no_open,
            cold_runs=cold_runs,
            command=_command(),
            progress=said,
            **rest,
        )
    except KeyboardInterrupt:
        # Click's own way of saying so begins with an empty line.
        raise click.Abort from None
    finally:
        said.close()
    # The files first: whoever reads the table may be gone by now.
    if json_file not in (None, "-"):
        write_output(str(json_file), _json(bench.to_dict()))
    if html_file is not None:
        write_output(html_file, page(bench))
    if json_file == "-":
        print_json(bench.to_dict())
        return
    for line in lines(bench, rich=terminal.is_rich(sys.stdout)):
        click.echo(line)


def _compare(a: str, b: str, *, json_file: str | None, fail_if_slower: bool) -> None:
    from edgecap.benchmark.compare import compare

    _check_outputs(None, json_file, None)
    comparison = compare(_read(a), _read(b))
    if json_file == "-":
        print_json(comparison.to_dict())
    else:
        for line in comparison.lines():
            click.echo(line)
        if json_file is not None:
            write_output(json_file, _json(comparison.to_dict()))
    if fail_if_slower and comparison.verdict == "slower":
        sys.exit(1)


def _refuse_with_compare(model: str | None, html_file: str | None) -> None:
    context = click.get_current_context()
    kept = ("compare", "fail_if_slower", "json_file")
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        given = source == click.core.ParameterSource.COMMANDLINE and parameter.name not in kept
        if given:
            what = model if parameter.name == "model" else parameter.opts[0]
            raise click.UsageError(f"--compare measures nothing: it does not go with {what}")


def _check_outputs(model: Path | None, json_file: str | None, html_file: str | None) -> None:
    """Before a minute of measuring: where the results go can be written, and is nothing else's."""
    if html_file == "-":
        raise click.UsageError("--html: expected the name of a file")
    files = [Path(file).resolve() for file in (json_file, html_file) if file not in (None, "-")]
    if len(set(files)) < len(files):
        raise click.UsageError("--json and --html: expected two files")
    for file in files:
        if model is not None and file == model.resolve():
            raise click.UsageError(f"{file.name} is the model: it is not written to")
        check_output(str(file))


def _read(name: str) -> Bench:
    from edgecap.benchmark import from_dict
    from edgecap.documents import read_json
    from edgecap.errors import DataError, SpecError

    try:
        return from_dict(read_json(name))
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error
    except (ValueError, SpecError) as error:
        raise DataError(
            f"{name}: expected a document of 'edgecap bench --json': {error}"
        ) from error


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _command() -> str:
    """What was asked for, without where the results went and without passwords."""
    from edgecap.masking import mask_url

    context = click.get_current_context()
    words = ["edgecap", "bench"]
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if source != click.core.ParameterSource.COMMANDLINE:
            continue
        value = context.params[str(parameter.name)]
        if parameter.name == "model":
            words.append(Path(value).name)
        elif parameter.name == "size":
            words += [parameter.opts[0], f"{value[1]}x{value[0]}"]
        elif value is True:
            words.append(parameter.opts[0])
        elif parameter.name not in ("json_file", "html_file"):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            words += [parameter.opts[0], mask_url(text)]
    return shlex.join(words)
