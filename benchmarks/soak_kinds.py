"""The kinds of fault of ``soak_faults.py``: how each is made, and by which words it is told."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from soak_world import CAMERAS, LARGER, RATE_HZ, SINKS, SIZE, World

from tests.rtsp_server import RtspServer

_LOST, _BACK, _WORKS = "is lost", "gives frames again", "works again"
_ASK = "GET /live?viewer={} HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LEAVERS, _MUTES, _DAWDLERS, _TOO_MANY = 6, 8, 8, 80
_SLEEP_S = 4.0


@dataclass(frozen=True)
class Sign:
    """What the log must say.

    Attributes:
      who: of which camera or sink.
      bad: the words (a regular expression) by which the fault is told.
      good: those of its end; ``None`` where nothing is said of it.
    """

    who: str
    bad: str
    good: str | None = None


def _nothing(_: World) -> None:
    pass


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
      name: for people.
      organs: what it occupies: no two faults of one organ at a time.
      inject, lift: begin and end it.
      signs: all of which the log must give.
      keep: called again and again in between.
      shown: for what no notice is of: whether the page tells of it.
      over: whether it works again; asked after ``lift``, beside the signs.
      hold_s: it is lifted so long after it was told, at least and at most.
      lifts_s: it is lifted so long after it began, told or not.
      told_s, over_s: later than this does not count.
      touches: whose notices may come of it, beside those of its signs.
      rest_s: so long the organs are left alone afterwards.
    """

    name: str
    organs: frozenset[str]
    inject: Callable[[World], None]
    lift: Callable[[World], None] = _nothing
    signs: tuple[Sign, ...] = ()
    keep: Callable[[World], None] = _nothing
    shown: Callable[[World], bool] | None = None
    over: Callable[[World], bool] | None = None
    hold_s: tuple[float, float] = (0.0, 4.0)
    lifts_s: float | None = None
    told_s: float = 60.0
    over_s: float = 120.0
    touches: frozenset[str] = field(default_factory=frozenset)
    rest_s: float = 2.0


# --- cameras --------------------------------------------------------------------------------------

# What the camera does → how it is told. Each is over when the camera gives frames again.
_LOSSES = {
    "hangs": ("hang", "no frame for"),
    "hangs inside C": ("hang_blocking", "no frame for"),
    "delivers nothing": ("silent", "no frame for"),
    "says that it is lost": ("lost", "the cable is out"),
    "has a bug": ("raises", "ZeroDivisionError"),
    "vanishes": ("dies", "SIGKILL"),
    "vanishes, and hangs when opened": ("hang_open", "SIGKILL"),
    "gives grey frames": ("gray", r"expected shape \(height, width, 3\)"),
    "gives frames of NaN": ("nan", "expected dtype uint8"),
    "gives only corrupt frames": ("corrupt", "could not be decoded"),
    "gives timestamps of NaN": ("nan_clock", "expected a time on time.monotonic"),
}
# A camera that failed again sooner would be opened after ever longer pauses.
_CAMERA_REST_S = 11.0


def _camera(name: str) -> list[Kind]:
    def set_(world: World, **settings: Any) -> None:
        world.controls[name].set(**settings)

    def kind(
        what: str, begin: dict[str, Any], end: dict[str, Any], sign: Sign, **more: Any
    ) -> Kind:
        return Kind(
            f"camera {what}",
            frozenset({name}) | more.pop("organs", frozenset()),
            partial(set_, **begin),
            partial(set_, **end),
            (sign,),
            over=lambda world: world.frames_come((name,)),
            rest_s=_CAMERA_REST_S,
            **more,
        )

    losses = [
        kind(what, {"mode": mode}, {"mode": "ok"}, Sign(name, f"{_LOST}: .*{why}", _BACK))
        for what, (mode, why) in _LOSSES.items()
    ]
    size = "frames are {1} × {0} now"
    return [
        *losses,
        kind(
            "gives some corrupt frames",
            {"mode": "some_corrupt"},
            {"mode": "ok"},
            Sign(name, r"frame\(s\) could not be decoded and were left out"),
        ),
        kind(
            "changes its size",
            {"size": LARGER},
            {"size": SIZE},
            Sign(name, size.format(*LARGER), size.format(*SIZE)),
            organs=frozenset({"new memory"}),
        ),
        kind(
            "is too slow",
            {"rate_hz": RATE_HZ / 6},
            {"rate_hz": RATE_HZ},
            Sign(name, "the model was trained at", "frames a second again"),
        ),
        kind(
            "has its clock set back",
            {"offset_s": -5.0},
            {"offset_s": 0.0},
            Sign(name, "the clock went back by", r"no frame for [\d.]+ s: state reset"),
        ),
        kind(
            "has its clock set forward",
            {"offset_s": 5.0},
            {"offset_s": 0.0},
            Sign(name, r"no frame for [\d.]+ s: state reset", "the clock went back by"),
        ),
    ]


def _network_camera() -> list[Kind]:
    def stall(world: World, stalled: bool) -> None:
        world.rtsp.stalled = stalled

    def come_back(world: World) -> None:
        world.rtsp = RtspServer(world.rtsp.port, rate_hz=RATE_HZ)

    (name,) = set(CAMERAS) - {"door", "yard"}
    common: dict[str, Any] = {
        "signs": (Sign(name, _LOST, _BACK),),
        "over": lambda world: world.frames_come((name,)),
        "rest_s": _CAMERA_REST_S,
    }
    organs = frozenset({name})
    return [
        Kind(
            "network camera stalls",
            organs,
            partial(stall, stalled=True),
            partial(stall, stalled=False),
            **common,
        ),
        Kind(
            "network camera loses its power",
            organs,
            lambda world: world.rtsp.close(),
            come_back,
            **common,
        ),
    ]


# --- where results go -----------------------------------------------------------------------------


def _files(*, disk: bool) -> list[Kind]:
    full = Kind(
        "disk is full",
        frozenset({"disk"}),
        World.fill,
        World.empty,
        (
            Sign("JSON lines", "cannot write .*No space left", _WORKS),
            Sign("video", "cannot write", _WORKS),
        ),
        keep=World.fill,
        rest_s=5.0,
    )
    limited = Kind(
        "no file may grow",
        # Without a camera no recording would end, and none that is lost comes back meanwhile.
        frozenset({"disk", "new memory", CAMERAS[0]}),
        partial(World.limit_files, limited=True),
        partial(World.limit_files, limited=False),
        (
            Sign("JSON lines", "cannot write .*File too large", _WORKS),
            # At the end of a recording, which takes a minute where events follow each other.
            Sign("flight recorder", "is not written", "s written to"),
        ),
        told_s=100.0,
        # Cameras cannot be opened meanwhile: their frames are in memory that counts as a file.
        touches=frozenset({"video", *CAMERAS}),
        rest_s=20.0,
    )
    return [full, limited] if disk else [limited]


def _webhook() -> list[Kind]:
    organs = frozenset({"webhook"})
    accepted: list[int] = []

    def answer(world: World, status: int) -> None:
        world.receiver.answer = lambda number: status

    def accept(world: World) -> None:
        answer(world, 204)
        accepted[:] = [len(world.receiver.requests)]

    def sign(bad: str) -> tuple[Sign, ...]:
        return (Sign("webhook", bad, _WORKS),)

    return [
        Kind(
            "webhook is away",
            organs,
            lambda world: world.receiver.stop(),
            World.start_receiver,
            sign("cannot be reached"),
        ),
        Kind(
            "webhook hangs",
            organs,
            lambda world: world.receiver.gate.clear(),
            lambda world: world.receiver.gate.set(),
            sign("timed out"),
        ),
        Kind(
            "webhook fails",
            organs,
            partial(answer, status=500),
            partial(answer, status=204),
            sign("answered 500"),
        ),
        Kind(
            "webhook refuses",
            organs,
            partial(answer, status=404),
            accept,
            (Sign("webhook", "answered 404"),),
            # Nothing is said where nothing was waiting: the next event has arrived.
            over=lambda world: len(world.receiver.requests) > accepted[0],
        ),
    ]


def _broker() -> list[Kind]:
    organs = frozenset({"mqtt"})
    return [
        Kind(
            "broker is killed",
            organs,
            World.kill_broker,
            World.start_broker,
            (Sign("mqtt", "no connection", _WORKS),),
        ),
        Kind(
            "broker hangs",
            organs,
            partial(World.signal_broker, number=signal.SIGSTOP),
            partial(World.signal_broker, number=signal.SIGCONT),
            (Sign("mqtt", "no connection|does not acknowledge", _WORKS),),
            # Silence is noticed when a sign of life is due and does not come.
            told_s=120.0,
        ),
    ]


# --- viewers --------------------------------------------------------------------------------------


class Viewers:
    """Connections to the page, of one fault at a time; their fate is what the page says of it."""

    def __init__(self) -> None:
        self._peers: list[socket.socket] = []
        self._began_s = 0.0
        self._number = 0

    def come(self, world: World, count: int, *, asks: int) -> None:
        self._began_s = time.monotonic()
        for _ in range(count):
            self._number += 1
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(("127.0.0.1", world.page.port))
            peer.sendall(_ASK.format(f"gone{self._number}").encode() * asks)
            peer.setblocking(False)
            self._peers.append(peer)

    def are_counted(self, world: World) -> bool:
        """Whether the page tells of more viewers than the one that always looks on."""
        return world.page.told_s > self._began_s and world.page.told.get("viewers", 0) > 1

    def are_forgotten(self, world: World) -> bool:
        return world.page.told_s > self._began_s and world.page.told.get("viewers", 0) <= 1

    def vanish(self, _: World) -> None:
        """All at once, by a reset, in the middle of an answer."""
        for peer in self._peers:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
        self._peers.clear()
        self._began_s = time.monotonic()

    def are_cut(self, _: World) -> bool:
        """Whether the server has ended all; those that it has are given up here too."""
        for peer in tuple(self._peers):
            try:
                peer.send(b"G")
            except BlockingIOError:
                pass
            except OSError:
                peer.close()
                self._peers.remove(peer)
        return not self._peers

    def one_is_refused(self, _: World) -> bool:
        for peer in self._peers:
            with contextlib.suppress(OSError):
                if b"too many connections" in peer.recv(2048):
                    return True
        return False

    def is_served(self, world: World) -> bool:
        """Whether the viewer that always looks on has got an answer since they left."""
        return world.page.told_s > self._began_s


def _viewers() -> list[Kind]:
    crowd = Viewers()
    organs = frozenset({"viewers"})
    return [
        Kind(
            "viewers vanish",
            organs,
            partial(crowd.come, count=_LEAVERS, asks=1),
            crowd.vanish,
            shown=crowd.are_counted,
            over=crowd.are_forgotten,
        ),
        Kind(
            "viewers never read",
            organs,
            partial(crowd.come, count=_MUTES, asks=8),
            shown=crowd.are_counted,
            over=crowd.are_cut,
        ),
        Kind(
            "viewers dawdle over a request",
            organs,
            partial(crowd.come, count=_DAWDLERS, asks=0),
            # A byte now and then; the page's answer to it is to cut them.
            shown=crowd.are_cut,
        ),
        Kind(
            "more connections than there is room for",
            organs,
            partial(crowd.come, count=_TOO_MANY, asks=0),
            crowd.vanish,
            shown=crowd.one_is_refused,
            over=crowd.is_served,
            hold_s=(0.0, 1.0),
        ),
    ]


# --- all of it ------------------------------------------------------------------------------------


def _process() -> Kind:
    return Kind(
        "whole process is stopped",
        frozenset({"everything"}),
        lambda world: world.process.send_signal(signal.SIGSTOP),
        lambda world: world.process.send_signal(signal.SIGCONT),
        tuple(Sign(name, f"no frame for|{_LOST}") for name in CAMERAS),
        over=lambda world: world.frames_come(since_s=time.monotonic() - 2.0),
        lifts_s=_SLEEP_S,
        touches=frozenset({*SINKS, *CAMERAS}),
        rest_s=_CAMERA_REST_S,
    )


def kinds(*, disk: bool, broker: bool) -> dict[str, list[Kind]]:
    """By where they strike. ``everything`` is for when nothing else is under way."""
    found = {
        "door": _camera("door"),
        "yard": _camera("yard"),
        "gate": _network_camera(),
        "files": _files(disk=disk),
        "webhook": _webhook(),
        "viewers": _viewers(),
        "everything": [_process()],
    }
    return found | ({"mqtt": _broker()} if broker else {})
