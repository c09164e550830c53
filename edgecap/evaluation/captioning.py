"""How good a captioning model's sentences are on pictures that people told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecap.captioning import CaptionModel
from edgecap.dataset.captions import CaptionedImage
from edgecap.evaluation.captions import CaptionScores, score_captions
from edgecap.extras import require_caption_scores
from edgecap.images import read_image


@dataclass(frozen=True)
class CaptionEvaluation:
    """What was found.

    Attributes:
      scores: see there. captions: by the pictures' names.
      caption_ms: median time of one, from the decoded picture on, its resizing included.
    """

    scores: CaptionScores
    captions: dict[str, str]
    caption_ms: float


def evaluate_captions(
    model: CaptionModel, images: Sequence[CaptionedImage], *, beam: int | None = None
) -> CaptionEvaluation:
    """Tells every picture, and holds the sentences against people's.

    Raises:
      DataError: a picture cannot be read. MissingDependencyError: pycocoevalcap is not installed.
    """
    require_caption_scores("to score captions")
    captions, took_ms = {}, []
    for image in images:
        picture = read_image(image.path)
        began = time.perf_counter()
        captions[image.name] = model.caption(picture, beam=beam).text
        took_ms.append((time.perf_counter() - began) * 1e3)
    truth = {image.name: image.captions for image in images}
    return CaptionEvaluation(
        score_captions(captions, truth), captions, round(float(np.median(took_ms)), 3)
    )
