"""Workers that share every batch follow the loss curve of one with the joint batch.

    python benchmarks/distributed.py [--workers N] [--steps N] [--seed N] [--json FILE]

Trains on generated clips, with dropout, noise and carried states: once in one process, once in
N on this machine that find each other by TF_CONFIG. Compared are the losses of every step of every
stage, the validations and the final weights.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import record
from resume import make_clips

_CONFIG = """
rate_hz = 12
variants = 2
[encoder]
name = "mobilenet_v2"
alpha = 0.35
height = 64
width = 64
[neck]
channels = 8
features = 32
[lstm]
units = 32
[augment]
zoom = 0.1
shift = 0.05
[split]
validation = 0.3
[pretrain]
steps = 10
batch = 32
[recurrent]
steps = {steps}
batch = 12
length = 8
learning_rate = 1e-2
validate_every = 20
keep = "last"
dropout = 0.2
noise = 0.1
[joint]
steps = {steps}
batch = 12
length = 4
learning_rate = 5e-4
validate_every = 20
keep = "last"
dropout = 0.2
weight_decay = 0.01
smoothing = 0.05
"""


def train(folder: Path, clips: Path, steps: int, seed: int, workers: int) -> dict[str, Any]:
    """Trains in so many processes; what the run holds."""
    folder.mkdir()
    config, out = folder / "config.toml", folder / "run"
    config.write_text(_CONFIG.format(steps=steps))
    command = [sys.executable, "-m", "edgecap", "train", clips, "--out", out]
    command += ["--config", config, "--seed", seed]
    environment = os.environ | {"EDGECAP_CACHE": str(folder / "cache")}
    began = time.monotonic()
    if workers == 1:
        processes = [start(command, environment)]
    else:
        addresses = [f"localhost:{port}" for port in free_ports(workers)]
        processes = []
        for index in range(workers):
            place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = environment | {"TF_CONFIG": json.dumps(place)}
            processes.append(start([*command, "--distributed"], environment))
    for process in processes:
        _, said = process.communicate()
        if process.returncode:
            raise RuntimeError(said)
    with np.load(out / "weights.npz") as arrays:
        weights = np.concatenate([arrays[name].ravel() for name in sorted(arrays.files)])
    return {
        "history": json.loads((out / "history.json").read_text()),
        "weights": weights,
        "seconds": round(time.monotonic() - began, 1),
    }


def start(command: list[Any], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(map(str, command)),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def compare(one: dict[str, Any], many: dict[str, Any]) -> dict[str, Any]:
    """The curves side by side, and how far they are apart at most."""
    stages = {}
    for first, second in zip(one["history"], many["history"], strict=True):
        a, b = np.array(first["loss"]), np.array(second["loss"])
        stages[first["stage"]] = {
            "steps": len(a),
            "largest_difference": float(np.abs(a - b).max()),
            "largest_relative_difference": float((np.abs(a - b) / np.abs(a)).max()),
            "loss": {"one": first["loss"], "many": second["loss"]},
            "validation": {"one": first["validated"], "many": second["validated"]},
        }
    return {
        "stages": stages,
        "final_weights": {
            "largest_difference": float(np.abs(one["weights"] - many["weights"]).max()),
            "largest_weight": float(np.abs(one["weights"]).max()),
        },
    }


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clips(folder / "clips")
        given = (folder / "clips", arguments.steps, arguments.seed)
        one = train(folder / "one", *given, 1)
        many = train(folder / "many", *given, arguments.workers)
    result = {
        "workers": arguments.workers,
        "seconds": {"one": one["seconds"], "many": many["seconds"]},
    }
    record.publish(result | compare(one, many), arguments)


if __name__ == "__main__":
    main()
