"""Runs a model in a child process first, so that what kills an interpreter is reported.

The checks in Python keep hostile tables from native code, but nobody can promise that a runtime has
no fault left. A child process with limits of memory and time can die in its place. Models that came
through are remembered by the digest of their flatbuffer, so that each is tried once.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecap import errors
from edgecap.assets import is_packaged
from edgecap.errors import BackendError, EdgecapError, ModelFileError
from edgecap.interpreter import DEFAULT_KERNELS, import_backend, version

if TYPE_CHECKING:
    from edgecap.bundle import Bundle

_log = logging.getLogger(__name__)
_SIGNALLED_BY_SHELL = 128


@dataclass(frozen=True)
class Limits:
    """What the child may use.

    Attributes:
      memory_bytes: address space beyond what the runtime takes by being imported.
      cpu_s: processor time. wall_s: time on the clock, for what waits instead of computing.
    """

    memory_bytes: int = 2 << 30
    cpu_s: int = 300
    wall_s: float = 600.0


@dataclass(frozen=True)
class Probed:
    """What a model did in the child.

    Attributes:
      golden: how it repeated its recorded outputs, as ``edgecap.golden.GoldenCheck``.
      passed: within the tolerance. backend: which runtime computed, as
        ``edgecap.interpreter.Backend``, and ``told``, the same in one line.
    """

    golden: dict[str, Any]
    passed: bool
    backend: dict[str, Any]
    told: str


def probe(
    path: str | Path,
    bundle: Bundle,
    *,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
    limits: Limits | None = None,
) -> Probed:
    """Repeats a model's recorded outputs in a child process.

    Where no child can be started, as under an emulator, it runs in this process, and the log says
    so.

    Args:
      path: the model file. bundle: what was read from it; a file that has changed since is refused.
      threads, kernels, backend: see :func:`edgecap.load`.
      limits: of the child.

    Raises:
      BackendError: the runtime died, ran out of time or memory, or refused the model.
      ModelFileError, SpecError: as :func:`edgecap.load`, or there are no recorded outputs.
    """
    limits = limits or Limits()
    job = {
        "path": str(path),
        "model": bundle.spec.digests["model"],
        "runtime": {"threads": threads, "kernels": kernels, "backend": backend},
        "limits": asdict(limits),
    }
    command = [sys.executable, "-m", "edgecap.probe_child", json.dumps(job)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.wall_s,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(
            f"{path}: the runtime was not done with this model after {limits.wall_s:g} s in a "
            "child process. Do not use the file on this machine"
        ) from error
    except OSError as error:
        _log.warning("no child process can be started (%s): the model runs in this one", error)
        from edgecap.probe_child import run

        return Probed(**run(job))
    return Probed(**_answer(done, path, limits))


def probe_once(
    path: str | Path,
    bundle: Bundle,
    *,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
) -> None:
    """Like :func:`probe`, unless the model is known to this runtime on this machine, or packaged.

    Whether its outputs are the recorded ones is not asked: that is for ``edgecap verify``.

    Raises:
      BackendError, ModelFileError, SpecError: see :func:`probe`.
    """
    if is_packaged(path):
        return
    _, name = import_backend(backend)
    mark = _folder() / f"{bundle.spec.digests['model']}-{name}-{version(name)}-{kernels}"
    if mark.exists():
        return
    _log.info("%s is not known here: it runs in a child process first", path)
    probe(path, bundle, threads=threads, kernels=kernels, backend=backend)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        # A system that is mounted read-only tries the model again at each start.
        _log.info("cannot remember that %s is known: %s", path, error)


def _folder() -> Path:
    """``$EDGECAP_CACHE``, or ``edgecap`` in the user's cache folder, and in it what is known."""
    chosen = os.environ.get("EDGECAP_CACHE")
    if chosen:
        return Path(chosen, "known")
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base, "edgecap", "known")


def _environment() -> dict[str, str]:
    """The child imports what is imported here, and no file of the current folder by accident."""
    root = Path(__file__).parents[1]
    paths = [str(root), *(str(Path(entry or ".").absolute()) for entry in sys.path)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONSAFEPATH": "1",
    }


def _answer(
    done: subprocess.CompletedProcess[bytes], path: str | Path, limits: Limits
) -> dict[str, Any]:
    code = done.returncode
    if code == 0:
        # Native code may have written there too, before.
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if "error" not in told:
            return told
        kind: type[EdgecapError] = getattr(errors, told["error"])
        raise kind(told["message"])
    number = -code if code < 0 else code - _SIGNALLED_BY_SHELL
    try:
        name = signal.Signals(number).name
    except ValueError:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing said"])[-1]
        raise BackendError(
            f"{path}: the child process that ran this model ended with status {code}: {last}"
        ) from None
    if name == "SIGXCPU":
        cause = f"it had used {limits.cpu_s} s of processor time"
    else:
        cause = f"it may use {limits.memory_bytes >> 20} MiB of memory"
    raise BackendError(
        f"{path}: the runtime died of signal {number} ({name}) in a child process that ran this "
        f"model; {cause}. Do not use the file on this machine"
    )


def require_same(bundle: Bundle, digest: str, path: str) -> None:
    """Raises ``ModelFileError`` unless the file is still the one that was looked at."""
    if bundle.spec.digests["model"] != digest:
        raise ModelFileError(f"{path}: the file has changed while it was looked at; try again")
