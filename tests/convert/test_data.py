"""What training reads: sequences that go on, losses only where the answer can be known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from edgecap_convert.data import FrameFormat, batches, open_training_data
from edgecap_convert.data.scenes import SceneData, pose_batches
from edgecap_convert.data.sequences import prefetch
from edgecap_convert.training.config import TrainConfig

from edgecap.errors import DataError
from edgecap.synthetic import LABELS


@pytest.fixture(scope="module")
def frames() -> FrameFormat:
    return TrainConfig.from_dict({"encoder": {"height": 32, "width": 32}}).frames


@pytest.fixture(scope="module")
def scenes(frames: FrameFormat) -> SceneData:
    return SceneData("synthetic:", frames)


def test_rows_go_on_from_batch_to_batch(scenes: SceneData) -> None:
    short = list(itertools.islice(batches(scenes, batch=3, length=5, seed=4), 4))
    (long,) = itertools.islice(batches(scenes, batch=3, length=20, seed=4), 1)
    for field in ("images", "labels", "weights", "resets"):
        joined = np.concatenate([getattr(batch, field) for batch in short], axis=1)
        np.testing.assert_array_equal(joined, getattr(long, field))


def test_there_is_no_loss_where_the_truth_has_just_changed(scenes: SceneData) -> None:
    stream = itertools.islice(scenes.stream(np.random.default_rng(0)), 600)
    before = None
    changes = 0
    for frame in stream:
        if frame.label != before:
            assert frame.weight == 0.0
            changes += 1
        before = frame.label
    assert changes > 10
    settled = itertools.islice(scenes.stream(np.random.default_rng(1)), 600)
    weights = {(f.label > 0, f.weight) for f in settled}
    assert weights == {(True, 0.0), (True, 1.0), (False, 0.0), (False, 0.4)}


def test_the_state_is_reset_where_a_scene_begins(scenes: SceneData) -> None:
    stream = list(itertools.islice(scenes.stream(np.random.default_rng(0)), 900))
    assert stream[0].reset
    assert 2 <= sum(frame.reset for frame in stream) < 20


def test_validation_scenes_are_none_that_training_draws(scenes: SceneData) -> None:
    drawn = {
        f.image.tobytes() for f in itertools.islice(scenes.stream(np.random.default_rng(2)), 400)
    }
    for recording in scenes.validation:
        assert not drawn & {image.tobytes() for image in recording.images}
        assert {segment.label for segment in recording.segments} <= set(LABELS[1:])


def test_poses_say_where_the_object_is(frames: FrameFormat) -> None:
    # Every scene begins with an object; ten frames on, some are empty.
    *_, (images, poses) = itertools.islice(pose_batches(frames, batch=64, seed=0), 10)
    assert images.shape == (64, 32, 32, 3)
    assert poses.shape == (64, 4)
    visible = poses[:, 3] == 1
    assert 0 < visible.sum() < 64
    assert np.abs(poses[visible, :2]).max() < 0.6
    assert not poses[~visible].any()


def test_an_error_in_the_reading_thread_reaches_the_reader() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise DataError("the disk is gone")

    reader = prefetch(broken())
    assert next(reader) == 1
    with pytest.raises(DataError, match="the disk is gone"):
        next(reader)


def test_unknown_training_material_is_refused(frames: FrameFormat) -> None:
    for name, said in (("synthetic:seed=3", "--seed"), ("/no/such/folder", "no such folder")):
        with pytest.raises(DataError, match=said):
            open_training_data(name, frames, seed=0)
