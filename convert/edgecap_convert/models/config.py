"""What fixes the shape of a network, as plain data; loads no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecap.errors import ConfigError

STRIDES = (8, 16, 32)
MIN_SIZE = 32
_WIDEST = 4.0


@dataclass(frozen=True)
class EncoderConfig:
    """A MobileNetV2 encoder.

    Attributes:
      alpha: width multiplier, above 0.
      height, width: input size in pixels, multiples of ``stride``, at least 32.
      stride: input pixels per cell of the output grid where the network is cut: 8, 16 or 32.
        16 keeps motion readable; 32 loses most of it.
      weights: ``"imagenet"`` (downloaded by tf-keras), a path to weights in the layout of Keras
        Applications without top, or ``None`` for random ones.
    """

    alpha: float = 0.35
    height: int = 96
    width: int = 96
    stride: int = 16
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.stride not in STRIDES:
            raise ConfigError(
                f"encoder.stride: expected one of {', '.join(map(str, STRIDES))}; got {self.stride}"
            )
        if not 0 < self.alpha <= _WIDEST:
            raise ConfigError(
                f"encoder.alpha: expected above 0, at most {_WIDEST:g}; got {self.alpha}"
            )
        for name in ("height", "width"):
            size = getattr(self, name)
            if size < MIN_SIZE or size % self.stride:
                raise ConfigError(
                    f"encoder.{name}: expected a multiple of {self.stride}, at least {MIN_SIZE}; "
                    f"got {size}"
                )


@dataclass(frozen=True)
class NeckConfig:
    """1×1 convolution, flatten, dense: cheap, and each grid cell keeps weights of its own.

    Attributes:
      channels: channels of the 1×1 convolution.
      features: length of the feature vector.
    """

    channels: int = 16
    features: int = 64

    def __post_init__(self) -> None:
        for name in ("channels", "features"):
            if getattr(self, name) < 1:
                raise ConfigError(f"neck.{name}: expected 1 or more; got {getattr(self, name)}")


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that fixes the shape of a network.

    Attributes:
      classes: number of labels, at least 2.
      encoder, neck: see there.
      units: width of the LSTM's states.
    """

    classes: int
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    neck: NeckConfig = field(default_factory=NeckConfig)
    units: int = 64

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ConfigError(f"classes: expected at least 2; got {self.classes}")
        if self.units < 1:
            raise ConfigError(f"units: expected 1 or more; got {self.units}")
