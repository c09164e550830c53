"""From the start of Python to the first label, beside the least that could come before it.

    python benchmarks/cold_start.py [MODEL] [--runs 40] [--json FILE]

``edgecap``: a new process imports NumPy and edgecap, loads the file (every digest, the spec and the
tensor table checked) and answers one frame of the model's size. ``parts``: a new process imports
NumPy and the interpreter and builds it on the same bytes. Each says when it has come so far, and
that is when its time ends. Both alternate; bytecode is cached, as after any first run. The ratio is
the median over pairs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import record

from edgecap.assets import resolve_model
from edgecap.bundle import read_bundle

_EDGECAP = """
import numpy as np, edgecap
stream = edgecap.load({path!r}).stream()
print(stream.step(np.zeros(({height}, {width}, 3), np.uint8)).label, flush=True)
"""
_PARTS = """
import numpy as np
from ai_edge_litert.interpreter import Interpreter
with open({path!r}, "rb") as file:
    interpreter = Interpreter(model_content=file.read(), num_threads=1)
interpreter.allocate_tensors()
print("built", flush=True)
"""


def seconds(program: str) -> float:
    """From its start to the line that it prints."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        taken = time.perf_counter() - began
    if not line or process.returncode:
        raise SystemExit(f"expected a line and status 0; got {line!r} and {process.returncode}")
    return taken


def measure(path: Path, runs: int) -> dict[str, float]:
    size = read_bundle(path).spec.input
    sides = {
        "parts": _PARTS.format(path=str(path)),
        "edgecap": _EDGECAP.format(path=str(path), height=size.height, width=size.width),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for run in range(runs + 1):
        for name, program in sides.items():
            taken = seconds(program)
            if run:  # the first one writes bytecode
                times[name].append(taken)
    ratios = [a / b for a, b in zip(times["edgecap"], times["parts"], strict=True)]
    low, median, high = (sorted(ratios)[round(q * (len(ratios) - 1))] for q in (0.1, 0.5, 0.9))
    found = {f"{name}_ms": statistics.median(t) * 1e3 for name, t in times.items()}
    found |= {"ratio": median, "ratio_p10": low, "ratio_p90": high}
    found["ratio_of_the_least"] = min(times["edgecap"]) / min(times["parts"])
    return {name: round(value, 3) for name, value in found.items()} | {"runs": runs}


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("model", nargs="?", default="demo")
    parser.add_argument("--runs", type=int, default=40)
    arguments = parser.parse_args()
    record.publish(measure(resolve_model(arguments.model), arguments.runs), arguments)


if __name__ == "__main__":
    main()
