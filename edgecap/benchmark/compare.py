"""Two documents of ``edgecap bench`` → is the second slower, and how sure is that?

Two runs of the same program never take the same time. What differs, and what is done about it:

- The machine's speed: other processes, other guests on the same core, clock frequency. Each block
  of steps is divided by the control that ran right after it (``edgecap.benchmark.control``). Where
  the machines or runtimes are different ones, the control would hide what is asked for: then times
  are compared as they are.
- What disturbs the steps of a block and not its control, such as a cache that another process has
  just filled: it only ever makes a step longer, so a run's level is the lower quartile of its
  blocks. On two cores that ten processes fought over, levels of the same program scattered by
  1.2 % with the lower quartile, by 2.3 % with the median, and by 2.4 % with the lowest tenth, where
  blocks lie whose control was disturbed and whose steps were not.
- The luck of a process: where its memory lies. No run can see its own, so a fixed allowance stands
  for it (``_PROCESS``), as measured by ``benchmarks/compare_power.py``.
- What is left within a run: a bootstrap of its blocks (``edgecap.benchmark.level``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgecap.benchmark.level import Level, level
from edgecap.benchmark.report import Bench, Block
from edgecap.errors import DataError

Verdict = Literal["no difference", "slower", "faster", "cannot tell"]

#: The least difference that is called one. Halfway to the 10 % that must not be missed.
LEAST = 0.05
#: "no difference" is said only where one so large is ruled out.
RULED_OUT = 0.10
# Of a 95 % interval, in standard errors.
_SIGMAS = 1.96
# Of a run's blocks: see above.
_QUANTILE = 0.25
# Standard deviation from one process to the next of the same program, of the logarithm: with the
# control taken out, and of times as they are (clock and neighbours included).
_PROCESS, _PROCESS_AS_IS = 0.010, 0.025
# A control that ran longer in one of the runs tells what the mood did to a step, but for a share of
# it (logarithms): where a neighbour made steps 1.8 times as long, 0.03 to 0.05 was left.
_MISMATCH = 0.05
# With fewer blocks there is no telling how they scatter.
_LEAST_BLOCKS = 8


@dataclass(frozen=True)
class Comparison:
    """The second of two documents, B, against the first, A.

    Attributes:
      verdict: of B against A. ``no difference`` means: of 5 % or more.
      ratio: time of a step, B over A; the machine's mood taken out where that can be.
      interval: that the ratio lies in, 95 times of 100.
      normalised: whether the machine's mood was taken out.
      a_us, b_us: the median step of each, as it was.
      machine: how many times as long the control took in B; ``None`` where one has none.
      reasons: why the mood was left in, or why there is no telling.
      differences: what else is different about the two, each with both values.
      disturbed: what disturbed the runs, as they say themselves.
    """

    verdict: Verdict
    ratio: float
    interval: tuple[float, float]
    normalised: bool
    a_us: float
    b_us: float
    machine: float | None
    reasons: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    disturbed: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """As text, the verdict first."""
        low, high = self.interval
        told = [
            f"B against A: {_SAID[self.verdict]}",
            f"  a step of B takes {self.ratio:.3f} times as long "
            f"(95 % interval {low:.3f} to {high:.3f})",
            f"  median step: A {self.a_us:.1f} µs, B {self.b_us:.1f} µs",
        ]
        if self.machine is not None:
            taken = "taken out" if self.normalised else "not taken out"
            told.append(
                f"  the machine itself: known work took {self.machine:.3f} times as long in B; "
                f"{taken}"
            )
        told += [f"  {reason}" for reason in self.reasons]
        told += [f"  disturbed: {what}" for what in self.disturbed]
        told += [f"  differs: {what}" for what in self.differences]
        return told

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return dataclasses.asdict(self) | {"interval": list(self.interval)}


_SAID = {
    "no difference": f"no difference of {100 * LEAST:.0f} % or more",
    "slower": "slower",
    "faster": "faster",
    "cannot tell": "cannot tell: run both again, longer or with less else going on",
}


def compare(a: Bench, b: Bench) -> Comparison:
    """Is a step of B slower than one of A?

    Other models, versions or machines may be compared; what differs is said.

    Raises:
      DataError: one has no blocks of steps.
    """
    for name, document in (("A", a), ("B", b)):
        if not document.closed.blocks:
            raise DataError(
                f"{name} ({document.model.file}): expected blocks of steps in closed.blocks; got "
                "none. Measure it again with edgecap bench"
            )
    reasons = list(_left_in(a, b))
    normalised = not reasons
    machine = _machine(a, b)
    one, other = (_level(document.closed.blocks, normalised) for document in (a, b))
    ratio, interval = _ratio(one, other, machine if normalised else None)
    verdict = _verdict(ratio, interval)
    fewest = min(len(document.closed.blocks) for document in (a, b))
    if fewest < _LEAST_BLOCKS:
        verdict = "cannot tell"
        reasons.append(f"{fewest} blocks of steps in one run; expected {_LEAST_BLOCKS} or more")
    return Comparison(
        verdict=verdict,
        ratio=round(ratio, 4),
        interval=(round(interval[0], 4), round(interval[1], 4)),
        normalised=normalised,
        a_us=_median_us(a),
        b_us=_median_us(b),
        machine=None if machine is None else round(machine, 4),
        reasons=tuple(reasons),
        differences=tuple(_differences(a, b)),
        disturbed=tuple(
            f"{name}: {what}"
            for name, document in (("A", a), ("B", b))
            for what in document.environment.disturbed
        ),
    )


def _level(blocks: tuple[Block, ...], normalised: bool) -> Level:
    known = [block.control_us or math.nan if normalised else 1.0 for block in blocks]
    times_us = [block.step_us for block in blocks]
    return level(np.divide(times_us, known), _QUANTILE)


def _ratio(a: Level, b: Level, machine: float | None) -> tuple[float, tuple[float, float]]:
    """B over A and its interval. ``machine``: its ratio where it was taken out."""
    process = _PROCESS_AS_IS if machine is None else _PROCESS
    width = _SIGMAS * math.sqrt(a.error**2 + b.error**2 + 2 * process**2)
    if machine is not None:
        width += _MISMATCH * abs(math.log(machine))
    log = b.log - a.log
    return math.exp(log), (math.exp(log - width), math.exp(log + width))


def _verdict(ratio: float, interval: tuple[float, float]) -> Verdict:
    low, high = interval
    if ratio >= 1 + LEAST and low > 1:
        return "slower"
    if ratio <= 1 / (1 + LEAST) and high < 1:
        return "faster"
    small = 1 / (1 + LEAST) < ratio < 1 + LEAST
    if small and low > 1 / (1 + RULED_OUT) and high < 1 + RULED_OUT:
        return "no difference"
    return "cannot tell"


def _machine(a: Bench, b: Bench) -> float | None:
    """The control's time in B over that in A, if it is the same control."""
    if not (_controlled(a) and _controlled(b)) or a.closed.control != b.closed.control:
        return None
    first, second = (
        float(np.median([block.control_us or math.nan for block in document.closed.blocks]))
        for document in (a, b)
    )
    return second / first


def _controlled(document: Bench) -> bool:
    return all(block.control_us for block in document.closed.blocks)


def _left_in(a: Bench, b: Bench) -> Iterator[str]:
    """Why the machine's mood cannot be taken out, if so."""
    same = "times are compared as they are"
    if not (_controlled(a) and _controlled(b)):
        yield f"a run without control; {same}"
    elif a.closed.control != b.closed.control:
        yield f"the runs have different controls; {same}"
    one, other = a.environment, b.environment
    if (one.cpu, one.machine, one.board) != (other.cpu, other.machine, other.board):
        yield f"different machines; {same}"
    if a.runtime != b.runtime:
        yield f"different runtimes; {same}"


def _differences(a: Bench, b: Bench) -> Iterator[str]:
    one, other = a.environment, b.environment
    versions = one.versions, other.versions
    found = {
        "model": (_model(a), _model(b)),
        "frame": (a.closed.frame, b.closed.frame),
        "threads": (a.runtime.threads, b.runtime.threads),
        "kernels": (a.runtime.kernels, b.runtime.kernels),
        "backend": (_backend(a), _backend(b)),
        "cpu": (one.cpu, other.cpu),
        "cores": (one.cores, other.cores),
        "machine": (one.machine, other.machine),
        "board": (one.board, other.board),
        "system": (one.system, other.system),
        "governor": (_listed(one.before.governors), _listed(other.before.governors)),
        "python": (one.python, other.python),
        **{
            name: (versions[0].get(name), versions[1].get(name))
            for name in sorted({*versions[0], *versions[1]})
        },
    }
    for name, (first, second) in found.items():
        if first != second:
            yield f"{name}: A {_none(first)}, B {_none(second)}"
    for name, lacking in (
        ("A", set(other.features) - set(one.features)),
        ("B", set(one.features) - set(other.features)),
    ):
        if lacking:
            yield f"features: {name} lacks {', '.join(sorted(lacking))}"


def _model(document: Bench) -> str:
    return f"{document.model.file} ({document.model.digest[:12]})"


def _backend(document: Bench) -> str:
    return f"{document.runtime.backend} {document.runtime.version}"


def _listed(names: tuple[str, ...]) -> str | None:
    return ", ".join(names) or None


def _none(value: object) -> object:
    return "not known" if value is None else value


def _median_us(document: Bench) -> float:
    whole = document.closed.whole
    found = whole.p50_us if whole.p50_us is not None else whole.mean_us
    return round(found, 2)
