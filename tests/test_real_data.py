"""The packaged model over real recordings: it need not be right about them, it must get through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.data

_KEYS = {"frame", "timestamp_s", "label", "score", "probabilities", "event", "settled"}


def run_over(path: Path, out: Path) -> list[dict[str, object]]:
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "edgecap", "run", "demo", "--source", str(path), "--jsonl", str(out)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(out.read_text().splitlines())} of" in done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_a_video_gives_a_line_per_processed_frame(data_folder: Path, tmp_path: Path) -> None:
    lines = run_over(data_folder / "videos" / "cockatoo.mp4", tmp_path / "out.jsonl")
    # 14 s at 20 frames a second, of which the model takes 12 a second.
    assert 160 <= len(lines) <= 172
    assert all(set(line) == _KEYS for line in lines)


def test_a_gesture_clip_gives_a_line_per_processed_frame(data_folder: Path, tmp_path: Path) -> None:
    clip = sorted((data_folder / "gestures").glob("*/*.mp4"))[0]
    lines = run_over(clip, tmp_path / "out.jsonl")
    assert len(lines) > 8
    assert [line["timestamp_s"] for line in lines] == sorted(line["timestamp_s"] for line in lines)
