"""The run folder: everything that a training leaves behind, and reading it back.

config.json    settings, data, labels, seed, versions
split.json     which clips train, validate and test
checkpoints/   while the training runs: what it needs to go on after a stop
tensorboard/   losses and validations of every stage, for TensorBoard
weights.npz    the float network
history.json   losses and validations of every stage
report.html    all of it for people
metrics.json   figures and times; written last, so a run that has it is whole
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import io
import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgecap.caption_spec import CAPTIONING
from edgecap.documents import read_json
from edgecap.durable import write_atomically
from edgecap.errors import ConfigError, DataError
from edgecap.evaluation import Predictor
from edgecap.extras import require_convert
from edgecap.spec import DecisionSpec, InputSpec
from edgecap_convert.quantization.recipes import recipe_named
from edgecap_convert.training.config import TrainConfig, network_config
from edgecap_convert.training.material import Fold

if TYPE_CHECKING:
    from edgecap_convert.models.network import Network
    from edgecap_convert.training.optimise import History

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.npz"
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.json"
SPLIT_FILE = "split.json"
REPORT_FILE = "report.html"
CHECKPOINTS, FEATURES, TENSORBOARD = "checkpoints", "features", "tensorboard"
QUANTIZED_FILE = "quantized.npz"
PARITY_FILE = "parity.json"
PARITY_PAGE = "parity.html"
_FILES = (CONFIG_FILE, SPLIT_FILE, WEIGHTS_FILE, HISTORY_FILE, REPORT_FILE, METRICS_FILE)
_FOLDERS = (CHECKPOINTS, FEATURES, TENSORBOARD)
_PACKAGES = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "numpy")


@dataclass(frozen=True)
class Run:
    """A training: its settings and material.

    Attributes:
      path: the folder.
      config: the settings. data: the material's name. seed: of split, weights and batches.
      task: classification, multilabel or regression.
      labels: in the order of the outputs. background: the label that is no event, if any.
      fold: of a cross-validation, or ``None``.
    """

    path: Path
    config: TrainConfig
    data: str
    seed: int
    task: str
    labels: tuple[str, ...]
    background: str | None
    fold: Fold | None = None

    @property
    def input(self) -> InputSpec:
        return self.config.frames.input

    @property
    def rate_hz(self) -> float:
        return self.config.rate_hz

    @property
    def decision(self) -> DecisionSpec:
        return DecisionSpec(background=self.background)

    def network(self) -> Network:
        """The trained float network.

        Raises:
          ConfigError: the weights are missing, damaged or do not fit the settings.
        """
        from edgecap_convert.models.network import Network

        shape = network_config(self.config, len(self.labels))
        # The weights are in the run; what the encoder started from is history.
        network = Network(
            dataclasses.replace(shape, encoder=dataclasses.replace(shape.encoder, weights=None))
        )
        network.set_arrays(read_arrays(self.path / WEIGHTS_FILE))
        return network

    def quantized_network(self) -> Network:
        """The fake-quantised network of the last conversion.

        Raises:
          ConfigError: the run was not converted, or not to integers, or the weights are damaged.
        """
        arrays = read_arrays(self.path / QUANTIZED_FILE)
        recipe = recipe_named(self.converted_recipe())
        network = self.network().quantized(cell=recipe.cell, float_head=recipe.head == "float32")
        network.set_arrays(arrays)
        return network

    def converted_recipe(self) -> str:
        """The recipe of the last conversion.

        Raises:
          ConfigError: the record of it is missing, damaged, or of an older version.
        """
        return converted_recipe(self.path)


def converted_recipe(folder: Path) -> str:
    """The recipe of the last conversion of the run in a folder; see ``Run.converted_recipe``."""
    path = folder / PARITY_FILE
    try:
        return str(read_json(path)["recipe"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: expected the record of a conversion with its recipe; got {error!r}. "
            "Convert the run again"
        ) from error


def claim_folder(path: Path) -> bool:
    """Makes the folder of a new run; returns whether it was not there before.

    Raises:
      ConfigError: the folder exists and is not empty, or cannot be made or written to.
    """
    try:
        made = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        # A stop while the first file was written leaves its beginning.
        taken = any(entry.suffix != ".tmp" for entry in path.iterdir())
    except OSError as error:
        raise ConfigError(f"{path}: no place for a run: {error.strerror}") from error
    if taken:
        hint = "; or go on with the run in it with --resume" if _has_settings(path) else ""
        raise ConfigError(f"{path} is not empty; choose another folder with --out{hint}")
    return made


def discard_folder(path: Path, *, made: bool) -> None:
    """Takes back :func:`claim_folder` and whatever a run has written since."""
    for name in _FILES:
        (path / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        discard_tree(path / name)
    if made:
        with contextlib.suppress(OSError):
            path.rmdir()


def discard_tree(path: Path) -> None:
    """Removes a folder of the run with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)


def _has_settings(path: Path) -> bool:
    return (path / CONFIG_FILE).is_file()


def is_begun(path: Path) -> bool:
    """Whether a run was begun in this folder."""
    return _has_settings(path)


def is_finished(path: Path) -> bool:
    """Whether the run in this folder came to its end."""
    return _has_settings(path) and (path / METRICS_FILE).is_file()


def write_settings(run: Run) -> None:
    """Writes ``config.json``."""
    write_json(run.path / CONFIG_FILE, settings(run) | {"versions": versions()})


def settings(run: Run) -> dict[str, Any]:
    """What decides the outcome of a run, as plain data."""
    return {
        "data": run.data,
        "seed": run.seed,
        "task": run.task,
        "labels": list(run.labels),
        "background": run.background,
        "fold": run.fold.to_dict() if run.fold is not None else None,
        "config": run.config.to_dict(),
    }


# Settings that decide how fast a run is, not what comes out.
_WITHOUT_EFFECT = ("cache_gb", "checkpoint_s")


def check_same(run: Run, found: Run) -> None:
    """Refuses to go on with a run under other settings than it was begun with.

    Raises:
      ConfigError: naming what differs.
    """
    mine, theirs = (json.loads(json.dumps(settings(each))) for each in (run, found))
    for each in (mine, theirs):
        for name in _WITHOUT_EFFECT:
            del each["config"][name]
    different = [name for name in mine if mine[name] != theirs[name]]
    if "config" in different:
        different.remove("config")
        different += sorted(_differing(mine["config"], theirs["config"]))
    if different:
        raise ConfigError(
            f"{run.path} was begun with other settings ({', '.join(different)}); go on with those, "
            "or choose another folder with --out"
        )


def _differing(mine: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> set[str]:
    names = set()
    for name in mine.keys() | theirs.keys():
        first, second = mine.get(name), theirs.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            names |= _differing(first, second, f"{prefix}{name}.")
        elif first != second:
            names.add(f"{prefix}{name}")
    return names


class Weighty(Protocol):
    """A network, as far as its weights go."""

    def get_arrays(self) -> dict[str, np.ndarray]: ...


def save_weights(path: Path, network: Weighty) -> None:
    """Writes all weights of a network as ``.npz``."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {**network.get_arrays()}
    np.savez(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def save_results(
    run: Run, network: Network, histories: list[History], metrics: dict[str, Any]
) -> None:
    """Writes weights, history and, last, metrics."""
    save_weights(run.path / WEIGHTS_FILE, network)
    write_json(run.path / HISTORY_FILE, [history.to_dict() for history in histories])
    write_json(run.path / METRICS_FILE, metrics)


def settle_split(folder: Path, data: str, split: dict[str, Any]) -> None:
    """Writes ``split.json``, or holds a run that was begun to the one that is there.

    Raises:
      DataError: the clips are not those that the run was begun with.
    """
    path = folder / SPLIT_FILE
    if not path.is_file():
        write_json(path, split)
        return
    try:
        begun_with = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if begun_with != json.loads(json.dumps(split)):
        raise DataError(
            f"{data} is not what it was when {folder} was begun (clips came, went, changed "
            "or were renamed): some would train and validate alike. Choose another folder with "
            "--out"
        )


def open_run(path: str | Path, *, finished: bool = True) -> Run:
    """Reads a run folder.

    Args:
      path: of the run.
      finished: refuse one that was stopped on its way.

    Raises:
      DataError: no such folder, no run in it, or a run that was not finished.
    """
    folder = Path(path)
    if not _has_settings(folder):
        raise DataError(f"{path}: no run there; expected a folder made by 'edgecap train'")
    if finished and not is_finished(folder):
        raise DataError(
            f"{path}: this run was not finished; go on with it with 'edgecap train … --resume'"
        )
    try:
        document = read_json(folder / CONFIG_FILE)
        if not isinstance(document, dict):
            raise TypeError("expected an object")  # noqa: TRY301  # as of the fields below
        if document.get("task") == CAPTIONING:
            raise DataError(
                f"{path}: the run of a {CAPTIONING} network, which streams nothing; convert it, "
                "and ask the model file"
            )
        fold = document["fold"]
        return Run(
            path=folder,
            config=TrainConfig.from_dict(document["config"], f"{folder / CONFIG_FILE}"),
            data=document["data"],
            seed=document["seed"],
            task=document["task"],
            labels=tuple(document["labels"]),
            background=document["background"],
            fold=Fold(**fold) if fold is not None else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / CONFIG_FILE} is damaged: {error}") from error


def read_metrics(folder: Path) -> dict[str, Any]:
    """What the ``metrics.json`` of a run's folder holds.

    Raises:
      DataError: it is damaged.
    """
    path = folder / METRICS_FILE
    try:
        metrics = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if not isinstance(metrics, dict) or "data" not in metrics:
        raise DataError(f"{path} is damaged: no record of the data")
    return metrics


def read_histories(run: Run) -> list[dict[str, Any]]:
    """What ``history.json`` holds.

    Raises:
      DataError: it is damaged.
    """
    path = run.path / HISTORY_FILE
    try:
        histories: list[dict[str, Any]] = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    return histories


def open_for_evaluation(path: Path, *, quantized: bool = False) -> tuple[Run, Predictor]:
    """A run and its float, or else its fake-quantised, network as a predictor."""
    run = open_run(path)
    predict = require_convert("edgecap_convert.training.predict", "to evaluate a run")
    network = run.quantized_network() if quantized else run.network()
    return run, predict.network_predictor(network, run.task)


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what a training computes."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        found[package] = importlib.metadata.version(package)
    return found


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """What an ``.npz`` file holds.

    Raises:
      ConfigError: it is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    # A cut-off or damaged archive fails in many ways, EOFError and KeyError among them.
    except Exception as error:
        raise ConfigError(f"{path} is damaged: {error}") from error


def write_json(path: Path, value: Any) -> None:
    """Writes plain data for people and programs."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())
