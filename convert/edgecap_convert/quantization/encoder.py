"""Quantisation-aware training of the frame network, through TFMOT with configurations of our own.

What is ours, and why:

* the network is folded first (:mod:`edgecap_convert.models.folding`), so weights are rounded as
  they will be in the file, and TFMOT's layout transforms have nothing left to do;
* every convolution has one scale per output channel, depthwise ones too (TFMOT: one per tensor);
* activation ranges start from the data and follow it fast enough to matter (TFMOT: ±6, 0.999).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from edgecap.errors import ConfigError
from edgecap_convert.quantization.grids import (
    fake_quant_weights,
    fake_quant_weights_per_channel,
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
# Layers that compute new values but have no weights.
_REQUANTIZED = (keras.layers.Add,)
# Layers that only move values: the grid stays what it was.
_TRANSPARENT = (keras.layers.InputLayer, keras.layers.ZeroPadding2D, keras.layers.Flatten)


def quantize_frame_network(model: keras.Model, schedule: RangeSchedule) -> keras.Model:
    """Wraps a folded network of convolutions, dense layers and additions for QAT.

    Args:
      model: the output of :func:`edgecap_convert.models.folding.fold_batch_norm`.
      schedule: moves all learnt ranges.

    Returns:
      A model of its own with equal weights, in which weights and activations are fake-quantised.
      Its input is expected to be quantised already.

    Raises:
      ConfigError: a layer that has no configuration here.
    """

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        copy = layer.__class__.from_config(layer.get_config())
        if isinstance(layer, _TRANSPARENT):
            return copy
        if type(layer) not in _KERNELS and not isinstance(layer, _REQUANTIZED):
            known = ", ".join(k.__name__ for k in (*_KERNELS, *_REQUANTIZED, *_TRANSPARENT))
            raise ConfigError(
                f"cannot quantise layer {layer.name} ({type(layer).__name__}): expected {known}"
            )
        copy.build(layer.input_shape)
        copy.set_weights(layer.get_weights())
        return _tfmot.QuantizeWrapperV2(copy, _PartConfig(type(layer), schedule))

    return keras.models.clone_model(model, clone_function=wrap)


def output_range(layer: keras.layers.Layer) -> LearnedRange:
    """The learnt range of a wrapped layer's output."""
    return layer._output_quantizer_vars["range"]


class _PartConfig(_tfmot.QuantizeConfig):
    """Rounds the kernel, if there is one, and the output after its activation."""

    def __init__(self, kind: type, schedule: RangeSchedule) -> None:
        self._kernel = _KERNELS.get(kind)
        self._schedule = schedule

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
        return [_OutputQuantizer(self._schedule)]

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

    def get_config(self) -> dict[str, Any]:
        return {"channel_axes": self._channel_axes}


class _OutputQuantizer(_tfmot.quantizers.Quantizer):
    """Rounds an output to its learnt range."""

    def __init__(self, schedule: RangeSchedule) -> None:
        self._schedule = schedule

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return {"range": LearnedRange.create(layer.add_weight, name, self._schedule)}

    def __call__(self, inputs: tf.Tensor, training: Any, weights: Any, **_: Any) -> tf.Tensor:
        return weights["range"].fake_quant(inputs, training=bool(training))

    def get_config(self) -> dict[str, Any]:
        return {}
