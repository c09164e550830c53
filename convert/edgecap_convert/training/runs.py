"""The run folder: everything that a training leaves behind, and reading it back.

config.json    settings, data, labels, seed, versions
weights.npz    the float network
metrics.json   validation figures and times; written last, so a run that has it is whole
history.json   losses and validations of every stage
curves.png     the same as a picture
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import io
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from edgecap.bundle import write_atomically
from edgecap.errors import ConfigError, DataError
from edgecap.evaluation import Predictor
from edgecap.extras import require_convert
from edgecap.spec import DecisionSpec, InputSpec
from edgecap_convert.models.config import NetworkConfig
from edgecap_convert.training.config import TrainConfig

if TYPE_CHECKING:
    from edgecap_convert.models.network import Network
    from edgecap_convert.training.optimise import History

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.npz"
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.json"
CURVES_FILE = "curves.png"
QUANTIZED_FILE = "quantized.npz"
PARITY_FILE = "parity.json"
_FILES = (CONFIG_FILE, WEIGHTS_FILE, METRICS_FILE, HISTORY_FILE, CURVES_FILE)
_PACKAGES = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "numpy")


@dataclass(frozen=True)
class Run:
    """A training: its settings and material.

    Attributes:
      path: the folder.
      config: the settings. data: the material's name. seed: of weights and batches.
      labels: in the order of the logits. background: the label that is no event, if any.
    """

    path: Path
    config: TrainConfig
    data: str
    seed: int
    labels: tuple[str, ...]
    background: str | None

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

        network = Network(
            NetworkConfig(
                classes=len(self.labels),
                # The weights are in the run; what the encoder started from is history.
                encoder=dataclasses.replace(self.config.encoder, weights=None),
                neck=self.config.neck,
                units=self.config.units,
            )
        )
        network.set_arrays(_read_arrays(self.path / WEIGHTS_FILE))
        return network

    def quantized_network(self) -> Network:
        """The fake-quantised network of the last conversion.

        Raises:
          ConfigError: the run was not converted, or the weights are damaged.
        """
        network = self.network().quantized()
        network.set_arrays(_read_arrays(self.path / QUANTIZED_FILE))
        return network


def claim_folder(path: Path) -> bool:
    """Makes the folder of a new run; returns whether it was not there before.

    Raises:
      ConfigError: the folder exists and is not empty, or cannot be made or written to.
    """
    try:
        made = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        taken = any(path.iterdir())
    except OSError as error:
        raise ConfigError(f"{path}: no place for a run: {error.strerror}") from error
    if taken:
        raise ConfigError(f"{path} is not empty; choose another folder with --out")
    return made


def discard_folder(path: Path, *, made: bool) -> None:
    """Takes back :func:`claim_folder` and whatever a run has written since."""
    for name in _FILES:
        (path / name).unlink(missing_ok=True)
    if made:
        with contextlib.suppress(OSError):
            path.rmdir()


def write_settings(run: Run) -> None:
    """Writes ``config.json``."""
    _write_json(
        run.path / CONFIG_FILE,
        {
            "data": run.data,
            "seed": run.seed,
            "labels": list(run.labels),
            "background": run.background,
            "versions": versions(),
            "config": run.config.to_dict(),
        },
    )


def save_weights(path: Path, network: Network) -> None:
    """Writes all weights of a network as ``.npz``."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {**network.get_arrays()}
    np.savez(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def save_results(
    run: Run, network: Network, histories: list[History], metrics: dict[str, Any]
) -> None:
    """Writes weights, history, curves and, last, metrics."""
    save_weights(run.path / WEIGHTS_FILE, network)
    _write_json(run.path / HISTORY_FILE, [history.to_dict() for history in histories])
    write_atomically(run.path / CURVES_FILE, _draw_curves(histories))
    _write_json(run.path / METRICS_FILE, metrics)


def open_run(path: str | Path) -> Run:
    """Reads a run folder.

    Raises:
      DataError: no such folder, no run in it, or a run that was not finished.
    """
    folder = Path(path)
    if not (folder / CONFIG_FILE).is_file():
        raise DataError(f"{path}: no run there; expected a folder made by 'edgecap train'")
    if not (folder / METRICS_FILE).is_file():
        raise DataError(f"{path}: this run was not finished; train again")
    try:
        document = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        return Run(
            path=folder,
            config=TrainConfig.from_dict(document["config"], f"{folder / CONFIG_FILE}"),
            data=document["data"],
            seed=document["seed"],
            labels=tuple(document["labels"]),
            background=document["background"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / CONFIG_FILE} is damaged: {error}") from error


def read_metrics(run: Run) -> dict[str, Any]:
    """What ``metrics.json`` holds.

    Raises:
      DataError: it is damaged.
    """
    path = run.path / METRICS_FILE
    try:
        metrics = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if not isinstance(metrics, dict) or "data" not in metrics:
        raise DataError(f"{path} is damaged: no record of the data")
    return metrics


def open_for_evaluation(path: Path, *, quantized: bool = False) -> tuple[Run, Predictor]:
    """A run and its float, or else its fake-quantised, network as a predictor."""
    run = open_run(path)
    predict = require_convert("edgecap_convert.training.predict", "to evaluate a run")
    network = run.quantized_network() if quantized else run.network()
    return run, predict.network_predictor(network)


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what a training computes."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        found[package] = importlib.metadata.version(package)
    return found


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    # A cut-off or damaged archive fails in many ways, EOFError and KeyError among them.
    except Exception as error:
        raise ConfigError(f"{path} is damaged: {error}") from error


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())


def _draw_curves(histories: list[History]) -> bytes:
    """Loss and validation of every stage, side by side, as PNG."""
    figure = Figure(figsize=(4 * max(1, len(histories)), 3.2), layout="constrained")
    for number, history in enumerate(histories, 1):
        axes = figure.add_subplot(1, len(histories), number)
        steps = np.arange(1, len(history.loss) + 1)
        axes.plot(steps, history.loss, color="#b9c4cf", linewidth=0.7)
        width = max(1, len(steps) // 30)
        smooth = np.convolve(history.loss, np.ones(width) / width, "valid")
        axes.plot(steps[width - 1 :], smooth, color="#2f6f9f")
        axes.set(title=history.stage, xlabel="step", ylabel="loss", ylim=(0, None))
        if history.validated:
            right = axes.twinx()
            right.plot(*zip(*history.validated, strict=True), "o-", color="#d1793b", markersize=3)
            right.set(ylim=(0, 1.02))
            right.set_ylabel("validation score", color="#d1793b")
            right.tick_params(axis="y", colors="#d1793b")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
