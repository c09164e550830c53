"""Options and output that several verbs share."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgecap.decisions import DecisionSpec

_F = TypeVar("_F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


signature_option = click.option(
    "--require-signature",
    "public_key",
    type=click.Path(),
    metavar="PUBLIC.pem",
    help="Take only a model that was signed with this key's private one ('edgecap sign').",
)


def runtime_options(function: _F) -> _F:
    """Which kernels compute, in how many threads."""
    from edgecap.interpreter import BACKENDS, DEFAULT_KERNELS, KERNELS

    function = click.option(
        "--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="CPU threads."
    )(function)
    function = click.option(
        "--kernels", type=click.Choice(KERNELS), default=DEFAULT_KERNELS, show_default=True
    )(function)
    return click.option(
        "--backend", type=click.Choice(BACKENDS), help="TFLite runtime.  [default: first installed]"
    )(function)


def decision_options(function: _F) -> _F:
    """How scores become events, over the model's own settings.

    The command gets ``decide(decision, labels=…, task=…)``, which gives the model's decisions with
    what was asked for in their place.
    """
    from edgecap.decision_options import LABEL_USAGE, SETTINGS

    @functools.wraps(function)
    def wrapped(**given: Any) -> Any:
        from edgecap.decision_options import DecisionOverrides, parse_labels
        from edgecap.errors import ConfigError

        values = {field: given.pop(f"decision_{field}") for field in SETTINGS.values()}
        common = {field: value for field, value in values.items() if value is not None}
        try:
            overrides = DecisionOverrides(common, parse_labels(given.pop("decision_labels")))
        except ConfigError as error:
            raise click.BadParameter(str(error), param_hint="--label") from error

        def decide(decision: DecisionSpec, *, labels: Sequence[str], task: str) -> DecisionSpec:
            try:
                return overrides.over(decision, labels=labels, task=task)
            except ConfigError as error:
                raise click.UsageError(str(error)) from error

        return function(decide=decide, **given)

    option: Any = click.option(
        "--label",
        "decision_labels",
        multiple=True,
        metavar="TEXT",
        help=f"Of one label: {LABEL_USAGE}; may be repeated.",
    )
    wrapped = option(wrapped)
    score, seconds = click.FloatRange(0, 1, min_open=True), click.FloatRange(0, 3600)
    for name, field in reversed(SETTINGS.items()):
        told = _DECISIONS[name]
        kind = score if name in ("enter", "leave") else seconds
        wrapped = click.option(f"--{name}", f"decision_{field}", type=kind, help=told)(wrapped)
    return wrapped  # type: ignore[return-value]


_DECISIONS = {
    "enter": "Smoothed score at which an event may start.",
    "leave": "Smoothed score below which it ends.",
    "min-duration": "Seconds that the score must have stayed at --enter or above.",
    "smoothing": "Time constant of the average over scores, in seconds.",
    "refractory": "Seconds that a label stays silent after its event.",
    "settle": "Seconds after a reset in which nothing is reported.",
}


def gate_option(function: _F) -> _F:
    """The command gets ``threshold``: of the scene gate, or ``None`` for none."""
    from edgecap.gate import DEFAULT_THRESHOLD

    return click.option(
        "--gate",
        "threshold",
        type=click.FloatRange(0, 255),
        is_flag=False,
        flag_value=DEFAULT_THRESHOLD,
        metavar="[LEVELS]",
        help="Leave the encoder out while no part of the picture changes by more than so many grey "
        f"levels.  [without a number: {DEFAULT_THRESHOLD:g}]",
    )(function)


def listen_address(text: str | None, default: tuple[str, int]) -> tuple[str, int]:
    """Reads the ``HOST:PORT``, ``PORT`` or ``[::1]:PORT`` of ``--listen``."""
    if text is None:
        return default
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or (colon and not host):
        raise click.UsageError(f"--listen: expected HOST:PORT; got {text!r}")
    return host or default[0], int(port)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def check_output(name: str | None) -> None:
    """Tells before a long job whether a file of results, if there is to be one, can be written.

    Raises:
      ModelFileError: see :func:`edgecap.durable.check_writable`.
    """
    from edgecap.durable import check_writable

    if name not in (None, "-") and not _is_special(file := Path(str(name)).resolve()):
        check_writable(file)


def write_output(name: str, content: str | bytes) -> None:
    """Writes a file of results: all of it, or the path is as it was.

    Raises:
      ModelFileError: it cannot be written.
    """
    from edgecap.durable import write_atomically

    data = content.encode() if isinstance(content, str) else content
    # The file itself, not a link to it, is replaced.
    file = Path(name).resolve()
    if _is_special(file):
        file.write_bytes(data)
    else:
        write_atomically(file, data)


def _is_special(file: Path) -> bool:
    """A pipe or a device is written to; it must not be replaced."""
    return file.exists() and not (file.is_file() or file.is_dir())


def printable(text: str) -> str:
    """Without control characters: a file must not steer the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


def one_line(message: str) -> str:
    """A message as one line; names from files and folders in it may hold line breaks."""
    return printable(" ".join(message.split()))


class Progress:
    """One line on standard error that is rewritten; nothing where that is no terminal."""

    def __init__(self) -> None:
        from edgecap import terminal

        self._rich = terminal.is_rich(sys.stderr)

    def __call__(self, text: str) -> None:
        if self._rich:
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()

    def close(self) -> None:
        self("")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns; the first row is the heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def summary_line(result: dict[str, Any]) -> str:
    """The figures of an evaluation's ``to_dict()`` in one line."""
    task = result["task"]
    if task == "regression":
        return (
            f"MSE {result['mse']:.5g}, MAE {result['mae']:.5g}, R² {result['r2']:.3f} over "
            f"{result['frames']} frames of {result['recordings']} recordings"
        )
    if task == "multilabel":
        return (
            f"macro F1 {result['macro_f1']:.3f}, mean average precision "
            f"{result['mean_average_precision']:.3f} over {result['segments']} segments"
        )
    return (
        f"accuracy {result['accuracy'] * 100:.1f} % of {result['segments']} segments, macro F1 "
        f"{result['macro_f1']:.3f}"
    )


def caption_line(scores: dict[str, Any]) -> str:
    """The figures of captions, ``CaptionScores.to_dict()``, in one line."""
    bleus = " / ".join(f"{scores[f'bleu_{n}']:.3f}" for n in (1, 2, 3, 4))
    return (
        f"BLEU-1 to 4 {bleus}, ROUGE-L {scores['rouge_l']:.3f}, CIDEr-D "
        f"{scores['cider_d']:.3f} over {scores['images']} pictures"
    )
