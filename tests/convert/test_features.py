"""Features on disk: each frame is encoded once, and read back as what the encoder gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from edgecap_convert.data import FrameFormat
from edgecap_convert.data.scenes import SceneData
from edgecap_convert.models.config import EncoderConfig, LSTMConfig, NeckConfig, NetworkConfig
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.training.config import TrainConfig
from edgecap_convert.training.features import (
    FeatureRecordings,
    FeatureStore,
    PooledItems,
    encoder_digest,
)
from edgecap_convert.training.predict import NetworkPredictor

PLENTY = 10**9
ENCODER = EncoderConfig("mobilenet_v1", alpha=0.25, height=32, width=32)


def make(encoder: EncoderConfig = ENCODER, seed: int = 1) -> Network:
    tf.keras.utils.set_random_seed(seed)
    return Network(NetworkConfig(9, encoder, NeckConfig(4, features=8), LSTMConfig(8)))


@pytest.fixture(scope="module")
def network() -> Network:
    return make()


@pytest.fixture(scope="module")
def predict(network: Network) -> NetworkPredictor:
    return NetworkPredictor(network, "classification")


@pytest.fixture(scope="module")
def scenes() -> SceneData:
    frames: FrameFormat = TrainConfig.from_dict({"encoder": {"height": 32, "width": 32}}).frames
    return SceneData("synthetic:", frames, pool=4)


@dataclass
class Counted:
    """An encoder that counts the frames it is given."""

    predict: NetworkPredictor
    frames: int = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.frames += len(images)
        return self.predict.encode(images)


@dataclass(frozen=True)
class Still:
    """A pool's entry of given frames."""

    key: str
    stratum: int
    frames: np.ndarray

    def images(self) -> np.ndarray:
        return self.frames

    def truth(self) -> tuple[Any, Any]:
        count = len(self.frames)
        return np.full(count, self.stratum), np.ones(count, np.float32)


def entries(count: int = 5) -> list[Still]:
    rng = np.random.default_rng(0)
    return [
        Still(f"k{n}", n % 2, rng.integers(0, 256, (3 + n, 32, 32, 3), np.uint8))
        for n in range(count)
    ]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_each_frame_is_encoded_once(predict: NetworkPredictor, tmp_path: Path) -> None:
    encode = Counted(predict)
    items = PooledItems(entries(), FeatureStore(tmp_path, encode, limit_bytes=PLENTY))
    items.fill()
    frames = sum(len(entry.frames) for entry in entries())
    assert encode.frames == frames
    items.fill()
    items.deviation()
    for number in range(30):
        items.draw(number, np.random.default_rng(number))
    assert encode.frames == frames
    # Nor by another run with the same encoder.
    PooledItems(entries(), FeatureStore(tmp_path, encode, limit_bytes=PLENTY)).fill()
    assert encode.frames == frames
    assert len(files(tmp_path)) == 5


def test_grids_are_those_of_the_encoder_in_half_precision(
    predict: NetworkPredictor, tmp_path: Path
) -> None:
    store = FeatureStore(tmp_path, predict.encode, limit_bytes=PLENTY)
    for entry in entries():
        expected = predict.encode(entry.frames)
        for _ in range(2):
            found = store.grids(entry.key, entry.images)
            assert found.dtype == np.float16
            assert isinstance(found, np.memmap)
            np.testing.assert_array_equal(found, expected.astype(np.float16))


def test_the_way_over_features_gives_the_logits_of_the_images(
    network: Network, predict: NetworkPredictor, scenes: SceneData, tmp_path: Path
) -> None:
    store = FeatureStore(tmp_path, predict.encode, limit_bytes=PLENTY)
    some = scenes.validation.first(2)
    through = list(FeatureRecordings(some, store))
    for recording, plain in zip(through, some, strict=True):
        assert recording.segments == plain.segments
        np.testing.assert_allclose(
            predict.recur(recording.images), predict(plain.images), rtol=0, atol=2e-3
        )
    images = next(iter(some)).images[None, :40]
    logits, _ = network.clip(normalize(tf.constant(images)))
    halved, _ = network.recur(tf.constant(through[0].images[None, :40].astype(np.float32)))
    np.testing.assert_allclose(halved, logits, rtol=0, atol=2e-3 * float(np.abs(logits).max() + 1))


def test_recordings_are_encoded_once_however_often_they_are_looked_at(
    predict: NetworkPredictor, scenes: SceneData, tmp_path: Path
) -> None:
    encode = Counted(predict)
    recordings = FeatureRecordings(
        scenes.validation.first(1), FeatureStore(tmp_path, encode, limit_bytes=PLENTY)
    )
    (first,) = recordings
    (again,) = recordings
    assert encode.frames == len(first.images)
    np.testing.assert_array_equal(first.images, again.images)


def test_another_encoder_or_other_weights_have_another_place(network: Network) -> None:
    same = encoder_digest(network)
    assert same == encoder_digest(network)
    others = [
        encoder_digest(make(seed=2)),
        encoder_digest(make(EncoderConfig("mobilenet_v1", alpha=0.5, height=32, width=32))),
        encoder_digest(make(EncoderConfig("mobilenet_v2", height=32, width=32))),
    ]
    assert len({same, *others}) == 4
    # Where the weights came from does not matter, nor what is behind the encoder.
    copy = make(seed=3)
    copy.encoder.set_weights(network.encoder.get_weights())
    assert encoder_digest(copy) == same
    moved = copy.encoder.get_weights()
    moved[0] = moved[0] + np.float32(1e-6)
    copy.encoder.set_weights(moved)
    assert encoder_digest(copy) != same


@pytest.mark.parametrize("damage", ["empty", "cut", "short", "noise", "gone"])
def test_a_damaged_file_is_made_anew(
    predict: NetworkPredictor, tmp_path: Path, damage: str
) -> None:
    (entry,) = entries(1)
    store = FeatureStore(tmp_path, predict.encode, limit_bytes=PLENTY)
    expected = np.array(store.grids(entry.key, entry.images))
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.unlink()
    damaged = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "short": whole[:60],
        "noise": b"\x93NUMPY nothing of the kind" * 20,
    }
    if damage != "gone":
        path.write_bytes(damaged[damage])
    encode = Counted(predict)
    again = FeatureStore(tmp_path, encode, limit_bytes=PLENTY)
    np.testing.assert_array_equal(again.grids(entry.key, entry.images), expected)
    assert encode.frames == len(entry.frames)
    assert path.read_bytes() == whole
    assert files(tmp_path) == [path]


def test_what_does_not_fit_is_computed_anew_with_equal_values(
    predict: NetworkPredictor, tmp_path: Path
) -> None:
    plenty = FeatureStore(tmp_path / "all", predict.encode, limit_bytes=PLENTY)
    expected = [np.array(plenty.grids(entry.key, entry.images)) for entry in entries()]
    room = expected[0].nbytes + expected[1].nbytes + 10
    encode = Counted(predict)
    small = FeatureStore(tmp_path / "some", encode, limit_bytes=room)
    for _ in range(2):
        for entry, grids in zip(entries(), expected, strict=True):
            np.testing.assert_array_equal(small.grids(entry.key, entry.images), grids)
    kept = files(tmp_path / "some")
    assert [path.stem for path in kept] == ["k0", "k1"]
    lengths = [len(entry.frames) for entry in entries()]
    assert encode.frames == sum(lengths) + sum(lengths[2:])
    none = FeatureStore(tmp_path / "none", predict.encode, limit_bytes=0)
    np.testing.assert_array_equal(none.grids("k0", entries()[0].images), expected[0])
    assert not (tmp_path / "none").exists()


def test_items_are_drawn_from_each_stratum_equally_often(
    predict: NetworkPredictor, tmp_path: Path
) -> None:
    store = FeatureStore(tmp_path, predict.encode, limit_bytes=PLENTY)
    # Four entries of one, one of the other.
    pool = [Still(e.key, int(n == 0), e.frames) for n, e in enumerate(entries())]
    items = PooledItems(pool, store)
    drawn = [items.draw(n, np.random.default_rng(n)) for n in range(200)]
    assert 70 < sum(int(item.targets[0]) for item in drawn) < 130
    assert 30 < sum(item.joined for item in drawn) < 90
    for item in drawn:
        assert len(item.inputs) == len(item.targets) == len(item.weights)
    # Scenes are whole streams of their own: these are never joined.
    alone = PooledItems([e for e in pool if e.stratum == 0], store)
    assert not any(alone.draw(n, np.random.default_rng(n)).joined for n in range(50))
    assert items.deviation() == pytest.approx(
        np.mean([store.grids(e.key, e.images).astype(np.float32).std() for e in pool])
    )
