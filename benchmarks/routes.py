"""From the trained network to the int8 file: TF's converter, or AI Edge Quantizer (AEQ).

    pip install ai-edge-quantizer==0.10.0
    python benchmarks/routes.py RUN [RUN …] [--json FILE]

RUN is a folder of ``edgecap train`` that ``edgecap convert`` has quantised. Both routes begin at
the same fake-quantised network, with the same weights and learnt ranges.

``converter`` is the project's: TF's converter reads the fake quantisation. The others convert the
network without its rounding to a float .tflite, which AEQ quantises, with one scale a channel for
convolutions and one a tensor for dense layers:

* ``aeq``: ranges as AEQ's own calibration finds them, over ordered sequences of training frames
  with carried state; nothing else is said.
* ``aeq_fixed``: so too, but what stands on a fixed grid (image, gates, hidden state) is given, and
  the cell stays float.
* ``aeq_extremes``: so too, but the calibration takes the least and the largest value of all frames;
  AEQ's own is a moving average of each frame's.
* ``aeq_learnt``: all learnt ranges are given, and the cell stays float.

AEQ gives all inputs of a graph one type, and all outputs: where the cell stays float, its state is
carried as int8 all the same (``aeq_learnt_as_made``). Two operators are then cut out of the
flatbuffer, so that it is carried as float. With float inputs and outputs instead
(``float_edges``), what is an output and is read inside too comes out wrong.

The learnt ranges are read from the file that ``converter`` has made, by the names of its tensors;
that, and the cutting, is not timed. Seconds are medians of three; AEQ's hold the conversion to
float, the calibration if there is one, and the quantisation. All frames of the run's held-out part
are streamed, each file carrying its own state.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import record
from route_aeq import aeq, calibrate, carry_float, float_edges, training_frames
from route_files import contract, decibels, inspect, network_logits, same, stream
from route_ranges import Learnt, cells

from edgecap.flatbuffer import read_graph

_ROUNDS = 3
_NEEDED = "routes.py needs AI Edge Quantizer: pip install ai-edge-quantizer==0.10.0"
# Fake quantisation, as the network's layers call it.
_ROUNDING = (
    "fake_quant_with_min_max_args",
    "fake_quant_with_min_max_vars",
    "fake_quant_with_min_max_vars_per_channel",
)


def measure(path: Path) -> dict[str, Any]:
    """Converts one run by all routes, and holds the files against its networks."""
    from edgecap_convert.export.convert import measured_part
    from edgecap_convert.export.graph import convert_float, convert_step
    from edgecap_convert.training.material import open_material
    from edgecap_convert.training.runs import open_run

    run = open_run(path)
    material = open_material(run.data, run.config, seed=run.seed, fold=run.fold)
    part, recordings = measured_part(material)
    clips = [recording.images for recording in recordings]
    network, quantized = run.network(), run.quantized_network()

    ours, seconds = timed(lambda: convert_step(quantized))
    with without_rounding():
        plain, convert_seconds = timed(lambda: convert_float(quantized, "float32"))
    learnt = Learnt(read_graph(ours), read_graph(plain))
    frames = training_frames(material)
    seen, calibrate_seconds = timed(lambda: calibrate(plain, frames))
    most, extremes_seconds = timed(lambda: calibrate(plain, frames, extremes=True))

    float_logits = network_logits(network, clips)
    fake_logits = network_logits(quantized, clips)
    routes: dict[str, Any] = {}

    def told(name: str, model: bytes, **extra: Any) -> None:
        logits, microseconds = stream(model, clips)
        routes[name] = {
            **extra,
            **inspect(model, ours),
            "edgecap_streams_it": contract(model, run),
            "same_answers_as_fake_quant": same(logits, fake_logits),
            "logits_db_against_fake_quant": decibels(logits, fake_logits),
            "logits_db_against_float": decibels(logits, float_logits),
            "invoke_us": round(microseconds, 1),
        }

    told("converter", ours, seconds=round(seconds, 2))
    for name, ranges, calibrating, keep in (
        ("aeq", seen, calibrate_seconds, False),
        ("aeq_fixed", seen | learnt.fixed(), calibrate_seconds, True),
        ("aeq_extremes", most | learnt.fixed(), extremes_seconds, True),
        ("aeq_learnt", learnt.ranges, 0.0, True),
    ):
        made, quantize_seconds = timed(lambda r=ranges, k=keep: aeq(plain, r, float_cell=k))
        parts = {
            "to_float": convert_seconds,
            "calibrate": calibrating,
            "quantise": quantize_seconds,
        }
        extra: dict[str, Any] = {
            "seconds": round(sum(parts.values()), 2),
            "seconds_of": {what: round(value, 2) for what, value in parts.items()},
        }
        if keep:
            if name == "aeq_learnt":
                told(f"{name}_as_made", made)
            made = carry_float(made, list(cells(read_graph(plain))))
        told(name, made, **extra)
    encoder = run.config.encoder
    return {
        "encoder": f"{encoder.name} {encoder.alpha} at {encoder.height}×{encoder.width}",
        "data": part,
        "clips": len(clips),
        "frames": sum(map(len, clips)),
        "calibration_frames": sum(map(len, frames)),
        "fake_quant": {
            "same_answers_as_float": same(fake_logits, float_logits),
            "logits_db_against_float": decibels(fake_logits, float_logits),
        },
        "ranges_without_learnt_one": learnt.missing,
        "routes": routes,
        "float_edges": float_edges(plain, learnt.ranges),
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the median of its seconds."""
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return result, statistics.median(seconds)


@contextlib.contextmanager
def without_rounding() -> Iterator[None]:
    """Inside, a fake-quantised network computes in float, with its own weights."""
    import tensorflow as tf

    with contextlib.ExitStack() as stack:
        for name in _ROUNDING:
            unrounded = mock.patch.object(tf.quantization, name, lambda x, *_, **__: x)
            stack.enter_context(unrounded)
        yield


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    arguments = parser.parse_args()
    try:
        import ai_edge_quantizer  # noqa: F401
    except ImportError:
        sys.exit(_NEEDED)
    record.publish({run.name: measure(run) for run in arguments.runs}, arguments)


if __name__ == "__main__":
    main()
