"""The settings of a training, with their defaults: one place, plain data, TOML on disk."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgecap.errors import ConfigError, SpecError
from edgecap.quantization import image_tensor
from edgecap.spec import InputSpec, from_plain
from edgecap.synthetic import DEFAULT_RATE_HZ
from edgecap_convert.data import FrameFormat
from edgecap_convert.models.config import EncoderConfig, NeckConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FASTEST_HZ = 240.0


@dataclass(frozen=True)
class StageConfig:
    """One optimisation.

    Attributes:
      steps: weight updates at most; 0 leaves the stage out.
      batch: rows a step. length: frames a row.
      learning_rate: the peak, reached after a short warm-up and left along a cosine.
      validate_every: steps between validations.
      patience: validations without a better result before the stage ends; 0 never ends early.
    """

    steps: int
    batch: int
    length: int
    learning_rate: float
    validate_every: int
    patience: int

    def __post_init__(self) -> None:
        for name in ("steps", "patience"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: expected 0 or more; got {getattr(self, name)}")
        for name in ("batch", "length", "validate_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 1 or more; got {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate: expected between 0 and 1; got {self.learning_rate}")


@dataclass(frozen=True)
class TrainConfig:
    """A whole training.

    Attributes:
      rate_hz: frames a second.
      resize, fit: how frames are brought to size; see ``InputSpec``.
      encoder, neck, units: the network.
      pretrain: the encoder learns to say where the object of synthetic scenes is, on single frames
        and without validation; if it starts from weights, only the neck learns.
      feature_windows: windows of ``recurrent.batch`` × ``recurrent.length`` frames whose features
        are computed once for the recurrent stage.
      recurrent: LSTM and head on the features. joint: all weights, end to end.
      qat: quantisation-aware, at conversion.
    """

    rate_hz: float = DEFAULT_RATE_HZ
    resize: str = "linear"
    fit: str = "stretch"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    neck: NeckConfig = field(default_factory=NeckConfig)
    units: int = 64
    feature_windows: int = 60
    pretrain: StageConfig = StageConfig(500, 128, 1, 5e-3, 500, 0)
    recurrent: StageConfig = StageConfig(1200, 48, 48, 1e-2, 120, 4)
    joint: StageConfig = StageConfig(200, 16, 24, 1e-3, 50, 0)
    qat: StageConfig = StageConfig(200, 16, 24, 3e-4, 50, 0)

    def __post_init__(self) -> None:
        if not 1.0 <= self.rate_hz <= _FASTEST_HZ:
            raise ConfigError(f"rate_hz: expected 1 to {_FASTEST_HZ:g}; got {self.rate_hz}")
        for name in ("units", "feature_windows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 1 or more; got {getattr(self, name)}")

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
        merged = _merge(cls().to_dict(), document)
        try:
            config = from_plain(cls, merged, where)
            _ = config.frames
        except (SpecError, ConfigError) as error:
            raise ConfigError(str(error)) from error
        return config


def load_config(path: str | Path) -> TrainConfig:
    """Reads a TOML file.

    Raises:
      ConfigError: missing, no TOML, or a wrong setting.
    """
    try:
        with Path(path).open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return TrainConfig.from_dict(document, str(path))


def _merge(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for name, value in given.items():
        inner = defaults.get(name)
        if isinstance(inner, dict) and isinstance(value, dict):
            merged[name] = _merge(inner, value)
        else:
            merged[name] = value
    return merged
