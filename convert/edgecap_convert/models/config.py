"""What fixes the shape of a network, as plain data; loads no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from edgecap.errors import ConfigError

STRIDES = (8, 16, 32)
MIN_SIZE = 32
_WIDEST = 4.0
_DEEPEST = 4
_LONGEST_ATTENTION = 256
MOST_MEMBERS = 16


class _Encoder(NamedTuple):
    """What can be asked of an encoder.

    Attributes:
      published: width multipliers that have ImageNet weights.
      scales: other width multipliers exist too.
      smallest: least height and width in pixels.
      last_conv: there is a last convolution that can be kept.
    """

    published: tuple[float, ...]
    scales: bool = True
    smallest: int = MIN_SIZE
    last_conv: bool = False


_ENCODERS = {
    "mobilenet_v1": _Encoder((0.25, 0.5, 0.75, 1.0)),
    "mobilenet_v2": _Encoder((0.35, 0.5, 0.75, 1.0, 1.3, 1.4), last_conv=True),
    "mobilenet_v3_small": _Encoder((0.75, 1.0)),
    "mobilenet_v3_large": _Encoder((0.75, 1.0)),
    "mobilenet_v3_small_minimalistic": _Encoder((1.0,)),
    "mobilenet_v3_large_minimalistic": _Encoder((1.0,)),
    "resnet50": _Encoder((1.0,), scales=False),
    "inception_v3": _Encoder((1.0,), scales=False, smallest=75),
}
ENCODERS = tuple(_ENCODERS)


@dataclass(frozen=True)
class EncoderConfig:
    """The network that reads a frame.

    Attributes:
      name: ``mobilenet_v1``, ``mobilenet_v2``, ``mobilenet_v3_small``, ``mobilenet_v3_large``,
        either with ``_minimalistic`` (without what needs newer kernels), or, for a workstation,
        ``resnet50`` or ``inception_v3``.
      alpha: width multiplier, above 0; 1 for ``resnet50`` and ``inception_v3``.
      height, width: input size in pixels, multiples of ``stride``, at least 32 (``inception_v3``:
        75).
      stride: input pixels per cell of the output grid where the network is cut: 8, 16 or 32.
        16 keeps motion readable; 32 loses most of it.
      last_conv: keep the last convolution of the network as well, which is blown up for the
        classifier (MobileNetV2: 1280 channels instead of 320): what is in the picture rather than
        where. Needs a stride of 32.
      weights: ``"imagenet"`` (downloaded by tf-keras), a path to weights in the layout of Keras
        Applications without top, or ``None`` for random ones.
    """

    name: str = "mobilenet_v2"
    alpha: float = 0.35
    height: int = 96
    width: int = 96
    stride: int = 16
    last_conv: bool = False
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.name not in _ENCODERS:
            raise ConfigError(
                f"encoder.name: expected one of {', '.join(ENCODERS)}; got {self.name!r}"
            )
        kind = _ENCODERS[self.name]
        if self.stride not in STRIDES:
            raise ConfigError(
                f"encoder.stride: expected one of {', '.join(map(str, STRIDES))}; got {self.stride}"
            )
        if self.last_conv and not (kind.last_conv and self.stride == 32):
            able = ", ".join(name for name, each in _ENCODERS.items() if each.last_conv)
            raise ConfigError(
                f"encoder.last_conv: expected {able} at a stride of 32; got {self.name} at "
                f"{self.stride}"
            )
        if not 0 < self.alpha <= _WIDEST:
            raise ConfigError(
                f"encoder.alpha: expected above 0, at most {_WIDEST:g}; got {self.alpha}"
            )
        if not kind.scales and self.alpha != 1:
            raise ConfigError(
                f"encoder.alpha: {self.name} has one width, expected 1; got {self.alpha}"
            )
        if self.weights == "imagenet" and self.alpha not in kind.published:
            raise ConfigError(
                f"encoder.alpha: ImageNet weights of {self.name} exist for "
                f"{', '.join(f'{alpha:g}' for alpha in kind.published)}; got {self.alpha}"
            )
        for name in ("height", "width"):
            size = getattr(self, name)
            if size < kind.smallest or size % self.stride:
                raise ConfigError(
                    f"encoder.{name}: expected a multiple of {self.stride}, at least "
                    f"{kind.smallest}; got {size}"
                )


POOLS = ("flatten", "mean", "max", "attend")
KERNELS = (1, 3)


@dataclass(frozen=True)
class NeckConfig:
    """From the encoder's grid to one vector a frame.

    Attributes:
      channels: channels of the convolution; 0 leaves it out.
      kernel: its size, 1 or 3.
      difference: the vector also tells what has risen and what has fallen on the grid since the
        frame before, which is carried as state.
      pool: ``flatten`` keeps position, each grid cell having weights of its own; ``mean`` and
        ``max`` over the grid forget it, for things that may happen anywhere; ``attend`` looks at
        one place, and tells where that is and what is there.
      features: length of the vector, by a dense layer; 0 leaves that layer out.
    """

    channels: int = 16
    kernel: int = 1
    difference: bool = False
    pool: str = "flatten"
    features: int = 64

    def __post_init__(self) -> None:
        if self.channels < 0:
            raise ConfigError(f"neck.channels: expected 0 or more; got {self.channels}")
        if self.kernel not in KERNELS:
            raise ConfigError(f"neck.kernel: expected 1 or 3; got {self.kernel}")
        least = 1 if self.pool == "attend" else 0
        if self.features < least:
            raise ConfigError(f"neck.features: expected {least} or more; got {self.features}")
        if self.pool not in POOLS:
            raise ConfigError(f"neck.pool: expected one of {', '.join(POOLS)}; got {self.pool!r}")


@dataclass(frozen=True)
class LSTMConfig:
    """What remembers.

    Attributes:
      units: width of each layer's states.
      layers: LSTM layers, one on the other. 0 puts a dense layer with tanh in their place: a
        network that sees single frames only, to measure what the memory is worth.
      attention: steps that causal attention looks back on, this one included; 0 for none.
    """

    units: int = 64
    layers: int = 1
    attention: int = 0

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ConfigError(f"lstm.units: expected 1 or more; got {self.units}")
        if not 0 <= self.layers <= _DEEPEST:
            raise ConfigError(f"lstm.layers: expected 0 to {_DEEPEST}; got {self.layers}")
        if not 0 <= self.attention <= _LONGEST_ATTENTION:
            raise ConfigError(
                f"lstm.attention: expected 0 to {_LONGEST_ATTENTION} steps; got {self.attention}"
            )
        if self.attention and not self.layers:
            raise ConfigError("lstm.attention: expected at least one LSTM layer to look back on")


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that fixes the shape of a network.

    Attributes:
      outputs: number of labels or of values, at least 1.
      encoder, neck, lstm: see there; neck and LSTM of each member.
      members: networks behind the one encoder, which learn apart and whose answers are averaged.
    """

    outputs: int
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    neck: NeckConfig = field(default_factory=NeckConfig)
    lstm: LSTMConfig = field(default_factory=LSTMConfig)
    members: int = 1

    def __post_init__(self) -> None:
        if self.outputs < 1:
            raise ConfigError(f"outputs: expected at least 1; got {self.outputs}")
        if not 1 <= self.members <= MOST_MEMBERS:
            raise ConfigError(f"members: expected 1 to {MOST_MEMBERS}; got {self.members}")
