"""The package's own native library for arm64-v8a on an emulated processor, byte for byte.

What ``test_arm64.py`` does with LiteRT of the wheel for aarch64, done with TensorFlow Lite's
library as it lies in the APK. Needs what both need, and Debian's cross-compiler:

    android_demo/build.sh --tests FOLDER
    python benchmarks/arm64_setup.py ROOT
    apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    EDGECAP_ANDROID_BUILD=FOLDER EDGECAP_ARM64_ROOT=ROOT pytest tests/test_android_arm64.py
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.contract import bind
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from tests import android_host

pytestmark = [pytest.mark.android, pytest.mark.arm64]

_FRAMES = 200
_RUN = Path(__file__).parent / "bionic_stand_in" / "run_tflite.py"
_COMPILER = "aarch64-linux-gnu-gcc"
CPUS = ("cortex-a72", "cortex-a76")


@pytest.fixture(scope="module")
def userland() -> Iterator[Any]:
    """The emulated Debian."""
    root = os.environ.get("EDGECAP_ARM64_ROOT")
    if not root:
        pytest.skip("set EDGECAP_ARM64_ROOT to a folder made by benchmarks/arm64_setup.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
        import arm64_userland

        yield arm64_userland.open_userland(Path(root))


@pytest.fixture(scope="module")
def apk() -> Path:
    folder = os.environ.get("EDGECAP_ANDROID_BUILD")
    if not folder:
        pytest.skip("set EDGECAP_ANDROID_BUILD to a folder made by android_demo/build.sh")
    return Path(folder) / "edgecap-demo.apk"


@pytest.fixture(scope="module")
def expected(demo_model: StreamingModel) -> tuple[np.ndarray, list[bytes]]:
    """``(N, H, W, 3)`` int8 images, and what this machine makes of each: output and states."""
    spec = demo_model.spec.input
    scene = Scene(seed=5, height=spec.height, width=spec.width, gestures=12)
    images = np.stack([frame.image for frame in scene][:_FRAMES])
    states, told = demo_model.initial_states(), []
    for image in images:
        output, states = demo_model.infer(image, states)
        told.append(b"".join(array.tobytes() for array in (output, *states)))
    return (images ^ np.uint8(0x80)).view(np.int8), told


@pytest.fixture(scope="module")
def folder(
    apk: Path,
    demo_model: StreamingModel,
    expected: tuple[np.ndarray, list[bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """What ``run_tflite.py`` reads."""
    if shutil.which(_COMPILER) is None:
        pytest.skip(f"needs {_COMPILER}: install gcc-aarch64-linux-gnu and libc6-dev-arm64-cross")
    made = tmp_path_factory.mktemp("arm64-v8a")
    android_host.prepare(apk, "lib/arm64-v8a", made, compiler=_COMPILER)
    tensors = bind(demo_model.bundle.graph, demo_model.spec)
    reset = [array.tobytes().hex() for array in demo_model.initial_states()]
    (made / "step.json").write_text(json.dumps(tensors._asdict() | {"reset": reset}))
    (made / "model.bin").write_bytes(demo_model.bundle.model)
    np.save(made / "frames.npy", expected[0])
    return made


@pytest.mark.parametrize("cpu", CPUS)
def test_the_library_of_the_package_gives_the_bytes_of_python(
    cpu: str, userland: Any, folder: Path, expected: tuple[np.ndarray, list[bytes]]
) -> None:
    told = folder / "outputs.bin"
    told.unlink(missing_ok=True)
    userland.run(cpu, [_RUN, folder])
    data, size = told.read_bytes(), len(expected[1][0])
    assert len(data) == _FRAMES * size
    found = [data[at : at + size] for at in range(0, len(data), size)]
    assert len(set(found)) == _FRAMES, "every frame must differ for this to mean anything"
    differing = [frame for frame in range(_FRAMES) if found[frame] != expected[1][frame]]
    assert not differing, f"frames {differing[:10]} differ, of {len(differing)}"
