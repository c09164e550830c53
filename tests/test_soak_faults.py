"""The account of the soak with faults: it must see a fault that nobody tells of."""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def soak() -> Iterator[Any]:
    pytest.importorskip("cv2", reason="its network camera needs the extra 'camera'")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("soak_faults")
    for name in [n for n in sys.modules if n == "record" or n.split("_")[0] == "soak"]:
        del sys.modules[name]


class Played:
    """A campaign of one kind of fault, whose run says what the test lets it say."""

    def __init__(self, soak: Any, **more: Any) -> None:
        self._soak = soak
        self.world = SimpleNamespace(said=[], sample=lambda active: None)
        self.done: list[str] = []
        self.kind = soak.Kind(
            "camera hangs",
            frozenset({"door"}),
            lambda world: self.done.append("injected"),
            lambda world: self.done.append("lifted"),
            (sys.modules["soak_kinds"].Sign("door", "is lost", "gives frames again"),),
            hold_s=(0.0, 0.0),
            **more,
        )
        self.campaign = soak.Campaign(self.world, {"door": [self.kind]}, seed=1)

    def say(self, text: str, who: str = "door") -> None:
        self.world.said.append(self._soak.Said(time.monotonic(), who, text))

    def turn(self, *, inject: bool = False) -> None:
        self.campaign._turn(inject=inject)

    def row(self) -> dict[str, Any]:
        return dict(self._soak.account(self.campaign.faults)["camera hangs"])


def test_a_fault_that_is_told_and_passes_is_accounted_for(soak: Any) -> None:
    played = Played(soak)
    played.turn(inject=True)
    played.turn()
    assert played.done == ["injected"]
    played.say("door is lost: no frame for 3 s")
    played.turn()
    played.turn()
    assert played.done == ["injected", "lifted"]
    played.say("door gives frames again")
    played.turn()
    row = played.row()
    assert (row["injected"], row["told"], row["recovered"], row["unaccounted"]) == (1, 1, 1, 0)
    assert not played.campaign.active
    found = soak.notices(played.campaign.faults, played.world.said, 0.0)
    assert found == {"counts": {"of a fault": 2}, "unexplained": []}


def test_a_fault_that_nobody_tells_of_is_not(soak: Any) -> None:
    played = Played(soak, told_s=0.0)
    played.turn(inject=True)
    # Of another camera, and so not of this fault.
    played.say("yard is lost: no frame for 3 s", who="yard")
    played.turn()
    played.turn()
    played.turn()
    assert played.done == ["injected", "lifted"]
    row = played.row()
    assert (row["injected"], row["told"], row["unaccounted"]) == (1, 0, 1)
    assert soak.notices(played.campaign.faults, played.world.said, 0.0)["counts"] == {
        "unexplained": 1
    }


def test_a_fault_that_does_not_pass_is_not(soak: Any) -> None:
    played = Played(soak, over_s=0.0)
    played.turn(inject=True)
    played.say("door is lost: no frame for 3 s")
    for _ in range(4):
        played.turn()
        time.sleep(0.01)
    row = played.row()
    assert (row["told"], row["recovered"], row["unaccounted"]) == (1, 0, 1)


def test_what_was_said_before_a_fault_does_not_count(soak: Any) -> None:
    played = Played(soak)
    played.say("door is lost: no frame for 3 s")
    time.sleep(0.01)
    played.turn(inject=True)
    played.turn()
    assert played.done == ["injected"]


def test_a_part_that_has_a_fault_gets_no_second_one(soak: Any) -> None:
    played = Played(soak)
    for _ in range(3):
        played.turn(inject=True)
        played.campaign._next_s = 0.0
    assert played.done == ["injected"]


def test_every_kind_is_made_and_every_sign_is_a_pattern(soak: Any) -> None:
    found = soak.kinds(disk=True, broker=True)
    assert {"door", "files", "webhook", "mqtt", "viewers", "everything"} <= set(found)
    for kind in (kind for part in found.values() for kind in part):
        assert kind.signs or kind.shown, f"{kind.name}: nothing would tell of it"
        for sign in kind.signs:
            re.compile(sign.bad)
            re.compile(sign.good or "")
