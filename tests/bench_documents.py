"""Documents of benchmarks that were not taken: plausible figures, made from a seed."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgecap.benchmark.report import (
    Bench,
    Block,
    ClosedLoop,
    ColdStart,
    Compute,
    Environment,
    Memory,
    Model,
    Moment,
    OpenLoop,
    Runtime,
    Steady,
    ThreadRow,
    Times,
)
from edgecap.benchmark.times import times

HOSTILE = "<script>alert(1)</script>\"'&</style>\x1b[31m\n\u202eevil\udc80"
WIDE = "手を振る" * 12 + " 👋🏽"


def scattered(rng: np.random.Generator, typical_us: float, count: int) -> Times:
    """Times around a value, with the long tail that a machine with other work gives."""
    values = typical_us * (0.97 + rng.gamma(2.0, 0.02, count))
    late = rng.random(count) < 0.01
    return times(values * np.where(late, rng.uniform(1.2, 3.5, count), 1.0))


def bench(
    *,
    step_us: float = 950.0,
    seconds: float = 60.0,
    samples: int = 50_000,
    throttles: bool = False,
    control: bool = False,
) -> Bench:
    """A whole document: blocks of 50 ms, everything given."""
    rng = np.random.default_rng(7)
    block_s = max(0.05, 6 * step_us / 1e6)
    at_s = np.arange(0.0, seconds, block_s)
    mood = 1 + 0.02 * np.sin(at_s / 9) + rng.normal(0, 0.008, len(at_s))
    mood[rng.random(len(at_s)) < 0.004] *= 1.9
    if throttles:
        mood[at_s > seconds * 0.55] *= 1.42
    step = step_us * mood * (1 + rng.normal(0, 0.006, len(at_s)))
    reference = 45.0 * mood * (1 + rng.normal(0, 0.01, len(at_s)))
    blocks = tuple(
        Block(
            round(float(t), 3),
            max(5, round(0.04 / step_us * 1e6)),
            float(s),
            float(r),
            float(c) if control else None,
        )
        for t, s, r, c in zip(at_s, step, reference, 2.2 * reference, strict=True)
    )
    few = max(3, samples // 5)
    parts = {"preprocess": 0.06, "set": 0.0008, "invoke": 0.9, "get": 0.0006, "post": 0.025}
    window_s = min(30.0, seconds / 3)
    first = float(np.median(step[at_s < window_s]))
    last = float(np.median(step[at_s >= seconds - window_s]))
    macs = 31_203_456
    reached = macs / (0.9 * step_us) / 1e3
    flags = ("throttled", "soft temperature limit") if throttles else ()
    before = Moment((1500.0,) * 4, ("ondemand",), 48.3, (), 0.21)
    after = Moment(
        (1000.0 if throttles else 2400.0,) * 4, ("ondemand",), 81.7, flags, 1.12, 0.013, 0.0
    )
    reasons = (
        "the firmware throttled the processor: soft temperature limit (81.7 °C); cool it better",
        "others took 13 % of the processor time while it ran; stop them and repeat",
    )
    camera = round(seconds * 30)
    wanted = round(seconds * 12)
    return Bench(
        command="edgecap bench gestures.tflite --seconds 60 --threads-up-to 4 --html bench.html",
        taken="2026-03-01T09:31:07Z",
        model=Model(
            "gestures.tflite",
            "gestures",
            "9f2c4e1b7a" * 6 + "0123",
            561_152,
            "int8-qat",
            "classification",
            "160x160",
            12.0,
            macs,
        ),
        runtime=Runtime("ai-edge-litert", "2.3.0", "xnnpack", 1),
        environment=Environment(
            "Cortex-A76 (made up for a test)",
            ("neon", "dotprod", "fp16"),
            4,
            "aarch64",
            "Linux 6.6.31 (Debian 12)",
            "Raspberry Pi that does not exist",
            8_331.0,
            "3.11.2",
            {"edgecap": "0.6.0", "numpy": "2.4.6", "ai-edge-litert": "2.3.0"},
            before,
            after,
            reasons if throttles else (),
            ("the governor is ondemand: the clock rises only under load",),
        ),
        closed=ClosedLoop(
            "640x480",
            seconds,
            1e6 / step_us * 0.985,
            scattered(rng, step_us, samples),
            {name: scattered(rng, step_us * part, few) for name, part in parts.items()},
            blocks,
        ),
        steady=Steady(window_s, first, last, last / first),
        memory=Memory(41.2, 47.9, 48.6, 52.3),
        compute=Compute(macs, reached, 371.0, reached / 371.0),
        cold=ColdStart(9, 18.2, 96.4, 21.7, 3.9, 146.8),
        open=OpenLoop(
            "built-in",
            seconds,
            30.0,
            12.0,
            camera,
            wanted - 9,
            9,
            1000 / 12,
            2,
            scattered(rng, 2300.0, camera),
            scattered(rng, 4100.0 + step_us, max(3, wanted)),
            scattered(rng, 83_333.0, max(3, wanted)),
        ),
        threads=tuple(
            ThreadRow(n, step_us / speed, speed)
            for n, speed in ((1, 1.0), (2, 1.71), (3, 2.2), (4, 2.43))
        ),
        notes=("open loop: the camera was slow for 2 s",),
    )


def bare() -> Bench:
    """Everything that may be missing is; few samples."""
    full = bench(samples=12, seconds=0.4)
    nothing = Moment()
    return dataclasses.replace(
        full,
        model=dataclasses.replace(full.model, macs=None, uncounted=("CUSTOM_WAVELET", "RFFT2D")),
        environment=dataclasses.replace(
            full.environment,
            board=None,
            memory_mb=None,
            features=(),
            versions={},
            before=nothing,
            after=nothing,
            notes=(),
        ),
        closed=dataclasses.replace(full.closed, stages={}, blocks=full.closed.blocks[:1]),
        memory=Memory(None, None, None, None),
        compute=Compute(None, None, 371.0, None),
        cold=None,
        open=None,
        threads=(),
        notes=(),
    )


def hostile() -> Bench:
    """A document of somebody else, with markup and control sequences in every text."""
    full = bench(throttles=True, samples=2000)
    environment = dataclasses.replace(
        full.environment,
        cpu=HOSTILE,
        board=WIDE + HOSTILE,
        system=HOSTILE,
        python=HOSTILE,
        machine=HOSTILE,
        features=(HOSTILE, "x" * 400),
        versions={HOSTILE: HOSTILE},
        disturbed=(HOSTILE, WIDE),
        after=dataclasses.replace(full.environment.after, governors=(HOSTILE,), throttled=(WIDE,)),
    )
    assert full.open is not None
    return dataclasses.replace(
        full,
        command=HOSTILE + "a" * 300,
        taken=HOSTILE,
        model=dataclasses.replace(
            full.model,
            file=HOSTILE,
            name=WIDE + HOSTILE,
            digest=HOSTILE,
            recipe=HOSTILE,
            task=HOSTILE,
            input=HOSTILE,
            macs=None,
            uncounted=(HOSTILE,),
        ),
        runtime=dataclasses.replace(
            full.runtime, backend=HOSTILE, version=HOSTILE, kernels=HOSTILE
        ),
        environment=environment,
        closed=dataclasses.replace(
            full.closed, frame=HOSTILE, stages={HOSTILE: full.closed.whole, **full.closed.stages}
        ),
        open=dataclasses.replace(full.open, source=HOSTILE),
        compute=Compute(None, None, 371.0, None),
        notes=(HOSTILE, WIDE),
    )


def absurd() -> Bench:
    """Numbers that no machine gives."""
    nan, huge = float("nan"), 1e15
    odd = Times(1, nan, huge, float("inf"), -1.0, huge, nan, None, 1e300)
    full = bench(samples=40)
    assert full.open is not None and full.cold is not None
    blocks = (
        Block(0.0, 0, nan, 0.0),
        Block(nan, 5, 3.0, 3.0),
        Block(-5.0, 5, -1.0, huge),
        Block(1e18, 5, 1e300, 1e-9),
    )
    return dataclasses.replace(
        full,
        model=dataclasses.replace(full.model, rate_hz=0.0, size_bytes=10**18),
        runtime=dataclasses.replace(full.runtime, threads=0),
        closed=ClosedLoop(
            "0x0", nan, huge, odd, {"invoke": odd, "none": full.closed.whole}, blocks
        ),
        steady=Steady(nan, 0.0, nan, nan),
        memory=Memory(-1.0, huge, nan, 0.0),
        compute=Compute(10**20, nan, 0.0, huge),
        cold=ColdStart(0, nan, -3.0, huge, 0.0, 0.0),
        open=dataclasses.replace(
            full.open,
            given=0,
            answered=0,
            dropped=0,
            missed=10**12,
            deadline_ms=0.0,
            camera_hz=nan,
            age=odd,
            interval=odd,
        ),
        threads=(ThreadRow(0, nan, nan), ThreadRow(10**6, 1.0, huge)),
    )


#: Every kind of document that a reader may meet, by name.
DOCUMENTS = {
    "plain": bench,
    "disturbed": lambda: bench(throttles=True),
    "sluggish": lambda: bench(step_us=2.7e6, samples=22, seconds=120.0),
    "fast": lambda: bench(step_us=4.2, samples=200_000),
    "long": lambda: bench(seconds=600.0, control=True),
    "bare": bare,
    "hostile": hostile,
    "absurd": absurd,
}
