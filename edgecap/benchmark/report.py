"""What ``edgecap bench`` finds: plain data that is written as JSON and read again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from edgecap.errors import SpecError
from edgecap.spec import from_plain

#: Version of the document; a reader refuses others.
SCHEMA = 1


@dataclass(frozen=True)
class Times:
    """How long one thing takes, over many times; microseconds.

    Attributes:
      count: how many times were taken.
      min_us, p50_us, p90_us, p95_us, p99_us, max_us, mean_us: a percentile is ``None`` where fewer
        than ten times lie beyond it, so p99 needs a thousand.
      jitter_us: mean absolute difference of one time and the next.
    """

    count: int
    min_us: float
    mean_us: float
    max_us: float
    jitter_us: float
    p50_us: float | None = None
    p90_us: float | None = None
    p95_us: float | None = None
    p99_us: float | None = None


@dataclass(frozen=True)
class Model:
    """What was measured.

    Attributes:
      file: its name, without the folder. digest: SHA-256 of the file, hexadecimal.
      macs: multiplications and additions of a step, in pairs; ``None`` where the graph has an
        operator whose cost is not known.
      uncounted: names of such operators.
    """

    file: str
    name: str
    digest: str
    size_bytes: int
    recipe: str
    task: str
    input: str
    rate_hz: float
    macs: int | None = None
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runtime:
    """What computed it."""

    backend: str
    version: str
    kernels: str
    threads: int


@dataclass(frozen=True)
class ColdStart:
    """From the start of Python to the first answer, each time in a new process; medians, ms.

    Attributes:
      runs: how many processes.
      python_ms: an interpreter that does nothing, start to end.
      import_ms, load_ms, first_ms: importing the runtime, loading and checking the file and
        building the interpreter, the first answer.
      total_ms: the whole process, start to end.
    """

    runs: int
    python_ms: float
    import_ms: float
    load_ms: float
    first_ms: float
    total_ms: float


@dataclass(frozen=True)
class Block:
    """A short stretch of the steady state: the model's steps, and beside them the reference's.

    Attributes:
      at_s: when it began, since the measurement's begin.
      steps: how many of the model.
      step_us: the median time of a step, whole.
      reference_us: the median time of the reference graph right after it.
      control_us: the same of the control, which two runs are compared by; ``None`` where there was
        none.
    """

    at_s: float
    steps: int
    step_us: float
    reference_us: float
    control_us: float | None = None


@dataclass(frozen=True)
class ClosedLoop:
    """One frame after the other, as fast as it goes.

    Attributes:
      frame: size of the frames that were given, ``640x480``.
      whole: a step as a program takes it: frame in, answer out. Not slowed by taking stages.
      stages: ``preprocess``, ``set``, ``invoke``, ``get``, ``post``: the same step, taken apart.
      fps: steps a second, while nothing else is done.
      blocks: the run in short stretches, for comparison with another run.
      control: digest of what the blocks' control runs; ``None`` where there is none.
    """

    frame: str
    seconds: float
    fps: float
    whole: Times
    stages: dict[str, Times]
    blocks: tuple[Block, ...]
    control: str | None = None


@dataclass(frozen=True)
class Steady:
    """The end of the closed loop against its beginning.

    Attributes:
      window_s: how long each of the two is: 30, or a third of a shorter run.
      first_us, last_us: the median step in each.
      ratio: last over first.
    """

    window_s: float
    first_us: float
    last_us: float
    ratio: float


@dataclass(frozen=True)
class OpenLoop:
    """A camera that does not wait; counted after half a second of warming up.

    Attributes:
      source: which camera; ``built-in`` for pictures that are made in a process of their own.
      camera_hz: what it gave. model_hz: the rate that the model takes frames at.
      given: frames that the camera took. answered: those that were. dropped: those that were not
        seen, as newer ones were there. The others were left out, as the model's rate is lower.
      deadline_ms: one period of the model's rate. missed: answers that came later than that after
        their frame was taken.
      capture: from the camera's process to the loop. age: from the frame's timestamp to the answer.
      interval: from one answer to the next.
    """

    source: str
    seconds: float
    camera_hz: float
    model_hz: float
    given: int
    answered: int
    dropped: int
    deadline_ms: float
    missed: int
    capture: Times
    age: Times
    interval: Times


@dataclass(frozen=True)
class ThreadRow:
    """The closed loop with so many threads, measured in turns with one thread.

    Attributes:
      speed: how many times as fast as with one, the median over turns.
    """

    threads: int
    p50_us: float
    speed: float


@dataclass(frozen=True)
class Memory:
    """Of a process that does nothing but stream frames of the model's size, MB (10⁶ bytes).

    ``None`` where the system does not tell.

    Attributes:
      before_mb: with the runtime imported and no model. loaded_mb: with the model.
      steady_mb: after some seconds of steps. peak_mb: the most at any moment.
    """

    before_mb: float | None
    loaded_mb: float | None
    steady_mb: float | None
    peak_mb: float | None


@dataclass(frozen=True)
class Compute:
    """How much of the machine is used.

    Attributes:
      macs: of a step; ``None`` where not known.
      reached: 10⁹ multiply-adds a second, of the graph alone.
      peak: the same of the reference graph, int8 convolutions of a comfortable shape, in the same
        blocks: what this runtime reaches here at its best.
      share: reached / peak.
    """

    macs: int | None
    reached: float | None
    peak: float
    share: float | None


@dataclass(frozen=True)
class Moment:
    """The machine at one instant; ``None`` and empty where the system does not tell.

    Attributes:
      frequencies_mhz: of each core. governors: the different ones.
      temperature_c: the hottest zone. throttled: flags by name, of a Raspberry Pi's firmware.
      load: average over the last minute. busy: share of the processor time that others took
        while the benchmark ran (only after it). steal: share that a hypervisor took.
    """

    frequencies_mhz: tuple[float, ...] = ()
    governors: tuple[str, ...] = ()
    temperature_c: float | None = None
    throttled: tuple[str, ...] | None = None
    load: float | None = None
    busy: float | None = None
    steal: float | None = None


@dataclass(frozen=True)
class Environment:
    """Where it was measured.

    Attributes:
      disturbed: what speaks against the figures, in sentences. notes: what else to know of them.
    """

    cpu: str
    features: tuple[str, ...]
    cores: int
    machine: str
    system: str
    board: str | None
    memory_mb: float | None
    python: str
    versions: dict[str, str]
    before: Moment
    after: Moment
    disturbed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bench:
    """Everything; what was not asked for is ``None`` or empty.

    Attributes:
      command: how to repeat it. taken: date and time, UTC, ISO 8601.
    """

    command: str
    taken: str
    model: Model
    runtime: Runtime
    environment: Environment
    closed: ClosedLoop
    steady: Steady
    memory: Memory
    compute: Compute
    cold: ColdStart | None = None
    open: OpenLoop | None = None
    threads: tuple[ThreadRow, ...] = ()
    notes: tuple[str, ...] = field(default=())
    schema: int = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return dataclasses.asdict(self)


def from_dict(plain: dict[str, Any]) -> Bench:
    """The document of :meth:`Bench.to_dict`, as JSON gives it back.

    Raises:
      SpecError: it is none, or of another version; says where.
    """
    found = plain.get("schema") if isinstance(plain, dict) else None
    if found != SCHEMA:
        raise SpecError(f"expected a benchmark's document, schema {SCHEMA}; got schema {found!r}")
    return from_plain(Bench, plain, "benchmark")
