"""The event files hold what was logged, also after a training was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'convert'")
pytest.importorskip("tensorboard", reason="needs TensorBoard, to read what was written")

from edgecap_convert.training.tensorboard import TensorBoardLog
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgecap.errors import ConfigError


def read(folder: Path) -> Any:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


def points(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value)) for event in read(folder).Scalars(name)]


def test_scalars_are_read_back_by_stage(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path / "log") as log:
        log.scalars("pretrain", 1, loss=4.0, validation=None)
        log.scalars("joint", 0, validation=0.25)
        for step in (1, 2, 3):
            log.scalars("joint", step, loss=1 / step, learning_rate=1e-3)
    assert points(tmp_path / "log" / "joint", "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert points(tmp_path / "log" / "joint", "validation") == [(0, 0.25)]
    assert points(tmp_path / "log" / "pretrain", "loss") == [(1, 4.0)]
    assert read(tmp_path / "log" / "pretrain").Tags()["scalars"] == ["loss"]


def test_nothing_is_made_before_the_first_point(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path / "log")
    log.resume("joint", 10)
    log.scalars("joint", 11, validation=None)
    log.close()
    assert not (tmp_path / "log").exists()


def test_an_image_is_read_back(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    with TensorBoardLog(tmp_path) as log:
        log.image("joint", 5, "clips", image)
    (event,) = read(tmp_path / "joint").Images("clips")
    encoded = np.frombuffer(event.encoded_image_string, np.uint8)
    decoded = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert event.step == 5
    assert np.array_equal(decoded, image)


def test_a_resumed_stage_has_each_point_once(tmp_path: Path) -> None:
    for _ in range(2):
        # Interrupted twice at step 7, after the checkpoint of step 4.
        log = TensorBoardLog(tmp_path)
        begin = 5 if any(tmp_path.iterdir()) else 1
        if begin > 1:
            log.resume("joint", 4)
        for step in range(begin, 8):
            log.scalars("joint", step, loss=step * begin)
        log.flush()
    with TensorBoardLog(tmp_path) as log:
        log.resume("joint", 4)
        for step in range(5, 10):
            log.scalars("joint", step, loss=-step)
    expected = [(step, step) for step in range(1, 5)] + [(step, -step) for step in range(5, 10)]
    assert points(tmp_path / "joint", "loss") == expected


def test_resuming_one_stage_leaves_the_others(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path) as log:
        for step in range(1, 30):
            log.scalars("recurrent", step, loss=1.0)
        log.scalars("joint", 3, loss=1.0)
    with TensorBoardLog(tmp_path) as log:
        log.resume("joint", 0)
        log.scalars("joint", 1, loss=2.0)
    assert len(points(tmp_path / "recurrent", "loss")) == 29
    assert points(tmp_path / "joint", "loss") == [(1, 2.0)]


def test_a_file_cut_off_in_a_record_does_not_hide_what_follows(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path) as log:
        for step in range(1, 6):
            log.scalars("joint", step, loss=1.0)
    (first,) = (tmp_path / "joint").iterdir()
    first.write_bytes(first.read_bytes()[:-7])
    with TensorBoardLog(tmp_path) as log:
        log.resume("joint", 3)
        for step in range(4, 7):
            log.scalars("joint", step, loss=2.0)
    expected = [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0), (6, 2.0)]
    assert points(tmp_path / "joint", "loss") == expected


def test_points_are_on_the_disk_after_a_flush(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path)
    log.scalars("joint", 1, loss=3.0)
    log.flush()
    assert points(tmp_path / "joint", "loss") == [(1, 3.0)]
    log.close()


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    log = TensorBoardLog(tmp_path / "taken")
    with pytest.raises(ConfigError, match="event files cannot be written"):
        log.scalars("joint", 1, loss=1.0)
