"""All committed results as one page: ``docs/benchmarks.md`` and its pictures.

    python benchmarks/page.py [--results FOLDER] [--out docs/benchmarks.md] [--png FOLDER]

Every figure on the page comes out of a JSON file in ``benchmarks/results``; what has not been
measured is said to be missing, with the command that measures it. ``--png`` writes the pictures as
PNG as well, to look at. Needs the extra ``convert``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import page_peers
import page_rest
import page_running
import page_speed
from page_bars import bars_table
from page_data import Results
from page_pictures import Picture

ROOT = Path(__file__).parent.parent
Section = Callable[[Results, dict[str, Picture]], str]

HEAD = """# Benchmarks

What was measured, on which machine, by which command; and what is not known. This page is made by
`python benchmarks/page.py` out of [benchmarks/results](../benchmarks/results): no figure on it is
typed by hand, and a test holds the page against the results. Ratios stand where they can, since
both sides of a ratio were measured in turns in one run; a single time is worth as much as the
machine was quiet. To measure your own device: `edgecap bench MODEL`.
"""

SECTIONS: tuple[tuple[str, Section], ...] = (
    ("What holds", bars_table),
    ("Beside what one would take instead", page_peers.section),
    ("Where the time goes", page_speed.where),
    ("How cost grows", page_speed.growth),
    ("Many streams on one model", page_running.streams),
    ("The gate: compute that follows the scene", page_running.gate),
    ("The live loop", page_running.live),
    ("Which resize", page_running.resizing),
    ("Start, and what a step costs beside the interpreter", page_running.startup),
    ("Instructions per frame", page_rest.instructions),
    ("Is it slower? `edgecap bench --compare`", page_rest.compare),
    ("Long runs", page_running.long_runs),
    ("Accuracy", page_rest.accuracy),
    ("Training and conversion", page_rest.training),
    ("An emulated Raspberry Pi", page_rest.emulated),
    ("What is not known", page_rest.unknown),
    ("Machines", page_rest.machines),
    ("Every result", page_rest.index),
)


def made(results: Results) -> tuple[str, dict[str, Picture]]:
    """The page's text, and its pictures by name."""
    pictures: dict[str, Picture] = {}
    parts = [HEAD]
    for title, section in SECTIONS:
        parts.append(f"## {title}\n\n{section(results, pictures).strip()}\n")
    return "\n".join(parts), pictures


def write(results: Results, out: Path) -> dict[str, Picture]:
    """Writes the page, and its pictures into the folder beside it that is named like it."""
    text, pictures = made(results)
    out.write_text(text, "utf-8")
    folder = out.with_suffix("")
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        if old.stem not in pictures:
            old.unlink()
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.svg")
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--png", type=Path, help="a folder for the pictures as PNG")
    arguments = parser.parse_args()
    try:
        results = Results(arguments.results)
    except ValueError as error:
        parser.error(str(error))
    pictures = write(results, arguments.out)
    if arguments.png:
        arguments.png.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            picture.save(arguments.png / f"{name}.png")
    print(f"{arguments.out}: {len(results.all)} results, {len(pictures)} pictures")


if __name__ == "__main__":
    main()
