"""The words that a network knows, by their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from edgecap.dataset.captions import tokenize
from edgecap.errors import DataError

#: No words: what ends a sentence, what stands for a word that is not known, what begins one.
END, UNKNOWN, START = "<end>", "<unknown>", "<start>"


class Vocabulary:
    """Words in the order of their numbers.

    Args:
      words: ``END``, ``UNKNOWN``, the words, ``START``.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._numbers = {word: number for number, word in enumerate(self.words)}
        self.end, self.unknown, self.start = (self._numbers[w] for w in (END, UNKNOWN, START))

    @classmethod
    def of(cls, sentences: Iterable[str], *, min_count: int) -> Vocabulary:
        """The words of some sentences, the most frequent first.

        Raises:
          DataError: none is used as often as that.
        """
        counts = Counter(word for sentence in sentences for word in tokenize(sentence))
        kept = sorted((-count, word) for word, count in counts.items() if count >= min_count)
        if not kept:
            raise DataError(f"no word is used {min_count} times or more; lower min_count")
        return cls([END, UNKNOWN, *(word for _, word in kept), START])

    def __len__(self) -> int:
        return len(self.words)

    def numbers(self, sentence: str, *, longest: int) -> list[int]:
        """Of the words of a sentence and, if it fits, its end; ``longest`` of them at most."""
        found = [self._numbers.get(word, self.unknown) for word in tokenize(sentence)]
        return [*found, self.end][:longest]

    def rows(
        self, sentences: Sequence[str], *, longest: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Sentences of one length.

        Returns:
          ``(sentences, longest)`` numbers, filled up with ``end``, and which of them are meant.
        """
        rows = np.full((len(sentences), longest), self.end, np.int32)
        meant = np.zeros(rows.shape, bool)
        for i, sentence in enumerate(sentences):
            numbers = self.numbers(sentence, longest=longest)
            rows[i, : len(numbers)] = numbers
            meant[i, : len(numbers)] = True
        return rows, meant

    def sentence(self, numbers: Iterable[int]) -> str:
        """The words up to the end."""
        words = []
        for number in numbers:
            if number == self.end:
                break
            words.append(self.words[number])
        return " ".join(words)
