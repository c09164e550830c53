"""How good a network is on recordings in each of its forms, and whether they answer alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation import Evaluation, Recording, evaluate
from edgecap.spec import DecisionSpec
from edgecap.steps import Arrays
from edgecap.streaming import StreamingModel
from edgecap_convert.parity.trace import NetworkTracer, Tracers
from edgecap_convert.quantization.recipes import recipe_named
from edgecap_convert.training.predict import NetworkPredictor, activated

#: The forms of a network, by their keys in the record; the file's own is that of ``file_mode``.
FLOAT, FLOAT_STREAMED, FAKE_QUANT, CARRIED = "float", "float_streamed", "fake_quant", "_carried"

_Values = npt.NDArray[np.float32]


def file_mode(recipe: str) -> str:
    """What the file's figures are called: ``int8`` wherever integer kernels compute."""
    return "int8" if recipe_named(recipe).integer else recipe


def accuracy_parity(
    tracers: Tracers,
    model: StreamingModel,
    recordings: Iterable[Recording],
    *,
    data: str,
    decision: DecisionSpec,
) -> dict[str, Any]:
    """Accuracy of all forms on the same recordings, and how often they answer alike.

    Args:
      tracers: of the networks behind it. model: the file.
      recordings: what to measure on. data: its name.
      decision: the thresholds.

    Returns:
      ``data``, ``task``, ``recipe``, ``recordings``, ``frames``; ``accuracy``, by form: ``float``
      as a whole clip, ``float_streamed`` step by step, ``fake_quant``, the file (``int8``) with
      its state reset at the beginning of each recording, and (``int8_carried``) with the state
      carried over from one to the next; how close the file is to what it was made of:
      ``same_answers``, the share of frames with the same most probable label (classification) or
      the same labels above 0.5 (multilabel), or ``largest_difference`` and ``mean_difference`` of
      the values (regression); for classification ``clips``, the answers of float and file side by
      side.
    """
    task, file = model.spec.task, file_mode(model.spec.recipe)
    outputs = _run(tracers, model, recordings)
    results = {}
    for mode, rows in outputs.items():
        given = iter(rows)
        results[mode] = evaluate(
            lambda _, given=given: next(given),  # type: ignore[misc]
            recordings,
            labels=model.labels,
            decision=decision,
            task=task,
        )
    origin = FAKE_QUANT if tracers.quantized is not None else FLOAT
    made_of, real = (np.concatenate(outputs[mode]) for mode in (origin, file))
    record = {
        "data": data,
        "task": task,
        "recipe": model.spec.recipe,
        "recordings": len(outputs[file]),
        "frames": len(real),
        "accuracy": {mode: result.to_dict() for mode, result in results.items()},
    } | _agreement(made_of, real, task)
    whole, streamed = results[FLOAT], results[file]
    if isinstance(whole, Evaluation) and isinstance(streamed, Evaluation):
        record["clips"] = compare_clips(whole, streamed)
    return record


def compare_clips(float_: Evaluation, file: Evaluation) -> dict[str, int]:
    """Segments by who answers them rightly.

    Returns:
      ``both``, ``float_only``, ``file_only`` and ``neither`` (right), and ``same``: the same
      answer, right or wrong.
    """
    counts = dict.fromkeys(("both", "float_only", "file_only", "neither", "same"), 0)
    for whole, streamed in zip(float_.answers, file.answers, strict=True):
        names = {(True, True): "both", (True, False): "float_only", (False, True): "file_only"}
        counts[names.get((whole.right, streamed.right), "neither")] += 1
        counts["same"] += whole.answer == streamed.answer
    return counts


def _run(
    tracers: Tracers, model: StreamingModel, recordings: Iterable[Recording]
) -> dict[str, list[_Values]]:
    """Activations of every form at every frame, recording by recording."""
    task, file = model.spec.task, file_mode(model.spec.recipe)
    whole, fake = NetworkPredictor(tracers.network.network, task), tracers.quantized
    found: dict[str, list[_Values]] = {FLOAT: [], FLOAT_STREAMED: []}
    if fake is not None:
        found[FAKE_QUANT] = []
    found[file] = []

    def streamed(tracer: NetworkTracer, grids: _Values) -> _Values:
        return activated(tracer.run(grids, tracer.reset())[0].logits, task)

    for recording in recordings:
        images = recording.images
        grids = tracers.network.encode(images)
        found[FLOAT].append(whole.recur(grids))
        found[FLOAT_STREAMED].append(streamed(tracers.network, grids))
        if fake is not None:
            found[FAKE_QUANT].append(streamed(fake, fake.encode(images)))
        found[file].append(_streamed(model, images, model.initial_states())[0])
    found[file + CARRIED] = _carried(model, recordings)
    return found


def _carried(model: StreamingModel, recordings: Iterable[Recording]) -> list[_Values]:
    """Without a reset from recording to recording; the order is random, or labels would be next to
    their like."""
    images = [recording.images for recording in recordings]
    states = model.initial_states()
    found: dict[int, _Values] = {}
    for at in np.random.default_rng(0).permutation(len(images)):
        found[int(at)], states = _streamed(model, images[at], states)
    return [found[at] for at in range(len(images))]


def _streamed(
    model: StreamingModel, images: npt.NDArray[np.uint8], states: Arrays
) -> tuple[_Values, Arrays]:
    rows = []
    for image in images:
        outputs, states = model.infer(image, states)
        rows.append(model.activate(outputs))
    return np.stack(rows), states


def _agreement(made_of: _Values, real: _Values, task: str) -> dict[str, float]:
    if task == "regression":
        apart = np.abs(made_of - real)
        return {
            "largest_difference": float(apart.max()),
            "mean_difference": float(apart.mean()),
        }
    if task == "multilabel":
        same = ((made_of >= 0.5) == (real >= 0.5)).all(axis=1)
    else:
        same = made_of.argmax(axis=1) == real.argmax(axis=1)
    return {"same_answers": round(float(same.mean()), 5)}
