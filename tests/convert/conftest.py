"""One small network, trained and converted once by the real code, shared by the tests here."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'convert'")
pytest.importorskip("tf_keras", reason="needs the extra 'convert'")

import edgecap_convert
import tensorflow as tf
from edgecap_convert.export.assemble import Converted, finish
from edgecap_convert.models.network import Network
from edgecap_convert.quantization.qat import train_quantized
from edgecap_convert.quantization.recipes import recipe_named
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.material import open_material
from edgecap_convert.training.runs import METRICS_FILE, PARITY_FILE, Run, open_run
from edgecap_convert.training.train import train

import edgecap
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene
from tests.convert.tiny import read_json

#: Enough to learn most gestures in about a minute and a half on two cores.
SMALL = {
    "encoder": {"height": 64, "width": 64},
    "lstm": {"units": 48},
    "scenes": 220,
    "audit_frames": 400,
    "pretrain": {"steps": 500, "batch": 96},
    "recurrent": {"steps": 900, "batch": 24, "length": 36, "validate_every": 150},
    "joint": {"steps": 4, "batch": 4, "length": 12, "validate_every": 4},
    "qat": {"steps": 30, "batch": 8, "length": 16, "validate_every": 30},
}


_SMALL_MODEL, _MAKING = "small.tflite", "making-"


@dataclass(frozen=True)
class SmallRun:
    """A finished run and what became of it."""

    run: Run
    metrics: dict[str, Any]
    quantized: Network
    parity: dict[str, Any]
    path: Path

    def model(self, **runtime: Any) -> StreamingModel:
        return edgecap.load(self.path, **runtime)


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Decoded clips and features go to a folder of the tests' own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECAP_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> SmallRun:
    """Trained, quantised and converted as the command line does it.

    It takes minutes, so pytest's cache keeps it for as long as no line of the code changes.
    """
    folder = tmp_path_factory.mktemp("small") / "run"
    cache = getattr(pytestconfig, "cache", None)
    if cache is None:
        _make_small_run(folder)
    else:
        kept = cache.mkdir("small-run") / _code_digest()
        if not kept.exists():
            made = Path(tempfile.mkdtemp(dir=kept.parent, prefix=_MAKING))
            _make_small_run(made / "run")
            # Another worker may have been first.
            with contextlib.suppress(OSError):
                (made / "run").rename(kept)
            shutil.rmtree(made)
            for older in kept.parent.iterdir():
                if older != kept and not older.name.startswith(_MAKING):
                    shutil.rmtree(older, ignore_errors=True)
        # A copy: tests may convert the run again.
        shutil.copytree(kept, folder)
    run = open_run(folder)
    return SmallRun(
        run,
        read_json(folder / METRICS_FILE),
        run.quantized_network(),
        read_json(folder / PARITY_FILE),
        folder / _SMALL_MODEL,
    )


def _make_small_run(folder: Path) -> None:
    train("synthetic:", folder, TrainConfig.from_dict(SMALL), seed=3)
    run = open_run(folder)
    data = open_material(run.data, run.config, seed=run.seed)
    trained = train_quantized(run.network(), run.config, data, seed=run.seed, folder=run.path)
    made = Converted(trained.network, trained.quantized, trained.history)
    finish(run, made, data, folder / _SMALL_MODEL, recipe_named("int8"), name="small")


def _code_digest() -> str:
    """Of all that the small run is made by."""
    digest = hashlib.sha256(f"{sys.version} {tf.__version__} {np.__version__}".encode())
    for package in (edgecap, edgecap_convert):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(f"{path.name}\0".encode() + path.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def moving_frames() -> np.ndarray:
    """2,000 consecutive frames of scenes that no training has seen, ``(N, 64, 64, 3)`` uint8."""
    frames: list[np.ndarray] = []
    scene = Scene(seed=1 << 50, height=64, width=64)
    for frame in scene:
        frames.append(frame.image)
        if len(frames) == 2000:
            return np.stack(frames)
    raise AssertionError("an endless scene ended")
