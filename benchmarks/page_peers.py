"""The page's section on what one would take instead; and its figures, for the bars."""

from __future__ import annotations

from page_data import Results
from page_pictures import Picture


def section(results: Results, pictures: dict[str, Picture]) -> str:
    return results.not_taken("peers", "python benchmarks/peers.py")


def factor(results: Results, words: tuple[str, ...]) -> float | None:
    return None
