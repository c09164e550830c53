"""``--max-loss``: recipes from the cheapest on, until the loss of accuracy is within the budget.

The rungs: calibrated ranges alone; training on with fake quantisation; then, with 8 bits for the
cell state, 16 of them; then the head in float.
"""

from __future__ import annotations

from typing import Any, Protocol

from edgecap.errors import ConfigError
from edgecap.evaluation import Predictor, evaluate, model_predictor
from edgecap_convert.data import TrainingData
from edgecap_convert.export.assemble import (
    Converted,
    convert_made,
    describe,
    measured_part,
    open_model,
)
from edgecap_convert.export.card import headline
from edgecap_convert.models.network import Network
from edgecap_convert.quantization.recipes import Recipe, recipe_named
from edgecap_convert.training.predict import network_predictor
from edgecap_convert.training.runs import Run


class Quantise(Protocol):
    """Makes a quantised network by a recipe."""

    def __call__(self, recipe: Recipe, *, qat: bool) -> Converted: ...


def rungs(recipe: Recipe) -> list[tuple[Recipe, bool]]:
    """What is tried, in order: a recipe, and whether it is trained."""
    found = [(recipe, False), (recipe, True)]
    last = recipe
    if recipe.cell == "int8":
        last = recipe_named("int8-int16")
        found.append((last, True))
    if last.head == "int8":
        found.append((last.with_float_head(), True))
    return found


def climb(
    run: Run,
    network: Network,
    material: TrainingData,
    recipe: Recipe,
    quantise: Quantise,
    *,
    max_loss: float,
) -> tuple[Recipe, Converted, list[dict[str, Any]]]:
    """Tries rung after rung.

    Args:
      run, network, material: the training. recipe: the first. quantise: makes a network by one.
      max_loss: against the float network on the measured part, in points (percent) of accuracy or
        macro F1; for regression, in percent of its mean squared error.

    Returns:
      The first recipe within the budget, what was made by it, and what was tried: ``recipe``,
      ``qat`` and ``loss`` of each rung.

    Raises:
      ConfigError: none is, or the budget is not a number of points.
    """
    if not 0 <= max_loss <= 100:
        raise ConfigError(f"max_loss: expected 0 to 100 points; got {max_loss}")
    _, recordings = measured_part(material)

    def measured(predict: Predictor) -> float:
        found = evaluate(
            predict, recordings, labels=run.labels, decision=run.decision, task=run.task
        )
        return headline(found.to_dict())

    whole = measured(network_predictor(network, run.task))
    tried: list[dict[str, Any]] = []
    for rung, qat in rungs(recipe):
        made = quantise(rung, qat=qat)
        model = convert_made(made, rung)
        file = open_model(model, describe(run, model, made, rung.name, rung))
        loss = loss_points(whole, measured(model_predictor(file)), run.task)
        tried.append({"recipe": rung.name, "qat": qat, "loss": round(loss, 3)})
        if loss <= max_loss:
            return rung, made, tried
    told = ", ".join(
        f"{rung['recipe']} {'trained' if rung['qat'] else 'calibrated'} {rung['loss']:.2f}"
        for rung in tried
    )
    raise ConfigError(
        f"no recipe keeps within a loss of {max_loss:g} points ({told}); no model was written. "
        "Train longer with fake quantisation ([qat] steps), take --recipe float16, or allow more"
    )


def loss_points(whole: float, file: float, task: str) -> float:
    """By how much the file is worse; negative where it is better."""
    if task == "regression":
        return (file - whole) / max(whole, 1e-12) * 100
    return (whole - file) * 100
