"""Settings of captioning networks and their training, as plain data; loads no TensorFlow."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgecap.dataset.captions import is_captions
from edgecap.errors import ConfigError, SpecError
from edgecap.quantization import image_tensor
from edgecap.spec import InputSpec, from_plain
from edgecap_convert.models.config import EncoderConfig
from edgecap_convert.training.config import merge, read_toml

TASK = "captioning"
_WIDEST = 4096
_LONGEST = 100
_MOST_SENTENCES = 64
MOST_VIEWS = 6


@dataclass(frozen=True)
class DecoderConfig:
    """What writes the sentences.

    Attributes:
      embedding: numbers that stand for a word. units: width of the LSTM's states.
      heads: places that are attended to at once; keys and values are divided among them.
      key, value: numbers that a cell of the grid is found by, and that it then says.
    """

    embedding: int = 256
    units: int = 512
    heads: int = 4
    key: int = 256
    value: int = 384

    def __post_init__(self) -> None:
        for name in ("embedding", "units", "heads", "key", "value"):
            size = getattr(self, name)
            if not 1 <= size <= _WIDEST:
                raise ConfigError(f"decoder.{name}: expected 1 to {_WIDEST}; got {size}")
        for name in ("key", "value"):
            if getattr(self, name) % self.heads:
                raise ConfigError(
                    f"decoder.{name}: expected a multiple of the {self.heads} heads; "
                    f"got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class CaptionNetworkConfig:
    """Everything that fixes the shape of a captioning network.

    Attributes:
      words: of the vocabulary. encoder, decoder: see there. tuned_from: see ``CaptionConfig``.
    """

    words: int
    encoder: EncoderConfig
    decoder: DecoderConfig
    tuned_from: str = ""


@dataclass(frozen=True)
class StageConfig:
    """One stage of a training.

    Attributes:
      epochs: times that every picture is seen, at most; 0 leaves the stage out.
      images: pictures in a batch. sentences: of each.
      learning_rate: its highest; a cosine leads down from it.
      patience: the stage ends after so many epochs in a row without a better validation.
    """

    epochs: int
    images: int
    sentences: int
    learning_rate: float
    patience: int = 3

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.images < 1 or self.patience < 1:
            raise ConfigError(
                "a stage: expected epochs of 0 or more, images and patience of 1 or more; got "
                f"{self.epochs}, {self.images} and {self.patience}"
            )
        if not 1 <= self.sentences <= _MOST_SENTENCES:
            raise ConfigError(
                f"a stage: sentences: expected 1 to {_MOST_SENTENCES}; got {self.sentences}"
            )
        if not 0 < self.learning_rate < 1:
            raise ConfigError(
                f"a stage: learning_rate: expected between 0 and 1; got {self.learning_rate}"
            )


@dataclass(frozen=True)
class CaptionConfig:
    """A whole training.

    Attributes:
      task: ``captioning``.
      encoder, decoder: the network.
      resize, fit: how pictures are brought to size; see ``InputSpec``.
      min_count: words that the training's sentences use less often are unknown.
      longest: words of a sentence at most.
      validation: share of the training's pictures that tell when to stop, where the data has no
        part for that which is not what the model is measured on; see :mod:`.material`.
      views: of each picture that are learnt from, 1 to 6: itself, its mirror image, its four
        corners.
      label_smoothing: of the target's probability, so much is spread over all words.
      dropout: of the answer's inputs; a little more than half as much of the words that are read.
      grid_dropout: of the encoder's grid.
      tuned_from: first layer of the part of the encoder that is trained with the words, once batch
        normalisation is folded (names of Keras Applications); ``""`` for none. What comes before
        it is computed once for each picture.
      tuned_rate: its learning rate, as a share of that of all others.
      average: what is kept is a moving average of the weights over about 1 / (1 − average) steps.
      teach: learns to repeat what people said, word by word (teacher forcing).
      qat: quantisation-aware, at conversion.
      beam, length_penalty: of the search, in the model file.
    """

    task: str = TASK
    encoder: EncoderConfig = field(
        default_factory=lambda: EncoderConfig(
            "mobilenet_v2", alpha=1.0, height=224, width=224, stride=32, last_conv=True
        )
    )
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    resize: str = "linear"
    fit: str = "stretch"
    min_count: int = 5
    longest: int = 18
    validation: float = 0.03
    views: int = 6
    label_smoothing: float = 0.1
    dropout: float = 0.5
    grid_dropout: float = 0.1
    tuned_from: str = "block_13_expand"
    tuned_rate: float = 0.2
    average: float = 0.998
    teach: StageConfig = StageConfig(28, 32, 5, 6e-4, patience=10)
    qat: StageConfig = StageConfig(1, 32, 5, 5e-5)
    beam: int = 3
    length_penalty: float = 0.7

    def __post_init__(self) -> None:
        if self.task != TASK:
            raise ConfigError(f"task: expected {TASK}; got {self.task!r}")
        if self.min_count < 1:
            raise ConfigError(f"min_count: expected 1 or more; got {self.min_count}")
        if not 1 <= self.views <= MOST_VIEWS:
            raise ConfigError(f"views: expected 1 to {MOST_VIEWS}; got {self.views}")
        if not 2 <= self.longest <= _LONGEST:
            raise ConfigError(f"longest: expected 2 to {_LONGEST}; got {self.longest}")
        if not 0 < self.validation < 0.5:
            raise ConfigError(f"validation: expected above 0, below a half; got {self.validation}")
        for name in ("label_smoothing", "dropout", "grid_dropout", "tuned_rate", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 0 or more, below 1; got {getattr(self, name)}")
        if not 1 <= self.beam <= 64:
            raise ConfigError(f"beam: expected 1 to 64; got {self.beam}")
        if not 0 <= self.length_penalty <= 4 or not math.isfinite(self.length_penalty):
            raise ConfigError(f"length_penalty: expected 0 to 4; got {self.length_penalty}")

    @property
    def input(self) -> InputSpec:
        """Size and resize rule of the pictures."""
        tensor = image_tensor(self.encoder.height, self.encoder.width)
        return InputSpec(tensor, resize=self.resize, fit=self.fit)

    def network(self, words: int) -> CaptionNetworkConfig:
        """The shape of the network, for a vocabulary."""
        return CaptionNetworkConfig(words, self.encoder, self.decoder, self.tuned_from)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any], where: str = "config") -> CaptionConfig:
        """Reads plain data; what is left out keeps its default, also inside a table.

        Raises:
          ConfigError: an unknown setting, or one of the wrong type or out of range.
        """
        if not isinstance(document, dict):
            raise ConfigError(f"{where}: expected a table of settings")
        try:
            config = from_plain(cls, merge(cls().to_dict(), document), where)
            _ = config.input
        except (SpecError, ConfigError) as error:
            raise ConfigError(str(error)) from error
        return config


def captions_wanted(data: str, path: str | Path | None) -> CaptionConfig | None:
    """The settings of a captioning training, if it is one that is asked for.

    Args:
      data: of the training; where there are no settings, it says by its form what it is for.
      path: of a TOML file, whose ``task`` says so.

    Raises:
      ConfigError: the file is missing, no TOML, or has a wrong setting.
    """
    if path is None:
        return CaptionConfig() if is_captions(data) else None
    document = read_toml(path)
    return CaptionConfig.from_dict(document, str(path)) if document.get("task") == TASK else None
