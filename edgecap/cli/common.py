"""Options and output that several verbs share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


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


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


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
