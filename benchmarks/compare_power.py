"""How often ``edgecap bench --compare`` is right: runs of the same thing, and slowed ones.

    python benchmarks/compare_power.py [--pairs 40] [--seconds 6] [--slowed 0.10] [--json FILE]

Three runs, each in a process of its own: the first and the second do the same, in the third each
step waits for 10 % of a step's time. The second and the third are compared with the first. The
packaged model, on frames of 640×480 (OpenCV).

Conditions, of as many pairs each: ``as-it-is``; ``load``: two processes come and go that compute
and copy memory, each on for 0.2 to 2 s and off as long; ``load-in-one``: only in the first run, or
only in the later ones. ``right`` counts the verdict that is expected; ``opposite`` those that tell
of a difference where there is none, or of none or the other one where there is one. The rest
"cannot tell".

The default takes about 45 minutes; ``--pairs 20 --seconds 4`` a third of it.
"""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import record

import edgecap
from edgecap.assets import resolve_model
from edgecap.benchmark.blocks import measure_blocks
from edgecap.benchmark.compare import Comparison, compare
from edgecap.benchmark.control import Control
from edgecap.benchmark.reference import Reference
from edgecap.benchmark.report import (
    Bench,
    Block,
    ClosedLoop,
    Compute,
    Environment,
    Memory,
    Model,
    Moment,
    Runtime,
    Steady,
)
from edgecap.benchmark.times import times
from edgecap.synthetic import Scene

_CONDITIONS = {"as-it-is": (False, False), "load": (True, True), "load-in-one": (True, False)}
_PICTURES = 4
_WARM_UP, _ON_OFF_S = 2000, (0.2, 2.0)


def measure(seconds: float, slowed: float) -> list[dict[str, Any]]:
    """The blocks of one run in this process."""
    stream = edgecap.load(resolve_model("demo")).stream()
    scene = iter(Scene(seed=1, height=480, width=640))
    pictures = [next(scene).image for _ in range(_PICTURES)]
    frame = pictures[0].copy()
    taken = 0

    def renew() -> None:
        # Into the same memory, as a camera does. Pictures in turns would be read from wherever the
        # other processes leave them, which is up to 20 % of a step.
        nonlocal taken
        taken += 1
        np.copyto(frame, pictures[taken % _PICTURES])

    def timed_s() -> float:
        began = time.perf_counter()
        stream.step(frame)
        return time.perf_counter() - began

    # What a step takes undisturbed: waiting does not depend on the machine's mood.
    wait_s = slowed * float(np.quantile([timed_s() for _ in range(_WARM_UP)], 0.2))

    def step() -> None:
        stream.step(frame)
        if wait_s:
            until = time.perf_counter() + wait_s
            while time.perf_counter() < until:
                pass

    control, reference = Control(), Reference()
    _, blocks = measure_blocks(step, reference, control, seconds=seconds, between=renew)
    return [dataclasses.asdict(block) for block in blocks]


def document(blocks: list[dict[str, Any]]) -> Bench:
    """The blocks as ``edgecap bench`` writes them; what else is in there is left empty."""
    made = tuple(Block(**block) for block in blocks)
    whole = times([block.step_us for block in made])
    moment = Moment()
    return Bench(
        command="",
        taken="",
        model=Model("gestures-demo.tflite", "", "", 0, "", "", "", 0.0),
        runtime=Runtime("", "", "", 1),
        environment=Environment("", (), 0, "", "", None, None, "", {}, moment, moment),
        closed=ClosedLoop("640x480", 0.0, 0.0, whole, {}, made, "same"),
        steady=Steady(0.0, 0.0, 0.0, 1.0),
        memory=Memory(None, None, None, None),
        compute=Compute(None, None, 0.0, None),
    )


def run(seconds: float, slowed: float, *, loaded: bool) -> Bench:
    """One run, in a process of its own."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        if loaded:
            stack.enter_context(load())
        file = Path(folder, "blocks.json")
        options = [f"--run={file}", f"--seconds={seconds}", f"--slowed={slowed}"]
        subprocess.run([sys.executable, __file__, *options], check=True)
        return document(json.loads(file.read_text()))


@contextmanager
def load() -> Iterator[None]:
    """Two processes that are busy now and then."""
    started = [
        subprocess.Popen([sys.executable, __file__, "--disturb", str(random.randrange(10**6))])
        for _ in range(2)
    ]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def disturb(seed: int) -> None:
    """Computes, copies memory and rests in turns, for ever."""
    rng = random.Random(seed)
    values = np.ones((300, 300), np.float32)
    much = np.zeros(8_000_000)
    while True:
        until = time.monotonic() + rng.uniform(*_ON_OFF_S)
        copying = rng.random() < 0.5
        while time.monotonic() < until:
            if copying:
                much.copy()
            else:
                values @ values
        time.sleep(rng.uniform(*_ON_OFF_S))


def told(found: list[Comparison], expected: str) -> dict[str, Any]:
    verdicts = Counter(each.verdict for each in found)
    ratios = [each.ratio for each in found]
    right = verdicts[expected]  # type: ignore[index]
    return {
        "pairs": len(found),
        "expected": expected,
        "right": right,
        "share_right": round(right / len(found), 4),
        "opposite": len(found) - right - verdicts["cannot tell"],
        "verdicts": dict(verdicts),
        "ratio_median": round(float(np.median(ratios)), 4),
        "ratio_least_most": [min(ratios), max(ratios)],
        "ratio_deviation": round(float(np.std(np.log(ratios), ddof=1)), 4),
        "interval_half_width": round(
            float(np.median([np.log(each.interval[1] / each.interval[0]) / 2 for each in found])), 4
        ),
        "machine_least_most": [
            min(each.machine or 0 for each in found),
            max(each.machine or 0 for each in found),
        ],
    }


def campaign(
    conditions: list[str], pairs: int, seconds: float, slowed: float
) -> dict[str, dict[str, Any]]:
    """All conditions in turns, so that a quiet hour does not favour one of them."""
    same: dict[str, list[Comparison]] = {name: [] for name in conditions}
    other: dict[str, list[Comparison]] = {name: [] for name in conditions}
    for number in range(pairs):
        for name in conditions:
            loaded = _CONDITIONS[name]
            # In turns the first and the later runs are the loaded ones.
            first, later = loaded if number % 2 else loaded[::-1]
            a = run(seconds, 0.0, loaded=first)
            same[name].append(compare(a, run(seconds, 0.0, loaded=later)))
            other[name].append(compare(a, run(seconds, slowed, loaded=later)))
        print(f"{number + 1} of {pairs}", file=sys.stderr, flush=True)
    return {
        name: {
            "same": told(same[name], "no difference"),
            "slowed": told(other[name], "slower"),
        }
        for name in conditions
    }


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=40, help="of each kind in each condition")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a run")
    parser.add_argument("--slowed", type=float, default=0.10)
    parser.add_argument("--conditions", nargs="+", choices=_CONDITIONS, default=[*_CONDITIONS])
    parser.add_argument("--run", type=Path, help="only one run; its blocks are written there")
    parser.add_argument("--disturb", type=int, help="only disturb, for ever")
    arguments = parser.parse_args()
    if arguments.disturb is not None:
        disturb(arguments.disturb)
    elif arguments.run:
        blocks = measure(arguments.seconds, arguments.slowed)
        arguments.run.write_text(json.dumps(blocks))
    else:
        result = campaign(
            arguments.conditions, arguments.pairs, arguments.seconds, arguments.slowed
        )
        settings = {"seconds_of_a_run": arguments.seconds, "slowed_by": arguments.slowed}
        record.publish(settings | {"conditions": result}, arguments)


if __name__ == "__main__":
    main()
