"""How a network runs along time: what it carries from frame to frame, and on what conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

#: Name → ``(B, …)`` float32. ``h``, ``c`` of the first LSTM layer, ``h2``, ``c2`` of the second, …;
#: ``window``: the last hidden states, for attention; ``map``: the neck's map of the frame before,
#: for its difference; ``place``: where an attending neck looked; ``running``: 0 after a reset, 1
#: from the first frame on. What several members carry lies side by side along the last axis.
State = dict[str, tf.Tensor]
WINDOW, MAP, PLACE_STATE, RUNNING = "window", "map", "place", "running"
#: Those that the neck carries; all others are the memory's.
NECK_STATES = (MAP, PLACE_STATE, RUNNING)

#: Drops values in training: tensor ``(B, T, …)`` and where it stands → tensor.
Dropout = Callable[[tf.Tensor, str], tf.Tensor]


class Along(NamedTuple):
    """How a network runs along time.

    Attributes:
      resets: ``(B, T)`` bool; the state is reset before these frames. ``None``: never.
      training: batch norms take the batch's statistics (float), ranges follow (quantised).
      dropout: applied to what is seen, to the features and to what the head reads.
      apart: the outputs are each member's own, ``(B, T, members, outputs)``, not their mean.
    """

    resets: tf.Tensor | None = None
    training: bool = False
    dropout: Dropout | None = None
    apart: bool = False
