"""What is taken out of a stream's ring to be written, and the tape made of it."""

from __future__ import annotations

import dataclasses
import datetime
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecap.flight.memory import Array, pack_snapshot
from edgecap.flight.ring import Taken
from edgecap.flight.tape import Happened, Header, Key, Tape, Told
from edgecap.flight.versions import versions
from edgecap.streaming import Snapshot, Stream


@dataclass(frozen=True)
class Cut:
    """A part of a ring; nothing in it is ever changed, so any thread may read it.

    Attributes:
      stream: whose; only its settings are read.
      camera: name of its source.
      fresh: a snapshot of such a stream in the reset state.
      reason: why.
      records: the steps, from a state on.
      after: the stream after the last step, if it is known.
      told: (number of the newest step then, what was told).
    """

    stream: Stream[Any]
    camera: str
    fresh: Snapshot
    reason: str
    records: tuple[Taken, ...]
    after: Snapshot | None
    told: tuple[tuple[int, Told], ...]

    def tape(self) -> Tape:
        """As it will be written.

        Raises:
          FlightError: a state holds what no tape can.
        """
        records, model = self.records, self.stream.model
        first, count = records[0].number, len(records)
        arrays: list[Array] = []
        keys = [
            Key(taken.number - first, taken.jump, pack_snapshot(taken.before, self.fresh, arrays))
            for taken in records
            if taken.before is not None
        ]
        if self.after is not None:
            keys.append(Key(count, False, pack_snapshot(self.after, self.fresh, arrays)))
        now = datetime.datetime.now(datetime.timezone.utc)
        header = Header(
            reason=self.reason,
            camera=_without_secrets(self.camera),
            written_at=now.isoformat(timespec="milliseconds"),
            model=model.digest,
            name=model.spec.name,
            task=model.spec.task,
            rate_hz=model.spec.rate_hz,
            labels=model.labels,
            decision=self.stream.decision,
            gate=self.stream.gate,
            backend=model.backend,
            versions=versions(),
            keys=tuple(keys),
            events=tuple(
                Happened(taken.number - first, e.label, e.kind, e.timestamp_s, e.score)
                for taken in records
                for e in taken.events
            ),
            told=tuple(
                dataclasses.replace(told, frame=number - first)
                for number, told in self.told
                if first <= number < first + count
            ),
        )
        return Tape(
            header,
            [taken.image for taken in records],
            np.array([taken.timestamp_s for taken in records], np.float64),
            [taken.outputs for taken in records],
            [taken.values for taken in records],
            arrays,
        )


def _without_secrets(camera: str) -> str:
    """A URL's name and password are nobody's business, nor what follows its path."""
    if "://" not in camera:
        return camera
    return re.sub(r"//[^/@\s]*@", "//***@", camera).partition("?")[0]
