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
#: What the child's answer begins with; native code may write lines of its own, before and after.
ANSWER = "edgecap.probe "
# Imports what this process imports, and no file of the current folder by accident.
_CHILD = f"""
import json, sys
job = json.loads(sys.argv[1])
sys.path[:] = job["imports"]
from edgecap.probe_child import answer
print({ANSWER!r} + json.dumps(answer(job)), flush=True)
"""


@dataclass(frozen=True)
class Limits:
    """What the child may use: enough that a slow and busy machine never refuses a good model.

    Attributes:
      memory_bytes: address space beyond what the runtime takes by being imported.
      cpu_s: processor time, of all threads. wall_s: time on the clock, for what waits instead of
        computing.
    """

    memory_bytes: int
    cpu_s: int
    wall_s: float


# Address space, whatever the model, and for each byte of it: it is read, copied, unpacked from 16
# bits and packed again for the kernels.
_MEMORY, _MEMORY_OF_MODEL = 2 << 30, 8
# Two steps of an InceptionV3 of 512 pixels take a Raspberry Pi half a minute, golden frames ten.
_FEW_STEPS_S, _GOLDEN_S = 600, 3600


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
      limits: of the child; by default an hour for each thread.

    Raises:
      BackendError: the runtime died, ran out of time or memory, or refused the model.
      ModelFileError, SpecError: as :func:`edgecap.load`, or there are no recorded outputs.
    """
    runtime = {"threads": threads, "kernels": kernels, "backend": backend}
    limits = limits or _limits(bundle, threads, _GOLDEN_S)
    return Probed(**run_in_child(path, bundle, runtime, limits, golden=True))


def probe_once(
    path: str | Path,
    bundle: Bundle,
    *,
    threads: int = 1,
    kernels: str = DEFAULT_KERNELS,
    backend: str | None = None,
) -> None:
    """Runs a model's first steps in a child process, unless it is known here, or packaged.

    Known is what came through on this machine with this runtime. Whether its outputs are the
    recorded ones is not asked: that is for ``edgecap verify``.

    Raises:
      BackendError, ModelFileError, SpecError: see :func:`probe`.
    """
    if is_packaged(path):
        return
    _, name = import_backend(backend)
    mark = f"{bundle.spec.digests['model']}-{name}-{version(name)}-{kernels}"
    if _is_known(mark):
        return
    _log.info("%s is not known here: it runs in a child process first", path)
    runtime = {"threads": threads, "kernels": kernels, "backend": backend}
    run_in_child(path, bundle, runtime, _limits(bundle, threads, _FEW_STEPS_S), golden=False)
    _remember(mark)


def run_in_child(
    path: str | Path, bundle: Bundle, runtime: dict[str, Any], limits: Limits, *, golden: bool
) -> dict[str, Any]:
    """What :func:`edgecap.probe_child.run` says of a model, in a process of its own if possible.

    Raises:
      BackendError, ModelFileError, SpecError: see :func:`probe`.
    """
    imports = [str(Path(__file__).parents[1]), *(str(Path(e or ".").absolute()) for e in sys.path)]
    job = {
        "path": str(path),
        "model": bundle.spec.digests["model"],
        "golden": golden,
        "runtime": runtime,
        "limits": asdict(limits),
        "imports": list(dict.fromkeys(imports)),
    }
    try:
        done = subprocess.run(
            # Without -I the current folder would come first.
            [_python(), "-I", "-c", _CHILD, json.dumps(job)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(
            f"{path}: the runtime was not done with this model after {limits.wall_s:g} s in a "
            "child process. Do not use the file on this machine"
        ) from error
    except OSError as error:
        _log.warning("no child process can be started (%s): the model runs in this one", error)
        from edgecap.probe_child import run

        return run(job)
    return _read(done, path, limits)


def _python() -> str:
    """Raises ``OSError`` where there is none: a packed program would start itself again."""
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("there is no Python to start")
    return sys.executable


def _limits(bundle: Bundle, threads: int, seconds: int) -> Limits:
    memory = _MEMORY + _MEMORY_OF_MODEL * len(bundle.model)
    return Limits(memory, cpu_s=seconds * threads, wall_s=seconds)


def _folder() -> Path:
    """``$EDGECAP_CACHE``, or ``edgecap`` in the user's cache folder, and in it what is known."""
    chosen = os.environ.get("EDGECAP_CACHE")
    if chosen:
        return Path(chosen, "known")
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base, "edgecap", "known")


def _is_known(mark: str) -> bool:
    try:
        return (_folder() / mark).exists()
    # A home that is nobody's or another's.
    except (OSError, RuntimeError):
        return False


def _remember(mark: str) -> None:
    try:
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / mark).touch()
    except (OSError, RuntimeError) as error:
        # A system that is mounted read-only tries the model again at each start.
        _log.info("cannot remember that the model is known: %s", error)


def _read(
    done: subprocess.CompletedProcess[bytes], path: str | Path, limits: Limits
) -> dict[str, Any]:
    """What the child answered.

    Raises:
      EdgecapError: what it raised; or it died, or answered nothing.
    """
    told = _answer(done.stdout) if done.returncode == 0 else None
    if told is not None and "error" not in told:
        return told
    if told is not None:
        kind: Any = getattr(errors, told["error"], None)
        # What a child says that a model has taken over is not believed too far.
        known = isinstance(kind, type) and issubclass(kind, EdgecapError)
        raise (kind if known else BackendError)(told["message"])
    code = done.returncode
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


def _answer(stdout: bytes) -> dict[str, Any] | None:
    """The last line that is an answer."""
    lines = [line for line in stdout.splitlines() if line.startswith(ANSWER.encode())]
    try:
        told = json.loads(lines[-1][len(ANSWER) :])
    except (IndexError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def require_same(bundle: Bundle, digest: str, path: str) -> None:
    """Raises ``ModelFileError`` unless the file is still the one that was looked at."""
    if bundle.spec.digests["model"] != digest:
        raise ModelFileError(f"{path}: the file has changed while it was looked at; try again")
