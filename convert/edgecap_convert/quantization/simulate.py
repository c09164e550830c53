"""Runs a fake-quantised frame network with the arithmetic of the int8 kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from edgecap_convert.models.folding import sources
from edgecap_convert.quantization import kernels
from edgecap_convert.quantization.encoder import (
    fake_quantized_kernel,
    only_moves,
    output_range,
)
from edgecap_convert.quantization.kernels import Scale


def run_as_kernels(
    model: keras.Model, inputs: Sequence[tf.Tensor], given: Sequence[Scale | None]
) -> tf.Tensor:
    """Inference of a functional model, layer by layer.

    Convolutions, dense layers and additions are computed as the kernels do; all others are
    fake-quantised, as in training: they have no sums in which anything could be lost.

    Args:
      model: of ``quantize_frame_network``; one output.
      inputs: values on their grids. given: these grids, as far as they are known.
    """
    values: dict[str, Any] = dict(zip(model.input_names, inputs, strict=True))
    scales: dict[str, Scale | None] = dict(zip(model.input_names, given, strict=True))
    before = sources(model)
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        names = [source.name for source in before[layer.name]]
        read, read_scales = [values[name] for name in names], [scales[name] for name in names]
        learnt = output_range(layer)
        wanted = Scale.of_range(learnt.minimum, learnt.maximum) if learnt is not None else None
        values[layer.name] = _run(layer, read, read_scales, wanted)
        scales[layer.name] = read_scales[0] if only_moves(layer) else wanted
    (last,) = model.output_names
    return values[last]


def _run(
    layer: keras.layers.Layer,
    read: list[tf.Tensor],
    given: list[Scale | None],
    wanted: Scale | None,
) -> tf.Tensor:
    known = [scale for scale in given if scale is not None]
    if wanted is not None and len(known) == len(read):
        weights = fake_quantized_kernel(layer)
        if weights is not None:
            return kernels.product(layer.layer, read[0], *weights, known[0], wanted)
        if isinstance(layer.layer, keras.layers.Add) and len(read) == 2:
            return kernels.addition(read, known, wanted)
    return layer(read[0] if len(read) == 1 else read)
