"""Options and fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import edgecap
from edgecap.assets import resolve_model
from edgecap.streaming import StreamingModel
from edgecap.synthetic import Scene


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="takes minutes; run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests remember is not what their user's commands know."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECAP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real recordings."""
    folder = os.environ.get("EDGECAP_DATA")
    if not folder:
        pytest.skip("needs real recordings: set EDGECAP_DATA to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def demo_path() -> Path:
    """The packaged model's file."""
    return resolve_model("demo")


@pytest.fixture(scope="session")
def demo_model(demo_path: Path) -> StreamingModel:
    """The packaged model, loaded once."""
    return edgecap.load(demo_path)


@pytest.fixture(scope="session")
def frames(demo_model: StreamingModel) -> npt.NDArray[np.uint8]:
    """``(40, H, W, 3)`` frames of a scene with gestures, at the packaged model's size."""
    spec = demo_model.spec.input
    scene = Scene(seed=11, height=spec.height, width=spec.width, gestures=4)
    return np.stack([frame.image for frame in scene])[:40]
