"""What a part of a captioning network rounds: everything as the int8 kernels do, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from edgecap_convert.quantization import grids
from edgecap_convert.quantization.ranges import LearnedRange, RangeSchedule


class Rounds:
    """The rounding of one part.

    Args:
      schedule: of its learnt ranges; ``None`` of a part that stays float.
      narrowest: the names of its learnt ranges, with the least width of each.

    Attributes:
      ranges: by name; none of a part that stays float.
    """

    def __init__(self, schedule: RangeSchedule | None, narrowest: Mapping[str, float]) -> None:
        self.ranges: dict[str, LearnedRange] = {}
        if schedule is not None:
            for name, least in narrowest.items():
                self.ranges[name] = LearnedRange.create(_variable, name, schedule, narrowest=least)

    def __bool__(self) -> bool:
        """Whether anything is rounded."""
        return bool(self.ranges)

    def weights(self, weights: tf.Tensor) -> tf.Tensor:
        return grids.fake_quant_weights(weights) if self else tf.convert_to_tensor(weights)

    def on(self, grid: grids.Grid, x: tf.Tensor) -> tf.Tensor:
        """On a grid that is known before any training."""
        return grid.fake_quant(x) if self else x

    def learnt(self, name: str, x: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """On a learnt range, which moves in training."""
        return self.ranges[name].fake_quant(x, training=training) if self else x


def _variable(*, name: str, shape: tuple[int, ...], initializer: Any, trainable: bool) -> Any:
    return tf.Variable(initializer(shape), trainable=trainable, name=name)
