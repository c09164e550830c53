"""Recognise what happens in front of a camera, frame by frame, on small computers.

    model = edgecap.load("gestures.tflite")
    stream = model.stream()
    with edgecap.open_source("0") as source:
        for frame in source:
            prediction = stream.step(frame.image, frame.timestamp_s)

Importing this package loads nothing; each name loads its module, and NumPy, when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecap.captioning import Caption as Caption
    from edgecap.captioning import CaptionModel as CaptionModel
    from edgecap.captioning import load_captioner as load_captioner
    from edgecap.decisions import DecisionSpec as DecisionSpec
    from edgecap.decisions import LabelDecision as LabelDecision
    from edgecap.errors import EdgecapError as EdgecapError
    from edgecap.events import Event as Event
    from edgecap.events import EventDetector as EventDetector
    from edgecap.gate import SceneGate as SceneGate
    from edgecap.predictions import ClassPrediction as ClassPrediction
    from edgecap.predictions import MultiLabelPrediction as MultiLabelPrediction
    from edgecap.predictions import Prediction as Prediction
    from edgecap.predictions import RegressionPrediction as RegressionPrediction
    from edgecap.sources import Frame as Frame
    from edgecap.sources import Source as Source
    from edgecap.sources import open_source as open_source
    from edgecap.spec import ModelSpec as ModelSpec
    from edgecap.streaming import Snapshot as Snapshot
    from edgecap.streaming import Stream as Stream
    from edgecap.streaming import StreamingModel as StreamingModel
    from edgecap.streaming import load as load

__version__ = "0.1.0"

_HOMES = {
    "Caption": "edgecap.captioning",
    "CaptionModel": "edgecap.captioning",
    "ClassPrediction": "edgecap.predictions",
    "DecisionSpec": "edgecap.decisions",
    "EdgecapError": "edgecap.errors",
    "Event": "edgecap.events",
    "EventDetector": "edgecap.events",
    "Frame": "edgecap.sources",
    "LabelDecision": "edgecap.decisions",
    "ModelSpec": "edgecap.spec",
    "MultiLabelPrediction": "edgecap.predictions",
    "Prediction": "edgecap.predictions",
    "RegressionPrediction": "edgecap.predictions",
    "SceneGate": "edgecap.gate",
    "Snapshot": "edgecap.streaming",
    "Source": "edgecap.sources",
    "Stream": "edgecap.streaming",
    "StreamingModel": "edgecap.streaming",
    "load": "edgecap.streaming",
    "load_captioner": "edgecap.captioning",
    "open_source": "edgecap.sources",
}

__all__ = [*_HOMES]  # noqa: PLE0604  # names only


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgecap' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
