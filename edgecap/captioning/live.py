"""Sentences about a live picture: a new one every few seconds, the frames between as they are."""

from __future__ import annotations

import math

from edgecap.captioning.model import Caption, CaptionModel
from edgecap.events import Event
from edgecap.predictions import CaptionPrediction
from edgecap.preprocess import Image

DEFAULT_EVERY_S = 5.0


class CaptionStream:
    """Frames in, sentences out; stands where a :class:`edgecap.Stream` does.

    Args:
      model: see there; may serve several.
      every_s: seconds from one sentence to the next.
      beam: of the search; by default the model's.
    """

    def __init__(
        self, model: CaptionModel, *, every_s: float = DEFAULT_EVERY_S, beam: int | None = None
    ) -> None:
        self._model = model
        self._every_s, self._beam = every_s, beam
        self.reset()

    @property
    def model(self) -> CaptionModel:
        return self._model

    @property
    def active(self) -> tuple[str, ...]:
        """The sentence as it stands, if there is one."""
        return (self._text,) if self._text else ()

    def reset(self) -> None:
        """Forgets the sentence; the next frame is told in another."""
        self._text, self._score = "", 0.0
        self._due_s = -math.inf

    def step(self, image: Image, timestamp_s: float) -> CaptionPrediction:
        """Takes in one frame.

        Args:
          image: ``(h, w, 3)`` uint8 RGB of any size. timestamp_s: when it was taken, in seconds.

        Raises:
          FrameError: the image has a wrong shape or dtype.
        """
        # A clock that was set back does not keep the next sentence waiting.
        written = timestamp_s >= self._due_s or timestamp_s < self._due_s - self._every_s
        events: tuple[Event, ...] = ()
        if written:
            caption = self._model.caption(image, beam=self._beam)
            self._due_s = timestamp_s + self._every_s
            self._score = word_probability(caption)
            if caption.text != self._text:
                ended = [Event(text, "end", timestamp_s, 0.0) for text in self.active]
                started = Event(caption.text, "start", timestamp_s, self._score)
                events = (*ended, *([started] if caption.text else []))
                self._text = caption.text
        return CaptionPrediction(timestamp_s, events, self._text, self._score, written)


def word_probability(caption: Caption) -> float:
    """The geometric mean of a sentence's words' probabilities, its end included."""
    return math.exp(caption.log_probability / (len(caption.words) + 1))
