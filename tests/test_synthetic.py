"""Synthetic scenes: repeatable, and built so that only the order of the frames tells the class."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgecap.synthetic import BACKGROUND, GESTURES, LABELS, REVERSED, Scene, SceneFrame
from edgecap.synthetic.motions import Path

MOMENTS = np.linspace(0, 1, 41)


def play(seed: int, **options: object) -> list[SceneFrame]:
    return list(Scene(**{"seed": seed, "height": 48, "width": 48, "gestures": 3} | options))


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = play(7), play(7)
    assert [f.image.tobytes() for f in first] == [f.image.tobytes() for f in second]
    assert [(f.timestamp_s, f.label, f.gesture, f.pose) for f in first] == [
        (f.timestamp_s, f.label, f.gesture, f.pose) for f in second
    ]


def test_a_scene_can_be_played_twice() -> None:
    scene = Scene(seed=3, height=48, width=48, gestures=1)
    assert [f.image.tobytes() for f in scene] == [f.image.tobytes() for f in scene]


def test_different_seeds_give_different_frames() -> None:
    images = {play(seed, gestures=1)[5].image.tobytes() for seed in range(8)}
    assert len(images) == 8


def test_every_gesture_has_a_reversal_and_none_is_its_own() -> None:
    assert set(GESTURES) == set(REVERSED)
    assert (BACKGROUND, *GESTURES) == LABELS
    for label, reversed_label in REVERSED.items():
        assert reversed_label != label
        assert REVERSED[reversed_label] == label


@pytest.mark.parametrize("label", GESTURES)
def test_a_gesture_backwards_is_its_reversal_so_no_frame_tells_the_class(label: str) -> None:
    for seed in range(20):
        forth = Path.draw(label, np.random.default_rng(seed), aspect=4 / 3)
        back = Path.draw(REVERSED[label], np.random.default_rng(seed), aspect=4 / 3)
        for u in MOMENTS:
            a, b = forth.at(u), back.at(1 - u)
            assert (a.x, a.y, a.radius) == pytest.approx((b.x, b.y, b.radius), abs=1e-12)


@pytest.mark.parametrize("label", GESTURES)
def test_a_gesture_goes_where_its_name_says(label: str) -> None:
    for seed in range(20):
        path = Path.draw(label, np.random.default_rng(seed))
        poses = [path.at(u) for u in MOMENTS]
        start, end = poses[0], poses[-1]
        if label in ("left", "right"):
            assert (end.x - start.x) * (-1 if label == "left" else 1) > 0.2
        elif label in ("up", "down"):
            # Image coordinates grow downwards.
            assert (end.y - start.y) * (-1 if label == "up" else 1) > 0.2
        elif label in ("towards", "away"):
            assert (end.radius / start.radius) ** (1 if label == "towards" else -1) > 2
        else:
            x = np.array([p.x for p in poses]) - path.center_x
            y = np.array([p.y for p in poses]) - path.center_y
            turned = np.unwrap(np.arctan2(y, x))[-1] - np.arctan2(y[0], x[0])
            assert turned * (1 if label == "clockwise" else -1) > 2 * np.pi


def test_the_pose_rests_at_the_ends_outside_of_the_gesture() -> None:
    path = Path.draw("left", np.random.default_rng(0))
    assert path.at(-1.0) == path.at(0.0)
    assert path.at(2.0) == path.at(1.0)


def test_the_background_is_no_gesture_to_draw() -> None:
    with pytest.raises(ValueError, match="expected one of left"):
        Path.draw(BACKGROUND, np.random.default_rng(0))


@pytest.mark.parametrize(("height", "width"), [(48, 48), (32, 80), (80, 32), (16, 16)])
def test_frames_have_the_size_asked_for(height: int, width: int) -> None:
    for frame in play(1, height=height, width=width, gestures=1):
        assert frame.image.shape == (height, width, 3)
        assert frame.image.dtype == np.uint8


def test_gestures_are_numbered_in_order_and_only_while_under_way() -> None:
    script = ["left", "towards", "left", "counterclockwise", "down"]
    numbers: list[int] = []
    for frame in play(5, gestures=script):
        assert (frame.gesture == -1) == (frame.label == BACKGROUND)
        if frame.gesture >= 0:
            assert frame.label == script[frame.gesture]
            numbers.append(frame.gesture)
    assert [number for number, _ in itertools.groupby(numbers)] == [0, 1, 2, 3, 4]


def test_a_number_of_gestures_is_that_many_and_every_round_has_each_once() -> None:
    frames = play(2, gestures=2 * len(GESTURES), height=16, width=16)
    labels = {frame.gesture: frame.label for frame in frames if frame.gesture >= 0}
    played = [labels[number] for number in range(2 * len(GESTURES))]
    assert sorted(played[: len(GESTURES)]) == sorted(GESTURES)
    assert sorted(played[len(GESTURES) :]) == sorted(GESTURES)


def test_timestamps_follow_the_rate() -> None:
    frames = play(4, rate_hz=25.0, gestures=1)
    assert [f.index for f in frames] == list(range(len(frames)))
    assert [f.timestamp_s for f in frames] == pytest.approx([i / 25 for i in range(len(frames))])


def test_a_scene_without_a_number_of_gestures_never_ends() -> None:
    endless = Scene(seed=0, height=16, width=16, gestures=None)
    last = next(itertools.islice(endless, 2000, None))
    assert last.index == 2000


def test_the_object_can_be_seen_where_the_pose_says() -> None:
    """The same scene's frames differ from the empty wall around the pose, and less elsewhere."""
    inside, outside = [], []
    for seed in range(6):
        frames = play(seed, gestures=1, height=64, width=64)
        empty = np.median([f.image for f in frames], axis=0)
        for frame in frames:
            if frame.gesture < 0 or frame.pose is None:
                continue
            y, x = np.mgrid[:64, :64] / 64
            near = np.hypot(x - frame.pose.x, y - frame.pose.y) < frame.pose.radius
            difference = np.abs(frame.image - empty).mean(axis=2)
            inside.append(difference[near].mean())
            outside.append(difference[~near].mean())
    assert np.mean(inside) > 2 * np.mean(outside)


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 15},
        {"width": 15},
        {"rate_hz": 0.5},
        {"rate_hz": 241.0},
        {"rate_hz": float("nan")},
        {"gestures": ["left", "sideways"]},
        {"gestures": ["left", ""]},
    ],
)
def test_a_size_rate_or_label_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        play(0, **wrong)


def test_a_script_of_background_comes_and_goes_and_performs_nothing() -> None:
    scene = Scene(seed=3, height=48, width=48, gestures=[BACKGROUND] * 3)
    frames = list(scene)
    assert {(frame.label, frame.gesture) for frame in frames} == {(BACKGROUND, -1)}
    present = [frame.pose is not None for frame in frames]
    assert sum(now and not before for before, now in itertools.pairwise([False, *present])) >= 3
