"""The run folder of a captioning training.

config.json    settings, data, vocabulary, seed, versions
split.json     which pictures train, validate and test
grids/         while the training runs: the encoder's grids
checkpoints/   while the training runs: what it needs to go on after a stop
weights.npz    the float network
history.json   losses and validations of every stage
captions.html  all of it for people, with good and bad captions and where was looked
metrics.json   figures and times; written last, so a run that has it is whole
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecap.captioning.search import SearchSettings
from edgecap.documents import read_json
from edgecap.errors import ConfigError, DataError
from edgecap.spec import InputSpec
from edgecap_convert.captions.config import TASK, CaptionConfig
from edgecap_convert.captions.words import Vocabulary
from edgecap_convert.quantization.recipes import Recipe, caption_recipe_named
from edgecap_convert.training import runs
from edgecap_convert.training.runs import CONFIG_FILE, QUANTIZED_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from edgecap_convert.captions.network import CaptionNetwork

GRIDS = "grids"
PAGE = "captions.html"


@dataclass(frozen=True)
class CaptionRun:
    """A captioning training: its settings and material.

    Attributes:
      path: the folder.
      config: the settings. data: the material's name. seed: of split, weights and batches.
      vocabulary: of the training's sentences.
    """

    path: Path
    config: CaptionConfig
    data: str
    seed: int
    vocabulary: Vocabulary

    @property
    def input(self) -> InputSpec:
        return self.config.input

    @property
    def search(self) -> SearchSettings:
        """How its sentences are looked for."""
        words, config = self.vocabulary, self.config
        return SearchSettings(
            start=words.start,
            end=words.end,
            forbidden=(words.unknown, words.start),
            longest=config.longest,
            beam=config.beam,
            length_penalty=config.length_penalty,
        )

    def empty_network(self) -> CaptionNetwork:
        """A network of its shape, whose encoder's weights are not yet loaded."""
        from edgecap_convert.captions.network import CaptionNetwork

        shape = self.config.network(len(self.vocabulary))
        encoder = dataclasses.replace(shape.encoder, weights=None)
        return CaptionNetwork(dataclasses.replace(shape, encoder=encoder))

    def network(self) -> CaptionNetwork:
        """The trained float network.

        Raises:
          ConfigError: the weights are missing, damaged or do not fit the settings.
        """
        network = self.empty_network()
        network.set_arrays(runs.read_arrays(self.path / WEIGHTS_FILE))
        return network

    def quantized_network(self) -> CaptionNetwork:
        """The fake-quantised network of the last conversion.

        Raises:
          ConfigError: the run was not converted, or not to integers, or the weights are damaged.
        """
        arrays = runs.read_arrays(self.path / QUANTIZED_FILE)
        recipe = caption_recipe_named(runs.converted_recipe(self.path))
        network = as_recipe(self.network(), recipe)
        network.set_arrays(arrays)
        assert network.schedule is not None
        network.schedule.freeze()
        return network

    def settings(self) -> dict[str, Any]:
        """What decides the outcome of the run, as plain data."""
        return {
            "task": TASK,
            "data": self.data,
            "seed": self.seed,
            "vocabulary": list(self.vocabulary.words),
            "config": self.config.to_dict(),
        }


def as_recipe(network: CaptionNetwork, recipe: Recipe) -> CaptionNetwork:
    """The fake-quantised network of an integer recipe; its ranges are not yet learnt."""
    return network.quantized(
        cell=recipe.cell,
        float_head=recipe.head == "float32",
        float_words=recipe.float_words,
    )


def is_caption_run(path: str | Path) -> bool:
    """Whether there is the run of a captioning network."""
    try:
        document = read_json(Path(path) / CONFIG_FILE)
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("task") == TASK


def open_caption_run(path: str | Path, *, finished: bool = True) -> CaptionRun:
    """Reads a run folder.

    Raises:
      DataError: no run of a captioning network there, or one that was not finished.
    """
    folder = Path(path)
    if not is_caption_run(folder):
        raise DataError(f"{path}: no run of a captioning network there")
    if finished and not runs.is_finished(folder):
        raise DataError(
            f"{path}: this run was not finished; go on with it with 'edgecap train … --resume'"
        )
    try:
        document = read_json(folder / CONFIG_FILE)
        return CaptionRun(
            path=folder,
            config=CaptionConfig.from_dict(document["config"], str(folder / CONFIG_FILE)),
            data=document["data"],
            seed=document["seed"],
            vocabulary=Vocabulary(document["vocabulary"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / CONFIG_FILE} is damaged: {error}") from error


def check_same(run: CaptionRun, found: CaptionRun) -> None:
    """Refuses to go on with a run under other settings than it was begun with.

    Raises:
      ConfigError: naming what differs.
    """
    mine, theirs = (json.loads(json.dumps(each.settings())) for each in (run, found))
    different = [name for name in mine if mine[name] != theirs[name]]
    if different:
        raise ConfigError(
            f"{run.path} was begun with other settings ({', '.join(different)}); go on with those, "
            "or choose another folder with --out"
        )
