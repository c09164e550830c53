"""Augmentation changes clips, never the motion in them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the extra 'convert'")

from edgecap_convert.data.augment import (
    Augmentation,
    AugmentConfig,
    exchange,
    mirrored_signs,
    plain,
)

from edgecap.errors import ConfigError

EVERYTHING = AugmentConfig(
    zoom=0.5, shift=0.3, rotate=30, light=0.4, color=0.3, speed=1.0, start=0.5
)
LEFT_RIGHT = {"left": "right", "right": "left"}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A smooth picture without symmetry, ``(32, 48, 3)``."""
    y, x = np.mgrid[:32, :48]
    return np.stack([4 * x, 6 * y, 2 * x + 3 * y], axis=-1).astype(np.uint8)


def draws(config: AugmentConfig, count: int = 50, *, may_mirror: bool = True) -> list[Augmentation]:
    rng = np.random.default_rng(1)
    return [Augmentation.draw(config, rng, may_mirror=may_mirror) for _ in range(count)]


def test_a_static_clip_stays_static(picture: np.ndarray) -> None:
    clip = np.repeat(picture[None], 5, axis=0)
    changed = 0
    for drawn in draws(EVERYTHING, 20):
        result = drawn.apply(clip)
        assert result.shape == clip.shape
        assert result.dtype == np.uint8
        assert (result == result[0]).all()
        changed += bool((result != clip).any())
    assert changed == 20


def test_a_frame_changes_alike_whatever_is_beside_it(picture: np.ndarray) -> None:
    other = 255 - picture
    for drawn in draws(EVERYTHING, 10):
        together = drawn.apply(np.stack([picture, other]))
        np.testing.assert_array_equal(together[0], drawn.apply(picture[None])[0])
        np.testing.assert_array_equal(together[1], drawn.apply(other[None])[0])


def test_nothing_drawn_changes_nothing_and_is_a_copy(picture: np.ndarray) -> None:
    clip = np.stack([picture, 255 - picture])
    result = Augmentation().apply(clip)
    np.testing.assert_array_equal(result, clip)
    assert not np.shares_memory(result, clip)
    still = AugmentConfig(speed=0.0, start=0.0)
    for drawn in draws(still, may_mirror=False):
        assert drawn == Augmentation()
    np.testing.assert_array_equal(Augmentation().ticks(10), [0, 2, 4, 6, 8])
    np.testing.assert_array_equal(Augmentation().ticks(9), [0, 2, 4, 6, 8])


def test_a_read_only_clip_is_not_written_to(picture: np.ndarray) -> None:
    clip = picture[None].copy()
    clip.setflags(write=False)
    for drawn in draws(EVERYTHING, 5):
        drawn.apply(clip)
    np.testing.assert_array_equal(clip[0], picture)


def test_a_mirror_is_a_mirror(picture: np.ndarray) -> None:
    (result,) = Augmentation(mirrored=True).apply(picture[None])
    np.testing.assert_array_equal(result, picture[:, ::-1])


def test_a_shift_moves_the_picture_and_repeats_its_border(picture: np.ndarray) -> None:
    (result,) = Augmentation(shift_x=0.25, shift_y=-0.125).apply(picture[None])
    np.testing.assert_array_equal(result[:28, 12:], picture[4:, :36])
    np.testing.assert_array_equal(result[:28, :12], np.repeat(picture[4:, :1], 12, axis=1))


def test_zoom_and_turn_are_around_the_middle() -> None:
    image = np.zeros((33, 33, 3), np.uint8)
    image[16, 16] = 255
    image[16, 20] = 200
    (larger,) = Augmentation(scale=2.0).apply(image[None])
    assert larger[16, 16, 0] == 255
    assert larger[16, 24, 0] == 200
    (turned,) = Augmentation(degrees=90.0).apply(image[None])
    assert turned[16, 16, 0] == 255
    assert {int(turned[12, 16, 0]), int(turned[20, 16, 0])} == {0, 200}


def test_colours_are_scaled_and_saturate() -> None:
    image = np.array([[[100, 100, 100], [200, 10, 0]]], np.uint8)
    drawn = Augmentation(gain=1.2, lift=10.0, tint=(1.0, 0.5, 2.0))
    (result,) = drawn.apply(image[None])
    np.testing.assert_array_equal(result[0], [[130, 70, 250], [250, 16, 10]])
    (dark,) = Augmentation(lift=-50.0).apply(image[None])
    np.testing.assert_array_equal(dark[0], [[50, 50, 50], [150, 0, 0]])


def test_draws_stay_within_the_settings() -> None:
    found = draws(EVERYTHING, 400)
    limits = {
        "scale": (1 / 1.5, 1.5),
        "speed": (0.5, 2.0),
        "shift_x": (-0.3, 0.3),
        "shift_y": (-0.3, 0.3),
        "degrees": (-30, 30),
        "gain": (0.6, 1.4),
        "lift": (-51.2, 51.2),
        "start": (0.0, 0.5),
    }
    for name, (low, high) in limits.items():
        values = np.array([getattr(drawn, name) for drawn in found])
        assert low <= values.min() < low + 0.1 * (high - low), name
        assert high - 0.1 * (high - low) < values.max() <= high, name
    tints = np.array([drawn.tint for drawn in found])
    assert 0.7 <= tints.min() < 0.76
    assert 1.24 < tints.max() <= 1.3
    assert 150 < sum(drawn.mirrored for drawn in found) < 250
    assert not any(drawn.mirrored for drawn in draws(EVERYTHING, may_mirror=False))
    # Faster as often as slower.
    assert 150 < sum(drawn.speed > 1 for drawn in found) < 250


def test_one_setting_does_not_change_what_is_drawn_for_another() -> None:
    whole = draws(EVERYTHING)
    without = draws(dataclasses.replace(EVERYTHING, rotate=0.0, light=0.0))
    for one, other in zip(whole, without, strict=True):
        assert dataclasses.replace(one, degrees=0.0, gain=1.0, lift=0.0) == other


def test_ticks_are_played_at_the_speed_and_from_the_start_drawn() -> None:
    np.testing.assert_array_equal(Augmentation(speed=2.0).ticks(12), [0, 4, 8])
    np.testing.assert_array_equal(Augmentation(speed=0.5).ticks(5), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(Augmentation(start=0.5).ticks(11), [5, 7, 9])
    for count in (1, 2, 3, 7, 50, 481):
        for drawn in draws(EVERYTHING):
            ticks = drawn.ticks(count)
            assert len(ticks) >= 1
            assert ticks.min() >= 0
            assert ticks.max() < count
            assert (np.diff(ticks) >= 1).all()
            assert abs(len(ticks) - (1 - drawn.start) * count / (2 * drawn.speed)) <= 1.5


def test_a_reversed_clip_plays_the_same_frames_backwards() -> None:
    for drawn in draws(EVERYTHING, 10):
        backwards = dataclasses.replace(drawn, reversed=True)
        np.testing.assert_array_equal(backwards.ticks(50), drawn.ticks(50)[::-1])
    rng = np.random.default_rng(0)
    both = [
        Augmentation.draw(EVERYTHING, rng, may_mirror=True, may_reverse=True) for _ in range(400)
    ]
    assert 150 < sum(drawn.reversed for drawn in both) < 250
    assert 60 < sum(drawn.reversed and drawn.mirrored for drawn in both) < 140
    assert not any(drawn.reversed for drawn in draws(EVERYTHING))


def test_equal_generators_draw_equal_augmentations() -> None:
    assert draws(EVERYTHING) == draws(EVERYTHING)
    keys = [str(plain(drawn)) for drawn in draws(EVERYTHING)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"zoom": -0.1}, r"augment.zoom: expected 0 to 4; got -0.1"),
        ({"shift": 1.1}, "augment.shift"),
        ({"rotate": 181}, "augment.rotate"),
        ({"light": 1.5}, "augment.light"),
        ({"color": float("nan")}, "augment.color"),
        ({"speed": 5}, "augment.speed"),
        ({"start": 1.0}, "augment.start: expected 0 to 0.9"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        AugmentConfig(**settings)


def test_labels_are_exchanged_by_number() -> None:
    labels = ("left", "right", "up", "wave")
    assert exchange({}, labels, setting="mirror") == {}
    found = exchange(LEFT_RIGHT | {"up": "up"}, labels, setting="mirror")
    assert found == {0: 1, 1: 0, 2: 2}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"left": "down"}, "augment.reverse: 'down' is no label; expected some of left, right, up"),
        ({"down": "left"}, "'down' is no label"),
        ({"left": "right"}, "'left' becomes 'right', which becomes None"),
        ({"left": "right", "right": "up", "up": "left"}, "'left' becomes 'right', which becomes"),
    ],
)
def test_an_exchange_that_does_not_come_back_is_refused(table: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        exchange(table, ("left", "right", "up"), setting="reverse")


def test_a_mirror_changes_the_sign_of_values() -> None:
    names = ("angle", "speed")
    np.testing.assert_array_equal(mirrored_signs({}, names), [1, 1])
    mirror = {"angle": "-angle", "speed": "speed"}
    np.testing.assert_array_equal(mirrored_signs(mirror, names), [-1, 1])
    for wrong in ({"angle": "speed"}, {"angle": "-speed"}, {"steer": "-steer"}):
        with pytest.raises(ConfigError, match="itself or its negative"):
            mirrored_signs(wrong, names)
