"""The float network, the fake-quantised one and the int8 file, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecap.contract import SIGNATURE, tensor_spec
from edgecap.evaluation import Recording, evaluate, model_predictor
from edgecap.flatbuffer import read_graph
from edgecap.interpreter import open_interpreter
from edgecap.quantization import dequantize, quantize
from edgecap.spec import DecisionSpec, TensorSpec
from edgecap.streaming import StreamingModel
from edgecap_convert.export.graph import FEATURES, LOGITS, convert_recurrent
from edgecap_convert.models.along import NECK_STATES
from edgecap_convert.models.network import Network, normalize
from edgecap_convert.quantization.recipes import recipe_named
from edgecap_convert.training.predict import network_predictor


def accuracy_parity(
    network: Network,
    quantized: Network | None,
    model: StreamingModel,
    recordings: Iterable[Recording],
    *,
    data: str,
    decision: DecisionSpec,
) -> dict[str, Any]:
    """Accuracy of all of them on the same recordings, and how often the last two agree.

    Args:
      network: float. quantized: what the file was made of, unless that is the float network.
      model: the file. recordings: what to measure on. data: its name.
      decision: the thresholds.

    Returns:
      ``data``, ``task``, ``recordings``, ``frames``, ``accuracy`` (by mode), and how close the last
      two are: ``same_answers``, the share of frames in which they have the same most probable
      label (classification) or the same labels above 0.5 (multilabel); ``largest_difference`` and
      ``mean_difference`` of the values (regression).
    """
    task = model.spec.task
    predictors = {"float": network_predictor(network, task)}
    if quantized is not None:
        predictors["fake_quant"] = network_predictor(quantized, task)
    origin, file = list(predictors)[-1], file_mode(model.spec.recipe)
    predictors[file] = model_predictor(model)
    answers: dict[str, list[npt.NDArray[Any]]] = {mode: [] for mode in predictors}
    accuracy = {}
    for mode, predict in predictors.items():

        def kept(images: npt.NDArray[np.uint8], mode: str = mode, predict: Any = predict) -> Any:
            given = predict(images)
            answers[mode].append(given)
            return given

        result = evaluate(kept, recordings, labels=model.labels, decision=decision, task=task)
        accuracy[mode] = result.to_dict()
    fake, real = (np.concatenate(answers[mode]) for mode in (origin, file))
    return {
        "data": data,
        "task": task,
        "recipe": model.spec.recipe,
        "recordings": len(answers[file]),
        "frames": len(real),
        "accuracy": accuracy,
    } | _agreement(fake, real, task)


def file_mode(recipe: str) -> str:
    """What the file's figures are called: ``int8`` wherever integer kernels compute."""
    return "int8" if recipe_named(recipe).integer else recipe


def _agreement(
    fake: npt.NDArray[np.float32], real: npt.NDArray[np.float32], task: str
) -> dict[str, float]:
    if task == "regression":
        apart = np.abs(fake - real)
        return {
            "largest_difference": float(apart.max()),
            "mean_difference": float(apart.mean()),
        }
    if task == "multilabel":
        same = ((fake >= 0.5) == (real >= 0.5)).all(axis=1)
    else:
        same = fake.argmax(axis=1) == real.argmax(axis=1)
    return {"same_answers": round(float(same.mean()), 5)}


@dataclass(frozen=True)
class Difference:
    """int8 against fake-quantised, in steps of each tensor's grid (a cell state's: 1/128).

    Attributes:
      errors: tensor → ``(frames, width)`` float64 absolute differences.
    """

    errors: dict[str, npt.NDArray[np.float64]]

    @property
    def equal(self) -> float:
        """Share of the integer values that do not differ at all."""
        values = [error.ravel() for name, error in self.errors.items() if not name.startswith("c")]
        return float((np.concatenate(values) == 0.0).mean())

    @property
    def within_one(self) -> float:
        """Share of all values that differ by at most 1 step."""
        values = np.concatenate([error.ravel() for error in self.errors.values()])
        return float((values <= 1.0).mean())

    @property
    def largest(self) -> float:
        return max(float(error.max()) for error in self.errors.values())


# A cell state of float or 16 bits is measured in steps of the hidden state, which reads it.
_CELL_STEP = 1 / 128


def free_running(
    quantized: Network, model: StreamingModel, images: npt.NDArray[np.uint8]
) -> tuple[Difference, npt.NDArray[np.bool_]]:
    """Both networks run over the same frames, each carrying its own state.

    Returns:
      Differences of logits and states at every frame, and whether the answers are the same.
    """
    step = _compiled_step(quantized)
    logits_spec, states_spec = model.spec.output.tensor, model.spec.states
    state, states = quantized.initial_state(1), model.initial_states()
    errors: dict[str, list[npt.NDArray[np.float64]]] = {}
    same = []
    for image in images:
        logits, state = step(tf.constant(image[None]), state)
        found, states = model.infer(image, states)
        same.append(int(found.argmax()) == int(np.argmax(logits)))
        _append(errors, logits_spec, found, logits)
        for spec, value in zip(states_spec, states, strict=True):
            _append(errors, spec, value, state[spec.name])
    return Difference({name: np.stack(rows) for name, rows in errors.items()}), np.array(same)


def teacher_forced(
    quantized: Network, features: npt.NDArray[np.float32], *, kernels: str
) -> Difference:
    """The recurrent step alone: each step starts from the fake-quantised network's own state.

    Args:
      quantized: the reference.
      features: ``(N, F)`` float32 of consecutive frames.
      kernels: those that the int8 step runs on.
    """
    model = convert_recurrent(quantized)
    graph = read_graph(model)
    inputs, outputs = graph.signatures[SIGNATURE]
    specs = {name: tensor_spec(name, graph.tensors[i]) for name, i in (outputs | inputs).items()}
    interpreter, _ = open_interpreter(model, kernels=kernels)
    reference = tf.function(
        lambda row, state: quantized.step_features(quantized.requantize_features(row), state)
    )
    state = {n: v for n, v in quantized.initial_state(1).items() if n not in NECK_STATES}
    errors: dict[str, list[npt.NDArray[np.float64]]] = {}
    for row in features:
        given = {FEATURES: row[None], **{name: value.numpy() for name, value in state.items()}}
        for name, index in inputs.items():
            interpreter.set_tensor(index, quantize(given[name], specs[name]))
        interpreter.invoke()
        logits, state = reference(tf.constant(row[None]), state)
        for name, expected in {LOGITS: logits, **state}.items():
            found = interpreter.get_tensor(outputs[name])
            _append(errors, specs[name], found, expected)
    return Difference({name: np.stack(rows) for name, rows in errors.items()})


def _append(
    errors: dict[str, list[npt.NDArray[np.float64]]],
    spec: TensorSpec,
    found: npt.NDArray[Any],
    expected: tf.Tensor,
) -> None:
    errors.setdefault(spec.name, []).append(difference_in_steps(spec, found, np.asarray(expected)))


def difference_in_steps(
    spec: TensorSpec, found: npt.NDArray[Any], expected: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """|found − expected| in steps of the tensor's grid, flat; ``expected`` are real values."""
    if spec.dtype in ("float32", "int16"):
        return np.abs(dequantize(found, spec).astype(np.float64) - expected).ravel() / _CELL_STEP
    return np.abs(found.astype(np.int64) - quantize(expected, spec).astype(np.int64)).ravel() * 1.0


def _compiled_step(network: Network) -> Any:
    encoder = network.config.encoder
    return tf.function(
        lambda image, state: network.step(normalize(image), state),
        input_signature=[
            tf.TensorSpec((1, encoder.height, encoder.width, 3), tf.uint8),
            {name: tf.TensorSpec(shape) for name, shape in network.state_shapes().items()},
        ],
    )
