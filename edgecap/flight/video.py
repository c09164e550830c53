"""A recording as a video for people: the model's picture, enlarged, and what it answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgecap.errors import FlightError
from edgecap.extras import require_cv2
from edgecap.flight.replay import FrameAnswer, Replay
from edgecap.flight.tape import Tape

_LEAST_SIDE = 480
_LINE = 22
_WHITE, _GREEN, _RED = (235, 235, 235), (110, 210, 110), (90, 90, 240)


def write_video(tape: Tape, replayed: Replay, path: str | Path) -> None:
    """Writes an MP4 with time, recorded and new answer, and events under each picture.

    Raises:
      FlightError: it cannot be written.
      MissingDependencyError: OpenCV is not installed.
    """
    cv2 = require_cv2("to write a video")
    height, width, _ = tape.images[0].shape
    times = -(-_LEAST_SIDE // min(height, width))
    size = (width * times, height * times + 3 * _LINE)
    code = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, tape.header.rate_hz, size)
    if not writer.isOpened():
        raise FlightError(f"cannot write the video {path}: expected a file that ends in .mp4")
    try:
        for image, answer in zip(tape.images, replayed.answers, strict=True):
            large = np.repeat(np.repeat(image, times, axis=0), times, axis=1)
            canvas = np.zeros((size[1], size[0], 3), np.uint8)
            canvas[: height * times] = large[:, :, ::-1]
            _write_lines(cv2, canvas, height * times, answer)
            writer.write(canvas)
    finally:
        writer.release()


def _write_lines(cv2: Any, canvas: Any, top: int, answer: FrameAnswer) -> None:
    events = ", ".join(f"{event.label} {event.kind}" for event in answer.events)
    told = f"{answer.timestamp_s:.2f} s   {events}" + ("   (state set)" if answer.jump else "")
    colour = _WHITE if answer.equal else _RED
    lines = (
        (told, _GREEN if events else _WHITE),
        (f"recorded  {answer.label} {answer.score:.2f}", _WHITE),
        (f"now       {answer.new_label} {answer.new_score:.2f}", colour),
    )
    for number, (text, tint) in enumerate(lines):
        at = (8, top + _LINE * (number + 1) - 6)
        # OpenCV's font has no other letters.
        plain = text.encode("ascii", "replace").decode()
        cv2.putText(canvas, plain, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, tint, 1, cv2.LINE_AA)
