"""Fake-quantises a trained captioning network and learns its ranges, and trains it on.

The encoder's ranges are learnt on pictures of the training, and its weights are rounded so that
their errors cancel on some of these (:mod:`..quantization.rounding`); the ranges of what writes are
learnt along sentences with carried state. In quantisation-aware training, what writes and that part
of the encoder which was trained with it in float learn to give what the float network gives: its
grid, and the probability of every next word. They read what the int8 encoder's first part computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from edgecap.dataset.captions import CaptionedImage
from edgecap_convert.captions.grids import GridStore, digest, picture
from edgecap_convert.captions.material import CaptionMaterial
from edgecap_convert.captions.network import CaptionNetwork
from edgecap_convert.captions.runs import CaptionRun, as_recipe
from edgecap_convert.captions.train import choose_sentences
from edgecap_convert.captions.updates import spoken
from edgecap_convert.export.graph import Int8Encoder
from edgecap_convert.models.network import normalize
from edgecap_convert.quantization import grids
from edgecap_convert.quantization.recipes import Recipe
from edgecap_convert.quantization.rounding import round_weights
from edgecap_convert.tracing import traced

# Pictures that the encoder's ranges are learnt from, and batches that the others are.
_PICTURES, _PICTURE_BATCH, _BATCHES = 384, 32, 40
# Pictures on which its weights are rounded; all of them are in memory at once.
_ROUNDING_PICTURES = 128
# From here on ranges stand still and weights settle into them.
_FREEZE_SHARE = 0.6
_CLIP_NORM = 1.0


@dataclass(frozen=True)
class Quantized:
    """A fake-quantised network with frozen ranges.

    Attributes:
      network: see there. loss: of each tenth of the training.
    """

    network: CaptionNetwork
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
    quantized = as_recipe(network, recipe)
    schedule = quantized.schedule
    assert schedule is not None
    chosen = np.random.default_rng(run.seed).permutation(len(material.train))
    _quantize_encoder(run, network, quantized, [material.train[i] for i in chosen])
    # The encoder's first part stays as it is now, whatever is trained.
    encode = Int8Encoder(quantized, quantized.encode_fixed)
    arrays = {f"{i:04d}": w.numpy() for i, w in enumerate(quantized.encoder.weights)}
    told = f"int8 {run.config.tuned_from} {digest(arrays)}"
    store = GridStore(folder, material.train, run.input, encode, encoder=told)
    taught = [run.vocabulary.rows(i.captions, longest=run.config.longest) for i in material.train]

    def sentences(step: int, numbers: npt.NDArray[Any]) -> tuple[Any, Any, Any]:
        words, meant = choose_sentences(taught, numbers, run.config.qat.sentences, (run.seed, step))
        return store.batch(numbers), words, meant

    speak = traced(
        lambda fixed, words, meant: _spoken(run, quantized, fixed, words, meant)[0],
        reduce_retracing=True,
    )
    size = min(run.config.qat.images, len(chosen))
    for step in range(_BATCHES):
        numbers = np.random.default_rng((run.seed, 1, step)).choice(chosen, size, replace=False)
        speak(*sentences(step, numbers))
    schedule.follow()
    loss = _train(run, network, quantized, material, sentences, folder) if qat else []
    schedule.freeze()
    return Quantized(quantized, loss)


def _quantize_encoder(
    run: CaptionRun,
    network: CaptionNetwork,
    quantized: CaptionNetwork,
    images: Sequence[CaptionedImage],
) -> None:
    """Learns the ranges of the encoder, and rounds its weights on what it gives within them."""
    schedule = quantized.schedule
    assert schedule is not None
    see = traced(lambda pictures: quantized.encode(normalize(pictures), training=True))

    def batches(count: int) -> Iterator[tf.Tensor]:
        for start in range(0, min(count, len(images)), _PICTURE_BATCH):
            part = images[start : min(start + _PICTURE_BATCH, count)]
            yield tf.constant(np.stack([picture(image, run.input) for image in part]))

    def learn_ranges(count: int) -> None:
        schedule.calibrate()
        for batch in batches(count):
            see(batch)

    learn_ranges(_ROUNDING_PICTURES)
    given = [grids.IMAGE.fake_quant(normalize(batch)) for batch in batches(_ROUNDING_PICTURES)]
    round_weights(network.encoder, quantized.encoder, given, seed=run.seed)
    learn_ranges(_PICTURES)


def _train(
    run: CaptionRun,
    network: CaptionNetwork,
    quantized: CaptionNetwork,
    material: CaptionMaterial,
    sentences: Any,
    folder: Path,
) -> list[float]:
    """Learns to find every next word as probable as the float network does."""
    settings, schedule = run.config.qat, quantized.schedule
    assert schedule is not None
    encode = traced(lambda images: network.encode(normalize(images)))
    arrays = {f"{i:04d}": w.numpy() for i, w in enumerate(network.encoder.weights)}
    teacher = GridStore(
        folder,
        material.train,
        run.input,
        lambda pictures: encode(tf.constant(pictures)).numpy(),
        encoder=digest(arrays),
        views=1,
    )
    # What writes in float is what is to be learnt from: all that it lost are roundings of weights.
    decoder = quantized.looking_weights if quantized.float_words else quantized.decoder_weights
    variables = [*decoder, *quantized.tuned_weights]
    adam = keras.optimizers.Adam(settings.learning_rate, clipnorm=_CLIP_NORM)
    adam.build(variables)

    @partial(traced, reduce_retracing=True)
    def update(fixed: tf.Tensor, truth: tf.Tensor, words: tf.Tensor, meant: tf.Tensor) -> tf.Tensor:
        truth = tf.cast(truth, tf.float32)
        lesson, _ = spoken(network, truth, words, meant, run.vocabulary.start)
        with tf.GradientTape() as tape:
            told, grid = _spoken(run, quantized, fixed, words, meant)
            # Kullback and Leibler's divergence from what is taught, and how far the grid is off.
            loss = tf.reduce_mean(tf.reduce_sum(tf.exp(lesson) * (lesson - told), axis=-1))
            loss += tf.reduce_mean((grid - truth) ** 2) / tf.reduce_mean(truth**2)
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
            losses.append(
                float(update(*_with(teacher, numbers, sentences(_BATCHES + step, numbers))))
            )
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
    return [round(float(np.mean(part)), 5) for part in np.array_split(losses, 10) if len(part)]


def _with(teacher: GridStore, numbers: Any, given: tuple[Any, Any, Any]) -> tuple[Any, ...]:
    fixed, words, meant = given
    return fixed, teacher.batch(numbers), words, meant


def _spoken(
    run: CaptionRun, quantized: CaptionNetwork, fixed: tf.Tensor, words: tf.Tensor, meant: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Log-probabilities, see :func:`spoken`, and the grid; ranges move, but the encoder's."""
    grid = quantized.encode_rest(tf.cast(fixed, tf.float32))
    told, _ = spoken(quantized, grid, words, meant, run.vocabulary.start, training=True)
    return told, grid
