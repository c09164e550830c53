"""A picture with what was seen in it written over it; for the window and for videos."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgecap.extras import require_cv2
from edgecap.notices import Notice
from edgecap.predictions import (
    CaptionPrediction,
    ClassPrediction,
    MultiLabelPrediction,
    RegressionPrediction,
)
from edgecap.preprocess import Image
from edgecap.sinks.base import Result

# Colours are RGB, as pictures are.
_WHITE, _GREY = (245, 245, 245), (165, 170, 175)
_BLUE, _GREEN, _YELLOW = (95, 175, 255), (60, 210, 130), (255, 205, 90)
# So much of the picture shines through behind text.
_SHADE = 0.35
_RECENT, _RECENT_S = 3, 6.0
_MOST_VALUES = 6
# Size of what matters less, as a part of the other text's.
_ASIDE = 0.75
# Letters that have no other one below their accent.
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "đ": "d"})


@dataclass(frozen=True)
class Overlay:
    """What is written over a picture, apart from the answer itself.

    Attributes:
      recent: lines about the latest events and notices, the newest last, and which of them tell
        of something that is still under way.
      rate: of frames and drops; may be empty.
      camera: empty where there is only one.
    """

    recent: tuple[tuple[str, bool], ...] = ()
    rate: str = ""
    camera: str = ""


@dataclass
class Captions:
    """Remembers, for one camera, what is to be written over its next picture.

    Attributes:
      camera: as it is to be shown; empty where there is only one.
    """

    camera: str = ""
    _recent: deque[tuple[float, str, bool]] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _times_s: deque[float] = field(default_factory=lambda: deque(maxlen=64))

    def take(self, result: Result) -> Overlay:
        """The overlay for a result; call it with every result, in order."""
        now_s = result.frame.timestamp_s
        sentences = isinstance(result.prediction, CaptionPrediction)
        # A sentence stands under the picture for as long as it is true.
        for event in () if sentences else result.prediction.events:
            self._recent.append((now_s, f"{event.label} {event.kind}", event.kind == "start"))
        times_s = self._times_s
        if times_s and not 0 <= now_s - times_s[-1] < 5.0:
            times_s.clear()
        times_s.append(now_s)
        rate = ""
        if len(times_s) > 1 and times_s[-1] > times_s[0]:
            rate = f"{(len(times_s) - 1) / (times_s[-1] - times_s[0]):.1f} fps"
        recent = tuple(
            (text, good) for at_s, text, good in self._recent if 0 <= now_s - at_s <= _RECENT_S
        )
        return Overlay(recent, rate, self.camera)

    def notice(self, notice: Notice) -> None:
        """Shows a notice with the next pictures."""
        self._recent.append((notice.timestamp_s, notice.told, False))


def draw(image: Image, result: Result, labels: Sequence[str], overlay: Overlay) -> Image:
    """Writes an answer over a picture.

    Args:
      image: ``(h, w, 3)`` uint8 RGB; not changed. Below 200 pixels of width there is no room for
        text; see :func:`enlarged`.
      result: whose answer it is.
      labels: the model's.
      overlay: the rest.

    Returns:
      A new picture of the same size.

    Raises:
      MissingDependencyError: OpenCV is not installed.
    """
    pen = Pen(np.ascontiguousarray(image).copy(), require_cv2("to draw on pictures"))
    _head(pen, result, labels, overlay)
    lines = [(text, _GREEN if good else _YELLOW) for text, good in overlay.recent]
    if isinstance(result.prediction, CaptionPrediction) and result.prediction.text:
        lines += [(line, _BLUE) for line in pen.broken(result.prediction.text)]
    for row, (text, color) in enumerate(reversed(lines)):
        pen.tag(text, color, row)
    return pen.image


def enlarged(image: Image, *, least_width: int = 640) -> Image:
    """A picture large enough to be written on: scaled by a whole number, if at all."""
    times = -(-least_width // image.shape[1])
    if times <= 1:
        return image
    cv2 = require_cv2("to enlarge pictures")
    size = (image.shape[1] * times, image.shape[0] * times)
    large: Image = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    return large


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """A picture brought to a size ``(height, width)``, its aspect kept, with black beside it."""
    height, width = size
    if image.shape[:2] == size:
        return image
    cv2 = require_cv2("to resize pictures")
    scale = min(height / image.shape[0], width / image.shape[1])
    h = min(height, max(1, round(image.shape[0] * scale)))
    w = min(width, max(1, round(image.shape[1] * scale)))
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - h) // 2, (width - w) // 2
    canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h))
    return canvas


class Pen:
    """Text and bars on one RGB picture; sizes follow from the picture's."""

    def __init__(self, image: Image, cv2: Any) -> None:
        self.image, self._cv2 = image, cv2
        # Since then it brings a font with more than ASCII.
        self._unicode = int(cv2.__version__.split(".")[0]) >= 5
        self.height, self.width = image.shape[:2]
        self.scale = min(max(min(self.width / 640, self.height / 360), 0.35), 3.0)
        self.line = max(10, round(26 * self.scale))
        self.margin = max(3, round(10 * self.scale))
        self._thick = max(1, round(1.4 * self.scale))

    def text_width(self, text: str, size: float = 1.0) -> int:
        font = self._cv2.FONT_HERSHEY_SIMPLEX
        (width, _), _ = self._cv2.getTextSize(text, font, 0.6 * self.scale * size, self._thick)
        return int(width)

    def text(
        self, text: str, x: int, baseline: int, color: tuple[int, int, int], size: float = 1.0
    ) -> None:
        self._cv2.putText(
            self.image,
            text,
            (x, baseline),
            self._cv2.FONT_HERSHEY_SIMPLEX,
            0.6 * self.scale * size,
            color,
            self._thick,
            self._cv2.LINE_AA,
        )

    def cut(self, text: str, width: int, size: float = 1.0) -> str:
        """As much of a text as fits."""
        text = text if self._unicode else plain(text)
        if self.text_width(text, size) <= width:
            return text
        while text and self.text_width(text + "...", size) > width:
            text = text[:-1]
        return text + "..." if text else ""

    def broken(self, text: str) -> list[str]:
        """A text in lines that fit at the bottom, by words."""
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.text_width(longer) <= self.width - 4 * self.margin:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def shade(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> None:
        part = self.image[top:bottom, left:right]
        part[:] = (part * _SHADE).astype(np.uint8)

    def bar(self, x: int, y: int, width: int, height: int, fraction: float, color: Any) -> None:
        width = max(width, 1)
        self.image[y : y + height, x : x + width] = (70, 72, 75)
        full = round(width * min(max(fraction, 0.0), 1.0))
        self.image[y : y + height, x : x + full] = color

    def tag(self, text: str, color: tuple[int, int, int], row: int) -> None:
        """A line at the bottom; row 0 is the lowest."""
        bottom = self.height - self.margin - row * round(self.line * 1.15)
        if bottom - self.line < self.height // 3:
            return
        text = self.cut(text, self.width - 4 * self.margin)
        right = min(self.width, self.text_width(text) + 4 * self.margin)
        self.shade(bottom - self.line, bottom, self.margin, right)
        edge = max(2, self.margin // 3)
        self.image[bottom - self.line : bottom, self.margin : self.margin + edge] = color
        self.text(text, 2 * self.margin, bottom - round(self.line * 0.28), _WHITE)


def _head(pen: Pen, result: Result, labels: Sequence[str], overlay: Overlay) -> None:
    """The strip at the top: the answer on the left, camera and rate on the right."""
    prediction = result.prediction
    pen.shade(0, round(pen.line * 1.9))
    baseline = round(pen.line * 0.95)
    right = pen.width - pen.margin
    clock = _clock(result.frame.timestamp_s)
    aside = "  ".join(filter(None, (overlay.rate, clock)))
    width = pen.text_width(aside, _ASIDE)
    if width < pen.width * 0.55:
        right -= width
        pen.text(aside, right, baseline, _GREY, _ASIDE)
        right -= 2 * pen.margin
    if isinstance(prediction, RegressionPrediction):
        values = zip(labels, prediction.values.tolist(), strict=True)
        told = "  ".join(f"{label} {value:.3g}" for label, value in list(values)[:_MOST_VALUES])
        color, fraction = _BLUE, None
    elif isinstance(prediction, CaptionPrediction):
        told, color, fraction = "", _BLUE, None
    else:
        assert isinstance(prediction, (ClassPrediction, MultiLabelPrediction))
        active = prediction.active if isinstance(prediction, MultiLabelPrediction) else ()
        told = ", ".join(active) or prediction.label
        color = _GREEN if active else _BLUE
        fraction = prediction.score
        told = f"{told} {fraction:.2f}" if not active else told
    if overlay.camera:
        told = f"{overlay.camera}: {told}"
    pen.text(pen.cut(told, right - pen.margin), pen.margin, baseline, _WHITE)
    if fraction is not None:
        height = max(3, pen.line // 5)
        y = round(pen.line * 1.9) - height - max(2, pen.line // 6)
        pen.bar(pen.margin, y, pen.width - 2 * pen.margin, height, fraction, color)


def plain(text: str) -> str:
    """A text in the letters that OpenCV 4 can draw, which are ASCII's: ``öffnen`` → ``offnen``."""
    parts = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    kept = "".join(c for c in parts if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in kept)


def _clock(timestamp_s: float) -> str:
    """A frame's time: of material as h:mm:ss from its start; of cameras likewise, from boot."""
    minutes, seconds = divmod(max(0.0, timestamp_s), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}"
