"""The optimisation loop that every stage shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from edgecap_convert.training.config import StageConfig

_B = TypeVar("_B")
_WARM_UP_SHARE = 0.06


@dataclass
class History:
    """How one stage went.

    Attributes:
      stage: its name. steps, loss: the loss of every step.
      validated: (step, score) of each validation, step 0 being the start; higher is better.
      best: the best score, if there was a validation.
    """

    stage: str
    loss: list[float] = field(default_factory=list)
    validated: list[tuple[int, float]] = field(default_factory=list)

    @property
    def best(self) -> float | None:
        return max((score for _, score in self.validated), default=None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "loss": [round(value, 5) for value in self.loss],
            "validated": [[step, round(score, 5)] for step, score in self.validated],
        }


def optimizer(stage: StageConfig) -> keras.optimizers.Optimizer:
    """Adam with warm-up and cosine decay, gradients clipped to norm 1."""
    warm_up = max(1, round(stage.steps * _WARM_UP_SHARE))
    schedule = keras.optimizers.schedules.CosineDecay(
        stage.learning_rate * 0.02,
        decay_steps=max(1, stage.steps - warm_up),
        warmup_target=stage.learning_rate,
        warmup_steps=warm_up,
    )
    return keras.optimizers.Adam(schedule, global_clipnorm=1.0)


def optimise(
    name: str,
    stage: StageConfig,
    batches: Iterator[_B],
    update: Callable[[_B], tf.Tensor],
    *,
    variables: list[tf.Variable],
    validate: Callable[[], float] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> History:
    """Runs one stage to its end, keeping the weights of the best validation.

    Args:
      name: for the progress bar.
      stage: steps, validation rhythm and patience.
      batches: endless.
      update: one weight update; returns the loss.
      variables: what is kept and put back, moving averages included.
      validate: a score, higher is better; without it the last weights stay.
      on_step: told the number of each step before it is taken.
    """
    history = History(name)
    kept: list[np.ndarray] | None = None
    misses = 0
    with tqdm(total=stage.steps, desc=f"{name:>9}", unit="step") as bar:
        for step in range(stage.steps + 1):
            if step:
                if on_step is not None:
                    on_step(step)
                history.loss.append(float(update(next(batches))))
                bar.update()
                bar.set_postfix_str(_status(history), refresh=False)
            # Step 0 counts: a stage must not leave a network worse than it found it.
            if validate is None or (step % stage.validate_every and step != stage.steps):
                continue
            score = validate()
            best = history.best
            history.validated.append((step, score))
            bar.set_postfix_str(_status(history))
            if best is None or score > best:
                kept, misses = [variable.numpy() for variable in variables], 0
            else:
                misses += 1
                if stage.patience and misses >= stage.patience:
                    break
    if kept is not None:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)
    return history


def _status(history: History) -> str:
    parts = []
    if history.loss:
        parts.append(f"loss {np.mean(history.loss[-20:]):.3f}")
    if history.validated:
        parts.append(f"validation {history.validated[-1][1] * 100:.1f} %")
    return ", ".join(parts)
