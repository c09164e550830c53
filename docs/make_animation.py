"""Draws the README's animation: the packaged model watching a scene, frame by frame.

python docs/make_animation.py [--model demo] [--seed 4] [--out docs/demo.webp]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

import edgecap
from edgecap.assets import resolve_model
from edgecap.streaming import Prediction, Stream
from edgecap.synthetic import Scene, SceneFrame

_SIDE = 288
_PANEL = 340
_FIRST_SEED = 1 << 45
_PAPER, _INK, _FAINT = (250, 250, 248), (40, 36, 33), (205, 208, 210)
_BLUE, _GREEN = (176, 114, 48), (96, 158, 44)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(frame: SceneFrame, prediction: Prediction, stream: Stream, said: str) -> np.ndarray:
    """One picture: what the camera sees, what the model thinks, what it last reported."""
    picture = cv2.resize(frame.image[..., ::-1], (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
    panel = np.full((_SIDE, _PANEL, 3), _PAPER, np.uint8)
    labels = stream.model.labels
    for row, (label, p) in enumerate(zip(labels, prediction.probabilities.tolist(), strict=True)):
        y = 24 + row * 23
        color = _GREEN if label in stream.active else _BLUE
        width = round(p * 150)
        cv2.putText(panel, label, (14, y + 5), _FONT, 0.42, _INK, 1, cv2.LINE_AA)
        cv2.rectangle(panel, (150, y - 6), (300, y + 6), _FAINT, 1)
        if width:
            cv2.rectangle(panel, (150, y - 6), (150 + width, y + 6), color, -1)
    cv2.line(panel, (14, 232), (_PANEL - 14, 232), _FAINT, 1)
    cv2.putText(panel, f"performed: {frame.label}", (14, 252), _FONT, 0.42, _INK, 1, cv2.LINE_AA)
    color = _GREEN if said else _FAINT
    text = f"event: {said}" if said else "event:"
    cv2.putText(panel, text, (14, 275), _FONT, 0.5, color, 1, cv2.LINE_AA)
    return np.hstack([picture, panel])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--gestures", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("demo.webp"))
    arguments = parser.parse_args()
    model = edgecap.load(resolve_model(arguments.model))
    spec = model.spec
    scene = Scene(
        seed=_FIRST_SEED + arguments.seed,
        height=spec.input.height,
        width=spec.input.width,
        rate_hz=spec.rate_hz,
        gestures=arguments.gestures,
    )
    stream, pictures, said = model.stream(), [], ""
    for frame in scene:
        prediction = stream.step(frame.image, frame.timestamp_s)
        if prediction.event is not None:
            said = prediction.event.label if prediction.event.kind == "start" else ""
        pictures.append(draw(frame, prediction, stream, said))
    animation = cv2.Animation()
    animation.frames = pictures
    animation.durations = np.full(len(pictures), round(1000 / spec.rate_hz))
    quality = [cv2.IMWRITE_WEBP_QUALITY, 40]
    if not cv2.imwriteanimation(str(arguments.out), animation, quality):
        raise SystemExit(f"cannot write {arguments.out}")
    print(f"{arguments.out}: {len(pictures)} frames, {arguments.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
