"""From a template and plain data to one HTML page that needs nothing else."""

from __future__ import annotations

import functools
import itertools
import re
from datetime import datetime, timezone
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgecap_convert.report.drawing import OWN

# Control characters, halves of surrogate pairs, and marks that turn the direction of the text
# round: file names may hold them, a page must not.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def render(template: str, **context: Any) -> str:
    """The page of a template; every text is escaped unless it is ``Markup``."""
    environment = _environment()
    style = environment.get_template("style.css").render()
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    page = environment.get_template(template).render(**context, style=Markup(style), written=now)
    # In every other text "<" is escaped, so this finds figures only.
    numbers = itertools.count(1)
    return re.sub(
        r'<svg class="plot".*?</svg>',
        lambda figure: figure[0].replace(OWN, f"f{next(numbers)}-"),
        page,
        flags=re.DOTALL,
    )


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("edgecap_convert.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_tidy,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _tidy(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNFIT.sub("�", value)
    return value
