"""Figures of captions, by the standard implementation (pycocoevalcap, of the COCO challenge).

BLEU-1 to BLEU-4 (Papineni et al. 2002) over the whole of the data, ROUGE-L (Lin 2004) and CIDEr-D
(Vedantam et al. 2015), whose document frequencies are those of the sentences compared with.
Sentences are told apart into words by :func:`edgecap.dataset.captions.tokenize` on both sides, not
by the tokeniser of the challenge, which needs Java; they differ in how they cut ``man's``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgecap.dataset.captions import tokenize
from edgecap.errors import DataError
from edgecap.extras import require_caption_scores


@dataclass(frozen=True)
class CaptionScores:
    """How good captions are.

    Attributes:
      bleu: BLEU-1 to BLEU-4, 0 to 1. rouge_l: 0 to 1. cider_d: 0 to 10.
      images: how many. each: of each picture by its name, its CIDEr-D.
    """

    bleu: tuple[float, float, float, float]
    rouge_l: float
    cider_d: float
    images: int
    each: Mapping[str, float]

    def to_dict(self) -> dict[str, float]:
        """By the names of the figures; without those of each picture."""
        figures = {f"bleu_{n}": round(value, 4) for n, value in enumerate(self.bleu, 1)}
        return figures | {
            "rouge_l": round(self.rouge_l, 4),
            "cider_d": round(self.cider_d, 4),
            "images": self.images,
        }


def score_captions(found: Mapping[str, str], truth: Mapping[str, Sequence[str]]) -> CaptionScores:
    """Holds one caption of each picture against what people said of it.

    Args:
      found: name → caption. truth: name → sentences.

    Raises:
      DataError: nothing to score, or a picture that nothing is known of.
      MissingDependencyError: pycocoevalcap is not installed.
    """
    unknown = [name for name in found if name not in truth]
    if not found or unknown:
        raise DataError(f"expected captions of known pictures; got {len(found)}, {unknown[:3]}")
    bleu, rouge, cider = require_caption_scores("to score captions")
    mine = {name: [" ".join(tokenize(caption))] for name, caption in found.items()}
    theirs = {name: [" ".join(tokenize(each)) for each in truth[name]] for name in found}
    bleus, _ = bleu.Bleu(4).compute_score(theirs, mine, verbose=0)
    rouge_l, _ = rouge.Rouge().compute_score(theirs, mine)
    cider_d, each = cider.Cider().compute_score(theirs, mine)
    one, two, three, four = (float(value) for value in bleus)
    return CaptionScores(
        (one, two, three, four),
        float(rouge_l),
        float(cider_d),
        len(mine),
        dict(zip(mine, map(float, each), strict=True)),
    )
