"""What moves in front of a camera that stands still.

The background of a clip is the median of its frames; what differs from it is a hand, a body, a
tool. That tells where to look (:mod:`edgecap_convert.data.tips`), and lets the same motion be shown
in other places: cut out and put before the backdrop of another clip (Dwibedi et al. 2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.extras import require_cv2

Image = npt.NDArray[np.uint8]

#: Frames that a background is taken from.
BACKGROUND_FRAMES = 24
# Of 255: lower than where tips are looked for, so that no edge of a hand stays behind.
_DIFFERENT = 22
# Shares of the frame's area: what is smaller is noise; and a clip in which hardly anything moves,
# or nearly everything does, has no still background.
_SMALLEST, _LEAST, _MOST = 0.004, 0.01, 0.45
# Share of the frames in which something must move.
_MOVING = 0.8


def background(images: Image) -> Image:
    """``(N, H, W, 3)`` uint8 of one clip → ``(H, W, 3)`` uint8, the median."""
    step = max(1, len(images) // BACKGROUND_FRAMES)
    return np.median(images[::step], axis=0).astype(np.uint8)


def difference(image: Image, still: Image) -> Image:
    """How far an image is from the background: ``(H, W)`` uint8, without single pixels' noise."""
    cv2: Any = require_cv2("to find what moves")
    red, green, blue = cv2.split(cv2.absdiff(np.ascontiguousarray(image), still))
    return cv2.GaussianBlur(cv2.max(cv2.max(red, green), blue), (5, 5), 0)


def put_before(images: Image, still: Image, backdrop: Image) -> Image:
    """Puts what moves before another backdrop.

    Args:
      images: ``(N, H, W, 3)`` uint8 of one clip.
      still: its background. backdrop: another one's, of the same size.

    Returns:
      A new array; or ``images`` where it is not clear what moves.
    """
    masks = np.stack([_mask(image, still) for image in images])
    shares = (masks > 127).mean(axis=(1, 2))
    if (shares > _LEAST).mean() < _MOVING or shares.mean() > _MOST:
        return images
    alpha = masks[..., None].astype(np.float32) / 255
    mixed = images * alpha + backdrop * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)


def _mask(image: Image, still: Image) -> Image:
    """255 where something moves, with soft edges."""
    cv2: Any = require_cv2("to find what moves")
    height, width = still.shape[:2]
    mask = (difference(image, still) > _DIFFERENT).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    large = [each for each in outlines if cv2.contourArea(each) > _SMALLEST * height * width]
    # Filled: a sleeve of the background's colour belongs to the arm.
    filled = cv2.drawContours(np.zeros((height, width), np.uint8), large, -1, 255, -1)
    return cv2.GaussianBlur(cv2.dilate(filled, np.ones((3, 3), np.uint8)), (5, 5), 0)
