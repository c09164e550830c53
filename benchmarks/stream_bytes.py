"""Streams frames through models and keeps every byte: the same code on any processor.

    python benchmarks/stream_bytes.py JOBS.json

JOBS is a list of objects: ``model`` (a file), ``frames`` (.npy, ``(N, H, W, 3)`` uint8), ``out``
(.npz to write) and, if each frame is to start from a recorded state and not from its own,
``states`` (such an .npz of another processor). Prints a line of JSON for each.

Written are ``output`` and each state, ``(N, …)`` as they were after each frame.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import edgecap
from edgecap.golden import check_golden
from edgecap.streaming import StreamingModel


def stream(
    model: StreamingModel, frames: np.ndarray, recorded: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Runs from a reset state.

    Args:
      frames: ``(N, H, W, 3)`` uint8, at the model's size.
      recorded: states ``(≥ N, …)`` after each frame; each frame but the first starts from these.

    Returns:
      ``output`` ``(N, labels)`` and each state ``(N, …)``, in their own dtypes.
    """
    names = [state.name for state in model.spec.states]
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("output", *names)}
    states = model.initial_states()
    for number, frame in enumerate(frames):
        output, states = model.infer(frame, states)
        for name, value in zip(("output", *names), (output, *states), strict=True):
            rows[name].append(value)
        if recorded is not None:
            states = tuple(recorded[name][number] for name in names)
    return {name: np.stack(values) for name, values in rows.items()}


def run(job: dict[str, str]) -> dict[str, Any]:
    model = edgecap.load(job["model"])
    recorded = None
    if "states" in job:
        with np.load(job["states"]) as file:
            recorded = dict(file)
    frames = np.load(job["frames"])
    began = time.perf_counter()
    np.savez(job["out"], **stream(model, frames, recorded))
    answer = {"backend": str(model.backend), "seconds": round(time.perf_counter() - began, 3)}
    if recorded is None:
        check = check_golden(model)
        answer["golden"] = dataclasses.asdict(check) | {"passed": check.passed}
    return answer


def main() -> None:
    for job in json.loads(Path(sys.argv[1]).read_text("utf-8")):
        print(json.dumps(run(job)), flush=True)


if __name__ == "__main__":
    main()
