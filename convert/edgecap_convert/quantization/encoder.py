"""Quantisation-aware training of the frame network, through TFMOT with configurations of our own.

What is ours, and why:

* the network is folded first (:mod:`edgecap_convert.models.folding`), so weights are rounded as
  they will be in the file, and TFMOT's layout transforms have nothing left to do;
* every convolution has one scale per output channel, depthwise ones too (TFMOT: one per tensor);
* activation ranges start from the data and follow it fast enough to matter (TFMOT: ±6, 0.999).
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from edgecap.errors import ConfigError
from edgecap_convert.models.encoders.activations import HardSigmoid, HardSwish
from edgecap_convert.models.encoders.resnet import ColourPadding2D
from edgecap_convert.models.folding import (
    Replacement,
    followers,
    fusible_activation,
    rebuild,
    sources,
)
from edgecap_convert.models.necks import Increase, Part
from edgecap_convert.quantization.grids import (
    fake_quant_weights,
    fake_quant_weights_per_channel,
    weight_limits,
)
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule

# Untyped: what comes from it is Any.
_tfmot: Any = tfmot.quantization.keras

# Layer → its kernel and how many of the kernel's last axes number the output channels
# (0: one scale for the whole tensor, as TFLite before 2.16 wants it of dense layers).
_KERNELS = {
    keras.layers.Conv2D: ("kernel", 1),
    keras.layers.DepthwiseConv2D: ("depthwise_kernel", 2),
    keras.layers.Dense: ("kernel", 0),
}
_ACTIVATIONS = (keras.layers.ReLU, keras.layers.Activation)
# Layers that compute new values but have no weights.
_REQUANTIZED = (
    keras.layers.Add,
    keras.layers.Multiply,
    keras.layers.Concatenate,
    keras.layers.GlobalAveragePooling2D,
    *_ACTIVATIONS,
    HardSwish,
    Increase,
)
# Layers that compute on the grid of what they read: their kernels know no other. The maximum needs
# no rounding, but beside an average over the same map the converter would forget its grid.
_SAME_GRID = (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D)
# Layers that round by themselves, on grids that are fixed.
_FIXED_GRID = (HardSigmoid,)
# Layers that only move values: the grid stays what it was.
_TRANSPARENT = (
    keras.layers.InputLayer,
    keras.layers.ZeroPadding2D,
    ColourPadding2D,
    keras.layers.Flatten,
    keras.layers.GlobalMaxPooling2D,
    Part,
)
_KNOWN = (*_KERNELS, *_REQUANTIZED, *_SAME_GRID, *_FIXED_GRID, *_TRANSPARENT)

# TFMOT's, of a layer that it wraps.
_PREFIX = "quant_"
# Kernels that take over a ReLU behind them.
_FUSING = (*_KERNELS, keras.layers.Add, keras.layers.Multiply)
# Below −3 both activations are 0, above 3 the hard sigmoid is 1: no steps are spent there.
_FLAT = {HardSwish: (-3.0, math.inf), HardSigmoid: (-3.0, 3.0)}
_EVERYTHING = (-math.inf, math.inf)


def quantize_frame_network(model: keras.Model, schedule: RangeSchedule) -> keras.Model:
    """Wraps a folded functional model for QAT.

    Every layer that computes is rounded once, where its int8 kernel rounds: behind the ReLU that
    the kernel takes over and, in front of a concatenation, on the grid of the whole.

    Args:
      model: the output of :func:`edgecap_convert.models.folding.fold_batch_norm`.
      schedule: moves all learnt ranges.

    Returns:
      A model of its own with equal weights, in which weights and activations are fake-quantised.
      Its input is expected to be quantised already.

    Raises:
      ConfigError: a layer that has no configuration here.
    """
    before, after = sources(model), followers(model)
    ends = {id(tensor) for tensor in tf.nest.flatten(model.output)}
    # Layer name → what rounds its output; None if that is not a learnt range of its own.
    rounding: dict[str, _OutputQuantizer | None] = {
        layer.name: None for layer in model.layers if isinstance(layer, keras.layers.InputLayer)
    }

    def quantizer(layer: keras.layers.Layer) -> _OutputQuantizer | None:
        given = rounding[before[layer.name][0].name]
        if isinstance(layer, _SAME_GRID) and given is not None:
            return _SameGridQuantizer(given)
        reader = after[layer.name][0] if len(after[layer.name]) == 1 else None
        if reader is not None and id(layer.output) not in ends:
            if isinstance(reader, _ACTIVATIONS) and isinstance(layer, _FUSING):
                return None
            if isinstance(reader, keras.layers.Concatenate):
                return None
        return _OutputQuantizer(schedule, _FLAT.get(type(reader), _EVERYTHING))

    def wrap(layer: keras.layers.Layer) -> Replacement:
        _check_known(layer)
        fixed = isinstance(layer, (HardSwish, HardSigmoid))
        copy = layer.__class__.from_config(
            layer.get_config() | ({"quantized": True} if fixed else {})
        )
        if isinstance(layer, _TRANSPARENT):
            rounding[layer.name] = rounding[before[layer.name][0].name]
            return copy, None
        if isinstance(layer, _FIXED_GRID):
            rounding[layer.name] = None
            return copy, None
        rounding[layer.name] = quantizer(layer)
        copy.build(layer.input_shape)
        copy.set_weights(layer.get_weights())
        config = _PartConfig(type(layer), rounding[layer.name])
        return _tfmot.QuantizeWrapperV2(copy, config), None

    return rebuild(model, wrap)


def name_in_copy(name: str) -> str:
    """What a layer of a frame network that computes is called in its fake-quantised copy."""
    return f"{_PREFIX}{name}"


def output_range(layer: keras.layers.Layer) -> LearnedRange | None:
    """The learnt range of a layer's output; ``None`` if the layer has none."""
    if not isinstance(layer, _tfmot.QuantizeWrapperV2):
        return None
    quantizers = layer.quantize_config.get_output_quantizers(layer)
    return quantizers[0].range if quantizers else None


def only_moves(layer: keras.layers.Layer) -> bool:
    """Whether a layer's output is on the grid of its input, value by value."""
    return isinstance(layer, _TRANSPARENT)


def fake_quantized_kernel(layer: keras.layers.Layer) -> tuple[tf.Tensor, tf.Tensor] | None:
    """A layer's weights as the file will have them, and their limits: see ``weight_limits``.

    ``None`` if the layer has no weights.
    """
    if not isinstance(layer, _tfmot.QuantizeWrapperV2) or type(layer.layer) not in _KERNELS:
        return None
    ((kernel, quantizer, _),) = layer._weight_vars
    return quantizer(kernel, False, {}), quantizer.limits(kernel)


def weight_of(layer: keras.layers.Layer) -> tf.Variable:
    """What is rounded of a layer that has a :func:`fake_quantized_kernel`."""
    ((kernel, _, _),) = layer._weight_vars
    return kernel


def _check_known(layer: keras.layers.Layer) -> None:
    # DepthwiseConv2D and others derive from Conv2D: the type itself must be known.
    if type(layer) not in _KNOWN:
        known = ", ".join(kind.__name__ for kind in _KNOWN)
        raise ConfigError(
            f"cannot quantise layer {layer.name} ({type(layer).__name__}): expected {known}"
        )
    if isinstance(layer, _ACTIVATIONS) and fusible_activation(layer) is None:
        raise ConfigError(f"cannot quantise {layer.name}: expected the activation relu or relu6")


class _PartConfig(_tfmot.QuantizeConfig):
    """Rounds the kernel, if there is one, and the output after its activation."""

    def __init__(self, kind: type, output: _OutputQuantizer | None) -> None:
        self._kernel = _KERNELS.get(kind)
        self._output = output

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        if self._kernel is None:
            return []
        attribute, channel_axes = self._kernel
        return [(getattr(layer, attribute), _WeightQuantizer(channel_axes))]

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        if self._kernel is not None:
            setattr(layer, self._kernel[0], quantize_weights[0])

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        return None

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [] if self._output is None else [self._output]

    def get_config(self) -> dict[str, Any]:
        raise ConfigError("a quantised network is rebuilt from its run, not from a Keras config")


class _WeightQuantizer(_tfmot.quantizers.Quantizer):
    """Rounds a kernel by its present values; keeps no state."""

    def __init__(self, channel_axes: int) -> None:
        self._channel_axes = channel_axes

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return {}

    def __call__(self, inputs: tf.Tensor, training: Any, weights: Any, **_: Any) -> tf.Tensor:
        if self._channel_axes == 0:
            return fake_quant_weights(inputs)
        return fake_quant_weights_per_channel(inputs, channel_axes=self._channel_axes)

    def limits(self, kernel: tf.Tensor) -> tf.Tensor:
        return weight_limits(kernel, channel_axes=self._channel_axes)

    def get_config(self) -> dict[str, Any]:
        return {"channel_axes": self._channel_axes}


class _OutputQuantizer(_tfmot.quantizers.Quantizer):
    """Rounds an output to its learnt range.

    Attributes:
      range: learnt; there once the layer is built.
    """

    range: LearnedRange

    def __init__(self, schedule: RangeSchedule, telling: tuple[float, float] = _EVERYTHING) -> None:
        self._schedule = schedule
        self._telling = telling

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        self.range = LearnedRange.create(layer.add_weight, name, self._schedule)
        return {}

    def __call__(self, inputs: tf.Tensor, training: Any, weights: Any, **_: Any) -> tf.Tensor:
        if training and self._telling != _EVERYTHING:
            # Only for the range: rounding to it saturates these values in any case.
            inputs = tf.clip_by_value(inputs, *self._telling)
        return self.range.fake_quant(inputs, training=bool(training))

    def get_config(self) -> dict[str, Any]:
        return {}


class _SameGridQuantizer(_OutputQuantizer):
    """Rounds to the range of another output, and leaves the learning to that one."""

    def __init__(self, other: _OutputQuantizer) -> None:
        self._other = other

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        self.range = self._other.range
        return {}

    def __call__(self, inputs: tf.Tensor, training: Any, weights: Any, **_: Any) -> tf.Tensor:
        return self.range.fake_quant(inputs, training=False)
