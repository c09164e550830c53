"""How good the search is on recordings that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgecap.tuning.counts import Counts, Point, total
from edgecap.tuning.search import Search
from edgecap.tuning.tracks import Track


@dataclass(frozen=True)
class HeldOut:
    """Chosen on one half of the recordings and counted on the other, both ways.

    Attributes:
      point: what came of it on the halves not chosen on; its setting is that of the first.
      unreached: on how many of the two halves no setting reached the target; these are left out.
    """

    point: Point
    unreached: int

    def to_dict(self) -> dict[str, Any]:
        figures = self.point.to_dict()
        del figures["decision"]
        return figures | {"halves_without_a_setting": self.unreached}


#: Recordings' indices of data and of background → the setting that is chosen on them.
Choice = Callable[[Sequence[int], Sequence[int]], Point | None]


def held_out(search: Search, choice: Choice) -> HeldOut | str:
    """The check of a way to choose, or why there is none.

    Recordings of one group stay on one side, and every label is on both sides where it can be.
    """
    data, background = halves(search.data.tracks), halves(search.background.tracks)
    for name, parts in (("--data", data), ("--background", background)):
        if not all(parts):
            return (
                f"no held-out check: {name} is a single recording, or a single group of them; "
                "give at least two"
            )
    if any(not any(search.data.tracks[i].segments for i in half) for half in data):
        return "no held-out check: too few recordings of what is to be recognised; give more"
    on_data: list[Counts] = []
    on_background: list[Counts] = []
    decision = None
    for fit, other in ((0, 1), (1, 0)):
        chosen = choice(data[fit], background[fit])
        if chosen is not None:
            decision = decision or chosen.decision
            on_data.append(search.data.counts(chosen.decision, data[other]))
            on_background.append(search.background.counts(chosen.decision, background[other]))
    if decision is None:
        return "no held-out check: on half of the recordings no setting reaches the target"
    return HeldOut(Point(decision, total(on_data), total(on_background)), 2 - len(on_data))


def halves(tracks: Sequence[Track]) -> tuple[list[int], list[int]]:
    """Indices of the tracks of two halves; groups are dealt in turn, ordered by their labels."""
    groups: dict[str, list[int]] = {}
    for index, track in enumerate(tracks):
        groups.setdefault(track.group, []).append(index)

    def labels(indices: list[int]) -> list[str]:
        return sorted({s.label for index in indices for s in tracks[index].segments})

    ordered = sorted(groups.items(), key=lambda item: (labels(item[1]), item[0]))
    one = [index for _, indices in ordered[::2] for index in indices]
    other = [index for _, indices in ordered[1::2] for index in indices]
    return one, other
