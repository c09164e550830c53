"""How the cost of a frame grows: with the stream, with more streams, and with the network.

    python benchmarks/scaling.py [MODEL] [--only CURVE,…] [--longest FRAMES] [--json FILE]

Curves: ``length`` (of one stream, 1e2 to 1e6 frames), ``streams`` (1 to 32 on one model),
``threads``, and of untrained networks ``size``, ``alpha``, ``units`` and ``attention``, which need
the extra ``convert``. All points of a curve are measured in one run, in blocks that alternate in a
new order each round; each is told in µs (medians over the rounds) and beside the curve's first
point: the median of the rounds' ratios, with where it lies 95 of 100 times. The clock's time and
the processor's stand side by side: where they differ, others had the machine. ``reference_us`` is
the packaged graph of known work in the same rounds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import record
import scaling_networks as networks
import scaling_streams as one_model

import edgecap
from edgecap.assets import resolve_model
from edgecap.streaming import StreamingModel

CURVES = ("length", "streams", "threads", *networks.CURVES)
#: What threads are tried on beside the given model.
_LARGE = networks.Shape(size=224, alpha=1.0)


def opened(model: Path | bytes, threads: int) -> StreamingModel:
    if isinstance(model, bytes):
        return networks.opened(model, threads)
    return edgecap.load(model, threads=threads)


def measure(path: Path, curves: list[str], longest: int) -> dict[str, Any]:
    """The curves, and the seconds that each took."""
    shapes = networks.shapes_of(curve for curve in curves if curve in networks.CURVES)
    if "threads" in curves:
        shapes.append(_LARGE)
    began = time.monotonic()
    files = networks.made(shapes) if shapes else {}
    seconds = {"conversions": round(time.monotonic() - began, 1)}
    found: dict[str, Any] = {}
    for curve in curves:
        print(f"{curve} …", file=sys.stderr, flush=True)
        began = time.monotonic()
        if curve == "length":
            lengths = tuple(n for n in one_model.LENGTHS if n <= longest)
            found[curve] = one_model.length(path, lengths=lengths)
        elif curve == "streams":
            found[curve] = one_model.streams(path)
        elif curve == "threads":
            given: dict[str, Path | bytes] = {"packaged": path, str(_LARGE): files[_LARGE]}
            found[curve] = one_model.threads(given, opened)
        else:
            found[curve] = networks.measure(curve, files)
        seconds[curve] = round(time.monotonic() - began, 1)
    return {"curves": found, "seconds": seconds}


def chosen(text: str) -> list[str]:
    """The curves of ``--only``, in the order that they are measured in."""
    names = text.split(",")
    unknown = sorted(set(names) - set(CURVES))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"expected some of {', '.join(CURVES)}; got {', '.join(unknown)}"
        )
    return [curve for curve in CURVES if curve in names]


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("model", nargs="?", default="demo")
    parser.add_argument("--only", type=chosen, default=list(CURVES), help="curves, with commas")
    parser.add_argument("--longest", type=int, default=one_model.LENGTHS[-1])
    arguments = parser.parse_args()
    if arguments.longest < one_model.LENGTHS[0]:
        parser.error(f"--longest: expected {one_model.LENGTHS[0]} or more")
    found = measure(resolve_model(arguments.model), arguments.only, arguments.longest)
    record.publish(found, arguments)


if __name__ == "__main__":
    main()
