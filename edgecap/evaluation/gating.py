"""What a gate costs and what it saves: the same recordings with it and without."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.evaluation.scoring import Activations, Predictor, model_predictor
from edgecap.gate import SceneGate, Seen
from edgecap.streaming import StreamingModel


@dataclass
class Usage:
    """What streaming some recordings took.

    Attributes:
      frames: answered. encoded: of these, looked at by the encoder.
      cpu_s: processor time of this thread and those of the kernels, decoding left out.
    """

    frames: int = 0
    encoded: int = 0
    cpu_s: float = 0.0

    @property
    def encoded_share(self) -> float:
        return self.encoded / self.frames if self.frames else 0.0

    @property
    def cpu_ms_per_frame(self) -> float:
        return self.cpu_s * 1e3 / self.frames if self.frames else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            "frames": self.frames,
            "encoded": self.encoded,
            "encoded_share": round(self.encoded_share, 5),
            "cpu_ms_per_frame": round(self.cpu_ms_per_frame, 4),
        }


@dataclass
class MeasuredPredictor:
    """A predictor that counts what it takes.

    Attributes:
      predict: images ``(N, H, W, 3)`` → activations ``(N, labels)``, and how many were encoded.
      usage: of all recordings so far.
    """

    predict: Callable[[npt.NDArray[np.uint8]], tuple[Activations, int]]
    usage: Usage = field(default_factory=Usage)

    def __call__(self, images: npt.NDArray[np.uint8]) -> Activations:
        began = time.process_time()
        activations, encoded = self.predict(images)
        self.usage.cpu_s += time.process_time() - began
        self.usage.frames += len(images)
        self.usage.encoded += encoded
        return activations


def ungated_predictor(model: StreamingModel) -> MeasuredPredictor:
    """The model with every frame encoded, as :func:`model_predictor` has it."""
    predict: Predictor = model_predictor(model)
    return MeasuredPredictor(lambda images: (predict(images), len(images)))


def gated_predictor(model: StreamingModel, gate: SceneGate) -> MeasuredPredictor:
    """The model behind a gate; the frames follow each other at the model's rate."""

    def predict(images: npt.NDArray[np.uint8]) -> tuple[Activations, int]:
        states = model.initial_states()
        seen: Seen | None = None
        period_s = 1.0 / model.spec.rate_hz
        rows = []
        encoded = 0
        for number, image in enumerate(images):
            outputs, states, seen = model.infer_gated(
                image, states, gate=gate, seen=seen, timestamp_s=number * period_s
            )
            encoded += not seen.reused
            rows.append(model.activate(outputs))
        return np.stack(rows), encoded

    return MeasuredPredictor(predict)
