"""What a captioning training is made of, piece by piece."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'convert'")

import tensorflow as tf
from edgecap_convert.captions.config import (
    CaptionConfig,
    CaptionNetworkConfig,
    DecoderConfig,
    captions_wanted,
)
from edgecap_convert.captions.grids import GridStore, view
from edgecap_convert.captions.material import open_captions
from edgecap_convert.captions.network import CaptionNetwork, Dropout
from edgecap_convert.captions.train import History, choose_sentences
from edgecap_convert.captions.updates import SentenceUpdate, spoken
from edgecap_convert.captions.words import END, START, UNKNOWN, Vocabulary
from edgecap_convert.models.config import EncoderConfig
from edgecap_convert.quantization.grids import fake_quant_weights

from edgecap.dataset.captions import CaptionedImage, read_captions
from edgecap.errors import ConfigError, DataError
from tests.convert.captioned import SIDE, write_pictures

WORDS = 11
SMALL = CaptionNetworkConfig(
    WORDS,
    EncoderConfig("mobilenet_v2", 0.35, 32, 32, 8),
    DecoderConfig(embedding=6, units=8, heads=2, key=4, value=6),
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("few") / "data", train=20, test=6)


@pytest.fixture(scope="module")
def network() -> CaptionNetwork:
    tf.keras.utils.set_random_seed(1)
    made = CaptionNetwork(SMALL)
    for weight in made.decoder_weights:
        weight.assign(tf.random.stateless_normal(weight.shape, (1, 2), stddev=0.5))
    return made


@pytest.fixture(scope="module")
def grids(network: CaptionNetwork) -> np.ndarray:
    shape = (3, network.cells[0] * network.cells[1], network.encoder.output_shape[-1])
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_the_vocabulary_is_of_frequent_words_and_the_three_that_are_none() -> None:
    words = Vocabulary.of(["A dog.", "a dog runs", "a cat"], min_count=2)
    assert words.words == (END, UNKNOWN, "a", "dog", START)
    assert words.numbers("A dog runs!", longest=9) == [2, 3, words.unknown, words.end]
    assert words.numbers("a dog runs", longest=2) == [2, 3]
    rows, meant = words.rows(["a dog", "a"], longest=4)
    assert rows.tolist() == [[2, 3, 0, 0], [2, 0, 0, 0]]
    assert meant.tolist() == [[True, True, True, False], [True, True, False, False]]
    assert words.sentence([2, 3, words.end, 2]) == "a dog"
    with pytest.raises(DataError, match="lower min_count"):
        Vocabulary.of(["a dog"], min_count=2)


def test_a_part_that_is_measured_on_chooses_nothing(pictures: Path, tmp_path: Path) -> None:
    """Of train and validation alone, the latter is measured on; some of the former choose."""
    material = open_captions(str(pictures), share=0.2, seed=0)
    names = {part: {i.name for i in images} for part, images in material.parts.items()}
    assert len(names["test"]) == 6
    assert len(names["validation"]) == 4
    assert names["train"].isdisjoint(names["validation"] | names["test"])
    assert {i.part for i in material.train + material.validation} == {"train"}
    again = open_captions(str(pictures), share=0.2, seed=0)
    assert again.summary() == material.summary()
    other = open_captions(str(pictures), share=0.2, seed=1)
    assert other.summary()["fingerprint"] != material.summary()["fingerprint"]


def csv_of(pictures: Path, tmp_path: Path, part: Any) -> Path:
    path = tmp_path / "c.csv"
    rows = ["image,caption,part"]
    for number, image in enumerate(read_captions(pictures)):
        (tmp_path / image.name).write_bytes(image.path.read_bytes())
        rows += [f'{image.name},"{told}",{part(number)}' for told in image.captions]
    path.write_text("\n".join(rows))
    return path


def test_parts_are_taken_as_they_are_named(pictures: Path, tmp_path: Path) -> None:
    parts = ["train"] * 4 + ["validation", "test"]
    path = csv_of(pictures, tmp_path, lambda n: parts[n % 6])
    material = open_captions(str(path), share=0.2, seed=0)
    assert {part: {i.part for i in images} for part, images in material.parts.items()} == {
        part: {part} for part in ("train", "validation", "test")
    }


def test_without_parts_shares_are_split_off(pictures: Path, tmp_path: Path) -> None:
    material = open_captions(str(csv_of(pictures, tmp_path, lambda _: "")), share=0.2, seed=0)
    counts = {part: len(images) for part, images in material.parts.items()}
    assert counts == {"train": 17, "validation": 4, "test": 5}


def test_some_in_a_part_and_some_in_none_are_refused(pictures: Path, tmp_path: Path) -> None:
    path = csv_of(pictures, tmp_path, lambda n: "train" if n else "")
    with pytest.raises(DataError, match="1 of 26 pictures are in no part"):
        open_captions(str(path), share=0.2, seed=0)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"task": "classification"}, "task: expected captioning"),
        ({"views": 7}, "views: expected 1 to 6"),
        ({"longest": 1}, "longest: expected 2 to 100"),
        ({"beam": 0}, "beam: expected 1 to 64"),
        ({"dropout": 1.0}, "dropout: expected 0 or more, below 1"),
        ({"validation": 0.0}, "validation: expected above 0"),
        ({"decoder": {"heads": 3}}, "decoder.key: expected a multiple of the 3 heads"),
        ({"decoder": {"units": 0}}, "decoder.units"),
        ({"teach": {"learning_rate": 0.0}}, "learning_rate"),
        ({"teach": {"images": 0}}, "images"),
        ({"encoder": {"stride": 16}}, "encoder.last_conv: expected mobilenet_v2 at a stride of 32"),
        ({"wordz": 1}, "unknown 'wordz'"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        CaptionConfig.from_dict(given)


def test_settings_are_read_back_equal() -> None:
    config = CaptionConfig.from_dict({"views": 2, "teach": {"epochs": 3}})
    assert (config.views, config.teach.epochs, config.teach.images) == (2, 3, 32)
    assert CaptionConfig.from_dict(config.to_dict()) == config


def test_captions_are_asked_for_by_the_settings_or_by_the_data(
    pictures: Path, tmp_path: Path
) -> None:
    assert captions_wanted(str(pictures), None) == CaptionConfig()
    assert captions_wanted(str(tmp_path), None) is None
    path = tmp_path / "c.toml"
    path.write_text('task = "captioning"\nviews = 3\n')
    asked = captions_wanted(str(tmp_path), path)
    assert asked is not None
    assert asked.views == 3
    path.write_text("rate_hz = 5\n")
    assert captions_wanted(str(pictures), path) is None


def test_views_are_the_picture_its_mirror_image_and_its_corners() -> None:
    x = np.linspace(0, 255, SIDE).astype(np.uint8)
    image = np.stack(np.broadcast_arrays(x[None, :], x[:, None], np.uint8(9)), axis=-1)
    assert view(image, 0) is image
    assert np.array_equal(view(image, 1), image[:, ::-1])
    left = [view(image, number)[..., 0].mean() for number in range(6)]
    top = [view(image, number)[..., 1].mean() for number in range(6)]
    middle = image[..., 0].mean()
    assert [round(side - middle) > 0 for side in left[2:]] == [False, True, False, True]
    assert [round(side - middle) > 0 for side in top[2:]] == [False, False, True, True]
    mirrored = [bool(np.diff(view(image, n)[0, :, 0].astype(int)).mean() < 0) for n in range(6)]
    assert mirrored == [False, True, False, True, True, False]
    assert all(view(image, number).shape == image.shape for number in range(6))


def test_grids_are_computed_once(pictures: Path, tmp_path: Path) -> None:
    images = [i for i in read_captions(pictures) if i.part == "train"][:5]
    spec, calls = CaptionConfig().input, []

    def encode(batch: np.ndarray) -> np.ndarray:
        calls.append(len(batch))
        return np.stack([np.full((2, 3), each.mean(), np.float32) for each in batch])

    def store(encoder: str = "one", given: list[CaptionedImage] = images) -> GridStore:
        return GridStore(tmp_path, given, spec, encode, encoder=encoder, views=2)

    first = store()
    assert calls == [5, 5]
    assert first.batch(np.array([3, 1])).shape == (2, 2, 3)
    assert np.array_equal(store().batch(np.arange(5)), first.batch(np.arange(5)))
    assert len(calls) == 2
    assert len(store().batch(np.array([0, 0]), np.array([0, 1]))) == 2
    store(encoder="another")
    store(given=images[:4])
    assert len(calls) == 6


def test_a_file_of_grids_that_was_not_filled_is_filled_anew(pictures: Path, tmp_path: Path) -> None:
    images = read_captions(pictures)[:3]

    def stopped(batch: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    def encode(batch: np.ndarray) -> np.ndarray:
        return np.ones((len(batch), 2, 3), np.float32)

    for attempt in (stopped, encode):
        try:
            made = GridStore(tmp_path, images, CaptionConfig().input, attempt, encoder="e")
        except KeyboardInterrupt:
            continue
        assert (made.batch(np.arange(3)) == 1).all()


def test_sentences_are_all_different_where_there_are_enough() -> None:
    words = Vocabulary.of(["a b c d"], min_count=1)
    taught = [words.rows(["a", "b", "c"], longest=2), words.rows(["d"], longest=2)]
    for step in range(20):
        rows, meant = choose_sentences(taught, np.array([0, 1]), 3, (0, step))
        assert rows.shape == meant.shape == (2, 3, 2)
        assert len({tuple(row) for row in rows[0].tolist()}) == 3
        assert len({tuple(row) for row in rows[1].tolist()}) == 1
    again, _ = choose_sentences(taught, np.array([0, 1]), 3, (0, 19))
    assert np.array_equal(rows, again)


def test_steps_say_what_whole_sentences_say(network: CaptionNetwork, grids: np.ndarray) -> None:
    """The same weights, word by word and taught at once: the same probabilities at every word."""
    rng = np.random.default_rng(3)
    words = rng.integers(0, WORDS, (3, 2, 5)).astype(np.int32)
    meant = np.ones(words.shape, bool)
    start = WORDS - 1
    taught, targets = spoken(network, tf.constant(grids), words, meant, start)
    assert np.array_equal(targets, words.reshape(-1))
    scene = network.look(tf.constant(grids))
    h = tf.repeat(scene.hidden, 2, axis=0)
    c, before = tf.repeat(scene.cell, 2, axis=0), np.full(6, start, np.int32)
    for t in range(5):
        logits, attention, h, c = network.step(tf.constant(before), scene, h, c)
        found = tf.nn.log_softmax(logits).numpy()
        np.testing.assert_allclose(found, taught.numpy().reshape(6, 5, WORDS)[:, t], atol=1e-5)
        np.testing.assert_allclose(attention.numpy().sum(axis=-1), 1, atol=1e-5)
        before = words.reshape(6, 5)[:, t]


def test_only_meant_words_are_learnt_from(network: CaptionNetwork, grids: np.ndarray) -> None:
    words = np.random.default_rng(4).integers(0, WORDS, (3, 1, 4)).astype(np.int32)
    meant = np.array([[[True, True, False, False]]] * 3)
    other = words.copy()
    other[:, :, 2:] = 0
    first, _ = spoken(network, tf.constant(grids), words, meant, WORDS - 1)
    second, _ = spoken(network, tf.constant(grids), other, meant, WORDS - 1)
    assert first.shape == (6, WORDS)
    np.testing.assert_array_equal(first, second)


def test_dropout_is_the_same_of_the_same_seed() -> None:
    ones = tf.ones((4, 200))
    one, two = (Dropout(tf.constant([0, seed]), answer=0.5) for seed in (16, 32))
    assert np.array_equal(one(ones, 0.5, 3), one(ones, 0.5, 3))
    assert not np.array_equal(one(ones, 0.5, 3), two(ones, 0.5, 3))
    assert not np.array_equal(one(ones, 0.5, 3), one(ones, 0.5, 4))
    assert one(ones, 0.0, 3) is ones
    assert abs(float(tf.reduce_mean(one(ones, 0.5, 3))) - 1) < 0.15


def test_an_update_lowers_the_loss_and_averages_the_weights(
    network: CaptionNetwork, grids: np.ndarray
) -> None:
    words = np.tile(np.arange(4, dtype=np.int32), (3, 2, 1))
    meant = np.ones(words.shape, bool)
    before = [w.numpy() for w in network.decoder_weights]
    update = SentenceUpdate(network, learning_rate=0.02, start=WORDS - 1, average=0.9)
    losses = [update(grids, words, meant, seed=(0, step)) for step in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    moved = [w.numpy() for w in network.decoder_weights]
    with update.averaged():
        for weight, average in zip(network.decoder_weights, update.averages, strict=True):
            np.testing.assert_array_equal(weight, average)
    for weight, value, average in zip(network.decoder_weights, moved, update.averages, strict=True):
        np.testing.assert_array_equal(weight, value)
        assert np.isfinite(average.numpy()).all()
    for weight, value in zip(network.decoder_weights, before, strict=True):
        weight.assign(value)


def test_a_part_of_the_encoder_is_trained_with_the_words() -> None:
    tf.keras.utils.set_random_seed(2)
    made = CaptionNetwork(dataclasses.replace(SMALL, tuned_from="block_4_expand"))
    images = tf.random.stateless_uniform((2, 32, 32, 3), (1, 2), -1, 1)
    fixed = made.encode_fixed(images)
    whole = made.encoder(images)
    np.testing.assert_allclose(
        made.encode(images), tf.reshape(whole, (2, -1, whole.shape[-1])), atol=1e-5
    )
    names = {weight.name.split("/")[0] for weight in made.tuned_weights}
    assert names == {
        f"block_{n}_{part}" for n in (4, 5) for part in ("expand", "depthwise", "project")
    }
    words = np.tile(np.arange(4, dtype=np.int32), (2, 2, 1))
    kept = [weight.numpy() for weight in made.encoder.weights]
    update = SentenceUpdate(made, learning_rate=1e-3, start=WORDS - 1, tuned_rate=0.5)
    for step in range(3):
        update(fixed, words, np.ones(words.shape, bool), seed=(0, step))
    moved = {
        weight.name
        for weight, before in zip(made.encoder.weights, kept, strict=True)
        if not np.array_equal(weight, before)
    }
    assert moved == {weight.name for weight in made.tuned_weights}
    np.testing.assert_array_equal(made.encode_fixed(images), fixed)


def test_what_writes_may_stay_float_but_for_its_weights(
    network: CaptionNetwork, grids: np.ndarray
) -> None:
    quantized = network.quantized(float_words=True)
    assert set(quantized.ranges) == {"keys", "values", "mean"}
    assert quantized.state_grids() == {}
    assert network.ranges == {}
    # The network whose weights are on the same grids, and nothing else.
    rounded = CaptionNetwork(SMALL)
    looking = {id(weight) for weight in network.looking_weights}
    assert len(looking) == 7
    for mine, theirs in zip(rounded.decoder_weights, network.decoder_weights, strict=True):
        writes = theirs.shape.rank == 2 and id(theirs) not in looking
        mine.assign(fake_quant_weights(theirs) if writes else theirs)
    scene = network.look(tf.constant(grids))
    words = tf.constant([WORDS - 1, 2, 3])
    found = quantized.step(words, scene, scene.hidden, scene.cell)
    expected = rounded.step(words, scene, scene.hidden, scene.cell)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert not np.allclose(found[0], network.step(words, scene, scene.hidden, scene.cell)[0])


@pytest.mark.parametrize("name", ["block_5_add", "block_99_expand"])
def test_an_encoder_is_cut_only_where_one_tensor_holds_all(name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be cut in front of .* block_4_expand, "):
        CaptionNetwork(dataclasses.replace(SMALL, tuned_from=name))


def test_the_best_epoch_is_kept_and_patience_ends() -> None:
    history = History("teach")
    assert history.best == -1
    for score in (0.1, 0.4, 0.3, 0.35):
        history.validated.append({"cider_d": score})
    assert history.best == 1
    assert history.stale(2)
    assert not history.stale(3)
