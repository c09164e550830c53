"""An emulated Raspberry Pi in one command: does it compute the same bytes as x86-64?

    python benchmarks/emulated_pi.py [MODEL…] [--cpu cortex-a72] [--frames 200] [--root FOLDER]
                                     [--json FILE]

By default the packaged model, on a Pi 4 (A72) and a Pi 5 (A76): some two minutes.

* The emulated Debian is set up in FOLDER, once, without root (see ``arm64_setup.py``).
* ``edgecap verify`` and ``edgecap run`` are called there; the JSON lines must be those from here.
* Each model streams the frames of a scene here and there, on the default kernels, with its state
  carried on. Every output and state is compared: one byte apart, and it is called different. To
  tell a rounding that adds up from an error, some frames are run once more from the states recorded
  here.

Exit status 1 if anything differs. It shows what is computed, never how fast (docs/emulated_pi.md).
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import record
from arm64_setup import default_root, prepare
from arm64_userland import CPUS, Userland, UserlandError
from emulated_commands import PROJECT, Commands, run_commands, run_here

from edgecap.assets import resolve_model
from edgecap.bundle import read_bundle
from edgecap.errors import EdgecapError
from edgecap.golden import steps_apart
from edgecap.spec import ModelSpec
from edgecap.synthetic import Scene

_SCRIPT = Path(__file__).with_name("stream_bytes.py")
_SEED = 1 << 53
#: Frames that are run from recorded states too, at most.
FORCED = 50
#: Frames of ``edgecap run``, at most.
COMMANDED = 100


@dataclass(frozen=True)
class Streamed:
    """What a model did on one processor.

    Attributes:
      arrays: ``output`` and each state, ``(N, …)``. seconds: for the frames.
      backend: which runtime computed. golden: the recorded outputs repeated, as ``edgecap verify``
        does; empty where frames started from recorded states.
    """

    arrays: dict[str, np.ndarray]
    seconds: float
    backend: str
    golden: dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """A model here and on an emulated processor.

    Attributes:
      here, there: streamed with its own state. forced: there, from the states recorded here.
    """

    model: Path
    cpu: str
    spec: ModelSpec
    here: Streamed
    there: Streamed
    forced: Streamed

    @property
    def first_difference(self) -> int | None:
        """The first frame after which any byte differs."""
        frames = (_differs(self.here.arrays[n], self.there.arrays[n]) for n in self.here.arrays)
        found = np.flatnonzero(np.any(list(frames), axis=0))
        return int(found[0]) if len(found) else None

    @property
    def equal(self) -> bool:
        return self.first_difference is None

    def largest_steps(self, found: Streamed) -> dict[str, float]:
        """The largest difference of each tensor from here, in steps of its grid."""
        return {
            name: round(float(steps_apart(values, self.here.arrays[name][: len(values)]).max()), 3)
            for name, values in found.arrays.items()
        }

    def summary(self) -> dict[str, Any]:
        forced, here, there = self.forced.arrays, self.here.arrays, self.there.arrays
        result: dict[str, Any] = {
            "model": self.model.stem,
            "recipe": self.spec.recipe,
            "cpu": self.cpu,
            "frames": len(here["output"]),
            "equal": self.equal,
            "first_difference": self.first_difference,
            "largest_difference_steps": self.largest_steps(self.there),
            "from_equal_states": {
                "frames": len(forced["output"]),
                "share_of_values_that_differ": {
                    name: round(float((values != here[name][: len(values)]).mean()), 6)
                    for name, values in forced.items()
                },
                "largest_difference_steps": self.largest_steps(self.forced),
            },
            "golden": self.there.golden,
            "seconds": {"here": self.here.seconds, "emulated": self.there.seconds},
        }
        if self.spec.task == "classification":
            same = here["output"].argmax(axis=1) == there["output"].argmax(axis=1)
            result["same_answers"] = round(float(same.mean()), 5)
        return result

    def verdict(self) -> str:
        if self.equal:
            said = f"equal: every byte of {len(self.here.arrays['output'])} frames"
        else:
            said = f"DIFFERENT from frame {self.first_difference} on; largest steps " + ", ".join(
                f"{name} {steps:g}" for name, steps in self.largest_steps(self.there).items()
            )
        return f"{self.model.stem} ({self.spec.recipe}) on {self.cpu}: {said}"


def compare(
    models: Sequence[Path], userland: Userland, cpus: Sequence[str], *, frames: int
) -> Iterator[Compared]:
    """Every model on every processor; one emulated process for each processor.

    Raises:
      UserlandError: a run failed. EdgecapError: a model cannot be read.
    """
    specs = [read_bundle(model).spec for model in models]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        jobs = [
            {"model": str(model.resolve()), "frames": str(_scene(spec, frames, work))}
            for model, spec in zip(models, specs, strict=True)
        ]
        shorter = [
            job | {"frames": str(_scene(spec, min(frames, FORCED), work))}
            for job, spec in zip(jobs, specs, strict=True)
        ]
        here = _stream(jobs, work / "here")
        shorter = [
            job | {"states": str(work / "here" / f"{number}.npz")}
            for number, job in enumerate(shorter)
        ]
        for cpu in cpus:
            done = _stream(jobs + shorter, work / cpu, userland, cpu)
            there, forced = done[: len(jobs)], done[len(jobs) :]
            for row in zip(models, itertools.repeat(cpu), specs, here, there, forced, strict=False):
                yield Compared(*row)


def _stream(
    jobs: Sequence[dict[str, str]],
    folder: Path,
    userland: Userland | None = None,
    cpu: str = "",
) -> list[Streamed]:
    """Runs ``stream_bytes.py``: here, or on the emulated processor."""
    folder.mkdir()
    outs = [folder / f"{number}.npz" for number in range(len(jobs))]
    listed = folder / "jobs.json"
    listed.write_text(
        json.dumps([job | {"out": str(out)} for job, out in zip(jobs, outs, strict=True)])
    )
    if userland is None:
        printed = run_here([str(_SCRIPT), str(listed)])
    else:
        printed = userland.run(cpu, [_SCRIPT, listed], python_path=[PROJECT])
    streamed = []
    for out, line in zip(outs, printed.splitlines(), strict=True):
        answer = json.loads(line)
        with np.load(out) as file:
            arrays = dict(file)
        streamed.append(
            Streamed(arrays, answer["seconds"], answer["backend"], answer.get("golden", {}))
        )
    return streamed


def _scene(spec: ModelSpec, count: int, folder: Path) -> Path:
    """Frames at the model's size, so that no resizing is compared."""
    height, width = spec.input.height, spec.input.width
    path = folder / f"{height}x{width}x{count}.npy"
    if not path.exists():
        scene = Scene(seed=_SEED, height=height, width=width, rate_hz=spec.rate_hz)
        np.save(path, np.stack([frame.image for frame in itertools.islice(scene, count)]))
    return path


def _differs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether any byte of a frame's values differs, ``(N,)``; −0.0 is not 0.0 here."""
    rows = [np.ascontiguousarray(a).view(np.uint8).reshape(len(a), -1) for a in (one, other)]
    return np.any(rows[0] != rows[1], axis=1)


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("models", nargs="*", default=["demo"], metavar="MODEL", help="files")
    parser.add_argument("--cpu", choices=CPUS, action="append", help="by default each")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--root", type=Path, default=default_root(), help="the emulated Debian")
    arguments = parser.parse_args()
    if arguments.frames < 1:
        parser.error(f"--frames: expected 1 or more; got {arguments.frames}")
    cpus = arguments.cpu or list(CPUS)
    frames: int = arguments.frames
    rows: list[Compared] = []
    called: list[Commands] = []
    try:
        models = [resolve_model(model) for model in arguments.models]
        print(f"the emulated Debian, set up if need be: {arguments.root}", flush=True)
        userland = prepare(arguments.root)
        for model, cpu in itertools.product(models, cpus):
            called.append(run_commands(model, userland, cpu, frames=min(frames, COMMANDED)))
            print(called[-1].verdict(), flush=True)
        for compared in compare(models, userland, cpus, frames=frames):
            rows.append(compared)
            print(compared.verdict(), flush=True)
    except (UserlandError, EdgecapError) as error:
        sys.exit(f"emulated_pi: {error}")
    result = {
        "emulator": {name: userland.versions[name] for name in ("qemu", "suite")},
        "commands": [one.summary() for one in called],
        "models": [row.summary() for row in rows],
    }
    record.publish(result, arguments)
    sys.exit(0 if all(one.equal for one in (*called, *rows)) else 1)


if __name__ == "__main__":
    main()
