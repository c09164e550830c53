"""What is quantised how: recipes as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from edgecap.errors import ConfigError

#: How numbers are kept. ``int8``, ``int16``: integers throughout. ``dynamic``: weights in 8 bits,
#: the rest float. ``float16``: weights in 16 bits, the rest float. ``float32``: as trained.
FORMS = ("int8", "int16", "dynamic", "float16", "float32")
_FLOATS = ("dynamic", "float16", "float32")


@dataclass(frozen=True)
class Recipe:
    """What each part of a network is kept in.

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
        """Whether the encoder runs on int8 kernels: then ranges are needed, and can be learnt."""
        return self.encoder == "int8"

    @property
    def parts(self) -> dict[str, str]:
        return {part: form for part, form in asdict(self).items() if part not in ("name", "why")}


def _even(form: str, why: str) -> Recipe:
    cell = "float32" if form in _FLOATS else form
    return Recipe(form, form, form, form, cell, form, why)


_RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "int8",
            "int8",
            "int8",
            "int8",
            "float32",
            "int8",
            "Raspberry Pi and phones: the default",
        ),
        Recipe(
            "int8-int16", "int8", "int8", "int8", "int16", "int8", "integers only, without loss"
        ),
        Recipe(
            "int8-full",
            "int8",
            "int8",
            "int8",
            "int8",
            "int8",
            "accelerators that know 8 bits only; a slow memory stalls",
        ),
        _even("dynamic", "weights in 8 bits, without any training or calibration"),
        _even("float16", "half the size, for GPUs"),
        _even("float32", "to compare with"),
    )
}
RECIPES = tuple(_RECIPES)
DEFAULT_RECIPE = "int8"


def recipe_named(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
      ConfigError: there is none of that name.
    """
    if name not in _RECIPES:
        raise ConfigError(f"recipe: expected one of {', '.join(RECIPES)}; got {name!r}")
    return _RECIPES[name]
