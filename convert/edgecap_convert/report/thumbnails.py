"""A clip at a glance: a strip of its frames, and the course of a probability under it."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

from edgecap.errors import EdgecapError
from edgecap.extras import require_cv2
from edgecap_convert.report.data import ClipResult, Images
from edgecap_convert.report.digest import STRIP_FRAMES, evenly

# A strip is shown about this high, on screens with up to two pixels to one.
_HEIGHT = 96
_WIDEST = 192
_GAP = 3
_QUALITY = 74
_COURSE_POINTS = 160


def strip(clip: ClipResult) -> str | None:
    """Frames from the clip's beginning to its end, side by side, as a WebP data URI.

    ``None`` without frames, also if they can no longer be read: a report is not worth a training.
    """
    length = len(clip.course) if clip.course is not None else STRIP_FRAMES
    if clip.images is None or length == 0:
        return None
    try:
        if callable(clip.images):
            frames = clip.images(evenly(length, STRIP_FRAMES))
        else:
            frames = clip.images[evenly(len(clip.images), STRIP_FRAMES)]
    except (OSError, EdgecapError):
        return None
    return _encode(frames) if len(frames) else None


def _encode(frames: Images) -> str:
    cv2 = require_cv2("to draw thumbnails")
    height, width = frames.shape[1:3]
    scale = min(_HEIGHT / height, _WIDEST / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    rule = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cells = [cv2.resize(np.ascontiguousarray(frame), size, interpolation=rule) for frame in frames]
    gap = np.full((size[1], _GAP, 3), 128, np.uint8)
    row = [part for cell in cells for part in (gap, cell)][1:]
    image = cv2.cvtColor(np.concatenate(row, axis=1), cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError("OpenCV cannot write WebP")
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def course_points(course: npt.NDArray[np.float32], low: float = 0.0, high: float = 1.0) -> str:
    """Values over time as the points of an SVG polyline in a box of 100 × 100."""
    if len(course) == 0:
        return ""
    picks = evenly(len(course), _COURSE_POINTS)
    x = np.linspace(0, 100, len(picks)) if len(picks) > 1 else np.array([0.0])
    y = 100 * (1 - (np.asarray(course, float)[picks] - low) / max(high - low, 1e-9))
    y = np.clip(np.nan_to_num(y, nan=100.0), 0, 100)
    if len(picks) == 1:
        x, y = np.array([0.0, 100.0]), np.repeat(y, 2)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
