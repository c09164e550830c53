"""Memory does not grow with the data: a training on clips that would decode to 100 GB.

    python benchmarks/memory.py [--gigabytes X] [--small X] [--json FILE]

Writes a few videos of 640×480 pixels and a manifest of thousands of parts of them, in two classes,
and runs ``edgecap train`` with all stages, a few steps each, and with 2 GB of cache on disk. The
peak of the resident memory is the kernel's own figure for the finished process. The same is done
with a manifest of a hundredth of the rows. How much the clips would decode to is counted as frames
at the network's input: parts × seconds × rate × 224 × 224 × 3 bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import record

from edgecap.synthetic import Scene

_SIDE, _RATE_HZ, _PART_S = 224, 30, 6.0
_VIDEOS, _VIDEO_S = 8, 60.0
_CLASSES = ("left", "right")
_CACHE_GB = 2.0
_CONFIG = f"""
rate_hz = {_RATE_HZ}
variants = 2
pool_limit = 40
validation_limit = 4
cache_gb = {_CACHE_GB}
[encoder]
name = "mobilenet_v2"
alpha = 0.35
height = {_SIDE}
width = {_SIDE}
[augment]
zoom = 0.1
[split]
column = "part"
[pretrain]
steps = 2
batch = 16
[recurrent]
steps = 10
batch = 8
length = 16
validate_every = 10
[joint]
steps = 10
batch = 4
length = 8
validate_every = 10
"""


def make_videos(folder: Path) -> list[Path]:
    """Scenes of one gesture again and again, drawn small and enlarged."""
    folder.mkdir()
    paths = []
    for number in range(_VIDEOS):
        path = folder / f"{number}.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _RATE_HZ, (640, 480))
        gesture = _CLASSES[number % len(_CLASSES)]
        scene = Scene(seed=number, height=120, width=160, rate_hz=_RATE_HZ, gestures=[gesture] * 60)
        for index, frame in enumerate(scene):
            if index == round(_VIDEO_S * _RATE_HZ):
                break
            writer.write(cv2.resize(frame.image[..., ::-1], (640, 480)))
        writer.release()
        paths.append(path)
    return paths


def write_manifest(path: Path, videos: list[Path], gigabytes: float) -> dict[str, Any]:
    """Parts of the videos; the last two are for validation, with ten parts."""
    frames = round(_PART_S * _RATE_HZ)
    clip_bytes = frames * _SIDE * _SIDE * 3
    count = round(gigabytes * 1e9 / clip_bytes) + 1
    # Overlapping parts, spread over each video.
    step_s = (_VIDEO_S - _PART_S - 1.0) / count
    lines = ["path,label,group,start_s,end_s,part"]
    for row in range(count):
        held = row < 10
        number = _VIDEOS - 1 - row % 2 if held else row % (_VIDEOS - 2)
        start = row * step_s
        label, part = _CLASSES[number % 2], "validation" if held else "train"
        name = f"videos/{videos[number].name}"
        lines.append(f"{name},{label},{number},{start:.4f},{start + _PART_S:.4f},{part}")
    path.write_text("\n".join(lines) + "\n")
    return {
        "clips": count,
        "frames": count * frames,
        "decoded_gb": round(count * clip_bytes / 1e9, 1),
    }


def train(folder: Path, manifest: Path, name: str) -> dict[str, Any]:
    """Trains in a process of its own; its peak memory, and what it left on disk."""
    config, out, cache = folder / "config.toml", folder / name, folder / f"cache-{name}"
    config.write_text(_CONFIG)
    command = [sys.executable, "-m", "edgecap", "train", manifest, "--out", out]
    began = time.monotonic()
    process = subprocess.Popen(
        [*map(str, command), "--config", str(config)],
        env=os.environ | {"EDGECAP_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the training ended with code {process.returncode}")
    metrics = json.loads((out / "metrics.json").read_text())
    return {
        # The kernel counts in KiB; files that are mapped count, too.
        "peak_resident_gb": round(usage.ru_maxrss * 1024 / 1e9, 3),
        "seconds": round(time.monotonic() - began, 1),
        "cache_on_disk_gb": round(size(cache) / 1e9, 2),
        "steps": {stage: told["steps"] for stage, told in metrics["stages"].items()},
        "training_clips": metrics["data"]["clips"]["training"],
        "validation_clips": metrics["data"]["clips"]["validation"],
    }


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = record.parser(__doc__)
    parser.add_argument("--gigabytes", type=float, default=100.0)
    parser.add_argument("--small", type=float, default=1.0, help="gigabytes of the other one")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "counted_as": f"frames × {_SIDE} × {_SIDE} × 3 bytes, at {_RATE_HZ} Hz",
        "videos": f"{_VIDEOS} of 640×480, {_VIDEO_S:g} s at {_RATE_HZ} Hz",
        "config": _CONFIG,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = make_videos(folder / "videos")
        for part, gigabytes in (("small", arguments.small), ("large", arguments.gigabytes)):
            manifest = folder / f"{part}.csv"
            told = write_manifest(manifest, videos, gigabytes)
            result[part] = told | train(folder, manifest, part)
    record.publish(result, arguments)


if __name__ == "__main__":
    main()
