"""What the child process of :mod:`edgecap.probe` does: a job in, its outcome out, both for JSON."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from edgecap.bundle import Bundle, read_bundle
from edgecap.errors import EdgecapError
from edgecap.interpreter import import_backend
from edgecap.probe import require_same

# With the state that a stream begins with, and with a state that was carried.
_FEW_STEPS = 2


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Like :func:`run`, within the job's limits; errors as ``error``, a class, and ``message``."""
    limits = job["limits"]
    try:
        # What a runtime maps by being imported is not the model's.
        import_backend(job["runtime"]["backend"])
        limit(limits["memory_bytes"], limits["cpu_s"])
        return run(job)
    except EdgecapError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        told = f"{job['path']}: it takes more than {limits['memory_bytes'] >> 20} MiB of memory"
        return {"error": "BackendError", "message": told}


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Runs a model.

    Returns:
      With ``golden`` in the job the fields of :class:`edgecap.probe.Probed`, from repeating all
      recorded outputs; else nothing, after a few steps.

    Raises:
      EdgecapError: whatever loading the model raises.
    """
    bundle = read_bundle(job["path"])
    require_same(bundle, job["model"], job["path"])
    if bundle.spec.caption is not None:
        from edgecap.captioning import CaptionModel
        from edgecap.captioning.golden import check_golden as check_captions
        from edgecap.captioning.golden import replay as replay_captions

        captioner = CaptionModel(bundle, **job["runtime"])
        if not job["golden"]:
            replay_captions(captioner, _few_frames(bundle)[:1], rounds=_FEW_STEPS)
            return {}
        check, backend = check_captions(captioner), captioner.backend
    else:
        from edgecap.golden import check_golden, replay
        from edgecap.streaming import StreamingModel

        model = StreamingModel(bundle, **job["runtime"])
        if not job["golden"]:
            replay(model, _few_frames(bundle), rounds=1)
            return {}
        check, backend = check_golden(model), model.backend
    return {
        "golden": dataclasses.asdict(check),
        "passed": check.passed,
        "backend": dataclasses.asdict(backend),
        "told": str(backend),
    }


def limit(memory_bytes: int, cpu_s: int) -> None:
    """Bounds this process, as far as the system can."""
    try:
        import resource
    except ImportError:
        # Windows has no such limits; the parent's clock still ends what does not end.
        return
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, _address_space() + memory_bytes),
    ):
        given, most = resource.getrlimit(kind)
        wanted = min([value, *(each for each in (given, most) if each != resource.RLIM_INFINITY)])
        # macOS refuses to bound the address space, systems of 32 bits what they cannot count.
        with contextlib.suppress(OSError, ValueError, OverflowError):
            # The hard limit of time stays above: SIGXCPU says more than SIGKILL.
            resource.setrlimit(kind, (wanted, most))


def _few_frames(bundle: Bundle) -> Any:
    """Recorded frames, or black ones."""
    frames = bundle.golden.frames[:_FEW_STEPS]
    size = bundle.spec.input
    return frames if len(frames) else np.zeros((_FEW_STEPS, size.height, size.width, 3), np.uint8)


def _address_space() -> int:
    """Bytes that this process has mapped by now; 2 GiB where the system does not say."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        return pages * resource.getpagesize()
    except OSError:
        return 2 << 30
