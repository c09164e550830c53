"""Greedy and beam search, on a language small enough to try every sentence of it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest

from edgecap.captioning.search import Hypothesis, SearchSettings, log_softmax, search
from edgecap.errors import ConfigError

END, UNKNOWN, START, WORDS = 0, 1, 6, 7


class Language:
    """The next word depends on the two before it, by random logits; one table for each picture."""

    def __init__(self, pictures: int, beam: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.table = log_softmax(2 * rng.normal(size=(pictures, WORDS, WORDS, WORDS)))
        self.before = np.full((pictures, beam), START)
        self.steps = 0

    def step(self, words: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        self.steps += 1
        rows = np.arange(len(words))[:, None]
        found: npt.NDArray[np.float32] = self.table[rows, self.before, words]
        self.before = words
        return found

    def follow(self, parents: npt.NDArray[np.int64]) -> None:
        self.before = np.take_along_axis(self.before, parents, axis=1)


def settings(beam: int, longest: int = 4, penalty: float = 0.7) -> SearchSettings:
    return SearchSettings(START, END, (UNKNOWN, START), longest, beam, penalty)


def score(table: npt.NDArray[np.float32], words: tuple[int, ...], given: SearchSettings) -> float:
    """Of a sentence by its definition, the end counted if there is room for it."""
    told = (*words, END) if len(words) < given.longest else words
    total, before = 0.0, (START, START)
    for word in told:
        total += float(table[before[0], before[1], word])
        before = (before[1], word)
    return total / len(told) ** given.length_penalty


def every_sentence(longest: int) -> list[tuple[int, ...]]:
    letters = range(2, START)
    return [s for n in range(longest + 1) for s in itertools.product(letters, repeat=n)]


def test_a_wide_beam_finds_the_best_sentence_of_all() -> None:
    given = settings(beam=64, longest=3)
    language = Language(3, 64)
    found = search(language, 3, given)
    for table, hypotheses in zip(language.table, found, strict=True):
        best = max(every_sentence(3), key=lambda words: score(table, words, given))
        assert hypotheses[0].words == best
        assert hypotheses[0].score == pytest.approx(score(table, best, given), abs=1e-5)


@pytest.mark.parametrize("beam", [1, 2, 3, 8])
def test_scores_are_those_of_the_sentences(beam: int) -> None:
    given = settings(beam, longest=6)
    language = Language(5, beam, seed=beam)
    for table, hypotheses in zip(language.table, search(language, 5, given), strict=True):
        assert hypotheses
        ranks = [each.score for each in hypotheses]
        assert ranks == sorted(ranks, reverse=True)
        for each in hypotheses:
            assert each.score == pytest.approx(score(table, each.words, given), abs=1e-5)
            assert not {END, UNKNOWN, START} & set(each.words)


def test_a_beam_of_one_takes_the_most_probable_word_each_time() -> None:
    given = settings(beam=1, longest=8)
    language = Language(6, 1, seed=3)
    found = search(language, 6, given)
    for table, (best,) in zip(language.table, found, strict=True):
        words: list[int] = []
        before = (START, START)
        while len(words) < given.longest:
            row = table[before].copy()
            row[[UNKNOWN, START]] = -np.inf
            word = int(row.argmax())
            if word == END:
                break
            words.append(word)
            before = (before[1], word)
        assert best.words == tuple(words)


def test_three_hypotheses_find_better_sentences_than_one() -> None:
    means = []
    for beam in (1, 3):
        found = search(Language(200, beam, seed=5), 200, settings(beam, longest=5))
        means.append(np.mean([hypotheses[0].score for hypotheses in found]))
    assert means[1] > means[0] + 0.02


def test_pictures_do_not_know_of_each_other() -> None:
    together = search(Language(4, 3, seed=9), 4, settings(3))
    for number in range(4):
        alone = Language(4, 3, seed=9)
        alone.table = alone.table[number : number + 1]
        alone.before = alone.before[:1]
        (found,) = search(alone, 1, settings(3))
        assert found == together[number]


def test_the_length_penalty_decides_between_short_and_long() -> None:
    def mean_length(penalty: float) -> float:
        found = search(Language(40, 8, seed=2), 40, settings(8, longest=6, penalty=penalty))
        return float(np.mean([len(each[0].words) for each in found]))

    assert mean_length(0.0) < mean_length(2.0)


def test_parents_lead_back_along_the_sentence() -> None:
    beam = 4
    language = Language(1, beam, seed=7)
    told: list[npt.NDArray[np.int64]] = []
    step = language.step

    def watched(words: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        told.append(words.copy())
        return step(words)

    language.step = watched  # type: ignore[method-assign]
    (found,) = search(language, 1, settings(beam, longest=6))
    for each in found:
        # What was read at step t by the hypothesis that word t went on from is word t - 1.
        read = [int(told[at][0, parent]) for at, parent in enumerate(each.parents)]
        assert read == [START, *each.words][: len(read)]


def test_a_vocabulary_smaller_than_the_beam_is_no_trouble() -> None:
    (found,) = search(Language(1, 32, seed=1), 1, settings(32, longest=1))
    assert {each.words for each in found} <= {(), *((word,) for word in range(2, START))}
    assert all(math.isfinite(each.score) for each in found)


def test_it_stops_when_there_are_enough_finished_sentences() -> None:
    language = Language(1, 2)
    language.table[...] = -9.0
    language.table[..., END] = -0.01
    language.table[..., 2] = -0.02
    (found,) = search(language, 1, settings(2, longest=50))
    assert language.steps < 5
    assert found[0] == Hypothesis((), found[0].score, found[0].log_probability, (0,))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"beam": 0}, "beam: expected 1 to 64; got 0"),
        ({"beam": 65}, "beam: expected 1 to 64; got 65"),
        ({"longest": 0}, "longest"),
        ({"length_penalty": -0.1}, "length_penalty"),
        ({"length_penalty": math.nan}, "length_penalty"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, float], named: str) -> None:
    given = {"start": START, "end": END, "forbidden": (UNKNOWN,), "longest": 3} | change
    with pytest.raises(ConfigError, match=named):
        SearchSettings(**given)  # type: ignore[arg-type]
