"""What a run has to tell beside its answers: a camera was lost, a state was reset."""

from __future__ import annotations

from dataclasses import dataclass

#: Kind → what has happened.
KINDS = {
    "lost": "a camera gives no frames any more; it is being opened again",
    "back": "it gives frames again",
    "gap": "frames were missing for longer than the limit: the state was reset",
    "slow": "a camera gives fewer frames a second than the model was trained at",
    "steady": "it keeps the model's rate again",
    "clock": "timestamps went backwards or jumped",
    "corrupt": "frames could not be decoded and were left out",
    "resized": "the camera's frames have another size",
    "truncated": "a recording ends before the end that it states",
    "sink": "a sink failed, or was too slow and has lost results",
    "recorded": "the flight recorder has written a file",
}


@dataclass(frozen=True)
class Notice:
    """Something that a person should know.

    Attributes:
      kind: one of ``KINDS``.
      told: one line: what happened, and what is done about it. Holds no secrets of a URL.
      timestamp_s: when, on the clock of the source's frames.
      camera: of which camera; empty where it concerns none or all.
    """

    kind: str
    told: str
    timestamp_s: float
    camera: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"notice: expected a kind of {', '.join(KINDS)}; got {self.kind!r}")
