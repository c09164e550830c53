"""Fake-quantises a trained captioning network and learns its ranges, and trains it on.

The encoder keeps its weights; its ranges are learnt on pictures of the training. What writes reads
the grids that the int8 encoder itself computes: first its ranges are learnt along sentences with
carried state, then, in quantisation-aware training, its weights learn to find every next word as
probable as the float network does, which reads the float encoder's grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from edgecap_convert.captions.grids import GridStore, digest, picture
from edgecap_convert.captions.material import CaptionMaterial
from edgecap_convert.captions.network import CaptionNetwork
from edgecap_convert.captions.runs import CaptionRun
from edgecap_convert.captions.train import choose_sentences
from edgecap_convert.captions.updates import spoken
from edgecap_convert.export.graph import Int8Encoder
from edgecap_convert.models.network import normalize
from edgecap_convert.quantization.recipes import Recipe

# Pictures that the encoder's ranges are learnt from, and batches that the others are.
_PICTURES, _PICTURE_BATCH, _BATCHES = 384, 32, 40
# From here on ranges stand still and weights settle into them.
_FREEZE_SHARE = 0.6
_CLIP_NORM = 1.0


@dataclass(frozen=True)
class Quantized:
    """A fake-quantised network with frozen ranges.

    Attributes:
      network: see there. encode: its encoder on int8 kernels. loss: of each tenth of the training.
    """

    network: CaptionNetwork
    encode: Int8Encoder
    loss: list[float]


def quantize_captions(
    run: CaptionRun,
    network: CaptionNetwork,
    material: CaptionMaterial,
    recipe: Recipe,
    *,
    qat: bool,
    folder: Path,
) -> Quantized:
    """Makes the network that an integer file is converted from.

    Args:
      run, network, material: the training. recipe: an integer one.
      qat: train on; else ranges are only learnt.
      folder: for the grids.
    """
    keras.utils.set_random_seed(run.seed)
    quantized = network.quantized(cell=recipe.cell, float_head=recipe.head == "float32")
    schedule = quantized.schedule
    assert schedule is not None
    schedule.calibrate()
    chosen = np.random.default_rng(run.seed).permutation(len(material.train))
    see = tf.function(lambda images: quantized.encode(normalize(images), training=True))
    for start in range(0, min(_PICTURES, len(chosen)), _PICTURE_BATCH):
        part = chosen[start : start + _PICTURE_BATCH]
        see(tf.constant(np.stack([picture(material.train[i], run.input) for i in part])))
    encode = Int8Encoder(quantized)
    arrays = {f"{i:04d}": w.numpy() for i, w in enumerate(quantized.encoder.weights)}
    store = GridStore(
        folder, material.train, run.input, encode, encoder=f"int8 {digest(arrays)}", views=1
    )
    taught = [run.vocabulary.rows(i.captions, longest=run.config.longest) for i in material.train]

    def batch(step: int, numbers: npt.NDArray[Any]) -> tuple[Any, Any, Any]:
        words, meant = choose_sentences(taught, numbers, run.config.qat.sentences, (run.seed, step))
        return store.batch(numbers), words, meant

    start_word = run.vocabulary.start
    speak = tf.function(
        lambda grids, words, meant: spoken(
            quantized, tf.cast(grids, tf.float32), words, meant, start_word, training=True
        )[0],
        reduce_retracing=True,
    )
    size = min(run.config.qat.images, len(chosen))
    for step in range(_BATCHES):
        numbers = np.random.default_rng((run.seed, 1, step)).choice(chosen, size, replace=False)
        speak(*batch(step, numbers))
    schedule.follow()
    loss = _train(run, network, quantized, material, batch, folder) if qat else []
    schedule.freeze()
    return Quantized(quantized, encode, loss)


def _train(
    run: CaptionRun,
    network: CaptionNetwork,
    quantized: CaptionNetwork,
    material: CaptionMaterial,
    batch: Any,
    folder: Path,
) -> list[float]:
    """Learns to find every next word as probable as the float network does."""
    settings, schedule = run.config.qat, quantized.schedule
    assert schedule is not None
    encode = tf.function(lambda images: network.encode(normalize(images)))
    arrays = {f"{i:04d}": w.numpy() for i, w in enumerate(network.encoder.weights)}
    teacher = GridStore(
        folder,
        material.train,
        run.input,
        lambda pictures: encode(tf.constant(pictures)).numpy(),
        encoder=digest(arrays),
        views=1,
    )
    variables = quantized.decoder_weights
    adam = keras.optimizers.Adam(settings.learning_rate, clipnorm=_CLIP_NORM)
    adam.build(variables)
    start = run.vocabulary.start

    @tf.function(reduce_retracing=True)
    def update(grids: tf.Tensor, truth: tf.Tensor, words: tf.Tensor, meant: tf.Tensor) -> tf.Tensor:
        lesson, _ = spoken(network, tf.cast(truth, tf.float32), words, meant, start)
        with tf.GradientTape() as tape:
            told, _ = spoken(
                quantized, tf.cast(grids, tf.float32), words, meant, start, training=True
            )
            # Kullback and Leibler's divergence from what is taught.
            loss = tf.reduce_mean(tf.reduce_sum(tf.exp(lesson) * (lesson - told), axis=-1))
        gradients = tape.gradient(loss, variables)
        adam.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    count = len(material.train)
    size = min(settings.images, count)
    steps = settings.epochs * (count // size)
    losses = []
    with tqdm(range(steps), desc="   qat", unit="step") as bar:
        for step in bar:
            if step == round(_FREEZE_SHARE * steps):
                schedule.freeze()
            adam.learning_rate.assign(settings.learning_rate * (1 - 0.9 * step / steps))
            epoch, at = divmod(step, count // size)
            order = np.random.default_rng((run.seed, 2, epoch)).permutation(count)
            numbers = order[at * size : (at + 1) * size]
            losses.append(float(update(*_with(teacher, numbers, batch(_BATCHES + step, numbers)))))
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
    return [round(float(np.mean(part)), 5) for part in np.array_split(losses, 10) if len(part)]


def _with(teacher: GridStore, numbers: Any, given: tuple[Any, Any, Any]) -> tuple[Any, ...]:
    grids, words, meant = given
    return grids, teacher.batch(numbers), words, meant
