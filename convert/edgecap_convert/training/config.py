"""The settings of a training, with their defaults: one place, plain data, TOML on disk."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgecap.documents import check_depth, read_small
from edgecap.errors import ConfigError, SpecError
from edgecap.quantization import image_tensor
from edgecap.spec import TASKS, InputSpec, from_plain
from edgecap.synthetic import DEFAULT_RATE_HZ
from edgecap_convert.data.augment import AugmentConfig
from edgecap_convert.data.sequences import FrameFormat
from edgecap_convert.data.tips import TARGETS
from edgecap_convert.models.config import (
    MOST_MEMBERS,
    EncoderConfig,
    LSTMConfig,
    NeckConfig,
    NetworkConfig,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FASTEST_HZ = 240.0
_LOUDEST = 10.0
_WIDEST_ZOOM = 4.0
_SHARPEST = 10.0
_HEAVIEST = 100.0
_MAX_TOML = 1 << 20


@dataclass(frozen=True)
class StageConfig:
    """One optimisation.

    Attributes:
      steps: weight updates at most; 0 leaves the stage out.
      batch: rows a step. length: frames a row.
      learning_rate: the peak, reached after a short warm-up and left along a cosine.
      validate_every: steps between validations.
      patience: validations without a better result before the stage ends; 0 never ends early.
      keep: ``best`` puts back the weights of the best validation, ``last`` keeps the last ones: the
        choice where there are few clips to validate with, since the best of many looks at a few
        clips is luck.
      whole: clips are not cut at the ends of batches: each row begins with a clip, see ``batches``.
        For clips that are shorter than ``length``.
      weight_decay: of the kernels, decoupled (Loshchilov & Hutter 2019).
      dropout: share of the features, and of what the head reads, that is dropped.
      noise: added to cached features, in units of their own deviation.
      smoothing: share of the probability that the truth gives to all labels alike.
      average: the stage ends with the exponential average of the weights along its steps, with this
        decay (Polyak & Juditsky 1992), which varies less from run to run; 0 for none. Needs
        ``keep = "last"``.
    """

    steps: int
    batch: int
    length: int
    learning_rate: float
    validate_every: int
    patience: int
    keep: str = "best"
    whole: bool = False
    weight_decay: float = 0.0
    dropout: float = 0.0
    noise: float = 0.0
    smoothing: float = 0.0
    average: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "patience"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: expected 0 or more; got {getattr(self, name)}")
        for name in ("batch", "length", "validate_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 1 or more; got {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate: expected between 0 and 1; got {self.learning_rate}")
        if self.keep not in ("best", "last"):
            raise ConfigError(f"keep: expected 'best' or 'last'; got {self.keep!r}")
        if self.average and self.keep != "last":
            raise ConfigError("average: expected keep = 'last' with it")
        for name in ("dropout", "smoothing", "weight_decay", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 0 or more, below 1; got {getattr(self, name)}")
        if not 0 <= self.noise <= _LOUDEST:
            raise ConfigError(f"noise: expected 0 to {_LOUDEST:g}; got {self.noise}")


@dataclass(frozen=True)
class SplitConfig:
    """Who trains, who validates, who tests. Clips of one group are never in two parts.

    Attributes:
      validation, test: share of the clips.
      column: of a manifest, says ``train``, ``validation`` or ``test`` instead.
    """

    validation: float = 0.2
    test: float = 0.0
    column: str | None = None

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"split.{name}: expected 0 or more, below 1; got {getattr(self, name)}"
                )
        if self.validation + self.test >= 1:
            raise ConfigError("split: expected validation + test below 1, so that some can train")


@dataclass(frozen=True)
class LookConfig:
    """How a neck that attends learns where to look, and how what it sees is varied.

    Where to look is taken from the clips themselves: what moves in front of a still background.

    Attributes:
      steps: weight updates; 0 leaves the stage out: then the neck looks where most changes.
      batch: single frames a step.
      learning_rate: of the neck.
      encoder_rate: of the encoder, as a share of that; 0 leaves it as it is.
      sharpen: the heat map is multiplied by this once it is learnt: many faint cells draw the place
        towards the middle of the frame.
      target: the ``middle`` of what moves; or ``tip from bottom`` (``left``, ``top``, ``right``),
        the end of it that is farthest from the border of the frame where it comes in, such as a
        fingertip.
      seen: how much what is there weighs beside where it is: the deviation of each of its numbers,
        that of the place being about 1.
      zoom, shift, turn, noise: the places are scaled by 1/(1 + zoom) to 1 + zoom, moved by up to
        this share of the frame, turned by up to so many degrees, all alike over a row, and blurred
        by this share of the frame.
      dropout: share of what is seen that is dropped.
    """

    steps: int = 0
    batch: int = 128
    learning_rate: float = 3e-3
    encoder_rate: float = 0.0
    sharpen: float = 1.0
    target: str = "middle"
    seen: float = 1.0
    zoom: float = 0.0
    shift: float = 0.0
    turn: float = 0.0
    noise: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch < 1:
            raise ConfigError("look: expected steps of 0 or more, and a batch of 1 or more")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(
                f"look.learning_rate: expected between 0 and 1; got {self.learning_rate}"
            )
        if self.target not in TARGETS:
            raise ConfigError(
                f"look.target: expected one of {', '.join(TARGETS)}; got {self.target!r}"
            )
        for name in ("encoder_rate", "shift", "noise", "dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"look.{name}: expected 0 to 1; got {getattr(self, name)}")
        if not 0 < self.seen <= _HEAVIEST:
            raise ConfigError(f"look.seen: expected above 0, to {_HEAVIEST:g}; got {self.seen}")
        if not 0 <= self.turn <= 180:
            raise ConfigError(f"look.turn: expected 0 to 180 degrees; got {self.turn}")
        if not 1 <= self.sharpen <= _SHARPEST:
            raise ConfigError(f"look.sharpen: expected 1 to {_SHARPEST:g}; got {self.sharpen}")
        if not 0 <= self.zoom <= _WIDEST_ZOOM:
            raise ConfigError(f"look.zoom: expected 0 to {_WIDEST_ZOOM:g}; got {self.zoom}")

    @property
    def stage(self) -> StageConfig:
        """As a stage of single frames."""
        return StageConfig(self.steps, self.batch, 1, self.learning_rate, max(1, self.steps), 0)


@dataclass(frozen=True)
class TrainConfig:
    """A whole training.

    Attributes:
      task: classification, multilabel or regression; by default what the data looks like.
      rate_hz: frames a second.
      resize, fit: how frames are brought to size; see ``InputSpec``.
      encoder, neck, lstm: the network.
      members: networks behind the one encoder that learn apart and whose answers are averaged: an
        ensemble. Where there are few clips, one training differs from the next by several points;
        the mean of a few is better than each, for a little more time a frame.
      split, augment: the clips.
      variants: augmented versions of each clip in the pool for the recurrent stage.
      pool_limit: items in that pool at most, evenly chosen from each class: what the features
        are computed of before the recurrent stage begins.
      scenes: number of scenes in that pool, for synthetic data.
      grace: at the start of a clip nothing can be known: no loss for this share of it.
      ramp: the weight of a frame grows from 1 by this much over a whole clip.
      longest: frames at most that are drawn from a clip at a time.
      validation_limit: recordings at most that a validation during training looks at.
      cache_gb: decoded frames, and features, on disk at most; what is above is computed anew each
        time it is needed.
      checkpoint_s: seconds between checkpoints: what a stop can lose at most.
      audit_frames: what a conversion's drift audit streams; 0 leaves it out.
      freeze_encoder: in quantisation-aware training, encoder and neck keep their weights; only what
        remembers learns, on features that the quantised encoder has computed. Minutes instead of
        hours with a large encoder.
      pretrain: the encoder learns to say where the object of synthetic scenes is, on single frames
        and without validation; left out where ``encoder.weights`` says that it can see already.
      look: where a neck that attends looks.
      recurrent: neck, LSTM and head on features that are computed once. joint: all weights, end to
        end. qat: quantisation-aware, at conversion.
    """

    task: str | None = None
    rate_hz: float = DEFAULT_RATE_HZ
    resize: str = "linear"
    fit: str = "stretch"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    neck: NeckConfig = field(default_factory=NeckConfig)
    lstm: LSTMConfig = field(default_factory=LSTMConfig)
    members: int = 1
    split: SplitConfig = field(default_factory=SplitConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    variants: int = 6
    pool_limit: int = 20_000
    scenes: int = 650
    grace: float = 0.25
    ramp: float = 0.0
    longest: int = 240
    validation_limit: int = 400
    cache_gb: float = 20.0
    checkpoint_s: float = 15.0
    audit_frames: int = 10_000
    freeze_encoder: bool = False
    look: LookConfig = field(default_factory=LookConfig)
    pretrain: StageConfig = StageConfig(500, 128, 1, 5e-3, 500, 0)
    recurrent: StageConfig = StageConfig(1200, 48, 48, 1e-2, 120, 4, noise=0.08)
    joint: StageConfig = StageConfig(200, 16, 24, 1e-3, 50, 0)
    qat: StageConfig = StageConfig(200, 16, 24, 3e-4, 50, 0)

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise ConfigError(f"task: expected one of {', '.join(TASKS)}; got {self.task!r}")
        if not 1.0 <= self.rate_hz <= _FASTEST_HZ:
            raise ConfigError(f"rate_hz: expected 1 to {_FASTEST_HZ:g}; got {self.rate_hz}")
        for name in ("variants", "pool_limit", "scenes", "longest", "validation_limit"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 1 or more; got {getattr(self, name)}")
        if not 1 <= self.members <= MOST_MEMBERS:
            raise ConfigError(f"members: expected 1 to {MOST_MEMBERS}; got {self.members}")
        if not 0 <= self.grace < 1:
            raise ConfigError(f"grace: expected 0 or more, below 1; got {self.grace}")
        if not 0 <= self.ramp <= _HEAVIEST:
            raise ConfigError(f"ramp: expected 0 to {_HEAVIEST:g}; got {self.ramp}")
        if not 0 <= self.checkpoint_s < math.inf:
            raise ConfigError(f"checkpoint_s: expected 0 or more; got {self.checkpoint_s}")
        if self.audit_frames < 0:
            raise ConfigError(f"audit_frames: expected 0 or more; got {self.audit_frames}")
        if not 0 <= self.cache_gb < math.inf:
            raise ConfigError(f"cache_gb: expected 0 or more; got {self.cache_gb}")

    @property
    def cache_bytes(self) -> int:
        return int(self.cache_gb * 1e9)

    @property
    def frames(self) -> FrameFormat:
        """Size, resize rule and rate of the frames."""
        tensor = image_tensor(self.encoder.height, self.encoder.width)
        return FrameFormat(InputSpec(tensor, resize=self.resize, fit=self.fit), self.rate_hz)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any], where: str = "config") -> TrainConfig:
        """Reads plain data; what is left out keeps its default, also inside a stage.

        Raises:
          ConfigError: an unknown setting, or one of the wrong type or out of range.
        """
        if not isinstance(document, dict):
            raise ConfigError(f"{where}: expected a table of settings")
        merged = merge(cls().to_dict(), document)
        try:
            config = from_plain(cls, merged, where)
            _ = config.frames
        except (SpecError, ConfigError) as error:
            raise ConfigError(str(error)) from error
        return config


def network_config(config: TrainConfig, outputs: int) -> NetworkConfig:
    """The shape of the network that is trained."""
    return NetworkConfig(
        outputs=outputs,
        encoder=config.encoder,
        neck=config.neck,
        lstm=config.lstm,
        members=config.members,
    )


def load_config(path: str | Path) -> TrainConfig:
    """Reads a TOML file.

    Raises:
      ConfigError: missing, no TOML, or a wrong setting.
    """
    return TrainConfig.from_dict(read_toml(path), str(path))


def read_toml(path: str | Path) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
      ConfigError: missing, or no TOML.
    """
    try:
        settings = tomllib.loads(read_small(path, _MAX_TOML).decode("utf-8-sig"))
        check_depth(settings)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text; expected TOML in UTF-8: {error}") from error
    except RecursionError:
        raise ConfigError(f"{path}: tables and lists nested too deeply") from None
    # A number of thousands of digits is no TOMLDecodeError.
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return settings


def merge(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Plain data with what was given in place of the defaults, also inside tables."""
    merged = dict(defaults)
    for name, value in given.items():
        inner = defaults.get(name)
        if isinstance(inner, dict) and isinstance(value, dict):
            merged[name] = merge(inner, value)
        else:
            merged[name] = value
    return merged
