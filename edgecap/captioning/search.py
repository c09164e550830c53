"""Greedy and beam search: the most probable sentence, word by word.

At each step the ``2 · beam`` most probable continuations of all hypotheses are looked at. Those
that end among the first ``beam`` are finished; the first ``beam`` that do not end go on. A
finished sentence is worth its log-probability divided by ``length ** length_penalty``, its end
counted: without that, short sentences would always win. A beam of 1 is greedy search.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgecap.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_BEAMS = 64


@dataclass(frozen=True)
class SearchSettings:
    """How sentences are looked for.

    Attributes:
      end: number of the word that ends a sentence. start: of that before the first one.
      forbidden: numbers of words that are never written.
      longest: words of a sentence, at most.
      beam: hypotheses that are followed at once. length_penalty: see the module.

    Raises:
      ConfigError: a setting is out of range.
    """

    start: int
    end: int
    forbidden: tuple[int, ...]
    longest: int
    beam: int = 3
    length_penalty: float = 0.7

    def __post_init__(self) -> None:
        if not 1 <= self.beam <= MOST_BEAMS:
            raise ConfigError(f"beam: expected 1 to {MOST_BEAMS}; got {self.beam}")
        if self.longest < 1:
            raise ConfigError(f"longest: expected 1 or more words; got {self.longest}")
        if not 0 <= self.length_penalty <= 4:
            raise ConfigError(f"length_penalty: expected 0 to 4; got {self.length_penalty}")


class Writer(Protocol):
    """Gives the words that may follow, for ``beam`` hypotheses about each of ``N`` pictures."""

    def step(self, words: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """``(N, beam)`` numbers of words → log-probabilities ``(N, beam, words)`` of the next."""
        ...

    def follow(self, parents: npt.NDArray[np.int64]) -> None:
        """Goes on from other hypotheses: ``(N, beam)``, numbers from 0 to ``beam − 1``."""
        ...


@dataclass(frozen=True)
class Hypothesis:
    """A sentence.

    Attributes:
      words: their numbers, without the end. score: see the module; higher is better.
      log_probability: of the whole. parents: at each step, which hypothesis it went on from.
    """

    words: tuple[int, ...]
    score: float
    log_probability: float
    parents: tuple[int, ...] = ()


@dataclass
class _Picture:
    """One picture's hypotheses: alive, by beam, and finished."""

    alive: list[tuple[tuple[int, ...], tuple[int, ...]]]
    total: npt.NDArray[np.float64]
    finished: list[Hypothesis] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return len(self.finished) >= len(self.alive)


def search(writer: Writer, pictures: int, settings: SearchSettings) -> list[list[Hypothesis]]:
    """Writes a sentence about each picture.

    Args:
      writer: at its beginning. pictures: how many.

    Returns:
      For each picture, its finished hypotheses, the best first; at least one.
    """
    beam = settings.beam
    # All hypotheses are one at first: only the first of them counts.
    first = np.array([0.0] + [-np.inf] * (beam - 1))
    found = [_Picture([((), ())] * beam, first.copy()) for _ in range(pictures)]
    words = np.full((pictures, beam), settings.start, np.int64)
    for length in range(1, settings.longest + 1):
        log_p = writer.step(words).astype(np.float64)
        log_p[:, :, list(settings.forbidden)] = -np.inf
        # A writer may keep what it was given.
        words, parents = words.copy(), np.tile(np.arange(beam), (pictures, 1))
        for number, each in enumerate(found):
            if not each.done:
                words[number], parents[number] = _advance(each, log_p[number], length, settings)
        if all(each.done for each in found):
            break
        writer.follow(parents)
    for each in found:
        if not each.done:
            for (told, origins), total in zip(each.alive, each.total, strict=True):
                if np.isfinite(total):
                    score = float(total / settings.longest**settings.length_penalty)
                    each.finished.append(Hypothesis(told, score, float(total), origins))
    return [sorted(each.finished, key=lambda h: -h.score) for each in found]


def _advance(
    picture: _Picture, log_p: npt.NDArray[np.float64], length: int, settings: SearchSettings
) -> tuple[list[int], list[int]]:
    """One word: ``log_p`` is ``(beam, words)``; returns the words read next, and their parents."""
    beam, size = settings.beam, log_p.shape[1]
    flat = (picture.total[:, None] + log_p).ravel()
    # Stable, so that ties are broken alike everywhere: by the smaller number.
    count = min(2 * beam, flat.size)
    near = np.argpartition(-flat, count - 1)[:count]
    least = flat[near].min()
    candidates = np.flatnonzero(flat >= least)
    best = candidates[np.argsort(-flat[candidates], kind="stable")][:count]
    alive: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    totals: list[float] = []
    words: list[int] = []
    parents: list[int] = []
    for rank, place in enumerate(best.tolist()):
        parent, word = divmod(place, size)
        total = float(flat[place])
        if not np.isfinite(total):
            continue
        told, origins = picture.alive[parent]
        if word == settings.end:
            if rank < beam:
                score = total / length**settings.length_penalty
                picture.finished.append(Hypothesis(told, score, total, (*origins, parent)))
        elif len(alive) < beam:
            alive.append(((*told, word), (*origins, parent)))
            totals.append(total)
            words.append(word)
            parents.append(parent)
    while len(alive) < beam:
        # Fewer words than that: the rest never wins.
        alive.append(alive[-1] if alive else ((), ()))
        totals.append(-np.inf)
        words.append(words[-1] if words else settings.end)
        parents.append(parents[-1] if parents else 0)
    picture.alive, picture.total = alive, np.array(totals)
    return words, parents


def log_softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: npt.NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
