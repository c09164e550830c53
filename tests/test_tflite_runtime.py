"""The packaged model runs unchanged in tflite-runtime 2.14, with the same events.

tflite-runtime needs Python ≤ 3.11 and NumPy 1, so it lives in an environment of its own:

    python3.11 -m venv ENV && ENV/bin/pip install tflite-runtime==2.14.0 'numpy<2' click
    ENV/bin/pip install --no-deps . && EDGECAP_TFLITE_RUNTIME_PYTHON=ENV/bin/python pytest
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.synthetic import Scene

pytestmark = pytest.mark.tflite_runtime

_VARIABLE = "EDGECAP_TFLITE_RUNTIME_PYTHON"

_SCRIPT = """
import json, sys
import numpy as np
import edgecap
from edgecap.assets import resolve_model
model = edgecap.load(resolve_model("demo"), kernels=sys.argv[2])
stream = model.stream()
events, labels = [], []
for image in np.load(sys.argv[1]):
    prediction = stream.step(image)
    labels.append(prediction.label)
    if prediction.event is not None:
        e = prediction.event
        events.append([e.label, e.kind, round(e.timestamp_s, 3)])
print(json.dumps({"backend": model.backend.name, "events": events, "labels": labels}))
"""


def stream_with(python: str, frames: Path, kernels: str) -> dict[str, Any]:
    done = subprocess.run(
        [python, "-c", _SCRIPT, str(frames), kernels], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    ("kernels", "frames_apart"),
    # The builtin kernels are the same in both. XNNPACK rounds some ties otherwise in 2.14, which
    # moves a score by a step of the logits, and with it now and then an event by one frame.
    [("builtin", 0), ("xnnpack", 1)],
)
def test_tflite_runtime_gives_the_same_events(
    tmp_path: Path, kernels: str, frames_apart: int
) -> None:
    other = os.environ.get(_VARIABLE)
    if not other:
        pytest.skip(f"set {_VARIABLE} to a Python with tflite-runtime 2.14 and edgecap")
    frames = tmp_path / "frames.npy"
    scene = Scene(seed=1 << 51, height=96, width=96, gestures=24)
    np.save(frames, np.stack([frame.image for frame in scene]))
    here = stream_with(sys.executable, frames, kernels)
    there = stream_with(other, frames, kernels)
    assert here["backend"] == "litert"
    assert there["backend"] == "tflite-runtime"
    assert len(here["events"]) > 40, "a start and an end for most of 24 gestures"
    assert [e[:2] for e in there["events"]] == [e[:2] for e in here["events"]]
    apart = [abs(a[2] - b[2]) for a, b in zip(here["events"], there["events"], strict=True)]
    assert max(apart) <= frames_apart / scene.rate_hz + 1e-3
    same = np.mean([a == b for a, b in zip(here["labels"], there["labels"], strict=True)])
    assert same >= 0.99


_CUT = """
import sys
import numpy as np
import edgecap
from edgecap.assets import resolve_model
from edgecap.gate import SceneGate
frames = np.load(sys.argv[1])
whole, cut = (edgecap.load(resolve_model("demo"), kernels=sys.argv[2]) for _ in range(2))
streams = [whole.stream(), cut.stream(gate=SceneGate(max_skips=0)), cut.stream()]
for number, frame in enumerate(frames):
    found = {stream.step(frame).probabilities.tobytes() for stream in streams}
    states = {b"".join(s.tobytes() for s in stream.snapshot().states) for stream in streams}
    assert len(found) == len(states) == 1, f"frame {number} differs"
print(whole.backend.name, len(frames))
"""


@pytest.mark.parametrize("kernels", ["builtin", "xnnpack"])
def test_the_two_parts_of_a_step_give_the_same_bytes_there(tmp_path: Path, kernels: str) -> None:
    other = os.environ.get(_VARIABLE)
    if not other:
        pytest.skip(f"set {_VARIABLE} to a Python with tflite-runtime 2.14 and edgecap")
    frames = tmp_path / "frames.npy"
    scene = Scene(seed=1 << 52, height=96, width=96, gestures=8)
    images = np.stack([frame.image for frame in scene])[:250]
    assert len(images) >= 200
    np.save(frames, images)
    done = subprocess.run(
        [other, "-c", _CUT, str(frames), kernels], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["tflite-runtime", str(len(images))]
