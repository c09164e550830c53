"""Where was looked for each word, drawn over the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgecap.captioning.model import Caption
from edgecap.drawing import Pen, fitted
from edgecap.extras import require_cv2
from edgecap.preprocess import Image

if TYPE_CHECKING:
    import numpy.typing as npt

# What was not looked at keeps this share of its light.
_DARK = 0.22
_TILE, _COLUMNS, _GAP = 224, 4, 8
_PAPER, _INK, _SOFT = (250, 250, 250), (30, 34, 38), (95, 102, 110)


def overlay(image: Image, attention: npt.NDArray[np.float32]) -> Image:
    """Darkens what was not looked at.

    Args:
      image: ``(h, w, 3)`` uint8 RGB. attention: ``(rows, columns)``, not negative.

    Returns:
      A new picture of the same size.

    Raises:
      MissingDependencyError: OpenCV is not installed.
    """
    cv2 = require_cv2("to draw on pictures")
    height, width = image.shape[:2]
    light = attention / max(float(attention.max()), 1e-6)
    light = cv2.resize(light.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    light = _DARK + (1 - _DARK) * np.clip(light, 0, 1)
    shaded: Image = (image * light[..., None]).round().astype(np.uint8)
    return shaded


def attention_sheet(image: Image, caption: Caption) -> Image:
    """The picture, and again for each word, one beside the other.

    Args:
      image: ``(h, w, 3)`` uint8 RGB of any size. caption: about it.

    Returns:
      ``(h', w', 3)`` uint8 RGB.

    Raises:
      MissingDependencyError: OpenCV is not installed.
    """
    cv2 = require_cv2("to draw on pictures")
    scale = _TILE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tiles = [(small, "")]
    tiles += [
        (overlay(small, attention), word)
        for word, attention in zip(caption.words, caption.attention, strict=True)
    ]
    label = 30
    rows = -(-len(tiles) // _COLUMNS)
    width = _GAP + _COLUMNS * (_TILE + _GAP)
    sheet = np.full((label + _GAP + rows * (_TILE + label + _GAP), width, 3), _PAPER, np.uint8)
    pen = Pen(sheet, cv2)
    pen.text(pen.cut(caption.text, width - 2 * _GAP), _GAP, label - 6, _INK)
    for place, (tile, word) in enumerate(tiles):
        row, column = divmod(place, _COLUMNS)
        top = label + _GAP + row * (_TILE + label + _GAP)
        left = _GAP + column * (_TILE + _GAP)
        sheet[top : top + _TILE, left : left + _TILE] = fitted(tile, (_TILE, _TILE))
        pen.text(pen.cut(word, _TILE), left, top + _TILE + label - 9, _SOFT)
    return sheet
