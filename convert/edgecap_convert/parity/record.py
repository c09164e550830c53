"""The parity record: what a conversion leaves in the run as ``parity.json``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation import Recording
from edgecap.spec import DecisionSpec
from edgecap.streaming import StreamingModel
from edgecap_convert.models.network import Network
from edgecap_convert.parity.accuracy import accuracy_parity
from edgecap_convert.parity.drift import audit_drift
from edgecap_convert.parity.gates import judge, require, to_dicts
from edgecap_convert.parity.steps import each_step, free_running, teacher_forced
from edgecap_convert.parity.trace import NetworkTracer, Tracers
from edgecap_convert.training.runs import (
    PARITY_FILE,
    PARITY_PAGE,
    QUANTIZED_FILE,
    Weighty,
    save_weights,
    write_json,
)

# Frames that are compared step by step: errors of a wrong grid show in the first.
_STEPS = 512


def parity_record(
    network: Network,
    quantized: Network | None,
    model: StreamingModel,
    recordings: Iterable[Recording],
    *,
    data: str,
    decision: DecisionSpec,
    audit_frames: int,
) -> dict[str, Any]:
    """Measures the file beside the networks.

    Args:
      network: float. quantized: what the file was made of, unless that is the float network.
      model: the file. recordings: what to measure on. data: its name.
      decision: the thresholds.
      audit_frames: of the drift audit; 0 leaves it out.

    Returns:
      What ``accuracy_parity`` returns; ``operators``; for integer files ``steps`` (see
      :func:`measure_steps`) and ``gates``; ``drift``, see ``audit_drift``; ``parity_seconds``.

    Raises:
      ParityError: the file does not pass a gate.
    """
    began = time.monotonic()
    tracers = Tracers(
        NetworkTracer(network), None if quantized is None else NetworkTracer(quantized)
    )
    record: dict[str, Any] = {}
    if tracers.quantized is not None:
        record["steps"] = measure_steps(tracers.quantized, model, first_frames(recordings, _STEPS))
        record["gates"] = to_dicts(judge(record["steps"]))
        require(record["gates"])
    record |= accuracy_parity(tracers, model, recordings, data=data, decision=decision)
    record["operators"] = model.bundle.graph.operator_counts()
    if audit_frames:
        record["drift"] = audit_drift(tracers, model, recordings, frames=audit_frames)
    record["parity_seconds"] = round(time.monotonic() - began, 1)
    return record


def leave_record(
    folder: Path,
    record: dict[str, Any],
    quantized: Weighty | None,
    write_page: Callable[[Path, dict[str, Any]], None],
) -> None:
    """Writes the record, its page and the network that they speak of into a run's folder.

    An older network goes first and the new one comes last: a run whose conversion was stopped in
    between has none, rather than one of another conversion than the record, or even of a recipe
    whose ranges the weights were not learnt for.

    Args:
      folder: of the run. record: see :func:`parity_record`.
      quantized: the fake-quantised network; ``None`` where the file was made of the float one.
      write_page: writes the record for people.
    """
    (folder / QUANTIZED_FILE).unlink(missing_ok=True)
    write_json(folder / PARITY_FILE, record)
    write_page(folder / PARITY_PAGE, record)
    if quantized is not None:
        save_weights(folder / QUANTIZED_FILE, quantized)


def measure_steps(
    tracer: NetworkTracer, model: StreamingModel, images: npt.NDArray[np.uint8]
) -> dict[str, Any]:
    """Differences between an integer file and its fake-quantised network, in steps (LSB).

    Args:
      tracer: of the network. images: ``(N, H, W, 3)`` uint8 of consecutive frames.

    Returns:
      ``each_step``: the whole file, every step from the network's own state; ``recurrent``: the
      same of the recurrent step alone; ``free_running``: each carries its own state.
    """
    features = tracer.features(tracer.encode(images))
    recurrent = teacher_forced(tracer.network, features, kernels=model.backend.kernels)
    return {
        "each_step": each_step(tracer, model, images).to_dict(),
        "recurrent": recurrent.to_dict(),
        "free_running": free_running(tracer, model, images).to_dict(),
    }


def first_frames(recordings: Iterable[Recording], count: int) -> npt.NDArray[np.uint8]:
    """The first frames of recordings, joined."""
    found: list[npt.NDArray[np.uint8]] = []
    left = count
    for recording in recordings:
        found.append(recording.images[:left])
        left -= len(found[-1])
        if left <= 0:
            break
    return np.concatenate(found)
