"""What is quantised how: recipes as plain data."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass

from edgecap.errors import ConfigError

_FLOATS = ("dynamic", "float16", "float32")
# Behind a recipe's name: the same with its head in float.
_FLOAT_HEAD = "+float-head"


@dataclass(frozen=True)
class Recipe:
    """What each part of a network is kept in.

    ``int8``, ``int16``: integers throughout. ``dynamic``: weights in 8 bits, the rest float.
    ``float16``: weights in 16 bits, the rest float. ``float32``: as trained.

    Attributes:
      name: of the recipe.
      encoder, neck, gates, head: weights and activations.
      cell: the LSTM's cell state.
      why: what it is for, in a sentence.
    """

    name: str
    encoder: str
    neck: str
    gates: str
    cell: str
    head: str
    why: str

    @property
    def integer(self) -> bool:
        """Whether int8 kernels compute: then ranges are needed, and can be learnt."""
        return self.encoder == "int8"

    @property
    def float_words(self) -> bool:
        """Whether only what sees is integers, and what writes sentences computes in float."""
        return self.integer and self.gates == "dynamic"

    @property
    def parts(self) -> dict[str, str]:
        return {part: form for part, form in asdict(self).items() if part not in ("name", "why")}

    def with_float_head(self) -> Recipe:
        """The same, its head in float32.

        Raises:
          ConfigError: not an integer recipe.
        """
        if not self.integer or self.head != "int8":
            raise ConfigError(f"recipe: expected one with an int8 head; got {self.name!r}")
        return dataclasses.replace(
            self, name=self.name + _FLOAT_HEAD, head="float32", why=f"{self.why}; a float head"
        )


def _even(form: str, why: str) -> Recipe:
    cell = "float32" if form in _FLOATS else form
    return Recipe(form, form, form, form, cell, form, why)


def _integer(name: str, cell: str, why: str) -> Recipe:
    return Recipe(name, "int8", "int8", "int8", cell, "int8", why)


_RECIPES = {
    recipe.name: recipe
    for recipe in (
        _integer("int8", "float32", "Raspberry Pi and phones: the default"),
        _integer("int8-int16", "int16", "integers only; needs ai-edge-litert"),
        _integer("int8-full", "int8", "accelerators that know 8 bits only; a slow memory stalls"),
        _even("dynamic", "weights in 8 bits, without any training or calibration"),
        _even("float16", "half the size, for GPUs"),
        _even("float32", "to compare with"),
    )
}
RECIPES = tuple(_RECIPES)
DEFAULT_RECIPE = "int8"

#: A sentence is a chain of choices between words that are often nearly as probable: noise that
#: changes no class changes a third of the sentences.
CAPTION_RECIPE = Recipe(
    "int8-dynamic",
    encoder="int8",
    neck="int8",
    gates="dynamic",
    cell="float32",
    head="dynamic",
    why="captions: the picture in integers, its sentence with 8-bit weights and float between",
)


def recipe_named(name: str) -> Recipe:
    """A recipe by its name; ``+float-head`` behind an integer recipe's keeps its head in float32.

    Raises:
      ConfigError: there is none of that name.
    """
    return _named(name, _RECIPES)


def caption_recipe_named(name: str) -> Recipe:
    """As :func:`recipe_named`, for captioning: also what only that knows.

    Raises:
      ConfigError: there is none of that name.
    """
    return _named(name, _RECIPES | {CAPTION_RECIPE.name: CAPTION_RECIPE})


def _named(name: str, known: dict[str, Recipe]) -> Recipe:
    base = name.removesuffix(_FLOAT_HEAD)
    plain = known.get(base)
    if plain is None or (base != name and plain.head != "int8"):
        raise ConfigError(
            f"recipe: expected one of {', '.join(known)}, or an integer one with {_FLOAT_HEAD}; "
            f"got {name!r}"
            + (" (that one is for captioning)" if name == CAPTION_RECIPE.name else "")
        )
    return plain if base == name else plain.with_float_head()
