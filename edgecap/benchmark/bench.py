"""Everything that ``edgecap bench`` measures, in one run."""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from edgecap.benchmark.closed import measure_closed, steady
from edgecap.benchmark.cold import DEFAULT_RUNS, measure_cold
from edgecap.benchmark.control import Control
from edgecap.benchmark.environment import Watch
from edgecap.benchmark.frames import CAMERA_SIZE, frame_size, scene_frames
from edgecap.benchmark.live import measure_open
from edgecap.benchmark.macs import count_macs
from edgecap.benchmark.memory import measure_memory
from edgecap.benchmark.reference import MACS, Reference
from edgecap.benchmark.report import Bench, ClosedLoop, Compute, Model, Runtime, ThreadRow
from edgecap.benchmark.stages import StagedModel
from edgecap.benchmark.threads import measure_threads
from edgecap.bundle import Bundle
from edgecap.interpreter import DEFAULT_KERNELS
from edgecap.opening import open_bundle

#: Of the closed loop; everything together takes about twice as long.
DEFAULT_SECONDS = 60.0
DEFAULT_CAMERA_HZ = 30.0
# Shares of that, and the least that says anything.
_OPEN_SHARE, _LEAST_OPEN_S, _LEAST_PERIODS = 1 / 3, 2.0, 10
_THREADS_SHARE, _MOST_THREADS_S = 1 / 6, 20.0
_MEMORY_SHARE, _MOST_MEMORY_S = 1 / 20, 3.0


class _Runtime(TypedDict):
    threads: int
    kernels: str
    backend: str | None


def run_bench(
    path: Path,
    *,
    seconds: float = DEFAULT_SECONDS,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
    source: str | None = None,
    camera_hz: float = DEFAULT_CAMERA_HZ,
    size: tuple[int, int] | None = None,
    open_loop: bool = True,
    cold_runs: int = DEFAULT_RUNS,
    threads_up_to: int | None = None,
    public_key: str | Path | None = None,
    command: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Measures a model on this machine.

    What may be refused comes first: the file, the sizes, the camera. The closed loop comes late,
    when the machine is warm.

    Args:
      path: a ``.tflite`` made by ``edgecap convert``.
      seconds: of the closed loop; the other parts take shares of it.
      source: a camera for the open loop; by default pictures at ``camera_hz`` from a process.
      size: (height, width) of the frames; by default 480 × 640 with OpenCV, else the model's.
      open_loop: whether there is one. cold_runs: 0 for no cold start.
      threads_up_to: by default the number of cores, 4 at most; 1 for no comparison.
      public_key: only a model signed with its private key is measured.
      command: how to repeat it, for the document.
      progress: told now and then what is done.

    Raises:
      ModelFileError, SpecError, BackendError, SignatureError: as of :func:`edgecap.load`.
      MissingDependencyError: that size needs OpenCV.
      ConfigError, SourceError: the source is no camera, or fails.
    """
    taken = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    progress("loading")
    runtime: _Runtime = {"threads": threads, "kernels": kernels, "backend": backend}
    bundle = open_bundle(path, public_key=public_key, probe=True, **runtime)
    wanted = frame_size(bundle.spec.input, size)
    model = StagedModel(bundle, **runtime)
    reference = Reference(**runtime)
    control = Control(**runtime)
    notes: list[str] = []
    if size is None and wanted != CAMERA_SIZE:
        notes.append("no OpenCV here: frames have the model's size, and nothing is resized")
    watch = Watch()
    opened = None
    if open_loop and source is None and sys.platform == "win32":
        notes.append("no open loop: cameras need Linux or macOS")
    elif open_loop:
        least_s = max(_LEAST_OPEN_S, _LEAST_PERIODS / bundle.spec.rate_hz)
        opened, told = measure_open(
            model.stream(),
            seconds=max(least_s, _OPEN_SHARE * seconds),
            source=source,
            camera_hz=camera_hz,
            size=wanted,
            progress=progress,
        )
        notes.extend(told)
    cold = None
    if cold_runs:
        cold = measure_cold(path, runs=cold_runs, progress=progress, **runtime)
    memory = measure_memory(
        path,
        seconds=min(_MEMORY_SHARE * seconds, _MOST_MEMORY_S),
        progress=progress,
        **runtime,
    )
    frames = scene_frames(*wanted)
    rows: tuple[ThreadRow, ...] = ()
    if threads_up_to != 1:
        rows = measure_threads(
            bundle,
            frames,
            up_to=threads_up_to,
            seconds=min(_THREADS_SHARE * seconds, _MOST_THREADS_S),
            kernels=kernels,
            backend=backend,
            progress=progress,
        )
    closed = measure_closed(
        model, frames, seconds=seconds, reference=reference, control=control, progress=progress
    )
    macs = count_macs(bundle.graph)
    return Bench(
        command=command,
        taken=taken,
        model=_model(path, bundle, macs.macs, macs.uncounted),
        runtime=Runtime(
            model.backend.name, model.backend.version, model.backend.kernels, model.backend.threads
        ),
        environment=watch.environment(),
        closed=closed,
        steady=steady(closed),
        memory=memory,
        compute=_compute(closed, macs.macs),
        cold=cold,
        open=opened,
        threads=rows,
        notes=tuple(notes),
    )


def _model(path: Path, bundle: Bundle, macs: int | None, uncounted: tuple[str, ...]) -> Model:
    spec, data = bundle.spec, path.read_bytes()
    return Model(
        file=path.name,
        name=spec.name,
        digest=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        recipe=spec.recipe,
        task=spec.task,
        input=f"{spec.input.width}x{spec.input.height}",
        rate_hz=spec.rate_hz,
        macs=macs,
        uncounted=uncounted,
    )


def _compute(closed: ClosedLoop, macs: int | None) -> Compute:
    """10⁹ multiply-adds a second are 10³ a microsecond."""
    invoke_us = closed.stages["invoke"].p50_us
    assert invoke_us is not None, "the closed loop goes on until there is a median"
    peak = MACS / statistics.median(block.reference_us for block in closed.blocks) / 1e3
    reached = None if macs is None else macs / invoke_us / 1e3
    return Compute(
        macs=macs,
        reached=None if reached is None else round(reached, 3),
        peak=round(peak, 3),
        share=None if reached is None else round(reached / peak, 4),
    )
