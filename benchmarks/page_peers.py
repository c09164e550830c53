"""The page's section on what one would take instead, and its bars."""

from __future__ import annotations

from typing import Any

from page_data import MISSING, Results, Taken, between, count, number, percent, table, time_us
from page_pictures import Picture, factors

# A side that gives fewer of edgecap's answers does not compute the same file rightly.
_SAME = 0.8
_OURS = "edgecap"
#: What is promised where no result tells it.
PROMISED = {
    "MoViNet-A0 stream int8": 8.0,
    "MoViNet-A0 stream dynamic range": 4.0,
    "the same network in Keras over a sliding window": 10.0,
}


def taken_beside(results: Results) -> list[Taken]:
    """Results of ``benchmarks/peers.py``; there may be one for each model."""
    return [taken for taken in results.starting("peers") if "sides" in taken.result]


def section(results: Results, pictures: dict[str, Picture]) -> str:
    """A plot and a table for each model."""
    found = taken_beside(results)
    if not found:
        return results.not_taken("peers", "python benchmarks/peers.py")
    text = [
        "The whole loop from a decoded frame to a label, each side in a process of its own; a "
        "block of edgecap's before and after each block of another's. A ratio is between "
        "neighbours, its interval holds the middle 80 % of the blocks. Accuracies of different "
        "tasks do not compare.",
        "",
    ]
    for taken in found:
        pictures[taken.name] = _picture(taken.result["sides"])
        text += _one(taken, titled=len(found) > 1)
    return "\n".join(text)


def _picture(sides: dict[str, Any]) -> Picture:
    rows = [
        {
            "name": side["title"],
            "value": side.get("times_edgecap", 1.0),
            "low": side.get("times_edgecap_interval", (None, None))[0],
            "high": side.get("times_edgecap_interval", (None, None))[1],
            "told": f"{_times(side)}   {time_us(side['step_us'])}",
            "own": key == _OURS,
        }
        for key, side in sides.items()
    ]
    rows.sort(key=lambda row: row["value"])
    return factors(rows, label="time of a frame, times edgecap's")


def _times(side: dict[str, Any]) -> str:
    return f"× {number(side['times_edgecap'])}" if "times_edgecap" in side else "1"


def _one(taken: Taken, *, titled: bool) -> list[str]:
    found = taken.result
    rows = [
        [
            f"**{side['title']}**" if key == _OURS else side["title"],
            time_us(side["step_us"]),
            _times(side),
            between(side.get("times_edgecap_interval"), 2),
            side["threads"],
            f"{side['cores']:.2f}",
            f"{side['bytes'] / 1e3:,.0f} kB",
            count(side["macs"]),
            _accuracy(side),
            side["task"],
        ]
        for key, side in found["sides"].items()
    ]
    heads = ["side", "a frame", "beside edgecap", "80 %", "threads", "cores", "file"]
    heads += ["multiply-adds", "accuracy", "task"]
    text = [f"### {found['model']}", ""] if titled else []
    text += [
        f"![Beside what one would take instead](benchmarks/{taken.name}.svg)",
        "",
        f"Model {found['model']}; {found['clip']}; {found['rounds']} rounds.",
        "",
        table(heads, rows),
        "",
    ]
    sources = {side["accuracy_source"] for side in found["sides"].values()} - {""}
    if sources:
        text += [f"Accuracies: {'; '.join(sorted(sources))}.", ""]
    same = {
        side["title"]: side["answers_as_edgecap"]
        for key, side in found["sides"].items()
        if key != _OURS and side.get("answers_as_edgecap") is not None
    }
    if same:
        told = ", ".join(f"{title} {percent(share, 0)}" for title, share in same.items())
        text += [f"The same network gives the same answer as edgecap's file: {told}.", ""]
    if found["left_out"]:
        text += [*(f"* Left out: {name}: {why}" for name, why in found["left_out"].items()), ""]
    return [*text, taken.origin, ""]


def _accuracy(side: dict[str, Any]) -> str:
    same = side.get("answers_as_edgecap")
    if same is not None and same < _SAME:
        # The accuracy is that of the file, computed rightly.
        return "wrong answers"
    return MISSING if side["accuracy"] is None else percent(side["accuracy"])
