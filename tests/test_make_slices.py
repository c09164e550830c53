"""The generated volumes: only the order of their slices tells the class."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgecap.dataset import open_dataset

pytest.importorskip("cv2", reason="needs OpenCV")
EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("slices") / "volumes"
    _make(made, seed=3)
    return made


def _make(folder: Path, *, seed: int) -> None:
    script = [sys.executable, str(EXAMPLES / "make_slices.py"), str(folder)]
    options = ["--patients", "2", "--size", "48", "--seed", str(seed)]
    subprocess.run([*script, *options], check=True, capture_output=True)


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_both_halves_of_every_class_hold_the_same_radii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import make_slices

    radii = np.random.default_rng(0).uniform(0.02, 0.1, 14)
    courses = {label: make_slices.course(radii, label) for label in make_slices.CLASSES}
    for course in courses.values():
        for half in np.split(course, 2):
            assert np.array_equal(np.sort(half), np.sort(radii))
    assert len({tuple(course) for course in courses.values()}) == len(courses)
    peaks = {label: int(course.argmax()) for label, course in courses.items()}
    assert peaks["bulge"] in (13, 14) and peaks["waist"] in (0, 27)


def test_the_same_seed_gives_the_same_volumes_and_another_seed_others(
    folder: Path, tmp_path: Path
) -> None:
    _make(tmp_path / "again", seed=3)
    _make(tmp_path / "other", seed=4)
    first = _contents(folder)
    assert _contents(tmp_path / "again") == first
    assert _contents(tmp_path / "other") != first


def test_a_patient_is_a_group_with_a_volume_of_every_class(folder: Path) -> None:
    dataset = open_dataset(folder / "manifest.csv")
    assert dataset.labels == ("bulge", "two_bulges", "two_waists", "waist")
    for group in {clip.group for clip in dataset.clips}:
        labels = sorted(clip.label for clip in dataset.clips if clip.group == group)
        assert labels == sorted(dataset.labels)
    assert all(24 <= len(list(clip.path.glob("*.png"))) <= 40 for clip in dataset.clips)


def test_a_folder_that_holds_something_is_left_alone(folder: Path) -> None:
    before = _contents(folder)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        _make(folder, seed=5)
    assert b"not empty" in failed.value.stderr
    assert _contents(folder) == before
