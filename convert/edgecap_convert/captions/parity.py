"""The file beside what it was made of: its captions, and every word's numbers in steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap.captioning.model import CaptionModel
from edgecap.dataset.captions import CaptionedImage
from edgecap.evaluation.captions import score_captions
from edgecap.quantization import dequantize, quantize
from edgecap.spec import TensorSpec
from edgecap_convert.captions.decode import NetworkWriter, write_captions
from edgecap_convert.captions.grids import picture
from edgecap_convert.captions.network import CaptionNetwork, Scene
from edgecap_convert.captions.runs import CaptionRun
from edgecap_convert.models.network import normalize
from edgecap_convert.parity.gates import Gate, judge_outputs, judge_step
from edgecap_convert.parity.steps import Difference, step_of
from edgecap_convert.quantization.kernels import Scale
from edgecap_convert.tracing import traced

_BATCH = 50
# Pictures whose sentences are compared number by number: errors of a wrong grid show in the first.
_PICTURES = 48
Captions = dict[str, str]


def captions_of_network(
    run: CaptionRun, network: CaptionNetwork, images: Sequence[CaptionedImage]
) -> Captions:
    """The captions of a network in TensorFlow, by the pictures' names."""
    encode = traced(lambda pictures: network.encode(normalize(pictures)))

    def grids(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        found = []
        for start in range(0, len(numbers), _BATCH):
            part = numbers[start : start + _BATCH]
            found.append(encode(np.stack([picture(images[i], run.input) for i in part])).numpy())
        return np.concatenate(found)

    written = write_captions(NetworkWriter(network), grids, len(images), run.search)
    return {
        image.name: run.vocabulary.sentence(best.words)
        for image, best in zip(images, written, strict=True)
    }


def captions_of_model(
    run: CaptionRun, model: CaptionModel, images: Sequence[CaptionedImage]
) -> tuple[Captions, list[float]]:
    """The captions of a file, and how long each took from the picture in its size on, in ms."""
    found, took = {}, []
    for image in images:
        seen = picture(image, run.input)
        began = time.perf_counter()
        found[image.name] = model.caption(seen).text
        took.append((time.perf_counter() - began) * 1e3)
    return found, took


def scores_and_agreement(
    forms: dict[str, Captions], images: Sequence[CaptionedImage], *, origin: str, file: str
) -> dict[str, Any]:
    """Figures of each form, and how often two of them say the same.

    Returns:
      ``accuracy``: form → figures; ``same_sentences``: share of the pictures about which the file
      says what its ``origin`` says; ``same_as_float``: what the float network says.
    """
    truth = {image.name: image.captions for image in images}

    def same(one: str, other: str) -> float:
        alike = [forms[one][name] == forms[other][name] for name in forms[one]]
        return round(float(np.mean(alike)), 4)

    return {
        "accuracy": {form: score_captions(c, truth).to_dict() for form, c in forms.items()},
        "same_sentences": same(origin, file),
        "same_as_float": same("float", file),
    }


def measure_steps(
    run: CaptionRun,
    network: CaptionNetwork,
    model: CaptionModel,
    images: Sequence[CaptionedImage],
) -> dict[str, Any]:
    """Differences between an integer file and its fake-quantised network, in steps (LSB).

    Logits that are float have none; what they differ by is told by ``off_share`` alone.

    Returns:
      ``encode``: of what the picture gives; ``each_step``: every word of a person's sentence, each
      from the network's own states; ``free_running``: the same, each carrying its own;
      ``off_share``: rms of the latter's logits, as a share of their deviation; ``same_words``:
      share of them that find the same next word most probable.
    """
    caption = model.spec.caption
    assert caption is not None
    step = traced(
        lambda words, scene, h, c: network.step(words, Scene(*scene), h, c), reduce_retracing=True
    )
    told = (model.spec.output.tensor, caption.attention, *model.spec.states)
    first = {s.name: s for s in (*caption.features, *model.spec.states)}
    steps = {s.name: _step(s, network) for s in (*told, *caption.features)}
    if model.spec.output.tensor.dtype == "float32":
        del steps[model.spec.output.tensor.name]
    errors: dict[str, dict[str, list[npt.NDArray[Any]]]] = {
        kind: {} for kind in ("encode", "each_step", "free_running")
    }
    logits: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
    for image in images[:_PICTURES]:
        seen = picture(image, run.input)
        scene = network.look(network.encode(normalize(tf.constant(seen[None]))))
        mine = model.encode(seen)
        given = dict(zip(first, (*mine.features, *mine.states), strict=True))
        for (name, spec), real in zip(first.items(), scene, strict=True):
            _note(errors["encode"], name, dequantize(given[name], spec), real, steps[name])
        # The same picture on both sides: what the encoders differ by is told above.
        features = tuple(
            quantize(real.numpy(), spec)
            for spec, real in zip(caption.features, scene, strict=False)
        )
        h, c = scene.hidden, scene.cell
        own = tuple(
            quantize(real.numpy(), spec)
            for spec, real in zip(model.spec.states, (h, c), strict=True)
        )
        forced = type(mine)(features, own)
        states, word = own, caption.start
        for following in run.vocabulary.numbers(image.captions[0], longest=run.config.longest):
            begin = tuple(
                quantize(x.numpy(), spec) for x, spec in zip((h, c), model.spec.states, strict=True)
            )
            answer, attention, h, c = step(tf.constant([word]), tuple(scene), h, c)
            expected = {"logits": answer, "attention": attention, "h": h, "c": c}
            taken = model.step(word, forced, begin)
            ran = model.step(word, forced, states)
            states = ran.states
            for kind, found in (("each_step", taken), ("free_running", ran)):
                values = (found.logits, found.attention, *found.states)
                for spec, value in zip(told, values, strict=True):
                    if spec.name in steps:
                        real = dequantize(value, spec)
                        _note(errors[kind], spec.name, real, expected[spec.name], steps[spec.name])
            real = dequantize(ran.logits, model.spec.output.tensor)
            logits.append((real, answer.numpy()[0]))
            word = following
    ours, theirs = (np.stack(side) for side in zip(*logits, strict=True))
    off = float(np.sqrt(((ours - theirs) ** 2).mean()) / theirs.std())
    same = ours.argmax(axis=1) == theirs.argmax(axis=1)
    return {kind: _summary(each) for kind, each in errors.items()} | {
        "words": len(logits),
        "off_share": round(off, 5),
        "same_words": round(float(same.mean()), 5),
    }


def judge(steps: dict[str, Any]) -> list[Gate]:
    """Holds the record of an integer file's differences against the tolerances of all files."""
    gates = [
        judge_step(f"{name} of the picture", found["mean"])
        for name, found in steps["encode"]["tensors"].items()
    ]
    gates += [
        judge_step(f"{name}, each word from the same state", found["mean"])
        for name, found in steps["each_step"]["tensors"].items()
    ]
    return [*gates, judge_outputs(steps["off_share"])]


def _step(spec: TensorSpec, network: CaptionNetwork) -> float:
    """What one step of a tensor is worth; of one that goes out as float, but is on a grid too."""
    learnt = network.ranges.get(spec.name)
    if spec.dtype != "float32" or learnt is None:
        return step_of(spec)
    return float(Scale.of_range(learnt.minimum, learnt.maximum).stored)


def _note(
    errors: dict[str, list[npt.NDArray[Any]]],
    name: str,
    found: npt.NDArray[np.float32],
    expected: tf.Tensor,
    step: float,
) -> None:
    real = found.astype(np.float64).ravel()
    apart = np.abs(real - np.asarray(expected, np.float64).ravel()) / step
    errors.setdefault(name, []).append(apart)


def _summary(errors: dict[str, list[npt.NDArray[Any]]]) -> dict[str, Any]:
    return Difference({name: np.stack(rows) for name, rows in errors.items()}).to_dict()
