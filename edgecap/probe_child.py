"""The child process of :mod:`edgecap.probe`: a job in, its outcome out, both as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from edgecap.bundle import read_bundle
from edgecap.errors import EdgecapError
from edgecap.interpreter import import_backend
from edgecap.probe import require_same


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Repeats the recorded outputs; the fields of :class:`edgecap.probe.Probed`.

    Raises:
      EdgecapError: whatever loading the model raises.
    """
    bundle = read_bundle(job["path"])
    require_same(bundle, job["model"], job["path"])
    if bundle.spec.caption is not None:
        from edgecap.captioning import CaptionModel
        from edgecap.captioning.golden import check_golden as check_captions

        captioner = CaptionModel(bundle, **job["runtime"])
        check, backend = check_captions(captioner), captioner.backend
    else:
        from edgecap.golden import check_golden
        from edgecap.streaming import StreamingModel

        model = StreamingModel(bundle, **job["runtime"])
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
        _, most = resource.getrlimit(kind)
        wanted = value if most == resource.RLIM_INFINITY else min(value, most)
        # The hard limit of time stays above: SIGXCPU says more than SIGKILL.
        resource.setrlimit(kind, (wanted, most))


def _address_space() -> int:
    """Bytes that this process has mapped by now; 0 where the system does not say."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        return pages * resource.getpagesize()
    except OSError:
        return 2 << 30


def main() -> None:
    job = json.loads(sys.argv[1])
    limits = job["limits"]
    try:
        # What a runtime maps by being imported is not the model's.
        import_backend(job["runtime"]["backend"])
        limit(limits["memory_bytes"], limits["cpu_s"])
        outcome = run(job)
    except EdgecapError as error:
        outcome = {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        told = f"{job['path']}: it takes more than {limits['memory_bytes'] >> 20} MiB of memory"
        outcome = {"error": "BackendError", "message": told}
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
