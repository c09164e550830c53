"""The optimisation loop that every stage shares."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from edgecap_convert.data.sequences import Cursor, SequenceBatch
from edgecap_convert.training.checkpoints import Checkpoints, Snapshot
from edgecap_convert.training.config import StageConfig
from edgecap_convert.training.distribute import ALONE, Workers

_WARM_UP_SHARE = 0.06


@dataclass
class History:
    """How one stage went.

    Attributes:
      stage: its name. steps, loss: the loss of every step.
      validated: (step, score) of each validation, step 0 being the start; higher is better.
      best: the best score, if there was a validation.
      seconds: that it took, as far as its checkpoints know: what was lost at a stop is not in it.
    """

    stage: str
    loss: list[float] = field(default_factory=list)
    validated: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best(self) -> float | None:
        return max((score for _, score in self.validated), default=None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "loss": [round(value, 5) for value in self.loss],
            "validated": [[step, round(score, 5)] for step, score in self.validated],
        }


def optimizer(stage: StageConfig, variables: list[tf.Variable]) -> keras.optimizers.Optimizer:
    """Adam with warm-up and cosine decay, gradients clipped to norm 1; its slots are made.

    Weight decay leaves out what is no kernel: biases, and the scales of batch norms.
    """
    warm_up = max(1, round(stage.steps * _WARM_UP_SHARE))
    schedule = keras.optimizers.schedules.CosineDecay(
        stage.learning_rate * 0.02,
        decay_steps=max(1, stage.steps - warm_up),
        warmup_target=stage.learning_rate,
        warmup_steps=warm_up,
    )
    adam = keras.optimizers.Adam(
        schedule,
        global_clipnorm=1.0,
        weight_decay=stage.weight_decay or None,
        use_ema=bool(stage.average),
        ema_momentum=stage.average or 0.99,
    )
    if stage.weight_decay:
        adam.exclude_from_weight_decay([v for v in variables if len(v.shape) < 2])
    adam.build(variables)
    return adam


def averaged(
    stage: StageConfig, adam: keras.optimizers.Optimizer, variables: list[tf.Variable]
) -> Callable[[], None] | None:
    """Puts the average of the weights along the steps in their place, where that is asked for."""
    if not stage.average:
        return None
    return lambda: adam.finalize_variable_values(variables)


class Update(Protocol):
    """One weight update, and what it carries from step to step."""

    def __call__(self, batch: SequenceBatch, step: int) -> tf.Tensor:
        """Updates; returns the loss."""
        ...

    def carried(self) -> dict[str, np.ndarray]:
        """What the next step depends on besides weights and batch: arrays with a row per row."""
        ...

    def carry_on(self, carried: dict[str, np.ndarray]) -> None:
        """Takes up what :meth:`carried` gave."""
        ...


class FrameUpdate:
    """An update on single frames: nothing is carried from step to step."""

    def carried(self) -> dict[str, np.ndarray]:
        return {}

    def carry_on(self, carried: dict[str, np.ndarray]) -> None:
        return None


class Log(Protocol):
    """Where the figures of every step go; ``TensorBoardLog`` is one."""

    def scalars(self, stage: str, step: int, **values: float | None) -> None: ...

    def resume(self, stage: str, step: int) -> None: ...

    def flush(self) -> None: ...


@dataclass(frozen=True)
class Hooks:
    """What surrounds the steps of a stage.

    Attributes:
      validate: a score, higher is better; without it the last weights stay.
      settle: called after the last step, before the weights are kept.
      on_step: told the number of each step before it is taken, also of those taken before a stop.
      log: takes the figures of every step.
      checkpoints: if given, the stage can be stopped and gone on with.
      workers: who train together. The chief validates and keeps the checkpoints, which are of the
        whole batch, so that any number of workers can go on from them.
    """

    validate: Callable[[], float] | None = None
    settle: Callable[[], None] | None = None
    on_step: Callable[[int], None] | None = None
    log: Log | None = None
    checkpoints: Checkpoints | None = None
    workers: Workers = ALONE


def optimise(
    name: str,
    stage: StageConfig,
    batches: Callable[[Cursor | None], Iterator[SequenceBatch]],
    update: Update,
    *,
    weights: list[tf.Variable],
    slots: list[tf.Variable] | None = None,
    hooks: Hooks | None = None,
) -> History:
    """Runs one stage to its end, or goes on with it where a checkpoint was left.

    Args:
      name: of the stage.
      stage: steps, validation rhythm, patience, and which weights to keep.
      batches: an endless iterator behind a cursor, or from the beginning.
      update: one weight update.
      weights: what is kept and put back, moving averages included.
      slots: the optimizer's variables.
      hooks: see there.
    """
    hooks = hooks or Hooks()
    progress = _Progress(name, stage.batch, [*weights, *(slots or [])], len(weights), update, hooks)
    history = progress.history
    step = progress.restore()
    if progress.finished:
        return history
    source = batches(progress.cursor)
    if hooks.log is not None:
        hooks.log.resume(name, step or -1)
    if hooks.on_step is not None:
        for done in range(1, step + 1):
            hooks.on_step(done)
    with tqdm(
        total=stage.steps,
        initial=step,
        desc=f"{name:>9}",
        unit="step",
        disable=not hooks.workers.chief,
    ) as bar:
        if step == 0:
            # Step 0 counts: a stage must not leave a network worse than it found it.
            _validate(hooks, progress, stage, step)
        while step < stage.steps and not (stage.patience and progress.misses >= stage.patience):
            step += 1
            if hooks.on_step is not None:
                hooks.on_step(step)
            batch = next(source)
            history.loss.append(float(update(batch, step)))
            progress.cursor = batch.cursor
            if hooks.log is not None:
                hooks.log.scalars(name, step, loss=history.loss[-1])
            if step % stage.validate_every == 0 or step == stage.steps:
                _validate(hooks, progress, stage, step)
            bar.update()
            bar.set_postfix_str(_status(history), refresh=False)
            if progress.save_if_due(step) and hooks.log is not None:
                hooks.log.flush()
    if hooks.settle is not None:
        hooks.settle()
    progress.finish()
    return history


def _validate(hooks: Hooks, progress: _Progress, stage: StageConfig, step: int) -> None:
    if hooks.validate is None:
        return
    workers = hooks.workers
    progress.agree()
    score = float(workers.from_chief(hooks.validate() if workers.chief else 0.0))
    progress.judge(score, step, keep_best=stage.keep == "best")
    if hooks.log is not None:
        hooks.log.scalars(progress.history.stage, step, validation=score)


class _Progress:
    """Everything that changes during a stage, as one thing that can be saved and restored."""

    def __init__(
        self,
        name: str,
        batch: int,
        variables: list[tf.Variable],
        kept_count: int,
        update: Update,
        hooks: Hooks,
    ) -> None:
        self.history = History(name)
        self._began = time.monotonic()
        self.cursor: Cursor | None = None
        self.misses = 0
        self.finished = False
        self._variables, self._kept_count = variables, kept_count
        self._kept: list[np.ndarray] | None = None
        self._best: float | None = None
        self._batch, self._update = batch, update
        self._checkpoints, self._workers = hooks.checkpoints, hooks.workers

    def agree(self) -> None:
        """Gives all workers the chief's weights, should other processors have rounded elsewhere."""
        self._workers.agree(self._variables)

    def judge(self, score: float, step: int, *, keep_best: bool) -> None:
        """Takes note of a validation."""
        self.history.validated.append((step, score))
        if self._best is None or score > self._best:
            self._best, self.misses = score, 0
            if keep_best:
                self._kept = [v.numpy() for v in self._variables[: self._kept_count]]
        else:
            self.misses += 1

    def finish(self) -> None:
        """Puts the best weights back and says that the stage is done."""
        if self._kept is not None:
            for variable, value in zip(self._variables, self._kept, strict=False):
                variable.assign(value)
        self.agree()
        self.finished = True
        self._count_seconds()
        if self._checkpoints is not None:
            kept = self._variables[: self._kept_count]
            arrays = {f"variable{i}": variable.numpy() for i, variable in enumerate(kept)}
            self._checkpoints.save(self.history.stage, Snapshot(self._meta(), arrays))

    def save_if_due(self, step: int) -> bool:
        """Whether the checkpoint was written."""
        workers = self._workers
        due = self._checkpoints is not None and self._checkpoints.due()
        if not workers.from_chief(due if workers.count == 1 else np.int64(due)):
            return False
        assert self.cursor is not None
        rows = {f"carried:{name}": value for name, value in self._update.carried().items()}
        rows["cursor"] = self.cursor
        arrays = {name: workers.joint(array, self._batch) for name, array in rows.items()}
        if self._checkpoints is None:
            return False
        self._count_seconds()
        arrays |= {f"variable{i}": v.numpy() for i, v in enumerate(self._variables)}
        arrays |= {f"kept{i}": value for i, value in enumerate(self._kept or [])}
        self._checkpoints.save(self.history.stage, Snapshot(self._meta() | {"step": step}, arrays))
        return True

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.history.seconds += now - self._began
        self._began = now

    def _meta(self) -> dict[str, Any]:
        return {
            "seconds": self.history.seconds,
            "finished": self.finished,
            "loss": self.history.loss,
            "validated": self.history.validated,
            "misses": self.misses,
            "best": self._best,
        }

    def restore(self) -> int:
        """Takes up a checkpoint; returns the last step that it knows of, 0 if there is none."""
        snapshot = self._checkpoints.load(self.history.stage) if self._checkpoints else None
        step = self._take_up(snapshot) if snapshot is not None else 0
        if self._workers.count > 1:
            step = self._share(step)
        self.agree()
        if step and not self.finished:
            self._take_up_rows(snapshot.arrays if snapshot is not None else {})
        return step

    def _take_up(self, snapshot: Snapshot) -> int:
        """What is the same for all rows."""
        meta, arrays = snapshot.meta, snapshot.arrays
        self.history.loss = list(meta["loss"])
        self.history.seconds = meta["seconds"]
        self.history.validated = [(step, score) for step, score in meta["validated"]]
        self.misses, self._best, self.finished = meta["misses"], meta["best"], meta["finished"]
        variables = self._variables[: self._kept_count] if self.finished else self._variables
        for i, variable in enumerate(variables):
            variable.assign(arrays[f"variable{i}"])
        if self.finished:
            return len(self.history.loss)
        if "kept0" in arrays:
            self._kept = [arrays[f"kept{i}"] for i in range(self._kept_count)]
        return int(meta["step"])

    def _take_up_rows(self, arrays: dict[str, np.ndarray]) -> None:
        """The state of this worker's rows, of which the chief knows."""
        workers, batch = self._workers, self._batch

        def joint(name: str, like: np.ndarray) -> np.ndarray:
            blank = np.zeros((batch, *like.shape[1:]), like.dtype)
            return workers.from_chief(arrays.get(name, blank))

        carried = {
            name: joint(f"carried:{name}", like)[workers.rows(batch)]
            for name, like in self._update.carried().items()
        }
        self._update.carry_on(carried)
        self.cursor = joint("cursor", np.zeros((batch, 2), np.int64))

    def _share(self, step: int) -> int:
        """Gives all workers what the chief took up."""
        best = np.nan if self._best is None else self._best
        mine = np.array([step, self.finished, self.misses, best], np.float64)
        shared = self._workers.from_chief(mine)
        self.finished, self.misses = bool(shared[1]), int(shared[2])
        self._best = None if np.isnan(shared[3]) else float(shared[3])
        return int(shared[0])


def _status(history: History) -> str:
    parts = []
    if history.loss:
        parts.append(f"loss {np.mean(history.loss[-20:]):.3f}")
    if history.validated:
        parts.append(f"validation {history.validated[-1][1]:.3f}")
    return ", ".join(parts)
