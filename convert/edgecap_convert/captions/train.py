"""One captioning training from settings to run folder."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from edgecap.dataset.captions import CaptionedImage
from edgecap.evaluation.captions import CaptionScores, score_captions
from edgecap.extras import require_caption_scores
from edgecap_convert.captions.config import CaptionConfig
from edgecap_convert.captions.decode import NetworkWriter, write_captions
from edgecap_convert.captions.grids import GridStore, digest
from edgecap_convert.captions.material import CaptionMaterial, open_captions
from edgecap_convert.captions.network import CaptionNetwork
from edgecap_convert.captions.runs import (
    GRIDS,
    CaptionRun,
    check_same,
    open_caption_run,
)
from edgecap_convert.captions.updates import Seed, SentenceUpdate
from edgecap_convert.captions.words import Vocabulary
from edgecap_convert.models.network import normalize
from edgecap_convert.tracing import traced
from edgecap_convert.training import runs
from edgecap_convert.training.checkpoints import Checkpoints, Snapshot

_Sentences = tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]
# A learning rate does not fall below this share of its highest, and rises to that in so many steps.
_LEAST_RATE, _WARM_UP = 0.05, 200
_STAGE = "teach"


@dataclass
class History:
    """How a training went.

    Attributes:
      stage: its name. loss: the mean of each epoch.
      validated: figures of each epoch's validation, see ``CaptionScores``.
      seconds: that it took, as far as its checkpoints know.
    """

    stage: str
    loss: list[float] = field(default_factory=list)
    validated: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best(self) -> int:
        """The epoch with the highest CIDEr-D; −1 before the first."""
        scores = [each["cider_d"] for each in self.validated]
        return int(np.argmax(scores)) if scores else -1

    def stale(self, patience: int) -> bool:
        """Whether so many epochs in a row were no better than the best."""
        return len(self.validated) - 1 - self.best >= patience


def train_captions(
    data: str,
    out: Path,
    config: CaptionConfig,
    *,
    seed: int,
    resume: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Trains and writes the run folder.

    What is wrong with settings or data is told before anything is trained, and leaves nothing.
    A training that is stopped later leaves what ``resume`` goes on from: the epoch before.

    Args:
      data: pictures with sentences, see :mod:`edgecap.dataset.captions`.
      out: the run folder; new or empty, unless resumed.
      config: the settings. seed: of split, weights and batches.
      resume: go on with the run that was begun there, if one was; a finished one is left as it is.
      command: how this was called, for the record.

    Returns:
      What ``metrics.json`` holds.

    Raises:
      DataError: unusable data, or other data than the run was begun with. ConfigError: wrong
        settings, the folder is not empty, or the run in it was begun with other settings.
      MissingDependencyError: pycocoevalcap is not installed.
    """
    require_caption_scores("to train captions")
    resumed = resume and runs.is_begun(out)
    made = not resumed and runs.claim_folder(out)
    try:
        material = open_captions(data, share=config.validation, seed=seed)
        sentences = [each for image in material.train for each in image.captions]
        vocabulary = Vocabulary.of(sentences, min_count=config.min_count)
        run = CaptionRun(out, config, data, seed, vocabulary)
        if resumed:
            check_same(run, open_caption_run(out, finished=False))
            if runs.is_finished(out):
                return runs.read_metrics(out)
        else:
            runs.write_json(out / runs.CONFIG_FILE, run.settings() | {"versions": runs.versions()})
        split = material.split() | {"fingerprint": material.summary()["fingerprint"]}
        runs.settle_split(out, data, split)
        keras.utils.set_random_seed(seed)
        network = CaptionNetwork(config.network(len(vocabulary)))
    except BaseException:
        if not resumed:
            runs.discard_folder(out, made=made)
        raise
    return _Training(run, material, network).run(command)


class _Training:
    """A training under way.

    Args:
      run, material: see there. network: random but for its encoder.
    """

    def __init__(self, run: CaptionRun, material: CaptionMaterial, network: CaptionNetwork) -> None:
        self._run, self._material, self._network = run, material, network
        self._writer = NetworkWriter(network, network.encode_rest)
        self._checkpoints = Checkpoints(run.path / runs.CHECKPOINTS, every_s=0)
        longest = run.config.longest
        self._taught = [run.vocabulary.rows(i.captions, longest=longest) for i in material.train]

    def run(self, command: str) -> dict[str, Any]:
        run = self._run
        began = time.monotonic()
        stores = self._encode()
        seconds = {"pictures": round(time.monotonic() - began, 1)}
        history = self._teach(stores)
        seconds[_STAGE] = round(history.seconds, 1)
        found, scores = self._measure(stores["test"], self._material.test)
        metrics = {
            "command": command,
            "data": self._material.summary(),
            "words": len(run.vocabulary),
            "test": scores.to_dict(),
            "seconds": round(sum(seconds.values()), 1),
            "stage_seconds": seconds,
        }
        # Loads Matplotlib, which a training does not need.
        from edgecap_convert.captions.page import write_page

        runs.save_weights(run.path / runs.WEIGHTS_FILE, self._network)
        runs.write_json(run.path / runs.HISTORY_FILE, [asdict(history)])
        write_page(run, self._network, self._material.test, found, scores, metrics, history)
        runs.write_json(run.path / runs.METRICS_FILE, metrics)
        self._checkpoints.clear()
        runs.discard_tree(run.path / GRIDS)
        return metrics

    def _encode(self) -> dict[str, GridStore]:
        """What no training changes of all pictures."""
        network = self._network
        encode = traced(lambda images: network.encode_fixed(normalize(images)))
        arrays = {f"{i:04d}": w.numpy() for i, w in enumerate(network.encoder.weights)}
        return {
            part: GridStore(
                self._run.path / GRIDS,
                images,
                self._run.input,
                lambda pictures: encode(tf.constant(pictures)).numpy(),
                encoder=f"{self._run.config.tuned_from} {digest(arrays)}",
                views=self._run.config.views if part == "train" else 1,
            )
            for part, images in self._material.parts.items()
        }

    def _teach(self, stores: dict[str, GridStore]) -> History:
        """Epochs until the validation gets no better; the best network is kept."""
        config, settings, seed = self._run.config, self._run.config.teach, self._run.seed
        store = stores["train"]
        update = SentenceUpdate(
            self._network,
            learning_rate=settings.learning_rate,
            start=self._run.vocabulary.start,
            tuned_rate=config.tuned_rate,
            average=config.average,
            smoothing=config.label_smoothing,
            dropout=config.dropout,
            grid_dropout=config.grid_dropout,
        )
        weights = update.variables
        history, best = History(_STAGE), [w.numpy() for w in weights]
        begun = self._checkpoints.load(_STAGE)
        if begun is not None:
            history = History(**begun.meta)
            for group, variables in (("w", weights), ("s", update.slots)):
                for i, variable in enumerate(variables):
                    variable.assign(begun.arrays[f"{group}{i:03d}"])
            best = [begun.arrays[f"b{i:03d}"] for i in range(len(weights))]
        for epoch in range(len(history.loss), settings.epochs):
            began = time.monotonic()
            if history.stale(settings.patience):
                break
            order = np.random.default_rng((seed, epoch))
            numbers = order.permutation(len(store))
            views = order.integers(0, store.views, len(numbers))
            starts = range(0, max(1, len(numbers) - settings.images + 1), settings.images)
            losses = []
            told = f"   teach {epoch + 1}/{settings.epochs}"
            with tqdm(starts, desc=told, unit="step") as bar:
                for at, start in enumerate(bar):
                    step = epoch * len(starts) + at
                    update.set_rate(
                        _rate(settings.learning_rate, step, settings.epochs * len(starts))
                    )
                    chosen = slice(start, start + settings.images)
                    words, meant = choose_sentences(
                        self._taught, numbers[chosen], settings.sentences, (seed, step)
                    )
                    fixed = store.batch(numbers[chosen], views[chosen])
                    losses.append(update(fixed, words, meant, seed=(seed, step)))
                    bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
            history.loss.append(round(float(np.mean(losses)), 5))
            with update.averaged():
                _, scores = self._measure(stores["validation"], self._material.validation)
                history.validated.append(scores.to_dict())
                if history.best == epoch:
                    best = [w.numpy() for w in weights]
            history.seconds += time.monotonic() - began
            arrays = {f"w{i:03d}": w.numpy() for i, w in enumerate(weights)}
            arrays |= {f"s{i:03d}": w.numpy() for i, w in enumerate(update.slots)}
            arrays |= {f"b{i:03d}": w for i, w in enumerate(best)}
            self._checkpoints.save(_STAGE, Snapshot(asdict(history), arrays))
        for variable, value in zip(weights, best, strict=True):
            variable.assign(value)
        return history

    def _measure(
        self, store: GridStore, images: tuple[CaptionedImage, ...]
    ) -> tuple[dict[str, str], CaptionScores]:
        return measure(self._run, self._writer, store, images)


def measure(
    run: CaptionRun, writer: NetworkWriter, store: GridStore, images: tuple[CaptionedImage, ...]
) -> tuple[dict[str, str], CaptionScores]:
    """The captions of some pictures, and how good they are."""
    written = write_captions(writer, store.batch, len(images), run.search)
    found = {
        image.name: run.vocabulary.sentence(best.words)
        for image, best in zip(images, written, strict=True)
    }
    return found, score_captions(found, {image.name: image.captions for image in images})


def choose_sentences(
    taught: list[_Sentences], numbers: npt.NDArray[Any], count: int, seed: Seed
) -> _Sentences:
    """``count`` sentences about each picture, all different where there are as many.

    Returns:
      ``(N, count, T)`` words, and which are meant.
    """
    order = np.random.default_rng((*seed, 1))
    words, meant = [], []
    for number in numbers:
        rows, masks = taught[number]
        picked = order.permutation(max(count, len(rows)))[:count] % len(rows)
        words.append(rows[picked])
        meant.append(masks[picked])
    return np.stack(words), np.stack(meant)


def _rate(highest: float, step: int, steps: int) -> float:
    """Cosine decay behind a warm-up."""
    share = _LEAST_RATE + (1 - _LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return highest * share * min(1.0, (step + 1) / _WARM_UP)
