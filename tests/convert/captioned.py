"""Pictures of a coloured thing somewhere, with sentences that say so; and a network that learns to.

What it learns is the colour: attention that goes by what is there does not know where that is.

Small enough to train in seconds. The encoder has random weights, as nothing is downloaded, but its
batch norms know the pictures, so that what it gives is neither tiny nor flat.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import tf_keras as keras

SIDE = 64
COLOURS = {"red": (210, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 220)}
PLACES = {"left": 0.25, "right": 0.75}
THINGS = ("ball", "box")

CONFIG = """
task = "captioning"
min_count = 2
longest = 9
views = 1
dropout = 0.1
label_smoothing = 0.0
average = 0.9
validation = 0.1
tuned_from = "block_5_expand"
[encoder]
name = "mobilenet_v2"
alpha = 0.35
height = 64
width = 64
stride = 8
last_conv = false
weights = "{weights}"
[decoder]
embedding = 24
units = 48
heads = 2
key = 24
value = 32
[teach]
epochs = {epochs}
images = 4
sentences = 2
learning_rate = 5e-3
patience = 40
[qat]
epochs = 1
images = 12
sentences = 2
learning_rate = 5e-4
"""


def picture(colour: str, thing: str, place: str, seed: int) -> npt.NDArray[np.uint8]:
    """``(64, 64, 3)`` uint8 RGB."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 140, (SIDE, SIDE, 3)).astype(np.uint8)
    x = int(SIDE * (PLACES[place] + rng.uniform(-0.06, 0.06)))
    y = int(SIDE * rng.uniform(0.35, 0.65))
    r = int(rng.integers(10, 14))
    if thing == "ball":
        cv2.circle(image, (x, y), r, COLOURS[colour], -1)
    else:
        cv2.rectangle(image, (x - r, y - r), (x + r, y + r), COLOURS[colour], -1)
    return image


def sentences(colour: str, thing: str, place: str) -> list[str]:
    return [f"A {colour} {thing} on the {place} .", f"A {thing} , {colour} , on the {place} side"]


def write_pictures(folder: Path, *, train: int = 120, test: int = 24) -> Path:
    """In Flickr8k's form; the parts are ``train`` and ``validation``, which is measured on."""
    (folder / "images").mkdir(parents=True)
    kinds = [(c, t, p) for c in COLOURS for t in THINGS for p in PLACES]
    lines, names = [], []
    for number in range(train + test):
        kind = kinds[number % len(kinds)]
        name = f"{number:03d}.png"
        path = str(folder / "images" / name)
        assert cv2.imwrite(path, picture(*kind, seed=number)[:, :, ::-1])
        lines += [f"{name}#{n}\t{told}" for n, told in enumerate(sentences(*kind))]
        names.append(name)
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (folder / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:train]) + "\n")
    (folder / "Flickr_8k.devImages.txt").write_text("\n".join(names[train:]) + "\n")
    return folder


def write_weights(path: Path) -> Path:
    """Random weights whose batch norms know such pictures, in the layout of Keras Applications."""
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2(
        input_shape=(SIDE, SIDE, 3), alpha=0.35, include_top=False, weights=None
    )
    kinds = [(c, t, p) for c in COLOURS for t in THINGS for p in PLACES]
    images = np.stack([picture(*kinds[n % len(kinds)], seed=900 + n) for n in range(24)])
    given = (images.astype(np.float32) - 128) / 127.5
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5
    for _ in range(8):
        network(given, training=True)
    network.save_weights(path)
    return path


def write_config(folder: Path, *, epochs: int = 40) -> Path:
    """The settings, and the weights that they name, in a folder."""
    weights = write_weights(folder / "encoder.weights.h5")
    path = folder / "captions.toml"
    path.write_text(CONFIG.format(weights=weights, epochs=epochs))
    return path
