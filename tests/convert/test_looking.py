"""Where to look, taken from clips in which something moves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tensorflow as tf
from edgecap_convert.data.tips import TARGETS, find_targets
from edgecap_convert.training.config import LookConfig
from edgecap_convert.training.looking import heat_loss
from edgecap_convert.training.updates import vary_places

from edgecap.errors import ConfigError

HEIGHT, WIDTH = 96, 128


def pointing(border: str) -> tuple[np.ndarray, np.ndarray]:
    """A stick that comes in over a border and whose end wanders; 20 frames and where its end is."""
    rng = np.random.default_rng(3)
    wall = rng.integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    images, ends = [], []
    for t in range(20):
        x, y = 0.3 + 0.02 * t, 0.35 + 0.015 * t
        image = wall.copy()
        end = (int(x * WIDTH), int(y * HEIGHT))
        start = {
            "bottom": (end[0], HEIGHT),
            "top": (end[0], 0),
            "left": (0, end[1]),
            "right": (WIDTH, end[1]),
        }[border]
        cv2.line(image, start, end, (230, 180, 150), 9)
        images.append(image)
        ends.append((x, y))
    return np.stack(images), np.array(ends)


@pytest.mark.parametrize("border", ["bottom", "top", "left", "right"])
def test_the_tip_is_the_end_away_from_the_border(border: str) -> None:
    images, ends = pointing(border)
    found = find_targets(images, target=f"tip from {border}")
    seen = found[:, 2] > 0
    assert seen.mean() > 0.6
    # The line's round end reaches half its width further.
    assert np.abs(found[seen, :2] - ends[seen]).max() < 0.09
    assert not found[~seen].any()


def test_the_middle_is_that_of_what_moves() -> None:
    rng = np.random.default_rng(1)
    wall = rng.integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    images = []
    for t in range(20):
        image = wall.copy()
        cv2.circle(image, (20 + 4 * t, 50), 9, (20, 20, 20), -1)
        images.append(image)
    found = find_targets(np.stack(images), target="middle")
    seen = found[:, 2] > 0
    assert seen.sum() > 10
    np.testing.assert_allclose(found[seen, 0] * WIDTH, (20 + 4 * np.arange(20))[seen], atol=4)
    np.testing.assert_allclose(found[seen, 1] * HEIGHT, 50, atol=3)


def test_nothing_is_found_where_nothing_moves() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    for target in TARGETS:
        assert not find_targets(np.repeat(image, 12, axis=0), target=target).any()


def test_the_heat_is_least_wrong_at_the_target() -> None:
    targets = tf.constant([[0.30, 0.62, 1.0]])
    losses = np.empty((5, 8))
    for row in range(5):
        for column in range(8):
            heat = np.zeros((1, 40), np.float32)
            heat[0, row * 8 + column] = 8.0
            losses[row, column] = heat_loss(tf.constant(heat[None]), targets, (5, 8))
    # x = 0.30 of 8 cells is in cell 2 (centre 2.5), y = 0.62 of 5 in cell 3 (centre 3.5).
    assert np.unravel_index(losses.argmin(), losses.shape) in {(3, 2), (2, 2)}
    nothing = tf.constant([[0.30, 0.62, 0.0]])
    assert float(heat_loss(tf.zeros((1, 1, 40)), nothing, (5, 8))) == 0.0


def test_places_of_a_row_are_varied_alike() -> None:
    seen = np.zeros((3, 6, 5), np.float32)
    seen[..., 0] = np.linspace(-1, 1, 6)
    seen[..., 2:] = 7.0
    look = LookConfig(zoom=0.3, shift=0.1)
    seed = tf.constant([1, 2])
    varied = vary_places(tf.constant(seen), look, seed, batch=3, rows=slice(0, 3)).numpy()
    np.testing.assert_array_equal(varied[..., 2:], 7.0)
    for row in varied:
        np.testing.assert_allclose(np.diff(row[:, 0]), np.diff(row[:, 0])[0], rtol=1e-4)
        assert np.ptp(row[:, 1]) < 1e-6
    assert len({row[0, 0] for row in varied}) == 3
    # A worker's rows are those of the joint batch.
    part = vary_places(tf.constant(seen[1:]), look, seed, batch=3, rows=slice(1, 3)).numpy()
    np.testing.assert_array_equal(part, varied[1:])
    again = vary_places(tf.constant(seen), LookConfig(), seed, batch=3, rows=slice(0, 3)).numpy()
    np.testing.assert_array_equal(again, seen)


def test_members_learn_where_to_look_apart() -> None:
    heat = np.random.default_rng(0).normal(size=(2, 3, 40)).astype(np.float32)
    targets = tf.constant([[0.3, 0.6, 1.0], [0.1, 0.2, 1.0], [0.5, 0.5, 0.0]])
    alone = [float(heat_loss(tf.constant(own[None]), targets, (5, 8))) for own in heat]
    assert float(heat_loss(tf.constant(heat), targets, (5, 8))) == pytest.approx(np.mean(alone))


def test_places_of_members_are_varied_apart() -> None:
    seen = np.random.default_rng(0).normal(size=(4, 6, 5)).astype(np.float32)
    both = tf.constant(np.concatenate([seen, seen], axis=-1))
    look = LookConfig(zoom=0.3, shift=0.1, turn=20, noise=0.01)
    options = {"batch": 4, "rows": slice(0, 4), "members": 2}
    varied = vary_places(both, look, tf.constant([1, 2]), **options).numpy()
    first, second = varied[..., :5], varied[..., 5:]
    np.testing.assert_array_equal(first[..., 2:], seen[..., 2:])
    np.testing.assert_array_equal(second[..., 2:], seen[..., 2:])
    assert (np.abs(first[..., :2] - second[..., :2]).mean(axis=(1, 2)) > 0.02).all()
    still = vary_places(both, LookConfig(), tf.constant([1, 2]), **options).numpy()
    np.testing.assert_array_equal(still, both)


@pytest.mark.parametrize(
    "wrong", [{"target": "nose"}, {"zoom": 9.0}, {"dropout": 1.5}, {"batch": 0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="look"):
        LookConfig(**wrong)  # type: ignore[arg-type]
