"""Options of verbs that run for long: what they log, and where to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgecap.logs import DEFAULT_LEVEL, LEVELS, set_up

_F = TypeVar("_F", bound=Callable[..., Any])


def log_options(function: _F) -> _F:
    """``--log-level``, ``-v`` and ``--log-file``; logging is set up before the verb begins."""

    @click.option(
        "--log-level",
        type=click.Choice(LEVELS),
        help=f"What to log on standard error.  [default: {DEFAULT_LEVEL}]",
    )
    @click.option("-v", "--verbose", count=True, help="Log info; twice: everything.")
    @click.option(
        "--log-file",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Log to a file too; begun anew at 5 MB, five older ones are kept.",
    )
    @click.pass_context
    @functools.wraps(function)
    def with_log(
        ctx: click.Context,
        /,
        *args: Any,
        log_level: str | None,
        verbose: int,
        log_file: str | None,
        **options: Any,
    ) -> Any:
        debug = bool((ctx.parent and ctx.parent.params.get("debug")) or verbose > 1)
        level = log_level or ("debug" if debug else "info" if verbose else DEFAULT_LEVEL)
        set_up(level, file=log_file)
        return function(*args, **options)

    return with_log  # type: ignore[return-value]
