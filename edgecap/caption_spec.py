"""How a captioning model makes sentences of words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgecap.errors import SpecError
from edgecap.tensor_spec import TensorSpec

CAPTIONING = "captioning"
_LONGEST = 1000
_MOST_BEAMS = 64


@dataclass(frozen=True)
class CaptionSpec:
    """The words' part of a captioning model.

    Its graph has two signatures: ``encode`` takes the image and gives the features and the first
    states; ``step`` takes a word's number, the features and the states, and gives logits of the
    next word, where was looked, and the next states.

    Attributes:
      token: name of the input that takes a word's number, ``(1,)`` int32.
      features: what ``encode`` gives and every ``step`` reads.
      first: the states that ``encode`` gives; the others begin as after a reset.
      attention: ``(1, heads, 1, rows · columns)``, where was looked for the next word.
      rows, columns: of the grid that was looked at.
      start, end: numbers of the words before the first one and behind the last one.
      forbidden: numbers of words that are never written.
      longest: words of a sentence, at most.
      beam, length_penalty: of the search; see :mod:`edgecap.captioning.search`.
    """

    token: str
    features: tuple[TensorSpec, ...]
    first: tuple[str, ...]
    attention: TensorSpec
    rows: int
    columns: int
    start: int
    end: int
    forbidden: tuple[int, ...]
    longest: int
    beam: int
    length_penalty: float

    def __post_init__(self) -> None:
        if not 1 <= self.longest <= _LONGEST:
            raise SpecError(f"caption.longest: expected 1 to {_LONGEST}; got {self.longest}")
        if not 1 <= self.beam <= _MOST_BEAMS:
            raise SpecError(f"caption.beam: expected 1 to {_MOST_BEAMS}; got {self.beam}")
        if not (math.isfinite(self.length_penalty) and 0 <= self.length_penalty <= 4):
            raise SpecError(f"caption.length_penalty: expected 0 to 4; got {self.length_penalty}")
        shape, cells = self.attention.shape, self.rows * self.columns
        if len(shape) != 4 or (shape[0], shape[2], shape[3]) != (1, 1, cells):
            raise SpecError(
                f"caption.attention: expected a shape of (1, heads, 1, {cells}); got {shape}"
            )

    def check(self, words: int, states: Sequence[str]) -> None:
        """Raises ``SpecError`` unless it goes with so many words and these states."""
        for name, numbers in (
            ("start", (self.start,)),
            ("end", (self.end,)),
            ("forbidden", self.forbidden),
        ):
            if any(not 0 <= number < words for number in numbers):
                raise SpecError(
                    f"caption.{name}: expected numbers of the vocabulary's {words} words; "
                    f"got {numbers}"
                )
        if self.end in self.forbidden or len(set(self.forbidden)) >= words - 1:
            raise SpecError("caption.forbidden: expected words that a sentence can do without")
        unknown = sorted(set(self.first) - set(states))
        if unknown:
            raise SpecError(f"caption.first: expected names of states; got {unknown[0]!r}")
        names = [self.token, self.attention.name, *(each.name for each in self.features), *states]
        if len(set(names)) != len(names):
            raise SpecError("caption: expected a name of its own for every tensor")
