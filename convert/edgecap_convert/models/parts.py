"""A functional model in two parts: what is computed once, and what goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras as keras

from edgecap.errors import ConfigError


class Parts:
    """A functional model, cut in front of one of its layers.

    The layers stay the model's own: what is trained of a part is trained of the whole.

    Args:
      model: one input, one output; each layer used once.
      name: of the first layer of the second part; ``""`` leaves all to the first part.

    Attributes:
      layers: of the second part.

    Raises:
      ConfigError: there is no such layer, or what comes after it also reads what came before.
    """

    def __init__(self, model: keras.Model, name: str) -> None:
        self._model = model
        self._cut = self._tensor(name) if name else model.output
        self.layers = [layer for layer, _ in self._following()] if name else []

    def first(self, x: tf.Tensor) -> tf.Tensor:
        """The input → what is in front of the cut."""
        values = {id(self._model.input): x}
        for layer in self._model.layers:
            if id(self._cut) in values:
                break
            if not isinstance(layer, keras.layers.InputLayer):
                values[id(layer.output)] = _run(layer, values)
        return values[id(self._cut)]

    def second(self, x: tf.Tensor) -> tf.Tensor:
        """What is in front of the cut → the output."""
        values = {id(self._cut): x}
        for layer in self.layers:
            values[id(layer.output)] = _run(layer, values)
        return values[id(self._model.output)]

    def _tensor(self, name: str) -> Any:
        """What the second part begins with."""
        places = _places(self._model)
        if name not in places:
            raise ConfigError(
                f"{self._model.name} cannot be cut in front of {name!r}: expected one of "
                f"{', '.join(places)}"
            )
        return self._model.get_layer(name).input

    def _following(self) -> Iterator[tuple[keras.layers.Layer, Any]]:
        known = {id(self._cut)}
        for layer in self._model.layers:
            if not isinstance(layer, keras.layers.InputLayer) and _reads(layer) <= known:
                known.add(id(layer.output))
                yield layer, layer.output


def _places(model: keras.Model) -> list[str]:
    """Layers in front of which a single tensor holds all that is known of the image."""
    found = []
    computed = [each for each in model.layers if not isinstance(each, keras.layers.InputLayer)]
    for at, layer in enumerate(computed):
        later = {id(each.output) for each in computed[at:]}
        outside = {each for after in computed[at:] for each in _reads(after)} - later
        if len(outside) == 1 and outside == _reads(layer):
            found.append(layer.name)
    return found


def _reads(layer: keras.layers.Layer) -> set[int]:
    return {id(tensor) for tensor in tf.nest.flatten(layer.input)}


def _run(layer: keras.layers.Layer, values: dict[int, Any]) -> tf.Tensor:
    return layer(tf.nest.map_structure(lambda tensor: values[id(tensor)], layer.input))
