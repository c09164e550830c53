"""What moves, cut out and put before another backdrop."""

from __future__ import annotations

import cv2
import numpy as np
from edgecap_convert.data.moving import background, difference, put_before

HEIGHT, WIDTH = 96, 128


def wandering(wall: np.ndarray) -> np.ndarray:
    """A dark disc that wanders before a wall, 20 frames."""
    images = np.repeat(wall[None], 20, axis=0)
    for t, image in enumerate(images):
        cv2.circle(image, (20 + 4 * t, 50), 12, (10, 20, 30), -1)
    return images


def wall(seed: int, grey: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(grey - 6, grey + 6, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def test_the_background_is_what_stands_still() -> None:
    here = wall(0, 120)
    images = wandering(here)
    np.testing.assert_array_equal(background(images), here)
    apart = difference(images[5], here)
    assert apart[50, 40] > 80
    assert apart[5, 5] == 0


def test_the_same_motion_before_another_backdrop() -> None:
    here, there = wall(0, 120), wall(1, 200)
    images = wandering(here)
    moved = put_before(images, background(images), there)
    assert moved.shape == images.shape
    assert moved.dtype == np.uint8
    for t, image in enumerate(moved):
        x = 20 + 4 * t
        # The disc is whole, and around it is the other wall.
        np.testing.assert_array_equal(image[50, x - 8 : x + 9], images[t, 50, x - 8 : x + 9])
        away = np.hypot(*np.meshgrid(np.arange(WIDTH) - x, np.arange(HEIGHT) - 50)) > 20
        np.testing.assert_array_equal(image[away], there[away])


def test_nothing_is_cut_out_where_it_is_not_clear_what_moves() -> None:
    here, there = wall(0, 120), wall(1, 200)
    still = np.repeat(here[None], 20, axis=0)
    assert put_before(still, background(still), there) is still
    # A camera that is carried about.
    scenery = cv2.resize(wall(2, 120)[:12, :16] // 12 * 20, (WIDTH, HEIGHT))
    shaken = np.stack([np.roll(scenery, 9 * t, axis=1) for t in range(20)])
    assert put_before(shaken, background(shaken), there) is shaken
