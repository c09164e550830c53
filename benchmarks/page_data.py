"""The committed results as the page reads them, and how its figures are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MISSING = "–"


@dataclass(frozen=True)
class Taken:
    """One result: what was found, by which command, where.

    Attributes:
      name: of the file, without its ending.
      result: what the script found; of ``edgecap bench``, its whole document.
    """

    name: str
    command: str
    result: Any
    environment: dict[str, Any]

    @property
    def machine(self) -> str:
        """Processor and system, in words."""
        told = self.environment
        board = f"{told['board']}, " if told.get("board") else ""
        return f"{board}{told.get('cpu', '?')}, {told.get('cores', '?')} cores, " + (
            f"{told.get('machine', '?')}, {told.get('system', '?')}"
        )

    @property
    def load(self) -> float | None:
        """How many processes wanted the processor when it was written, where that was noted."""
        moment = self.environment.get("after") or {}
        found = self.environment.get("load_1min", moment.get("load"))
        return None if found is None else float(found)

    @property
    def on_a_pi(self) -> bool:
        return "raspberry pi" in str(self.environment.get("board") or "").lower()

    @property
    def origin(self) -> str:
        """The line under a table: how to repeat it, and where it was taken."""
        load = f", load {self.load:g} when it ended" if self.load is not None else ""
        return (
            f"`{self.command}` → [{self.name}.json](../benchmarks/results/{self.name}.json); "
            + (f"{self.machine}{load}.")
        )


class Results:
    """Every JSON file of a folder.

    Raises:
      ValueError: a file is none, or has no command or no environment; says which.
    """

    def __init__(self, folder: Path) -> None:
        self.all: dict[str, Taken] = {}
        for path in sorted(folder.glob("*.json")):
            try:
                plain = json.loads(path.read_text("utf-8"))
                command, environment = plain["command"], plain["environment"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path.name}: expected a result with command and environment, as "
                    f"benchmarks/record.py writes it; got {error!r}"
                ) from error
            found = plain.get("result", plain)
            self.all[path.stem] = Taken(path.stem, command, found, environment)

    def get(self, name: str) -> Taken | None:
        return self.all.get(name)

    def starting(self, start: str) -> list[Taken]:
        return [taken for name, taken in self.all.items() if name.startswith(start)]

    def not_taken(self, name: str, command: str) -> str:
        """What stands in the place of a result that is not there."""
        return f"*Not measured yet: `{command}` writes `benchmarks/results/{name}.json`.*"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> str:
    """Markdown; columns after the first ``left`` ones stand on the right."""
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|" + "".join(" --- |" if n < left else " ---: |" for n in range(len(heads))))
    for row in rows:
        cells = [MISSING if cell is None else str(cell).replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def number(value: float | None, digits: int = 3) -> str:
    """With so many significant digits, thousands set apart."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def percent(share: float | None, digits: int = 1) -> str:
    return MISSING if share is None else f"{share * 100:.{digits}f} %"


def time_us(value_us: float | None) -> str:
    """In µs, ms or s, whichever reads best."""
    if value_us is None:
        return MISSING
    for limit, unit in ((1e3, "µs"), (1e6, "ms")):
        if value_us < limit:
            return f"{number(value_us / (limit / 1e3))} {unit}"
    return f"{number(value_us / 1e6)} s"


def count(value: float | None) -> str:
    """Large numbers, such as multiply-adds."""
    if value is None:
        return MISSING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{number(value / size)} {unit}"
    return number(value)


def between(interval: Sequence[float] | None, digits: int = 3) -> str:
    return MISSING if not interval else f"{interval[0]:.{digits}f}–{interval[1]:.{digits}f}"


def verdict(holds: bool | None) -> str:
    return {True: "holds", False: "**does not hold**", None: "not measured"}[holds]


def digest(data: Any) -> str:
    """Of what a picture shows, so that it can be told whether it is drawn of these results."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
