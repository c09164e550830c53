"""A training that is killed again and again ends where an unbroken one does.

    python benchmarks/resume.py [--kills N] [--seed N] [--json FILE]

Trains on generated clips and converts, through all stages, once without a stop; then again, killed
with SIGKILL at N random moments and gone on with by the same command and ``--resume``. Compared
are the final metrics, the weights and the int8 file's graph.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import record

from edgecap.bundle import read_bundle
from edgecap.synthetic import Scene

_CLASSES, _CLIPS = ("left", "right", "up"), 10
_CONFIG = """
variants = 3
checkpoint_s = 1.0
[encoder]
height = 64
width = 64
[lstm]
units = 32
attention = 4
[neck]
channels = 8
difference = true
features = 32
[augment]
zoom = 0.1
shift = 0.1
light = 0.2
mirror = {left = "right", right = "left", up = "up"}
[pretrain]
steps = 60
batch = 32
[recurrent]
steps = 240
batch = 16
length = 24
validate_every = 40
dropout = 0.2
noise = 0.05
[joint]
steps = 40
batch = 4
length = 12
validate_every = 10
dropout = 0.2
[qat]
steps = 30
batch = 4
length = 12
validate_every = 10
"""


def make_clips(folder: Path) -> None:
    """Gestures as videos of 96×80 pixels at 24 frames a second."""
    for label in _CLASSES:
        (folder / label).mkdir(parents=True)
        for seed in range(_CLIPS):
            path = str(folder / label / f"{seed}.mp4")
            writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), 24.0, (96, 80))
            for frame in Scene(seed=seed, height=80, width=96, rate_hz=24, gestures=[label]):
                if frame.gesture >= 0:
                    writer.write(frame.image[..., ::-1])
            writer.release()


class Job:
    """Train and convert, as one command line after the other."""

    def __init__(self, folder: Path, clips: Path, cache: Path, seed: int) -> None:
        config = folder / "config.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(_CONFIG)
        self.run, self.model = folder / "run", folder / "model.tflite"
        self._environment = os.environ | {"EDGECAP_CACHE": str(cache)}
        verb = [sys.executable, "-m", "edgecap"]
        self._train = [*verb, "train", clips, "--out", self.run, "--config", config]
        self._train += ["--seed", str(seed), "--resume", "--json"]
        self._convert = [*verb, "convert", self.run, "--out", self.model, "--resume", "--json"]

    def go_on(self, kill_after: float | None) -> bool:
        """Runs what is left; whether it came to its end before it was killed."""
        deadline = None if kill_after is None else time.monotonic() + kill_after
        for command in (self._train, self._convert):
            process = subprocess.Popen(
                list(map(str, command)),
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                code = process.wait(left)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return False
            if code:
                raise RuntimeError(f"{command} ended with code {code}")
        return True

    def result(self) -> dict[str, Any]:
        """What must be equal."""
        metrics = json.loads((self.run / "metrics.json").read_text())
        parity = json.loads((self.run / "parity.json").read_text())
        weights = hashlib.sha256()
        with np.load(self.run / "weights.npz") as arrays:
            for name in sorted(arrays.files):
                weights.update(arrays[name].tobytes())
        return {
            "metrics": {name: metrics[name] for name in ("stages", "validation")},
            "losses": json.loads((self.run / "history.json").read_text()),
            "parity": {name: parity[name] for name in ("accuracy", "same_answers")},
            "weights_sha256": weights.hexdigest(),
            "graph_sha256": hashlib.sha256(read_bundle(self.model).model).hexdigest(),
        }


def measure(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Runs both trainings."""
    clips = folder / "clips"
    make_clips(clips)
    whole = Job(folder / "whole", clips, folder / "cache-whole", seed)
    began = time.monotonic()
    whole.go_on(None)
    unbroken_s = time.monotonic() - began
    broken = Job(folder / "broken", clips, folder / "cache-broken", seed)
    rng = random.Random(seed)
    moments = []
    while len(moments) < kills:
        # Long enough that some starts get past loading, short enough that the job is not over.
        after = rng.uniform(2.0, max(12.0, 0.3 * unbroken_s))
        if broken.go_on(after):
            break
        moments.append(round(after, 1))
    broken.go_on(None)
    first, second = whole.result(), broken.result()
    return {
        "unbroken_seconds": round(unbroken_s, 1),
        "killed_after_seconds": moments,
        "kills": len(moments),
        "equal": {name: first[name] == second[name] for name in first},
        "validation": {
            "unbroken": first["metrics"]["validation"]["accuracy"],
            "killed": second["metrics"]["validation"]["accuracy"],
        },
    }


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record.publish(measure(Path(folder), arguments.kills, arguments.seed), arguments)


if __name__ == "__main__":
    main()
