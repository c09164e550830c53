"""Where to look, taken from clips without a label: what moves in front of a still background.

Where that is, frame by frame, teaches a neck to find such things in single frames, moving or not,
also in clips in which this simple way fails.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgecap.extras import require_cv2
from edgecap_convert.data.moving import background, difference

# Of 255; a cell phone's compression noise stays below.
_DIFFERENT = 25
# Shares of the frame's area, of its side, and a distance in shares of its side.
_SMALLEST, _BORDER, _TIP_DEPTH, _WIDEST_TIP, _JUMP = 0.01, 0.025, 0.04, 0.2, 0.12
_NEIGHBOURS = 3


#: Changes whenever the same clip would give other targets.
VERSION = 1

#: Borders of the frame → quarter turns against the clock that make them the lower one.
BORDERS = {"bottom": 0, "left": 1, "top": 2, "right": 3}
TARGETS = ("middle", *(f"tip from {border}" for border in BORDERS))


def find_targets(images: npt.NDArray[np.uint8], *, target: str) -> npt.NDArray[np.float32]:
    """Finds what moves.

    Args:
      images: ``(N, H, W, 3)`` uint8 of one clip, close enough in time that things hardly jump.
      target: ``middle`` of the largest thing that moves; or ``tip from bottom`` (``left``, ``top``,
        ``right``): the end that is farthest from that border of the frame, of the largest thing
        that comes in over it.

    Returns:
      ``(N, 3)`` float32: x and y in shares of width and height, and 1, or 0 where nothing was
      found, or far from where it was in the frames around.
    """
    still = background(images)
    found = np.array([_find(image, still, target) for image in images], np.float32)
    result = found.copy()
    for number, row in enumerate(found):
        window = found[max(0, number - _NEIGHBOURS) : number + _NEIGHBOURS + 1]
        window = window[window[:, 2] > 0]
        if row[2] and (
            len(window) <= _NEIGHBOURS
            or np.abs(np.median(window[:, :2], axis=0) - row[:2]).max() > _JUMP
        ):
            result[number] = 0.0
    return result


def _find(
    image: npt.NDArray[np.uint8], still: npt.NDArray[np.uint8], target: str
) -> tuple[float, float, float]:
    cv2 = require_cv2("to find what moves")
    height, width = image.shape[:2]
    mask = (difference(image, still) > _DIFFERENT).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    count, numbers, statistics, _ = cv2.connectedComponentsWithStats(mask)
    areas = statistics[:, cv2.CC_STAT_AREA]
    nothing = (0.0, 0.0, 0.0)
    if count < 2 or areas[1:].max() < _SMALLEST * height * width:
        return nothing
    if target == "middle":
        rows, columns = np.nonzero(numbers == 1 + int(areas[1:].argmax()))
        return float((columns.mean() + 0.5) / width), float((rows.mean() + 0.5) / height), 1.0
    return _tip(numbers, areas, target.removeprefix("tip from ")) or nothing


def _tip(
    numbers: npt.NDArray[np.int32], areas: npt.NDArray[np.int32], border: str
) -> tuple[float, float, float] | None:
    """The far end of the largest thing that comes in over a border."""
    turns = BORDERS[border]
    turned = np.rot90(numbers, turns)
    height, width = turned.shape
    side = min(height, width)
    touching = np.unique(turned[-max(1, round(_BORDER * side)) :])
    largest = max(touching[touching > 0], key=lambda number: int(areas[number]), default=None)
    if largest is None or areas[largest] < _SMALLEST * height * width:
        return None
    rows, columns = np.nonzero(turned == largest)
    first = int(rows.min())
    end = columns[rows < first + max(1, round(_TIP_DEPTH * side))]
    if first == 0 or int(end.max() - end.min()) >= _WIDEST_TIP * side:
        return None
    x, y = (float(end.mean()) + 0.5) / width, (first + 0.5) / height
    for _ in range(turns):
        # Undo one turn by 90 degrees against the clock.
        x, y = 1.0 - y, x
    return x, y, 1.0
